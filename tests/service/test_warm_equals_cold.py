"""Whatever happens to documents, files, projects and the engine: prompts show what is true, warm answers are the cold ones."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scrubjay.code_text import has_words
from scrubjay.completion.requests import Completion
from scrubjay.errors import EngineDied
from scrubjay.service.events import Complete, Event, ProjectIdle, Warm
from scrubjay.service.service import Service
from scrubjay.workspace.events import ChangeDocument, CloseDocument, FilesChanged, OpenDocument
from scrubjay.workspace.project import File
from scrubjay.workspace.text import Change, Position
from tests.support.service import completion, model, running_service

ROOTS = ("/one", "/two", "/three")
NAMES = ("a.py", "b.py", "lib/c.py")
OWNERS = ("emacs", "code")
TEXTS = st.sampled_from(
    ["", "x = 1\n", "def f(a):\n    return a\n" * 9, "class C:\n\n    def g(self):\n        pass\n"]
)
WORDS = st.sampled_from(["", "y", "\n", "    if z:\n", "é漢🎉", ")\n"])
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "change", "change", "close", "disk", "pause", "warm", "ask", "ask", "ask", "kill"]),
        st.sampled_from(ROOTS),
        st.sampled_from(NAMES),
        st.sampled_from(OWNERS),
        TEXTS,
        WORDS,
        st.integers(0, 12),
    ),
    min_size=10,
    max_size=40,
)
Key = tuple[str, str]


@dataclass
class World:
    """What was done, in the plainest form: the texts of each project's files, by owner and on disk."""

    service: Service
    version: int = 0
    copies: dict[Key, dict[str, str]] = field(default_factory=dict)
    disk: dict[str, dict[str, str]] = field(default_factory=dict)
    n_asked: int = 0

    def truth(self, root: str) -> dict[str, str]:
        """What the project shows: the copy last touched of what is open, else the disk."""
        shown = dict(self.disk.get(root, {}))
        held = {name: copies for (at, name), copies in self.copies.items() if at == root and copies}
        return shown | {name: list(copies.values())[-1] for name, copies in held.items()}

    def write(self, root: str, name: str, owner: str, text: str) -> None:
        copies = self.copies.setdefault((root, name), {})
        copies.pop(owner, None)
        copies[owner] = text

    async def post(self, event: Event) -> None:
        self.service.post(event)
        if reply := getattr(event, "reply", None):
            await reply

    async def do(self, what: str, root: str, name: str, owner: str, text: str, word: str, number: int) -> None:
        uri, copies = f"file://{root}/{name}", self.copies.get((root, name), {})
        self.version += 1
        match what:
            case "open":
                self.write(root, name, owner, text)
                await self.post(OpenDocument(uri, text, "python", self.version, root, owner))
            case "change" if owner in copies:
                old = copies[owner].split("\n")
                at = Position(line := number % len(old), 0)
                old[line] = word + old[line]
                self.write(root, name, owner, "\n".join(old))
                await self.post(ChangeDocument(uri, self.version, (Change(word, at, at),), owner=owner))
            case "close" if owner in copies:
                del copies[owner]
                await self.post(CloseDocument(uri, owner))
            case "disk" if any(at == root for at, _ in self.copies):
                self.disk[root] = dict.fromkeys(NAMES[number % 4 :], text + word)
                files = tuple(File(f"{root}/{other}", now) for other, now in self.disk[root].items())
                await self.post(FilesChanged(root, files, is_first=False))
            case "pause":
                await self.post(ProjectIdle(root))
            case "warm" if any(at == root and held for (at, _), held in self.copies.items()):
                await self.asked(lambda: Warm(root=root))
            case "ask" if owner in copies:
                await self.ask(root, name, owner, number)
            case "kill" if number == 0:
                self.kill()

    def kill(self) -> None:
        if self.service.supervisor.pid and self.service.supervisor.is_ready:
            os.kill(self.service.supervisor.pid, signal.SIGKILL)

    async def asked(self, make: Callable[[], Complete | Warm]) -> Completion:
        """The answer; asked once more where the engine has died, as its sentence says."""
        while True:
            self.service.post(event := make())
            try:
                return await event.reply
            except EngineDied:
                continue

    async def ask(self, root: str, name: str, owner: str, number: int) -> None:
        """The current file is shown as its owner has it; so are the others, as there was a pause."""
        text = self.copies[root, name][owner]
        self.write(root, name, owner, text)
        lines = text.split("\n")
        position = Position(number % len(lines), 0)
        request = replace(completion(f"file://{root}/{name}", owner=owner).request, position=position)
        self.service.post(ProjectIdle(root))
        answer = await self.asked(lambda: Complete(request))
        await self.require_true(root, name, sum(len(line) + 1 for line in lines[: position.line]))
        self.n_asked += 1
        if self.n_asked % 3 == 0:
            assert (await self.asked(lambda: Complete(replace(request, cold=True)))).items == answer.items

    async def require_true(self, root: str, current: str, offset: int) -> None:
        """The last prompt of the project shows what the project shows, with the cursor at `offset` of `current`."""
        prompt = self.service.dispatcher.residency.of(root).prompt
        assert prompt
        parts = [(span, prompt.tokens[span.start : span.end]) for span in prompt.segments]
        said = await self.service.models.first.use_vocabulary(
            lambda kit: [(span, kit.vocabulary.detokenize(tokens)) for span, tokens in parts], 0
        )
        truth = self.truth(root)
        text = truth.pop(current)
        files = {span.label: words for span, words in said if span.kind == "file"}
        # Until it is edited, the current file may also stand where it stood before.
        assert files.pop(current, f"{current}\n{text}") == f"{current}\n{text}"
        assert files == {name: f"{name}\n{other}" for name, other in truth.items() if other}
        around = {span.kind: words for span, words in said}
        assert around.get("prefix", "") + around.get("middle", "") == text[:offset]
        line, newline, below = text[offset:].partition("\n")
        assert around.get("suffix", "") == (line + newline + below if has_words(line) else below)


@pytest.mark.slow
@given(steps=STEPS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_prompts_are_true_and_warm_answers_are_the_cold_ones(
    steps: list[tuple[str, str, str, str, str, str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    async with running_service(model(), layout="anchored", max_contexts=2) as service:
        world = World(service)
        for step in steps:
            await world.do(*step)
        for (root, name), copies in world.copies.items():
            for owner in [*copies][-1:]:
                await world.ask(root, name, owner, 1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
