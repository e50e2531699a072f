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
from time import perf_counter

from scrubjay.client import Client, Json
from scrubjay.demo_edits import Edit, Place, choose_files, edited_files, make_edits
from scrubjay.demo_view import View
from scrubjay.lifecycle import start_daemon, stop_daemon

N_TOKENS = 24
FLAGS = {"model": "starter", "ctx": "8192", "context_budget": "6144", "warm": "false", "watch": "false"}
"""Nothing is warmed and no file shown but what the demonstration asks for, so that its numbers are the edits' own."""
NOISE = 0.1
"""Logits. A warm and a cold run may cut their decodes at different places, and so add floating-point numbers in different
orders; with the starter model, margins were seen to differ by 0.03. Two tokens that are closer than this may change places
(law 4)."""

Pieces = list[tuple[str, list[float]]]
"""Generated texts, and for each of their tokens how much better it was than the next best."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One edit with its answers, warm and cold, and the project's context between the two."""

    edit: Edit
    warm: Json
    cold: Json
    context: Json

    @property
    def excess(self) -> int:
        """Tokens processed beyond those that no reuse could have saved."""
        excess: int = self.warm["reuse"]["excess"]
        return excess

    @property
    def interval(self) -> int:
        """The most that the excess may be."""
        interval: int = self.context["interval"]
        return interval

    @property
    def is_cheap(self) -> bool:
        """Whether the edit cost no more than promised."""
        return self.excess <= self.interval

    @property
    def is_same(self) -> bool:
        """Whether the warm answer is the cold one."""
        return _text(pieces_of(self.warm)) == _text(pieces_of(self.cold))

    @property
    def is_lawful(self) -> bool:
        """Whether it is, or parts from it only where the two best tokens were all but equal."""
        return agree(pieces_of(self.warm), pieces_of(self.cold))

    @property
    def noise(self) -> float:
        """The largest difference of a margin, in logits, over what both answers have in common."""
        return largest_difference(pieces_of(self.warm), pieces_of(self.cold))


def run_demo(n_edits: int) -> int:
    """Show it; 0 if every edit was as cheap and every answer as good as promised, else 1."""
    view = View()
    with _running(view) as (client, folder):
        project = _copy(Path(email.__file__).parent, folder / "email")
        paths = choose_files(sorted(project.glob("*.py")))
        texts = {path: path.read_bytes().decode("utf-8") for path in paths}
        view.project(client.get("status")["model"], texts)
        _open(client, project, texts)
        _warm(client, edited_files(texts)[0], view)
        outcomes: list[Outcome] = []
        for number, edit in enumerate(islice(make_edits(texts), n_edits), 1):
            outcomes.append(_try(client, edit, number + 1, project))
            view.outcome(number, outcomes[-1])
        view.summary(outcomes)
    return 0 if all(outcome.is_cheap and outcome.is_lawful for outcome in outcomes) else 1


# --- equal, or as good as equal --------------------------------------------------------------------------------------


def agree(warm: Pieces, cold: Pieces) -> bool:
    """Whether the two texts are equal, or first part at a token whose margin is within the noise."""
    a, b = _text(warm), _text(cold)
    if a == b:
        return True
    parting = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return min(_margin_at(warm, parting), _margin_at(cold, parting)) <= NOISE


def largest_difference(warm: Pieces, cold: Pieces) -> float:
    """The largest difference between margins of the same token, up to where the texts part."""
    largest = 0.0
    for (text, margins), (other_text, other_margins) in zip(warm, cold, strict=False):
        if text != other_text or len(margins) != len(other_margins):
            break
        largest = max([largest, *(abs(a - b) for a, b in zip(margins, other_margins, strict=True))])
    return largest


def pieces_of(answer: Json) -> Pieces:
    """The pieces of an answer to `/api/complete` that was asked for with `margins`; an empty text has none."""
    return [(text, margins) for item in answer["items"] if item["text"] for text, margins in item["pieces"]]


def _margin_at(pieces: Pieces, offset: int) -> float:
    """The least margin of the tokens of the piece in which the character at `offset` stands; infinite past the end."""
    ends = accumulate(len(text) for text, _ in pieces)
    return next((min(margins) for end, (_, margins) in zip(ends, pieces, strict=True) if offset < end), float("inf"))


def _text(pieces: Pieces) -> str:
    return "".join(text for text, _ in pieces)


# --- a daemon of its own ---------------------------------------------------------------------------------------------


@contextmanager
def _running(view: View) -> Iterator[tuple[Client, Path]]:
    """A client of a daemon whose model is loaded, and the folder of all its files; both end with us."""
    with tempfile.TemporaryDirectory(prefix="scrubjay-") as name, _ended_by_signals():
        folder = Path(name).resolve()
        socket = folder / "daemon.sock"
        try:
            start_daemon(socket, {**FLAGS, "data_dir": str(folder / "data")}, Path(os.devnull))
            client = Client(socket)
            view.loading(client.wait_until_ready())
            yield client, folder
        finally:
            stop_daemon(socket)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Whoever ends the demonstration ends its daemon as well: signals become exceptions."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda number, _: sys.exit(128 + number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _copy(package: Path, folder: Path) -> Path:
    """Copy the package's own modules, so that nobody's installation is edited."""
    folder.mkdir()
    for path in package.glob("*.py"):
        shutil.copyfile(path, folder / path.name)
    return folder


def _open(client: Client, project: Path, texts: dict[Path, str]) -> None:
    """Open the files; those that will be edited come last, as if they had been looked at last."""
    edited = edited_files(texts)
    for path in [*(path for path in texts if path not in edited), *reversed(edited)]:
        document = {"uri": path.as_uri(), "root": str(project), "language": "python", "version": 1}
        client.post("documents/open", {**document, "text": texts[path]})


def _warm(client: Client, path: Path, view: View) -> None:
    began = perf_counter()
    cost = client.post("warm", {"uri": path.as_uri(), "position": _position((0, 0))})["reuse"]
    view.warmed(path, cost["processed"], perf_counter() - began)


def _try(client: Client, edit: Edit, version: int, project: Path) -> Outcome:
    """Make the edit, and ask for a completion there: first warm, as users do, then cold."""
    document = {"uri": edit.path.as_uri(), "position_encoding": "utf-32"}
    change = {"range": {"start": _position(edit.start), "end": _position(edit.end)}, "text": edit.text}
    client.post("documents/change", {**document, "version": version, "changes": [change]})
    question = {**document, "position": _position(edit.cursor), "max_tokens": N_TOKENS, "margins": True, "rules": False}
    warm = client.post("complete", question)
    context = client.get("context", root=str(project))
    return Outcome(edit, warm, client.post("complete", {**question, "cold": True}), context)


def _position(place: Place) -> Json:
    return {"line": place[0], "character": place[1]}
