"""Completions as they are shown, through the whole service: the rules, what is kept, and what they cost."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scrubjay.documents import Change, Document, Position
from scrubjay.events import ChangeDocument, Complete
from scrubjay.polish import Remembered
from scrubjay.projects import Project
from scrubjay.requests import Completion, CompletionRequest, Item
from scrubjay.service import Service
from scrubjay.starter import model_path
from tests.services import complete, completion, open_document, running_service

URI = "file:///project/a.py"
TEXT = "def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n    difference = \n\n\nprint(add(1, 2))\n"
REQUEST = CompletionRequest(URI, Position(0, 0))


async def test_a_completion_ends_by_rule_and_typing_along_asks_no_model() -> None:
    async with running_service(model_path(), rules=True, layout="anchored") as service:
        await open_document(service, URI, TEXT)
        event = Complete(replace(completion(URI, max_tokens=200).request, position=Position(5, 17), trigger="invoked"))
        service.post(event)
        first = await event.reply
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
    event = Complete(
        replace(completion(URI, max_tokens=200).request, position=Position(5, character), trigger="invoked")
    )
    service.post(event)
    return await event.reply


async def test_without_rules_the_text_is_as_the_model_writes_it() -> None:
    async with running_service(model_path(), rules=True) as service:
        await open_document(service, URI, TEXT)
        raw = await complete(service, URI, 6, max_tokens=40, rules=False)
        assert raw.items
        assert (await complete(service, URI, 6, max_tokens=40, rules=False)).reuse.processed == 1


async def test_a_text_that_is_there_already_is_not_shown_and_the_rule_is_named() -> None:
    async with running_service(model_path(), rules=True) as service:
        await open_document(service, URI, "x = 1\nx = 1\nx = 1\nx = 1\nx = 1\n" * 8)
        answer = await complete(service, URI, 20, max_tokens=16)
        assert answer.discarded or all(item.text.strip() != "x = 1" for item in answer.items)


@given(st.text("ab\n", max_size=6), st.text("ab\n", max_size=6), st.text("ab\n", min_size=1, max_size=6), st.data())
def test_what_is_remembered_goes_on_from_what_was_typed_along(
    prefix: str, suffix: str, text: str, data: st.DataObject
) -> None:
    remembered, project = Remembered(), Project("/project")
    asked = Document(URI, "python", 1, prefix + suffix)
    remembered.put(REQUEST, project, asked, len(prefix), (Item(text, "end", 1),))
    typed = data.draw(st.text("ab\n", max_size=4))
    now = Document(URI, "python", 2, prefix + typed + suffix)
    found = remembered.find(REQUEST, project, now, len(prefix + typed))
    assert all(typed + item.text == text for item in found)
    assert bool(found) == (text.startswith(typed) and bool(text[len(typed) :].strip()))


def test_another_question_or_another_project_text_finds_nothing() -> None:
    remembered, document = Remembered(), Document(URI, "python", 1, "a = ")
    other = Document("file:///project/b.py", "python", 1, "b")
    project = Project("/project", documents={document.key: document, other.key: other})
    remembered.put(REQUEST, project, document, 4, (Item("1 + 1", "end", 1),))
    assert remembered.find(REQUEST, project, document, 4)
    assert not remembered.find(replace(REQUEST, n=2), project, document, 4)
    changed = Document("file:///project/b.py", "python", 2, "c")
    assert not remembered.find(REQUEST, Project("/project", documents={changed.key: changed}), document, 4)
