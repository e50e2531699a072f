"""Completions as they are shown, through the whole service: the rules, what is kept, and what they cost."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.code_text import without_indent
from scrubjay.completion.history import CompletionHistory
from scrubjay.completion.postprocess import RULES
from scrubjay.completion.requests import Completion, CompletionRequest, Item
from scrubjay.errors import RequestError
from scrubjay.http.api import methods
from scrubjay.http.params import Params
from scrubjay.prompt.windows import resume_at
from scrubjay.service.events import Complete
from scrubjay.service.service import Service
from scrubjay.starter import model_path
from scrubjay.workspace.document import Document
from scrubjay.workspace.events import ChangeDocument
from scrubjay.workspace.project import Project
from scrubjay.workspace.text import Change, Position
from tests.support.gguf_models import tiny_model
from tests.support.service import complete, completion, open_document, running_service

URI = "file:///project/a.py"
TEXT = "def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n    difference = \n\n\nprint(add(1, 2))\n"
REQUEST = CompletionRequest(URI, Position(0, 0))
GOES_TOO_FAR = 'root ::= "1234567890\\n\\n\\nprint(" [a-z]*'
"""Digits: each of them is a token, however they are come by."""
REPEATS = 'root ::= "x = 1\\n"+'


@pytest.mark.slow
async def test_a_completion_ends_by_rule_and_typing_along_asks_no_model() -> None:
    async with running_service(model_path(), rules=True, layout="anchored") as service:
        await open_document(service, URI, TEXT)
        first = await _ask(service, 17)
        assert first.items, first.discarded
        item = first.items[0]
        assert item.n_tokens < 200 and "print" not in item.text
        again = await _ask(service, 17)
        assert (again.reuse.reason, again.reuse.processed, again.items[0].text) == ("cached", 0, item.text)
        change = ChangeDocument(URI, 2, (Change(item.text[:1], Position(5, 17), Position(5, 17)),))
        service.post(change)
        await change.reply
        typed = await _ask(service, 18)
        assert (typed.reuse.reason, typed.items[0].text) == ("cached", item.text[1:])
        other = ChangeDocument(URI, 3, (Change("x", Position(0, 0), Position(0, 0)),))
        service.post(other)
        await other.reply
        assert (await _ask(service, 18)).reuse.reason != "cached"


async def _ask(service: Service, character: int) -> Completion:
    asked = completion(URI, max_tokens=200, grammar=GOES_TOO_FAR).request
    event = Complete(replace(asked, position=Position(5, character), trigger="invoked"))
    service.post(event)
    return await event.reply


async def test_without_rules_the_text_is_as_the_model_writes_it() -> None:
    async with running_service(model_path(), rules=True) as service:
        await open_document(service, URI, TEXT)
        raw = await complete(service, URI, 6, max_tokens=40, rules=False)
        assert raw.items
        assert (await complete(service, URI, 6, max_tokens=40, rules=False)).reuse.processed == 1


@pytest.mark.slow
async def test_a_text_that_is_there_already_is_not_shown_and_the_rule_is_named() -> None:
    async with running_service(model_path(), rules=True) as service:
        await open_document(service, URI, "x = 1\n" * 40)
        as_written = await complete(service, URI, 20, max_tokens=16, grammar=REPEATS, rules=False)
        assert as_written.items[0].text.startswith("x = 1\n")
        answer = await complete(service, URI, 20, max_tokens=16, grammar=REPEATS)
        assert answer.items == ()
        assert answer.discarded
        assert set(answer.discarded) <= RULES


@pytest.mark.slow
async def test_behind_an_indentation_the_model_goes_on_from_the_start_of_the_line() -> None:
    async with running_service(model_path(), layout="anchored") as service:
        await open_document(service, URI, "def add(a, b):\n    total = a + b\n    \n\n\nprint(add(1, 2))\n")
        asked = completion(URI, 2, max_tokens=12, grammar='root ::= "    return " [a-z]+')
        service.post(asked)
        written = (await asked.reply).items[0].text
        event = Complete(replace(asked.request, position=Position(2, 4)))
        service.post(event)
        answer = await event.reply
        assert answer.reuse.needed == 1
        assert written.startswith("    ")
        assert answer.items[0].text == written[4:]


@pytest.mark.parametrize(
    ("written", "indent", "left"),
    [
        ("    return", "    ", "return"),
        ("        return", "    ", "    return"),
        ("  return", "    ", "return"),
        ("\treturn", "    ", "return"),
        ("\n    return", "    ", "\n    return"),
        ("   ", "    ", ""),
        ("", "    ", ""),
    ],
)
def test_what_is_there_of_the_indentation_is_not_written_again(written: str, indent: str, left: str) -> None:
    assert without_indent(written, indent) == left


@pytest.mark.parametrize(
    ("text", "start"),
    [("a\n    |", 2), ("a\n  |)", 2), ("a\n  |b", 4), ("a\n b|", 2), ("  |", 0), ("a\n|", 2), ("a |", 1)],
)
def test_where_the_model_goes_on(text: str, start: int) -> None:
    before, _, after = text.partition("|")
    assert resume_at(Document(URI, "python", 1, before + after), len(before)) == start


@pytest.mark.slow
async def test_a_rule_that_is_switched_off_for_a_request_hides_nothing() -> None:
    async with running_service(model_path(), rules=True) as service:
        await open_document(service, URI, "x = 1\n" * 40)
        discarded = (await complete(service, URI, 20, max_tokens=16, grammar=REPEATS)).discarded
        everything = tuple(sorted(RULES))
        answer = await complete(service, URI, 20, max_tokens=16, grammar=REPEATS, rules_off=everything)
        assert discarded
        assert (len(answer.items), answer.discarded) == (1, ())
        asked = {"uri": URI, "position": {"line": 0, "character": 0}}
        assert methods.complete(Params({**asked, "rules_off": ["stop_at"]}))().request.rules_off == ("stop_at",)
        with pytest.raises(RequestError, match=r"'mind' is no completion rule; these are: .*stop_at"):
            methods.complete(Params({**asked, "rules_off": ["mind"]}))


async def test_what_was_decoded_before_a_rule_ended_it_stays_in_the_context() -> None:
    async with running_service(model_path(), rules=True, layout="anchored") as service:
        await open_document(service, URI, TEXT)
        first = await _ask(service, 17)
        (item,) = first.items
        assert item.stop_reason == "stop"
        assert item.n_tokens > 2
        change = ChangeDocument(URI, 2, (Change(item.text, Position(5, 17), Position(5, 17)),))
        service.post(change)
        await change.reply
        line, column = (
            5 + item.text.count("\n"),
            len(item.text) if "\n" not in item.text else len(item.text.rpartition("\n")[2]),
        )
        at = Position(line, column + 17 * ("\n" not in item.text))
        # With a grammar both prompts end at the cursor, not where a token begins.
        event = Complete(replace(completion(URI, rules=False, grammar=GOES_TOO_FAR).request, position=at))
        service.post(event)
        accepted = await event.reply
        assert accepted.reuse.common > first.reuse.prompt + 1
        assert accepted.reuse.needed < item.n_tokens


@pytest.mark.slow
async def test_alternatives_that_are_not_shown_are_replaced_but_not_for_ever() -> None:
    async with running_service(tiny_model("dense_ending"), rules=True) as service:
        await open_document(service, URI, TEXT)
        n_discarded = 0
        for line in range(6):
            answer = await complete(service, URI, line, max_tokens=8, n=4)
            n_tries = answer.timings.prompt_n - answer.reuse.processed + 1
            assert len(answer.items) + len(answer.discarded) <= n_tries <= 8
            assert len(answer.items) == 4 or n_tries == 8
            n_discarded += len(answer.discarded)
            assert len({item.text.strip() for item in answer.items}) == len(answer.items)
        assert n_discarded


@given(st.text("ab\n", max_size=6), st.text("ab\n", max_size=6), st.text("ab\n", min_size=1, max_size=6), st.data())
def test_what_is_remembered_goes_on_from_what_was_typed_along(
    prefix: str, suffix: str, text: str, data: st.DataObject
) -> None:
    remembered, project = CompletionHistory(), Project("/project")
    asked = Document(URI, "python", 1, prefix + suffix)
    remembered.at(REQUEST, project, asked, len(prefix)).put((Item(text, "end", 1),))
    typed = data.draw(st.text("ab\n", max_size=4))
    now = Document(URI, "python", 2, prefix + typed + suffix)
    found = remembered.at(REQUEST, project, now, len(prefix + typed)).find()
    assert all(typed + item.text == text for item in found)
    assert bool(found) == (text.startswith(typed) and bool(text[len(typed) :].strip()))


def test_another_question_or_another_project_text_finds_nothing() -> None:
    remembered, document = CompletionHistory(), Document(URI, "python", 1, "a = ")
    other = Document("file:///project/b.py", "python", 1, "b")
    project = Project("/project", documents={document.key: document, other.key: other})
    remembered.at(REQUEST, project, document, 4).put((Item("1 + 1", "end", 1),))
    assert remembered.at(REQUEST, project, document, 4).find()
    assert not remembered.at(replace(REQUEST, n=2), project, document, 4).find()
    changed = Document("file:///project/b.py", "python", 2, "c")
    assert not remembered.at(REQUEST, Project("/project", documents={changed.key: changed}), document, 4).find()
