"""An editor at a service, in the same process: it opens, types, switches and waits, and notes what its actions cost in tokens."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from scrubjay.code_text import common_prefix_length
from scrubjay.completion.requests import Completion, CompletionRequest, RawRequest
from scrubjay.prompt.client_prompts import RawPrompt
from scrubjay.protocol.messages import Sampling
from scrubjay.service.events import Complete, Generate, ProjectIdle
from scrubjay.service.service import Service
from scrubjay.tokens import EMPTY, Tokens, common_length
from scrubjay.workspace.events import ChangeDocument, CloseDocument, FilesChanged, OpenDocument
from scrubjay.workspace.project import File
from scrubjay.workspace.text import Change, Position

ROOT = "/project"
TYPED = 4
"""Tokens that typing a key may cost beside what the action costs: some are tokenised again."""


@dataclass(slots=True)
class Row:
    """What one action has cost; `typed` is how many tokens were new, `goal` what it may cost beside them, if that is said."""

    name: str
    goal: int | None = None
    typed: int = TYPED
    answers: list[Completion] = field(default_factory=list)
    known: int = 0
    n_all: int = 0

    @property
    def first(self) -> int:
        return self.answers[0].reuse.processed if self.answers else 0

    @property
    def limit(self) -> int | None:
        return None if self.goal is None else self.goal + self.typed

    @property
    def is_met(self) -> bool:
        return self.limit is None or self.first <= self.limit

    def __str__(self) -> str:
        most = max((answer.reuse.processed for answer in self.answers[1:]), default=0)
        prompt = self.answers[0].reuse.prompt if self.answers else 0
        goal = "" if self.limit is None else str(self.limit)
        mark = "" if self.limit is None else "met" if self.is_met else "**missed**"
        return f"| {self.name} | {self.first} | {most} | {self.n_all} | {self.known} | {prompt} | {goal} | {mark} |"


class ScriptedEditor:
    """An editor with its files, and the rows of what it does.

    Args:
        on_disk: what the project's files have on disk, by name.
    """

    def __init__(self, service: Service, on_disk: Mapping[str, str]) -> None:
        self.service = service
        self.texts: dict[str, str] = {}
        self.on_disk = dict(on_disk)
        self.name = next(iter(on_disk))
        self.cursors: dict[str, int] = {}
        self.rows: list[Row] = []
        self._version = 0
        self._prompts: list[Tokens] = []

    # --- what is measured ---------------------------------------------------------------------------------------------

    def row(self, name: str, goal: int | None = None) -> None:
        """What comes is the action of that name."""
        self.rows.append(Row(name, goal))

    async def listen(self) -> None:
        """Count what prompts cost, until the service ends."""
        async for event in self.service.broadcaster.subscribe({"edit"}):
            self.rows[-1].n_all += int(str(event["processed"]))

    async def ask(self) -> None:
        """A completion at the cursor, which is not known from earlier ones."""
        place = _position(self.text, self.cursor)
        request = CompletionRequest(_uri(self.name), place, "utf-32", sampling=Sampling(2), rules=False)
        event = Complete(request)
        self.service.post(event)
        self._answered(await event.reply)

    async def chat(self, text: str) -> None:
        """A question that has nothing to do with the project."""
        event = Generate(RawRequest(RawPrompt((text,)), sampling=Sampling(16)))
        self.service.post(event)
        await event.reply

    async def pause(self) -> None:
        """Long enough for all that is done in idle time."""
        self.service.post(ProjectIdle(ROOT))
        await asyncio.sleep(0)
        while not self.service.dispatcher.is_idle:
            await asyncio.sleep(0.001)
        if prompt := self.service.dispatcher.residency.of(ROOT).prompt:
            self._prompts.append(prompt.tokens)

    def _answered(self, answer: Completion) -> None:
        prompt, row = self.service.dispatcher.residency.of(ROOT).prompt, self.rows[-1]
        tokens = prompt.tokens if prompt else EMPTY
        row.answers.append(answer)
        if len(row.answers) == 1:
            row.known = len(tokens) - max((common_length(tokens, old) for old in self._prompts), default=0)
        self._prompts.append(tokens)

    # --- what an editor does ------------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """Of the file that is being edited."""
        return self.texts[self.name]

    @property
    def cursor(self) -> int:
        return self.cursors[self.name]

    async def open(self, name: str, line: int) -> None:
        """Open a file, and go to the end of a line."""
        self._version += 1
        self.texts[name] = self.on_disk[name]
        event = OpenDocument(_uri(name), self.texts[name], "python", self._version, ROOT)
        self.service.post(event)
        await event.reply
        self.name = name
        self.go(line)

    async def close(self, name: str) -> None:
        event = CloseDocument(_uri(name))
        self.service.post(event)
        await event.reply
        del self.texts[name]

    def go(self, line: int) -> None:
        """To the end of a line, counted from 1."""
        lines = self.text.split("\n")
        self.cursors[self.name] = len("\n".join(lines[:line]))

    def step(self, n_lines: int) -> None:
        """So many lines down, to the end of that one."""
        self.go(self.text.count("\n", 0, self.cursor) + 1 + n_lines)

    async def type(self, text: str = "  # x") -> None:
        """Key by key, with a completion after each."""
        for key in text:
            await self.insert(key)
            await self.ask()

    async def insert(self, text: str) -> None:
        at = self.cursor + len(text)
        await self.become(self.text[: self.cursor] + text + self.text[self.cursor :])
        self.cursors[self.name] = at

    async def become(self, text: str) -> None:
        """Give the file that is being edited another text, by one change as short as can be; the cursor is where that ends."""
        old = self.text
        start = common_prefix_length(old, text)
        n_tail = common_prefix_length(old[start:][::-1], text[start:][::-1])
        end, new = len(old) - n_tail, text[start : len(text) - n_tail]
        self._version += 1
        change = Change(new, _position(old, start), _position(old, end))
        event = ChangeDocument(_uri(self.name), self._version, (change,), "utf-32")
        self.service.post(event)
        await event.reply
        self.texts[self.name] = text
        self.cursors[self.name] = start + len(new)

    def checkout(self, changed: Mapping[str, str]) -> None:
        """Files have other texts on disk; those not open are shown so."""
        self.on_disk |= changed
        files = tuple(File(f"{ROOT}/{name}", text) for name, text in self.on_disk.items())
        self.service.post(FilesChanged(ROOT, files, is_first=False))

    async def reload(self, changed: Mapping[str, str]) -> None:
        """What an editor does when files have changed on disk: it takes over the texts of those that it has open."""
        self.checkout(changed)
        here = self.name
        for name in [name for name in self.texts if name in changed]:
            self.name, n_after = name, len(self.texts[name]) - self.cursors[name]
            await self.become(changed[name])
            self.cursors[name] = len(self.text) - n_after
        self.name = here


def _uri(name: str) -> str:
    return f"file://{ROOT}/{name}"


def _position(text: str, offset: int) -> Position:
    return Position(text.count("\n", 0, offset), offset - (text.rfind("\n", 0, offset) + 1))


def lines_of(text: str, start: int, n_characters: int) -> tuple[int, int]:
    """The lines after offset `start` that have that many characters, as a range of offsets."""
    begin = text.index("\n", start) + 1
    return begin, text.find("\n", min(begin + n_characters, len(text) - 1)) + 1 or len(text)
