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
from itertools import islice
from pathlib import Path
from time import perf_counter

from scrubjay.cli.demo.edits import Edit, Position, choose_files, edited_files, make_edits
from scrubjay.cli.demo.outcome import Outcome
from scrubjay.cli.demo.view import View
from scrubjay.process.client import Client, Json
from scrubjay.process.lifecycle import start_daemon, stop_daemon

N_TOKENS = 24
FLAGS = {"model": "starter", "ctx": "8192", "context_budget": "6144", "warm": "false", "watch": "false"}
"""Nothing is warmed and no file shown but what the demonstration asks for, so that its numbers are the edits' own."""


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
            outcomes.append(_try(client, edit, 2 * number, project))
            view.outcome(number, outcomes[-1])
        view.summary(outcomes)
    return 0 if all(outcome.is_cheap and outcome.is_lawful for outcome in outcomes) else 1


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
    """The end of the demonstration is the end of its daemon: signals become exceptions."""
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
    """Make the edit, and ask for a completion: warm, as it is shown to one who asks, and cold. Then the text is put back."""
    document = {"uri": edit.path.as_uri(), "position_encoding": "utf-32"}
    start, end = _position(edit.start), _position(edit.end)
    taken = {"range": {"start": start, "end": end}, "text": ""}
    client.post("documents/change", {**document, "version": version, "changes": [taken]})
    question = {**document, "position": start, "max_tokens": N_TOKENS}
    raw = {**question, "margins": True, "rules": False}
    warm = client.post("complete", raw)
    context = client.get("context", root=str(project))
    shown = client.post("complete", {**question, "trigger": "invoked"})
    cold = client.post("complete", {**raw, "cold": True})
    back = {"range": {"start": start, "end": start}, "text": edit.taken}
    client.post("documents/change", {**document, "version": version + 1, "changes": [back]})
    return Outcome(edit, warm, cold, shown, context)


def _position(place: Position) -> Json:
    return {"line": place[0], "character": place[1]}
