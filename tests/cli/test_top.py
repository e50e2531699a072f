"""`scrubjay top` in a terminal, over a daemon that works, pauses, dies and comes back."""

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

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
    assert not n_processed(terminal.screen())


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
