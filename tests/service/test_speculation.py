"""Completions ahead of need, through a whole service: there when the user comes, gone when the user goes elsewhere."""

from dataclasses import replace

import pytest

from scrubjay.completion.requests import Completion
from scrubjay.notifications import Notification, Subscription
from scrubjay.service.events import Complete, ProjectIdle, RequestStatus
from scrubjay.service.scheduler import Outcome
from scrubjay.service.service import Service
from scrubjay.starter import model_path
from scrubjay.workspace.events import ChangeDocument
from scrubjay.workspace.text import Change, Position
from tests.support.service import completion, open_document, running_service, until, warm

URI = "file:///project/a.py"
TEXT = "def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n    difference = \n\n\nprint(add(1, 2))\n" * 2
LINE, CHARACTER = 5, 17
CURSOR = Position(LINE, CHARACTER)
NAMES = 'root ::= "a" [0-9]+ [a-z]+'
"""Something to show, from any model."""


def after(text: str) -> Position:
    """The place after `text`, inserted at the cursor."""
    *lines, last = text.split("\n")
    return Position(LINE + len(lines), len(last) + (0 if lines else CHARACTER))


async def ask(service: Service, position: Position = CURSOR) -> Completion:
    asked = replace(completion(URI, max_tokens=6, grammar=NAMES).request, position=position)
    event = Complete(asked)
    service.post(event)
    return await event.reply


async def insert(service: Service, version: int, text: str, at: Position = CURSOR) -> None:
    event = ChangeDocument(URI, version, (Change(text, at, at),))
    service.post(event)
    await event.reply


async def look(service: Service) -> None:
    event = RequestStatus()
    service.post(event)
    await event.reply


async def ahead(news: Subscription) -> Notification:
    return await until(news, lambda event: event["type"] == "ahead")


@pytest.mark.slow
async def test_what_follows_an_accepted_completion_is_there_already() -> None:
    async with running_service(model_path(), rules=True, layout="anchored", warm=True) as service:
        news = service.broadcaster.subscribe()
        await open_document(service, URI, TEXT)
        text = (await ask(service)).items[0].text
        assert (await ahead(news))["n_items"] == 1
        # Typed along at first, and then accepted.
        await insert(service, 2, text[0])
        assert (await ask(service, after(text[0]))).reuse.reason == "cached"
        await insert(service, 3, text[1:], Position(LINE, CHARACTER + 1))
        answer = await ask(service, after(text))
        assert answer.reuse.reason == "cached"
        assert answer.items[0].text


@pytest.mark.slow
async def test_what_was_written_ahead_is_what_would_be_written_later() -> None:
    texts = []
    for is_ahead in (True, False):
        async with running_service(model_path(), rules=True, layout="anchored", warm=is_ahead) as service:
            news = service.broadcaster.subscribe()
            await open_document(service, URI, TEXT)
            text = (await ask(service)).items[0].text
            if is_ahead:
                await ahead(news)
            await insert(service, 2, text)
            answer = await ask(service, after(text))
            assert (answer.reuse.reason == "cached") == is_ahead
            texts.append(answer.items[0].text)
    assert texts[0] == texts[1]


@pytest.mark.slow
@pytest.mark.parametrize(("at", "text"), [(Position(0, 0), "# elsewhere\n"), (CURSOR, "~")])
async def test_an_edit_that_leads_elsewhere_ends_it(at: Position, text: str) -> None:
    async with running_service(model_path(), rules=True, layout="anchored", warm=True) as service:
        await open_document(service, URI, TEXT)
        await warm(service)
        await ask(service)
        service.post(ProjectIdle("/project"))
        # The loop has one thing after the other: when this one is answered, the completion ahead is under way.
        await look(service)
        assert any(request.ask.is_speculative for request in service.dispatcher)
        before = service.dispatcher.scheduler.ended[Outcome.CANCELLED]
        await insert(service, 2, text, at)
        assert service.dispatcher.scheduler.ended[Outcome.CANCELLED] == before + 1
        assert not any(request.ask.is_speculative for request in service.dispatcher)


@pytest.mark.slow
async def test_it_makes_the_next_key_hardly_dearer() -> None:
    async with running_service(model_path(), rules=True, layout="anchored", warm=True) as service:
        news = service.broadcaster.subscribe()
        await open_document(service, URI, TEXT * 4)
        first = await ask(service)
        await ahead(news)
        await insert(service, 2, "~")
        answer = await ask(service, after("~"))
        assert answer.reuse.prompt > first.reuse.prompt - 8 > 200
        assert answer.reuse.processed <= 32
