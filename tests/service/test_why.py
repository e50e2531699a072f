"""The reasons in the request log name the segment and the text that changed: sessions of twenty different actions."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from scrubjay.completion.requests import RawRequest
from scrubjay.errors import ScrubjayError
from scrubjay.prompt.client_prompts import RawPrompt
from scrubjay.prompt.layouts import LayoutName
from scrubjay.protocol.messages import Sampling
from scrubjay.service.events import AddTail, Generate, RequestStatus, Warm
from scrubjay.service.request_log import MAX_RECORDS
from scrubjay.service.service import Service
from scrubjay.service.why import RequestReport
from scrubjay.workspace.events import ChangeDocument, CloseDocument
from scrubjay.workspace.project import Tail
from scrubjay.workspace.text import Change, Position
from tests.support.gguf_models import tiny_model
from tests.support.service import (
    LONG,
    complete,
    completion,
    open_document,
    open_long_project,
    prefilling,
    running_service,
    source,
    until_state,
)

ROOT = "/project"
CAME_BACK = "The prompt came back to text that was held before."
Entry = dict[str, Any]


def uri(name: str, root: str = ROOT) -> str:
    return f"file://{root}/{name}"


@dataclass
class Session:
    """One user, and what the log says of what was done last."""

    service: Service
    report: RequestReport
    version: int = 1

    async def do(self, event: Any) -> None:
        self.service.post(event)
        await event.reply

    async def open(self, name: str, text: str, root: str = ROOT) -> None:
        await open_document(self.service, uri(name, root), text, root)

    async def edit(self, name: str, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
        """Lines and characters count from 0."""
        self.version += 1
        change = Change(text, Position(*start), Position(*end))
        await self.do(ChangeDocument(uri(name), self.version, (change,)))

    async def tail(self, text: str) -> None:
        await self.do(AddTail(ROOT, Tail("build.log", text, once=False)))

    async def raw(self, text: str) -> Entry:
        await self.do(Generate(RawRequest(RawPrompt((text,)), sampling=Sampling(max_tokens=1))))
        return await self.last()

    async def ask(self, name: str, line: int, root: str = ROOT, **more: Any) -> Entry:
        """`line` counts from 0."""
        await complete(self.service, uri(name, root), line, max_tokens=1, **more)
        return await self.last()

    async def warm_at(self, name: str, line: int) -> Entry:
        await self.do(Warm(uri=uri(name), position=Position(line, 0)))
        return await self.last()

    async def last(self) -> Entry:
        [last] = await self.report.requests(1)
        return last


@asynccontextmanager
async def session(layout: LayoutName = "anchored", **options: Any) -> AsyncIterator[Session]:
    async with running_service(tiny_model("deltanet"), layout=layout, **options) as service:
        await until_state(service, "ready")
        yield Session(service, RequestReport(service))


def place(entry: Entry) -> tuple[str, int | None, str, str]:
    """Which segment changed, at which line, from what to what."""
    segment = entry["segment"]
    return f"{segment['kind']} {segment['label']}", entry["line"], entry["was"], entry["now"]


@pytest.mark.slow
async def test_twenty_actions() -> None:
    async with session() as user:
        await user.open("service.py", source(60, seed=1))
        await user.open("app.py", source(60, seed=2))

        first = await user.ask("app.py", 30)
        assert first["why"] == "This is the project's first prompt since the daemon started."
        assert first["reuse"]["processed"] == first["reuse"]["prompt"]

        again = await user.ask("app.py", 30)
        assert again["why"] == "Nothing changed since the last prompt; the last token is always evaluated again."

        await user.edit("app.py", (30, 0), (30, 0), "x = 1\n")
        typed = await user.ask("app.py", 31)
        n = typed["reuse"]["processed"]
        assert typed["why"] == f"{n} tokens came at the end of the prompt: app.py at line 31."
        assert place(typed) == ("middle app.py", 31, "", "x = 1")

        await user.edit("app.py", (30, 0), (31, 0), "")
        deleted = await user.ask("app.py", 30)
        assert deleted["why"] == "Text was deleted at the end of the prompt: app.py at line 31."
        assert place(deleted) == ("middle app.py", 31, "x = 1", "")

        await user.edit("app.py", (9, 4), (9, 10), "yield")
        above = await user.ask("app.py", 30)
        assert above["why"] == "app.py changed at line 10, before the cursor."
        assert place(above) == ("prefix app.py", 10, "    return a * 4 + b - 2", "    yield a * 4 + b - 2")

        for line in (7, 3):
            await user.edit("app.py", (line, 4), (line, 10), "yield")
        twice = await user.ask("app.py", 30)
        assert twice["why"] == "app.py changed at line 4, before the cursor."
        assert place(twice) == ("prefix app.py", 4, "    return a * 1 + b - 2", "    yield a * 1 + b - 2")

        await user.edit("app.py", (40, 4), (40, 4), "other_")
        below = await user.ask("app.py", 30)
        assert below["why"] == "app.py changed at line 41, after the cursor."
        assert place(below) == (
            "suffix app.py",
            41,
            "def function_2_20(a, b):",
            "def other_function_2_20(a, b):",
        )

        await user.edit("service.py", (39, 4), (39, 10), "yield")
        elsewhere = await user.warm_at("app.py", 30)
        assert elsewhere["why"] == "service.py changed at line 40, before app.py in the prompt."
        assert place(elsewhere) == ("file service.py", 40, "    return a * 19 + b - 1", "    yield a * 19 + b - 1")

        moved = await user.ask("app.py", 20)
        assert moved["why"] == (
            "What is shown around line 21 of app.py was cut again because the cursor moved, or text after it changed."
        )
        assert moved["segment"]["label"] == "app.py"

        went = await user.ask("service.py", 20)
        assert went["why"] == "You went from app.py to service.py, and the prompt differs from app.py on."
        assert went["segment"]["label"] == "app.py"

        await user.open("other.py", source(20, seed=5))
        alone = await user.warm_at("service.py", 20)
        assert alone["why"] == "service.py was left out of the prompt.", "it is not shown beside itself"

        await user.open("new.py", source(20, seed=3))
        opened = await user.warm_at("service.py", 20)
        assert opened["why"] == "new.py was added to the prompt."

        n_edits = 0
        while "reordered" not in (entry := await user.warm_at("service.py", 20))["why"]:
            await user.edit("app.py", (n_edits, 0), (n_edits, 0), f"y = {n_edits}\n")
            n_edits += 1
            assert n_edits < 9
        assert entry["why"] == "The project's files were reordered when idle: app.py was moved."

        await user.do(CloseDocument(uri("new.py")))
        closed = await user.warm_at("service.py", 20)
        assert closed["why"] == "new.py was left out of the prompt."

        await user.tail("error: 3\nerror: 4\n")
        assert (await user.ask("service.py", 20))["why"] == "build.log was added to the prompt."

        await user.tail("error: 3\nerror: 5\n")
        tail = await user.ask("service.py", 20)
        assert tail["why"] == "build.log changed at line 2, before service.py in the prompt."
        assert place(tail) == ("tail build.log", 2, "error: 4", "error: 5")

        await user.tail("")
        gone = await user.ask("service.py", 20)
        assert gone["why"] == f"{CAME_BACK} build.log was left out of the prompt."
        assert gone["reuse"]["paged"] > 0

        cold = await user.ask("service.py", 20, cold=True)
        assert cold["why"] == "It was asked for without any reuse, as a reference."

        text = source(30, seed=4)
        assert (await user.raw(text))["why"] == "Nothing that is held begins like this prompt."

        changed = await user.raw(text.replace("return a * 9", "yield a * 9"))
        assert changed["why"] == "prompt changed at line 20."
        assert place(changed) == ("prefix prompt", 20, "    return a * 9 + b - 4", "    yield a * 9 + b - 4")

        assert user.service.supervisor.pid
        os.kill(user.service.supervisor.pid, signal.SIGKILL)
        await until_state(user.service, "loading")
        await until_state(user.service, "ready")
        restarted = await user.ask("service.py", 20)
        assert restarted["why"].startswith("The model was restarted")

        entries = await user.report.requests(MAX_RECORDS)
        assert [entry["number"] for entry in entries] == list(range(len(entries), 0, -1))


@pytest.mark.slow
async def test_the_plain_layout() -> None:
    async with session("plain") as user:
        await user.open("app.py", source(60))
        await user.ask("app.py", 30)

        await user.edit("app.py", (30, 0), (30, 0), "x = 1\n")
        typed = await user.ask("app.py", 31)
        assert typed["why"] == "app.py changed at line 31, at the cursor."
        assert typed["line"] == 31

        await user.edit("app.py", (30, 0), (31, 0), "")
        assert (await user.ask("app.py", 30))["why"] == f"{CAME_BACK} app.py changed at line 31, at the cursor."

        assert (await user.ask("app.py", 20))["why"] == "The cursor moved to line 21 of app.py."
        assert (await user.ask("app.py", 40))["why"] == f"{CAME_BACK} The cursor moved to line 41 of app.py."


async def test_what_never_reached_the_model() -> None:
    async with session(rules=True) as user:
        await user.open("app.py", source(20))
        grammar = 'root ::= "value = compute(first, second)"'
        question: dict[str, Any] = {"grammar": grammar, "max_tokens": 24}
        await complete(user.service, uri("app.py"), 4, **question)
        assert (await user.last())["outcome"] == "answered"
        known = await complete(user.service, uri("app.py"), 4, **question)
        assert known.reuse.reason == "cached"
        cached = await user.last()
        assert (cached["outcome"], cached["reuse"]) == ("cached", None)
        assert cached["why"] == "The text was known already; the model was not asked."
        assert cached["n_items"] == len(known.items)


@pytest.mark.slow
async def test_superseded_and_gone_requests() -> None:
    async with session(n_ctx=LONG) as user:
        last = await open_long_project(user.service)
        asked = completion(last, client="editor")
        await prefilling(user.service, asked)
        newer = completion(last, client="editor")
        user.service.post(newer)
        with pytest.raises(ScrubjayError):
            await asked.reply
        await newer.reply
        answered, superseded = await user.report.requests(2)
        assert (answered["outcome"], superseded["outcome"]) == ("answered", "superseded")
        assert superseded["why"] == "A newer request took its place."
        assert superseded["reuse"] is None

        await user.edit(last.rpartition("/")[2], (0, 0), (0, 0), "x = 1\n")
        late = await complete(user.service, last, 1, t_max_prompt_ms=0)
        assert late.reuse.state == "warming"
        assert (await user.last())["outcome"] == "late"


@pytest.mark.slow
async def test_a_project_that_had_to_make_room() -> None:
    async with session(max_contexts=1) as user:
        for root in (ROOT, "/other"):
            await user.open("app.py", source(40), root)
            await user.ask("app.py", 10, root)
            await user.do(RequestStatus())
        entry = await user.ask("app.py", 10)
        assert entry["why"].startswith("What was held had made room for other prompts")


async def test_only_the_last_requests_are_kept() -> None:
    async with session(rules=True) as user:
        await user.open("app.py", source(4))
        for _ in range(MAX_RECORDS + 10):
            await user.ask("app.py", 1)
        entries = await user.report.requests(10 * MAX_RECORDS)
        assert [entry["number"] for entry in entries] == list(range(MAX_RECORDS + 10, 10, -1))
