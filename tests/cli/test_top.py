"""`scrubjay top` in a terminal, over a daemon that works, pauses, dies and comes back."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from threading import Thread

import psutil
import pytest

from scrubjay.process.lifecycle import stop_daemon
from tests.editors.terminal import InTmux
from tests.support.gguf_models import tiny_model
from tests.support.service import source
from tests.support.shared_daemon import Daemon, a_daemon

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("tmux"), reason="There is no tmux here.")]
ROOT = "/project"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = started(tmp_path / "s")
    yield daemon
    stop_daemon(daemon.path)


def started(path: Path) -> Daemon:
    daemon = a_daemon(path, model=str(tiny_model("deltanet")), ctx="16384")
    list(daemon.client.wait_until_ready())
    return daemon


@pytest.fixture
def terminal(tmp_path: Path, daemon: Daemon) -> Iterator[InTmux]:
    """A shell that says how its terminal is set before and after."""
    terminal = InTmux(tmp_path)
    top = shlex.join([sys.executable, "-m", "scrubjay", "top", "--socket", str(daemon.path)])
    before, after = (shlex.quote(str(tmp_path / name)) for name in ("before", "after"))
    # Moved when it is written, so that whoever sees the file can read all of it.
    later = f"stty -g > {after}.part; mv {after}.part {after}"
    terminal.run(["bash", "-c", f"stty -g > {before}; {top}; echo status $?; {later}; read"], {})
    yield terminal
    terminal.stop()


def open_project(daemon: Daemon) -> None:
    for number in range(5):
        body = {"uri": f"file://{ROOT}/file_{number}.py", "text": source(100, seed=number), "root": ROOT, "version": 1}
        daemon.client.post("documents/open", body)


def n_processed(screen: str) -> int:
    """What a running prefill has done, as the screen says; 0 if none runs."""
    found = re.search(r"processing ([\d,]+) of", screen)
    return int(found[1].replace(",", "")) if found else 0


def test_a_daemon_at_work(terminal: InTmux, daemon: Daemon) -> None:
    terminal.wait(lambda: "ready" in terminal.screen())
    assert "No project is open." in terminal.screen()
    open_project(daemon)
    terminal.press("w")
    warming = Thread(target=daemon.client.post, args=("warm", {"root": ROOT}))
    warming.start()
    first = terminal.wait(lambda: n_processed(terminal.screen()))
    terminal.wait(lambda: n_processed(terminal.screen()) > first)
    warming.join()
    terminal.wait(lambda: "This is the project's first prompt since the daemon started." in terminal.screen())
    [held] = daemon.client.get("status")["contexts"]
    terminal.wait(lambda: f"{held['n_resident']:,}" in terminal.screen())
    assert ROOT in terminal.screen()
    assert "file_4.py" in terminal.screen()
    # The last frame may be from before the end of the second warming.
    terminal.wait(lambda: not n_processed(terminal.screen()))


def test_a_pause(terminal: InTmux, daemon: Daemon) -> None:
    terminal.wait(lambda: "ready" in terminal.screen())
    terminal.press("p")
    terminal.wait(lambda: "paused" in terminal.screen())
    assert daemon.client.get("status")["paused"]
    terminal.press("p")
    terminal.wait(lambda: "paused:" not in terminal.screen())
    assert not daemon.client.get("status")["paused"]


def test_a_daemon_that_dies_and_comes_back(terminal: InTmux, daemon: Daemon) -> None:
    terminal.wait(lambda: "ready" in terminal.screen())
    daemon.kill()
    terminal.wait(lambda: "No daemon answers" in terminal.screen())
    started(daemon.path)
    terminal.wait(lambda: "ready" in terminal.screen())


def test_the_terminal_is_left_as_it_was(terminal: InTmux, tmp_path: Path) -> None:
    terminal.wait(lambda: "ready" in terminal.screen())
    terminal.press("q")
    terminal.wait(lambda: "status 0" in terminal.screen())
    assert "ready" not in terminal.screen()
    terminal.wait((tmp_path / "after").exists)
    assert (tmp_path / "after").read_text() == (tmp_path / "before").read_text()


def test_an_interrupt(terminal: InTmux, tmp_path: Path) -> None:
    terminal.wait(lambda: "ready" in terminal.screen())
    terminal.press("C-c")
    terminal.wait(lambda: "status 130" in terminal.screen())
    terminal.wait((tmp_path / "after").exists)
    assert (tmp_path / "after").read_text() == (tmp_path / "before").read_text()


def test_every_figure_is_that_of_the_json(terminal: InTmux, daemon: Daemon) -> None:
    open_project(daemon)
    question = {"uri": f"file://{ROOT}/file_4.py", "position": {"line": 0, "character": 0}}
    for outcome in ("accepted", "rejected"):
        number = daemon.client.post("complete", question)["request"]
        daemon.client.post("complete/outcome", {"request": number})
        daemon.client.post("complete/outcome", {"request": number, "outcome": outcome})
    terminal.wait(lambda: "2 shown, 1 accepted, 0 in part, 0 typed by hand, 1 rejected" in joined(terminal))
    # Both are looked at again and again: what contexts hold goes to disk meanwhile.
    terminal.wait(lambda: all(text in joined(terminal) for text in figures(daemon)))


def figures(daemon: Daemon) -> list[str]:
    """What the JSON says, as it is to be shown."""
    status, requests = daemon.client.get("status"), daemon.client.get("requests", last="2")["requests"]
    checkpoints, records, today = status["checkpoints"], status["records"], status["totals"]["today"]
    [context], [project] = status["contexts"], status["projects"]
    return [
        f"{status['model']['name']}: ready",
        f"{status['queue']['queued']} waiting, {status['n_editors']} editors",
        f"{checkpoints['count']:,} checkpoints, {mib(checkpoints['bytes'], 1)} of {mib(checkpoints['budget'])} MiB",
        f"{records['count']:,} records, {mib(records['bytes'], 1)} of {mib(records['budget'])} MiB",
        f"{today['saved']:,} of {today['prompt']:,} prompt tokens saved in {today['n_requests']:,} requests",
        f"{project['n_documents']} {project['n_files']} {context['n_resident']:,}",
        *(f"#{request['number']} {request['kind']} file_4.py" for request in requests),
        *(request["why"] for request in requests),
    ]


def mib(n_bytes: int, n_digits: int = 0) -> str:
    return f"{n_bytes / (1 << 20):,.{n_digits}f}"


def joined(terminal: InTmux) -> str:
    """What is on the screen, without the spaces and line ends that only place it."""
    return " ".join(terminal.screen().split())


def top_process(*arguments: str) -> psutil.Process:
    """The process of the `scrubjay top` with these arguments."""
    # One that has just ended has none.
    running = [each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"]]
    [found] = [each for each in running if each.info["cmdline"][3:] == ["top", *arguments]]
    return found


def test_forgetting_wants_to_be_confirmed(terminal: InTmux, daemon: Daemon) -> None:
    open_project(daemon)
    answer = daemon.client.post(
        "complete", {"uri": f"file://{ROOT}/file_4.py", "position": {"line": 0, "character": 0}}
    )
    daemon.client.post("complete/outcome", {"request": answer["request"]})
    terminal.wait(lambda: "1 shown" in terminal.screen())
    terminal.press("f")
    terminal.wait(lambda: f"Remove what is kept of {ROOT}" in terminal.screen())
    terminal.press("n")
    terminal.wait(lambda: "Remove what is kept" not in terminal.screen())
    assert daemon.client.get("status")["acceptance"]
    terminal.press("f")
    terminal.wait(lambda: f"Remove what is kept of {ROOT}" in terminal.screen())
    terminal.press("y")
    terminal.wait(lambda: f"the counts of {ROOT}." in terminal.screen())
    assert not daemon.client.get("status")["acceptance"]
    terminal.wait(lambda: "1 shown" not in terminal.screen())


def test_a_signal_leaves_the_terminal_as_it_was(terminal: InTmux, daemon: Daemon, tmp_path: Path) -> None:
    terminal.wait(lambda: "ready" in terminal.screen())
    top_process("--socket", str(daemon.path)).terminate()
    terminal.wait(lambda: "status 143" in terminal.screen())
    terminal.wait((tmp_path / "after").exists)
    assert (tmp_path / "after").read_text() == (tmp_path / "before").read_text()


def test_a_crash_leaves_the_terminal_as_it_was(terminal: InTmux, daemon: Daemon, tmp_path: Path) -> None:
    """What listens on the socket now is a daemon of another version, say: its answers are not what is expected."""
    terminal.wait(lambda: "ready" in terminal.screen())
    stop_daemon(daemon.path)
    with answering(daemon.path, b'{"projects": []}'):
        terminal.wait(lambda: "KeyError" in terminal.screen())
        terminal.wait(lambda: "status 1" in terminal.screen())
        terminal.wait((tmp_path / "after").exists)
    assert (tmp_path / "after").read_text() == (tmp_path / "before").read_text()


@contextmanager
def answering(path: Path, body: bytes) -> Iterator[None]:
    """A server on the socket at `path` that answers everything with `body`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return ""

        def log_message(self, *_: object) -> None:
            pass

    with UnixStreamServer(str(path), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield
        server.shutdown()
        thread.join()


def test_it_ends_when_its_terminal_is_gone(daemon: Daemon) -> None:
    """Even where nothing tells it by a signal."""
    ours, its = os.openpty()
    command = [sys.executable, "-m", "scrubjay", "top", "--socket", str(daemon.path)]
    top = subprocess.Popen(
        command, stdin=its, stdout=its, stderr=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"}
    )
    os.close(its)
    shown = b""
    while b"ready" not in shown:
        shown += os.read(ours, 1 << 16)
    os.close(ours)
    top.wait()
