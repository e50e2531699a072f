"""The daemon's loop with engines that refuse, never load, or die; and its own end."""

import os
import signal
from pathlib import Path

import pytest

from scrubjay.errors import EngineDied, EngineError, RequestError
from scrubjay.service import engine_supervisor
from scrubjay.service.events import Drain, RequestStatus, Warm
from scrubjay.service.scheduler import Outcome
from scrubjay.service.service import Service
from scrubjay.workspace.events import CloseDocument
from tests.support.gguf_models import corrupt_model
from tests.support.service import (
    LONG,
    complete,
    completion,
    generating,
    is_progress,
    model,
    open_document,
    open_long_project,
    prefilling,
    running_service,
    source,
    until,
    until_state,
)

URI = "file:///project/a.py"


# --- models that cannot be loaded ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["empty", "truncated", "magic", "garbage"])
async def test_a_model_that_is_refused_fails_all_requests_with_its_sentence(tmp_path: Path, damage: str) -> None:
    broken = corrupt_model(model(), damage, tmp_path / "broken.gguf")  # type: ignore[arg-type]
    async with running_service(broken) as service:
        await open_document(service, URI, source())
        with pytest.raises(EngineError, match=r"broken\.gguf"):
            await complete(service, URI)
        assert service.supervisor.state == "failed"
        with pytest.raises(EngineError, match=r"broken\.gguf"):
            await complete(service, URI)
        assert service.supervisor.n_restarts == 0


def model_that_never_loads(folder: Path) -> Path:
    """A pipe that nobody writes to: the engine waits in the system call that opens it."""
    path = folder / "pipe.gguf"
    os.mkfifo(path)
    return path


async def until_engine_starts(service: Service) -> None:
    news = service.broadcaster.subscribe()
    news.put(service.state_news())
    await until(news, lambda event: event["type"] == "state" and event["load"] == {"stage": "start", "fraction": 0.0})
    service.broadcaster.unsubscribe(news)


async def test_an_engine_that_dies_while_loading_is_not_started_again(tmp_path: Path) -> None:
    async with running_service(model_that_never_loads(tmp_path)) as service:
        await open_document(service, URI, source())
        service.post(event := completion(URI))
        await until_engine_starts(service)
        assert service.supervisor.pid
        os.kill(service.supervisor.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match=r"pipe\.gguf could not be loaded.*SIGKILL"):
            await event.reply
        assert service.supervisor.state == "failed"
        assert service.supervisor.n_restarts == 0


async def test_a_model_that_never_loads_keeps_nobody_from_going(tmp_path: Path) -> None:
    async with running_service(model_that_never_loads(tmp_path)) as service:
        await open_document(service, URI, source())
        service.post(event := completion(URI))
        await until_engine_starts(service)
        pid = service.supervisor.pid
    with pytest.raises(RequestError, match="shutting down"):
        await event.reply
    assert pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
async def test_a_model_that_is_damaged_later_fails_what_waits_for_the_reload(tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(model().read_bytes())
    async with running_service(copy, n_ctx=LONG) as service:
        uri = await open_long_project(service)
        await prefilling(service, event := completion(uri, 10))
        service.post(queued := completion(uri, 11))
        # Another file, so that the one that the engine has mapped stays as it is.
        (tmp_path / "other").write_bytes(b"no model")
        (tmp_path / "other").replace(copy)
        assert service.supervisor.pid
        os.kill(service.supervisor.pid, signal.SIGKILL)
        with pytest.raises(EngineDied):
            await event.reply
        with pytest.raises(EngineError, match=r"copy\.gguf"):
            await queued.reply
        assert service.supervisor.state == "failed"


# --- the engine is stopped -------------------------------------------------------------------------------------------


async def test_who_waits_for_an_engine_that_was_stopped_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_supervisor, "LOOK_S", 0.05)
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        assert (await complete(service, URI)).items
        assert service.supervisor.pid
        os.kill(service.supervisor.pid, signal.SIGSTOP)
        news = service.broadcaster.subscribe(["state"])
        running, waiting = completion(URI, 3, client="one"), completion(URI, 4, client="other")
        for event in (running, waiting, asked := RequestStatus()):
            service.post(event)
        for event in (running, waiting):
            with pytest.raises(EngineError, match="has been stopped; `kill -CONT"):
                await event.reply
        await asked.reply
        await until(news, lambda event: "has been stopped" in str(event["message"]))
        os.kill(service.supervisor.pid, signal.SIGCONT)
        await until(news, lambda event: event["message"] == "")
        assert (await complete(service, URI, 5)).items
        assert service.supervisor.n_restarts == 0


# --- the engine dies -------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_an_engine_killed_in_a_prefill_fails_that_request_only() -> None:
    async with running_service(model(), n_ctx=LONG) as service:
        uri = await open_long_project(service)
        await prefilling(service, event := completion(uri, 10))
        service.post(queued := completion(uri, 11))
        assert service.supervisor.pid
        os.kill(service.supervisor.pid, signal.SIGKILL)
        with pytest.raises(EngineDied, match=r"SIGKILL.*ask once more"):
            await event.reply
        answer = await queued.reply
        assert answer.items
        assert answer.reuse.reason == "cold"
        assert service.supervisor.n_restarts == 1


@pytest.mark.slow
async def test_an_engine_killed_in_a_generation_fails_that_request_only() -> None:
    async with running_service(model(), n_ctx=LONG) as service:
        await open_document(service, URI, source())
        event = await generating(service, URI)
        assert service.supervisor.pid
        os.kill(service.supervisor.pid, signal.SIGKILL)
        with pytest.raises(EngineDied, match="SIGKILL"):
            await event.reply
        assert (await complete(service, URI)).items


@pytest.mark.slow
async def test_an_engine_killed_when_idle_is_started_again_and_warmed() -> None:
    async with running_service(model(), warm=True) as service:
        news = service.broadcaster.subscribe()
        await open_document(service, URI, source())
        await until(news, lambda event: event["type"] == "edit")
        assert service.supervisor.pid
        os.kill(service.supervisor.pid, signal.SIGKILL)
        cost = await until(news, lambda event: event["type"] == "edit")
        assert cost["reason"] == "cold"
        assert service.supervisor.n_restarts == 1


@pytest.mark.slow
async def test_an_engine_killed_while_it_warms_unasked_is_started_again_and_warms_again() -> None:
    async with running_service(model(), n_ctx=LONG, warm=True) as service:
        news = service.broadcaster.subscribe()
        uri = await open_long_project(service)
        await until(news, is_progress)
        assert service.supervisor.pid
        os.kill(service.supervisor.pid, signal.SIGKILL)
        cost = await until(news, lambda event: event["type"] == "edit")
        assert cost["reason"] == "cold"
        assert service.dispatcher.scheduler.ended[Outcome.FAILED] == service.supervisor.n_restarts == 1
        assert (await complete(service, uri, 10)).reuse.common > 1000


@pytest.mark.slow
async def test_a_document_that_is_closed_while_its_prompt_is_made_is_completed_as_it_was() -> None:
    async with running_service(model(), n_ctx=LONG) as service:
        uri = await open_long_project(service)
        await until_state(service, "ready")
        service.post(event := completion(uri, 10))
        service.post(close := CloseDocument(uri))
        await close.reply
        assert not event.reply.done()
        assert (await event.reply).items
        with pytest.raises(RequestError, match="not open"):
            await complete(service, uri, 10)
        assert (await complete(service, uri.replace("4", "3"), 10)).items


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_draining_answers_what_is_in_flight_and_refuses_the_rest() -> None:
    async with running_service(model(), n_ctx=LONG) as service:
        uri = await open_long_project(service)
        await prefilling(service, event := completion(uri, 10))
        service.post(warming := Warm(root="/project"))
        service.post(drain := Drain())
        with pytest.raises(RequestError, match="shutting down") as caught:
            await complete(service, uri, 11)
        assert caught.value.status == 503
        with pytest.raises(RequestError, match="shutting down"):
            await warming.reply
        assert not drain.reply.done()
        assert (await event.reply).items
        await drain.reply


@pytest.mark.slow
async def test_whoever_waits_at_the_end_is_told() -> None:
    async with running_service(model(), n_ctx=LONG) as service:
        uri = await open_long_project(service)
        await prefilling(service, event := completion(uri, 10))
    with pytest.raises(RequestError, match="shutting down"):
        await event.reply
