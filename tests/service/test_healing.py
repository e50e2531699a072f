"""Prompts that end where a token begins, through the whole service: what they cost, and what is streamed of the answer."""

from dataclasses import replace

import pytest

from scrubjay.completion.finish import AsWritten
from scrubjay.completion.requests import Completion
from scrubjay.prompt.client_prompts import RawPrompt
from scrubjay.prompt.infill import InfillPrompt
from scrubjay.protocol.messages import Sampling
from scrubjay.service.ask import Ask
from scrubjay.service.events import Complete
from scrubjay.service.service import Service
from scrubjay.workspace.events import ChangeDocument
from scrubjay.workspace.text import Change, Position
from tests.support.gguf_models import MODEL_CLASSES, tiny_model
from tests.support.service import completion, open_document, running_service, source
from tests.support.vocabularies import open_vocabulary

URI = "file:///project/a.py"
LINE = "    total_price = self.loans[0].days_late * fee"


async def _asked_at_end(service: Service, text: str, told: list[str] | None = None, **more: object) -> Completion:
    lines = text.split("\n")
    asked = replace(
        completion(URI, max_tokens=6, rules=False).request, position=Position(len(lines) - 1, len(lines[-1]))
    )
    event = Complete(replace(asked, **more), told.append if told is not None else None)  # type: ignore[arg-type]
    service.post(event)
    return await event.reply


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODEL_CLASSES)
async def test_typing_on_costs_the_tokens_typed_and_one_for_each_key(kind: str) -> None:
    text, costs = source(60), list[int]()
    async with running_service(tiny_model(kind), layout="anchored") as service:
        await open_document(service, URI, text)
        await _asked_at_end(service, text)
        for version, character in enumerate(LINE, 2):
            at = Position(text.count("\n"), len(text.rpartition("\n")[2]))
            service.post(change := ChangeDocument(URI, version, (Change(character, at, at),)))
            await change.reply
            text += character
            told: list[str] = []
            answer = await _asked_at_end(service, text, told)
            costs.append(answer.reuse.processed)
            assert [item.text for item in answer.items] == ["".join(told)]
    assert sum(costs) <= len(open_vocabulary("qwen2").tokenize(LINE)) + 2 * len(LINE)
    assert max(costs) <= 10


@pytest.mark.slow
async def test_alternatives_are_healed_too() -> None:
    async with running_service(tiny_model("dense"), layout="anchored") as service:
        await open_document(service, URI, "x = 1\nreturned = lo")
        answer = await _asked_at_end(service, "x = 1\nreturned = lo", n=3)
        assert len(answer.items) > 1


@pytest.mark.parametrize(
    "sampling", [Sampling(grammar='root ::= "x"'), Sampling(json_schema="{}"), Sampling(n_probs=0)]
)
def test_where_a_client_looks_at_tokens_or_has_a_grammar_nothing_is_healed(sampling: Sampling) -> None:
    recipe = InfillPrompt("loan = self.", "", "tool.ta")
    assert Ask(recipe, AsWritten(), Sampling()).recipe.typed == ".ta"
    assert Ask(recipe, AsWritten(), sampling).recipe.typed == ""
    assert replace(recipe, anchor=False).typed == RawPrompt(("loan = self.",)).typed == ""
