"""The model's memory is freed when nothing is asked, and comes back, with what it held, for the next request."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from scrubjay.completion.requests import Completion, CompletionRequest
from scrubjay.notifications import Notification, Subscription
from scrubjay.protocol.messages import Sampling
from scrubjay.service.events import Complete, ForgetRoot, UnloadDue
from scrubjay.service.service import Service
from scrubjay.service.settings import ServiceSettings
from scrubjay.workspace.text import Position
from tests.support.engine_rig import MIB
from tests.support.gguf_models import tiny_model
from tests.support.service import complete, engine_settings, model, open_document, source, until, until_state

N_STEPS = int(os.environ.get("SCRUBJAY_UNLOAD_STEPS", "6"))
CLEAR_MARGIN = 0.05
"""Between the logits of the two best tokens: noise does not turn these around."""


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


class Days:
    """A service whose engine comes and goes, and a client that types here and there; each answer is compared with a cold one."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.texts = [source(60, seed) for seed in range(3)]
        self.versions = [0, 0, 0]
        self.n_reused = 0

    async def type(self, which: int, line: int, text: str) -> None:
        lines = self.texts[which].splitlines(keepends=True)
        self.texts[which] = "".join([*lines[:line], text, *lines[line:]])
        self.versions[which] += 1
        uri = f"file:///project/{which}.py"
        await open_document(self.service, uri, self.texts[which], version=self.versions[which])

    def ask(self, which: int, line: int, cold: bool) -> Complete:
        sampling = Sampling(max_tokens=3, with_margins=True, ignore_end=True)
        request = CompletionRequest(
            f"file:///project/{which}.py", Position(line, 0), sampling=sampling, rules=False, cold=cold
        )
        event = Complete(request)
        self.service.post(event)
        return event

    async def compare(self, which: int, line: int, and_unload: bool = False) -> None:
        """A completion, perhaps while the engine is told to end; it must be a cold one's."""
        event = self.ask(which, line, cold=False)
        if and_unload:
            self.service.post(UnloadDue())
        warm = await event.reply
        cold = await self.ask(which, line, cold=True).reply
        assert cold.reuse.processed == cold.reuse.prompt
        self.n_reused += warm.reuse.prompt - warm.reuse.processed
        (_, w), (_, c) = pieces(warm), pieces(cold)
        assert pieces(warm)[0] == pieces(cold)[0] or min(*w, *c) < CLEAR_MARGIN


def pieces(completion: Completion) -> tuple[str, list[float]]:
    """The text, and by how much each token of it won."""
    made = completion.items[0].pieces
    return "".join(text for text, _ in made), [margin for _, margins in made for margin in margins]


def says(state: str) -> Callable[[Notification], bool]:
    return lambda event: event["type"] == "state" and event["state"] == state


@contextmanager
def news_of(service: Service) -> Iterator[Subscription]:
    """What happens from now on."""
    news = service.broadcaster.subscribe()
    try:
        yield news
    finally:
        service.broadcaster.unsubscribe(news)


async def unload(service: Service) -> None:
    """End the engine as when it was idle for long enough."""
    with news_of(service) as news:
        service.post(UnloadDue())
        await until(news, says("unloaded"))


async def kill(service: Service) -> None:
    pid = service.supervisor.pid
    assert pid
    with news_of(service) as news:
        os.kill(pid, signal.SIGKILL)
        await until(news, says("loading"))
        await until(news, says("ready"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["deltanet", "swa", "dense"])
async def test_whenever_the_engine_ends_warm_equals_cold(kind: str, tmp_path: Path) -> None:
    """Idle unloads, also in the middle of a request, kills, edits and switches at random.

    The long form: SCRUBJAY_UNLOAD_STEPS=300.
    """
    rng = np.random.default_rng(N_STEPS)
    engine = replace(
        engine_settings(tiny_model(kind), n_ctx=2048), store=str(tmp_path), store_budget=8 * MIB, max_contexts=1
    )
    service = Service(ServiceSettings(engine, warm=False, layout="plain", rules=False))
    service.start()
    days = Days(service)
    try:
        await until_state(service, "ready")
        for which in range(3):
            await days.type(which, 0, "")
        for step in range(N_STEPS):
            which, line = int(rng.integers(3)), int(rng.integers(20, 60))
            match step % 5 if step < 5 else int(rng.integers(5)):
                case 0:
                    await days.type(which, line - int(rng.integers(20)), f"x = {step}\n")
                case 1 if service.supervisor.is_ready:
                    await unload(service)
                case 2 if service.supervisor.is_ready:
                    await kill(service)
                case 3:
                    await days.compare(which, line, and_unload=True)
                case _:
                    await days.compare(which, line)
            await days.compare(which, line)
        assert days.n_reused > 0
    finally:
        await service.close()
