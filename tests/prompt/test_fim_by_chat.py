"""Models without fill-in-the-middle tokens that chat: how they are asked, and that typing costs no more than with others."""

from dataclasses import replace

import pytest

from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.prompt.fim_by_chat import FENCE, HERE, chat_fim_template
from scrubjay.prompt.frame import LayoutInput
from scrubjay.prompt.layouts import LayoutName, Layouts
from scrubjay.prompt.limits import Limits
from scrubjay.service.events import Complete
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.workspace.events import ChangeDocument
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.text import Change, Position
from tests.support.gguf_models import tiny_model
from tests.support.service import complete, completion, open_document, running_service, source

URI = "file:///project/a.py"
IMPORTS = "import os\n\n\n"
BEFORE = "def total(items):\n    result = 0\n    for item in items:\n        result += item\n    return"


@pytest.mark.parametrize("layout", ["anchored", "plain"])
def test_the_answer_begins_with_what_was_typed(layout: LayoutName) -> None:
    vocabulary = Vocabulary.open(tiny_model("dense_plain"))
    template = chat_fim_template(vocabulary)
    assert template
    projects = Projects()
    projects.open("file:///project/b.py", "python", 1, "x = 1\n", "/project", str)
    document = projects.open(URI, "python", 1, IMPORTS + BEFORE + "\n\nprint(total([1]))\n", "/project", str)
    cache = TokenCache(vocabulary.tokenize, 1 << 20)
    place = (projects.by_root("/project"), document, len(IMPORTS + BEFORE))
    prompt = Layouts(layout).prompt(LayoutInput(*place, template, cache, Limits(2048, 128)))
    text = vocabulary.detokenize(prompt.tokens)
    vocabulary.close()
    shown = [
        text.index(part) for part in ("user", "# b.py\nx = 1\n", "# a.py\nimport os", f"{HERE}\n", "print(total([1]))")
    ]
    assert shown == sorted(shown)
    question, _, begun = text.rpartition(f"{FENCE}\n")
    assert question.endswith("assistant\n")
    assert begun == (BEFORE if layout == "anchored" else "")
    assert prompt.segments[0].start == 0
    assert prompt.segments[-1].end == len(prompt.tokens)


def test_a_model_with_tokens_of_its_own_is_not_asked_in_a_chat_nor_one_without_a_template() -> None:
    class Silent(Vocabulary):
        chat_template = ""

    vocabulary = Silent.open(tiny_model("dense_plain"))
    assert chat_fim_template(vocabulary) is None
    vocabulary.close()


@pytest.mark.slow
async def test_typing_only_adds_tokens_and_a_fence_ends_the_answer() -> None:
    async with running_service(tiny_model("dense_plain"), layout="anchored", rules=True) as service:
        await open_document(service, URI, source())
        first = await complete(service, URI, line=20, rules=False)
        for number, key in enumerate("total = "):
            at = Position(20, number)
            change = ChangeDocument(URI, number + 2, (Change(key, at, at),))
            service.post(change)
            await change.reply
            event = Complete(replace(completion(URI, rules=False).request, position=Position(20, number + 1)))
            service.post(event)
            assert (await event.reply).reuse.needed <= 3
        assert first.reuse.prompt > 100
        answer = await complete(service, URI, line=30, max_tokens=8)
        assert all(FENCE not in item.text for item in answer.items)
        cold = await complete(service, URI, line=30, max_tokens=8, cold=True, rules=False)
        warm = await complete(service, URI, line=30, max_tokens=8, rules=False)
        assert cold.items == warm.items
