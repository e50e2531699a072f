"""A service with a real engine in the test's own event loop, and the documents that the tests edit."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from scrubjay.completion.requests import Completion, CompletionRequest
from scrubjay.notifications import Notification, Subscription
from scrubjay.prompt.layouts import LayoutName
from scrubjay.protocol.messages import EngineSettings, Sampling
from scrubjay.service.events import Complete, Warm
from scrubjay.service.service import Service
from scrubjay.service.settings import ServiceSettings
from scrubjay.workspace.events import OpenDocument
from scrubjay.workspace.text import Position
from tests.support.gguf_models import tiny_model

N_LINES = 120
LONG = 16384
"""A context in which a tiny model needs seconds for a prompt: long enough to do something meanwhile."""


def model() -> Path:
    return tiny_model("deltanet")


def engine_settings(model: Path, n_ctx: int = 8192) -> EngineSettings:
    return EngineSettings(str(model), n_ctx=n_ctx, n_threads=1, interval=64, eager_load=False)


NEVER_MS = 3.6e6
"""A pause that no test makes."""


@asynccontextmanager
async def running_service(
    model: Path,
    n_ctx: int = 8192,
    warm: bool = False,
    layout: LayoutName = "plain",
    rules: bool = False,
    warm_on_battery: bool = False,
    max_contexts: int = 0,
    warm_delay_ms: float | None = None,
    draft: int = 0,
) -> AsyncIterator[Service]:
    """A service on `model`, which is loading. Before drafts it is measured.

    Unless `warm`, nothing is warmed unasked, and nothing is laid out as after a pause, however long a test takes between two
    requests; see `Warmer.is_due`.
    """
    warm_delay_ms = warm_delay_ms or (1 if warm else NEVER_MS)
    engine = replace(engine_settings(model, n_ctx), max_contexts=max_contexts, draft=draft, eager_load=draft > 0)
    settings = ServiceSettings(engine, warm=warm, warm_delay_ms=warm_delay_ms, layout=layout, rules=rules)
    service = Service(replace(settings, warm_on_battery=warm_on_battery))
    service.start()
    try:
        yield service
        service.dispatcher.scheduler.check_integrity()
    finally:
        await service.close()


async def until(news: Subscription, matches: Callable[[Notification], bool]) -> Notification:
    """The next event that matches."""
    async for event in news:
        if matches(event):
            return event
    raise AssertionError("the feed ended")


async def until_state(service: Service, state: str) -> None:
    """Wait until the service is in that state."""
    news = service.broadcaster.subscribe()
    news.put(service.state_news())
    await until(news, lambda event: event["type"] == "state" and event["state"] == state)
    service.broadcaster.unsubscribe(news)


def source(n_lines: int = N_LINES, seed: int = 0) -> str:
    """Python that no two seeds share."""
    lines = [
        f"def function_{seed}_{number}(a, b):\n    return a * {number} + b - {seed}\n" for number in range(n_lines // 2)
    ]
    return "".join(lines)


async def open_document(service: Service, uri: str, text: str, root: str = "/project", version: int = 1) -> int:
    event = OpenDocument(uri, text, "python", version, root)
    service.post(event)
    return await event.reply


def completion(uri: str, line: int = 0, max_tokens: int = 4, grammar: str = "", **more: object) -> Complete:
    """`grammar`: what the model may write, where it matters what it writes."""
    sampling = Sampling(max_tokens=max_tokens, grammar=grammar)
    return Complete(CompletionRequest(uri, Position(line, 0), sampling=sampling, **more))  # type: ignore[arg-type]


async def complete(
    service: Service, uri: str, line: int = 0, max_tokens: int = 4, grammar: str = "", **more: object
) -> Completion:
    event = completion(uri, line, max_tokens, grammar, **more)
    service.post(event)
    return await event.reply


async def warm(service: Service, root: str = "/project") -> Completion:
    event = Warm(root=root)
    service.post(event)
    return await event.reply


async def open_long_project(service: Service, root: str = "/project") -> str:
    """Many files; the prompt has thousands of tokens. Returns the URI of the last one."""
    for number in range(5):
        uri = f"file://{root}/file_{number}.py"
        await open_document(service, uri, source(100, seed=number), root)
    return uri


def is_progress(event: Notification) -> bool:
    return event["type"] == "progress" and event["done"] != event["total"]


async def prefilling(service: Service, event: Complete | Warm) -> None:
    """Post `event` and wait until its prompt is being processed."""
    news = service.broadcaster.subscribe()
    service.post(event)
    await until(news, is_progress)
    service.broadcaster.unsubscribe(news)


async def generating(service: Service, uri: str) -> Complete:
    """A completion that is being generated, and goes on for long."""
    texts: asyncio.Queue[str] = asyncio.Queue()
    event = Complete(completion(uri, max_tokens=4000).request, texts.put_nowait)
    service.post(event)
    await texts.get()
    return event
