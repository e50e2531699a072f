"""`scrubjay demo`: real files, a real daemon, edits in the middle, and what each of them costs, warm and cold.

Every answer is compared with that of a context that reuses nothing: what is saved must not change what is said.
"""

import email
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from random import Random
from time import perf_counter

from scrubjay.client import Client, Json
from scrubjay.demo_view import View
from scrubjay.lifecycle import start_daemon, stop_daemon

N_TOKENS = 24
N_CTX = 8192
MAX_CHARACTERS = 16_000
"""Of all files together: some 5,000 tokens, seconds for the starter model without a GPU, not minutes."""
N_LINES = 60
"""A file of fewer has no middle."""
N_EDITS_PER_FILE = 5
SEED = 4
NOISE = 0.1
"""Logits: two tokens that are closer than this may change places between a warm and a cold run (law 4)."""

Pieces = list[tuple[str, list[float]]]


@dataclass(frozen=True, slots=True)
class Edit:
    """Line `line` of the file, from 0, was `before`; all after its first `column` characters is deleted."""

    path: Path
    line: int
    before: str
    column: int

    @property
    def typed(self) -> str:
        """What is left of the line."""
        return self.before[: self.column]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One edit with its answers: warm, and cold; `interval` is the most that the warm one may exceed what is needed."""

    edit: Edit
    warm: Json
    cold: Json
    interval: int

    @property
    def is_cheap(self) -> bool:
        """Whether it cost no more than promised."""
        excess: int = self.warm["reuse"]["excess"]
        return excess <= self.interval

    @property
    def is_equal(self) -> bool:
        """Whether reuse has changed nothing but, at most, a choice between two that were all but equal."""
        return agree(_pieces(self.warm), _pieces(self.cold))


def run_demo(n_edits: int) -> int:
    """Show it; 0 if every edit was as cheap and every answer as good as promised, else 1."""
    view = View()
    with tempfile.TemporaryDirectory(prefix="scrubjay-") as folder, _running(Path(folder)) as client:
        project = Path(folder) / "email"
        shutil.copytree(
            Path(email.__file__).parent, project, ignore=lambda _, names: [n for n in names if n[-3:] != ".py"]
        )
        files = choose_files(project)
        view.loading(client.wait_until_ready())
        view.model(client.get("status")["model"], files)
        texts = {path: _open(client, project, path) for path in files}
        outcomes: list[Outcome] = []
        n_ahead = 0
        for number, edit in enumerate(islice(edits(texts), n_edits), 1):
            if number % N_EDITS_PER_FILE == 1:
                n_ahead += _visit(client, edit, view)
            outcomes.append(_try(client, edit, number + 1, project))
            view.outcome(number, outcomes[-1])
        view.table(outcomes)
        view.strip(client.get("context", root=str(project.resolve())))
        view.total(outcomes, n_ahead)
    return 0 if all(outcome.is_cheap and outcome.is_equal for outcome in outcomes) else 1


def choose_files(project: Path) -> list[Path]:
    """The smallest files of the project, as many as fit into a prompt together."""
    files = sorted((path for path in project.glob("*.py") if path.stat().st_size), key=lambda path: path.stat().st_size)
    sizes = accumulate(path.stat().st_size for path in files)
    return [path for path, size in zip(files, sizes, strict=True) if size <= MAX_CHARACTERS]


def edits(texts: dict[Path, str]) -> Iterator[Edit]:
    """Edits without end, always the same: a few in the middle of one file, then of another.

    Each takes a real line away from somewhere in it to its end, as if it were being written just now.
    """
    random = Random(SEED)
    long = [path for path, text in texts.items() if text.count("\n") > N_LINES]
    lines = {path: texts[path].split("\n") for path in long}
    while True:
        path = random.choice(long)
        middle = random.randrange(len(lines[path]) // 4, len(lines[path]) * 3 // 4)
        for _ in range(N_EDITS_PER_FILE):
            line = _code_line(lines[path], middle + random.randrange(-12, 12))
            before = lines[path][line]
            indent = len(before) - len(before.lstrip())
            edit = Edit(path, line, before, random.randrange(indent + 3, len(before)))
            lines[path][line] = edit.typed
            yield edit


def agree(warm: Pieces, cold: Pieces) -> bool:
    """Whether the two texts are equal, or part where the two best tokens were within the noise of each other."""
    a, b = ("".join(text for text, _ in pieces) for pieces in (warm, cold))
    if a == b:
        return True
    parting = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return min(_margin_at(warm, parting), _margin_at(cold, parting)) <= NOISE


def _margin_at(pieces: Pieces, offset: int) -> float:
    """The least margin of the tokens that made the piece in which the character at `offset` stands."""
    ends = accumulate(len(text) for text, _ in pieces)
    margins = next((margins for end, (_, margins) in zip(ends, pieces, strict=True) if offset < end), [])
    return min(margins, default=float("inf"))


def _pieces(answer: Json) -> Pieces:
    return [(text, margins) for item in answer["items"] for text, margins in item.get("pieces", ())]


def _code_line(lines: list[str], near: int) -> int:
    """The nearest line from `near` on that has something to complete."""
    numbers: list[int] = [*range(near, len(lines)), *range(near)]
    return next(n for n in numbers if len(lines[n].strip()) > 12 and not lines[n].lstrip().startswith("#"))


@contextmanager
def _running(folder: Path) -> Iterator[Client]:
    """A client of a daemon with all its files in `folder`, which ends with us."""
    socket = folder / "daemon.sock"
    flags = {
        "model": "starter",
        "ctx": str(N_CTX),
        "warm": "false",
        "data_dir": str(folder / "data"),
    }
    start_daemon(socket, flags, Path(os.devnull))
    # Whoever ends the demonstration ends its daemon as well.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        yield Client(socket)
    finally:
        stop_daemon(socket)


def _open(client: Client, project: Path, path: Path) -> str:
    text = path.read_bytes().decode("utf-8")
    document = {"uri": path.as_uri(), "root": str(project), "language": "python", "version": 1, "text": text}
    client.post("documents/open", document)
    return text


def _visit(client: Client, edit: Edit, view: View) -> int:
    """Look at the place of `edit` before making it, which is when a daemon in use warms it; how many tokens that took."""
    began = perf_counter()
    place = {"position": {"line": edit.line, "character": 0}, "position_encoding": "utf-32"}
    reuse = client.post("warm", {"uri": edit.path.as_uri(), **place})["reuse"]
    view.visited(edit.path, reuse, perf_counter() - began)
    n_tokens: int = reuse["processed"]
    return n_tokens


def _try(client: Client, edit: Edit, version: int, project: Path) -> Outcome:
    """Make the edit, and ask for the rest of the line: first warm, as users do, then cold."""
    end = {"line": edit.line, "character": len(edit.before)}
    cursor = {"line": edit.line, "character": edit.column}
    document = {"uri": edit.path.as_uri(), "position_encoding": "utf-32"}
    change = {"range": {"start": cursor, "end": end}, "text": ""}
    client.post("documents/change", {**document, "version": version, "changes": [change]})
    question = {**document, "position": cursor, "max_tokens": N_TOKENS, "margins": True}
    warm = client.post("complete", question)
    cold = client.post("complete", {**question, "cold": True})
    context = client.get("context", root=str(project.resolve()))
    return Outcome(edit, warm, cold, context["interval"])
