"""What a pause is good for: the project is warmed, or at least laid out with its changes."""

import pytest

from scrubjay.service.events import ProjectIdle, RequestStatus
from scrubjay.service.service import Service
from scrubjay.workspace.events import ChangeDocument, FilesChanged
from scrubjay.workspace.project import File
from scrubjay.workspace.text import Change, Position
from tests.support.service import complete, model, open_document, running_service, source, warm

URI = "file:///project/a.py"


def on_disk(service: Service, *texts: str) -> None:
    """Files of the project have these texts now."""
    files = tuple(File(f"/project/disk{number}.py", text) for number, text in enumerate(texts))
    service.post(FilesChanged("/project", files, is_first=False))


def shown(service: Service) -> dict[str, int]:
    """How many tokens the last prompt has of each file that is not the current one."""
    prompt = service.dispatcher.residency.of("/project").prompt
    spans = prompt.segments if prompt else ()
    return {span.label: span.end - span.start for span in spans if span.kind == "file"}


@pytest.mark.parametrize("is_asked_for", [True, False])
async def test_what_changes_on_disk_reaches_the_prompt_though_nothing_is_warmed_unasked(is_asked_for: bool) -> None:
    async with running_service(model(), layout="anchored") as service:
        await open_document(service, URI, source(20))
        on_disk(service, "old = 1\n", "other = 1\n")
        await complete(service, URI, 2)
        before = shown(service)
        assert before.keys() == {"disk0.py", "disk1.py"}
        on_disk(service, "new = 1\n" * 20)
        if is_asked_for:
            await warm(service)
        else:
            service.post(ProjectIdle("/project"))
            await complete(service, URI, 3)
        after = shown(service)
        assert after.keys() == {"disk0.py"}
        assert after["disk0.py"] > before["disk0.py"] + 20


@pytest.mark.slow
async def test_a_completion_that_was_known_leaves_the_work_of_a_pause_to_the_next_one() -> None:
    async with running_service(model(), layout="anchored", rules=True) as service:
        await open_document(service, URI, source(20))
        first = await complete(service, URI, 3, max_tokens=8, trigger="invoked")
        assert first.items, "there is something to know"
        await open_document(service, "file:///project/b.py", source(20, seed=1))
        service.post(ProjectIdle("/project"))
        assert (await complete(service, URI, 3, max_tokens=8, trigger="invoked")).reuse.reason != "cached"
        assert shown(service).keys() == {"b.py"}
        service.post(ProjectIdle("/project"))
        assert (await complete(service, URI, 3, max_tokens=8, trigger="invoked")).reuse.reason == "cached"
        on_disk(service, "new = 1\n")
        assert (await complete(service, URI, 3, max_tokens=8, trigger="invoked")).reuse.reason != "cached"
        assert shown(service).keys() == {"b.py", "disk0.py"}


async def quiet(service: Service) -> int:
    """Wait until all that is done in idle time is done; returns how many tokens that has processed."""
    news = service.broadcaster.subscribe({"edit"})
    service.post(ProjectIdle("/project"))
    n_processed = 0
    while not service.dispatcher.is_idle:
        n_processed += int(str((await news.__anext__())["processed"]))
        await until_status(service)
    service.broadcaster.unsubscribe(news)
    return n_processed


async def until_status(service: Service) -> None:
    """Wait for what the engine says next of itself: by then it has ended its job."""
    event = RequestStatus()
    service.post(event)
    await event.reply


async def paste(service: Service, uri: str, version: int, text: str) -> None:
    change = Change(text, Position(10, 0), Position(10, 0))
    event = ChangeDocument(uri, version, (change,))
    service.post(event)
    await event.reply


@pytest.mark.slow
async def test_after_a_large_edit_the_other_file_is_read_ahead_and_the_context_goes_back() -> None:
    interval, other = 64, "file:///project/b.py"
    async with running_service(
        model(), layout="anchored", warm=True, warm_on_battery=True, warm_delay_ms=1e9
    ) as service:
        for number, uri in enumerate((URI, other)):
            await open_document(service, uri, source(60, seed=number))
            await paste(service, uri, 2, "x = 1\n")
            await complete(service, uri, 11)
        await complete(service, URI, 11)
        await quiet(service)
        block = source(20, seed=7)
        await paste(service, URI, 3, block)
        await complete(service, URI, 11)
        assert await quiet(service) > 256, "the other file, with the block in the one"
        assert await quiet(service) <= interval, "nothing is read twice"
        assert (await complete(service, URI, 11)).reuse.processed <= interval
        switched = await complete(service, other, 11)
        assert switched.reuse.processed <= interval
        assert shown(service)["a.py"] > 60 * 5 + 100, "the block is shown"
