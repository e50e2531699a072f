"""A pause stops what nobody asked for, and nothing else."""

import pytest

from scrubjay.service.events import Pause
from scrubjay.service.service import Service
from tests.support.service import (
    LONG,
    complete,
    is_progress,
    model,
    open_document,
    open_long_project,
    running_service,
    source,
    until,
    until_state,
)


async def pause(service: Service, paused: bool) -> None:
    event = Pause(paused)
    service.post(event)
    assert await event.reply is paused


async def test_a_paused_daemon_answers_but_warms_nothing() -> None:
    async with running_service(model(), warm=True, warm_on_battery=True) as service:
        await until_state(service, "ready")
        await pause(service, True)
        await open_document(service, "file:///project/a.py", source(20))
        answer = await complete(service, "file:///project/a.py", 4)
        assert answer.reuse.reason == "cold"
        assert not [one for one in service.models.logs.of("") if one.about and one.about.is_unasked]
        news = service.broadcaster.subscribe()
        await open_document(service, "file:///project/b.py", source(20, seed=1))
        await pause(service, False)
        warmed = await until(news, lambda event: event["type"] == "edit")
        assert warmed["root"] == "/project"


@pytest.mark.slow
async def test_a_pause_ends_a_warming_that_runs() -> None:
    async with running_service(model(), n_ctx=LONG, warm=True, warm_on_battery=True) as service:
        await until_state(service, "ready")
        news = service.broadcaster.subscribe()
        await open_long_project(service)
        await until(news, is_progress)
        await pause(service, True)
        assert service.dispatcher.is_idle
        [warming] = [one for one in service.models.logs.of("") if one.about and one.about.is_unasked]
        assert warming.outcome == "cancelled"
