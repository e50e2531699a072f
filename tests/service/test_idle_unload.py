"""The model's memory is freed when nothing is asked, and comes back, with what it held, for the next request."""

import asyncio
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from scrubjay.service.events import ForgetRoot
from scrubjay.service.service import Service
from scrubjay.service.settings import ServiceSettings
from tests.support.service import complete, engine_settings, model, open_document, source, until, until_state


@pytest.mark.slow
async def test_unloaded_and_loaded_again_a_completion_costs_an_interval(tmp_path: Path) -> None:
    engine = replace(engine_settings(model()), store=str(tmp_path / "records"))
    service = Service(ServiceSettings(engine, warm=False, layout="plain", rules=False, idle_unload_s=0.5))
    service.start()
    try:
        await open_document(service, "file:///project/a.py", source(120))
        first = await complete(service, "file:///project/a.py", line=100)
        assert first.reuse.processed > 500
        news = service.broadcaster.subscribe()
        pid = service.supervisor.pid
        assert pid
        await until_state(service, "unloaded")
        await asyncio.to_thread(psutil.wait_procs, [psutil.Process(pid)] if psutil.pid_exists(pid) else [])
        event = ForgetRoot("/another")
        service.post(event)
        assert (await event.reply).n_records == 0, "asking for this loads nothing"
        assert service.supervisor.state == "unloaded"
        again = await complete(service, "file:///project/a.py", line=100)
        assert again.reuse.processed <= 64
        assert again.items == first.items
        for state in ("unloaded", "loading", "ready"):
            await until(news, lambda event, state=state: event["type"] == "state" and event["state"] == state)  # type: ignore[misc]
        assert service.supervisor.n_restarts == 0
    finally:
        await service.close()


@pytest.mark.slow
async def test_a_request_while_the_engine_ends_is_answered() -> None:
    service = Service(
        ServiceSettings(engine_settings(model()), warm=False, layout="plain", rules=False, idle_unload_s=0.3)
    )
    service.start()
    try:
        await open_document(service, "file:///project/a.py", source(20))
        for _ in range(3):
            await until_state(service, "unloaded")
            assert (await complete(service, "file:///project/a.py", line=10)).reuse.state == "ready"
        assert service.supervisor.n_restarts == 0
    finally:
        await service.close()
