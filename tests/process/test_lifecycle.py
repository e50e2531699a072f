"""One daemon per socket, however they come and go."""

import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from scrubjay.errors import DaemonError, ModelRefused, RequestError, UsageError
from scrubjay.process.claim import claim_socket, is_running
from scrubjay.process.client import Client
from scrubjay.process.lifecycle import start_daemon, stop_daemon
from tests.support.gguf_models import tiny_model

N_STARTERS = 5


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where a socket may be; whatever daemon is there at the end of the test is stopped."""
    path = tmp_path / "run" / "s"
    yield path
    if path.parent.exists():
        stop_daemon(path)


@pytest.fixture
def flags(tmp_path: Path) -> dict[str, str]:
    """Options of a daemon that shares few cores with other tests."""
    options = {
        "ctx": "1024",
        "threads": "1",
        "eager_load": "false",
        "interval": "64",
        "warm": "false",
        "confidence": "0",
    }
    return {**options, "model": str(tiny_model("dense")), "data_dir": str(tmp_path / "data")}


def daemons(path: Path) -> list[int]:
    """Process ids of the daemons of that socket.

    A daemon's child has the daemon's command line until it has become another program; a daemon is no daemon's child.
    """
    found = psutil.process_iter(["cmdline", "ppid"])
    parents = {item.pid: item.info["ppid"] for item in found if f"--socket={path}" in (item.info["cmdline"] or ())}
    return [pid for pid, parent in parents.items() if parent not in parents]


def test_from_start_to_stop(place: Path, flags: dict[str, str], tmp_path: Path) -> None:
    assert not is_running(place)
    assert start_daemon(place, flags)
    pid = Client(place).get("status")["pid"]
    assert daemons(place) == [pid]
    assert os.getsid(pid) != os.getsid(0), "it lives on when we and our terminal end"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert "Listening" in (tmp_path / "data" / "log" / "daemon.log").read_text()
    assert not start_daemon(str(place), flags), "the one that runs will do"
    assert stop_daemon(str(place))
    assert not is_running(place)
    assert not place.exists()
    assert not stop_daemon(place)


def test_many_threads_that_start_it_have_one_daemon(place: Path, flags: dict[str, str]) -> None:
    with ThreadPoolExecutor(N_STARTERS) as threads:
        new = list(threads.map(lambda _: start_daemon(place, flags), range(N_STARTERS)))
    assert sorted(new) == [False] * (N_STARTERS - 1) + [True]
    assert daemons(place) == [Client(place).get("status")["pid"]]


@pytest.mark.slow
def test_many_processes_that_start_it_have_one_daemon(place: Path, flags: dict[str, str]) -> None:
    code = "import sys; from scrubjay.process.lifecycle import *; from scrubjay.process.client import Client\n"
    code += f"start_daemon({str(place)!r}, {flags!r}); print(Client({str(place)!r}).get('status')['pid'])"
    command = [sys.executable, "-c", code]
    starters = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(N_STARTERS)]
    pids = {starter.communicate()[0].strip() for starter in starters}
    assert [starter.returncode for starter in starters] == [0] * N_STARTERS
    assert pids == {str(pid) for pid in daemons(place)}


@pytest.mark.slow
def test_a_killed_daemon_is_replaced(place: Path, flags: dict[str, str]) -> None:
    start_daemon(place, flags)
    pid = Client(place).get("status")["pid"]
    os.kill(pid, signal.SIGKILL)
    stop_daemon(place)
    assert place.exists(), "it could not tidy up"
    assert not is_running(place)
    assert start_daemon(place, flags)
    assert Client(place).get("status")["pid"] != pid


def test_many_that_stop_it(place: Path, flags: dict[str, str]) -> None:
    start_daemon(place, flags)
    with ThreadPoolExecutor(N_STARTERS) as threads:
        found = list(threads.map(lambda _: stop_daemon(place), range(N_STARTERS)))
    assert any(found)
    assert not is_running(place)


def test_a_second_daemon_is_refused(place: Path, flags: dict[str, str]) -> None:
    start_daemon(place, flags)
    with pytest.raises(DaemonError, match="already listens"), claim_socket(place):
        raise AssertionError("two daemons")
    assert is_running(place), "the attempt did no harm"


def test_stopping_one_that_is_only_just_starting(tmp_path: Path) -> None:
    with (tmp_path / "s.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DaemonError, match="only just starting"):
            stop_daemon(tmp_path / "s")


def test_why_it_did_not_start_is_said(place: Path, flags: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--ctx"):
        start_daemon(place, {**flags, "ctx": "much"})
    with pytest.raises(ModelRefused, match="no model file"):
        start_daemon(place, {**flags, "model": str(tmp_path / "none.gguf")})
    with pytest.raises(DaemonError, match="too long"):
        start_daemon(tmp_path / ("x" * 200), flags)
    with pytest.raises(DaemonError, match="choose another --data-dir"):
        start_daemon(place, {**flags, "data_dir": "/proc/none"})
    assert daemons(place) == []


def test_the_last_words_of_a_daemon_that_ends_while_it_starts(place: Path, flags: dict[str, str]) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(DaemonError, match=r"ended while it was starting: .*\(Its log: .*daemon.log\)") as caught:
            start_daemon(place, {**flags, "http": address})
    assert f"cannot listen on {address}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_relative_paths_are_those_of_the_folder_it_was_started_in(
    place: Path, flags: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text("warm-delay-ms = 5\n")
    start_daemon("run/s", {**flags, "data_dir": "kept"}, Path("own.toml"))
    assert is_running(place)
    assert (tmp_path / "kept" / "log" / "daemon.log").exists()
    assert f"--config={tmp_path / 'own.toml'}" in psutil.Process(Client(place).get("status")["pid"]).cmdline()


def test_a_folder_that_others_may_write_to(tmp_path: Path, flags: dict[str, str]) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all").chmod(0o777)
    with pytest.raises(DaemonError, match="Other users may write"):
        start_daemon(tmp_path / "all" / "s", flags)


def test_what_a_client_is_told(place: Path, flags: dict[str, str]) -> None:
    with pytest.raises(DaemonError, match="scrubjay start"):
        Client(place).get("status")
    start_daemon(place, flags)
    client = Client(place)
    for _ in client.wait_until_ready():
        pass
    body = {"uri": "file:///none.py", "position": {"line": 0, "character": 0}}
    with pytest.raises(RequestError, match="is not open") as caught:
        client.post("complete", body)
    assert caught.value.status == 404
    with pytest.raises(RequestError, match="is not open"):
        list(client.stream("complete", {**body, "stream": True}))
    client.post("documents/open", {"uri": "file:///none.py", "text": "x = 1\n"})
    answers = list(client.stream("complete", {**body, "max_tokens": 3, "stream": True}))
    assert answers[-1]["done"]
    assert "".join(answer["text"] for answer in answers[:-1]) == answers[-1]["items"][0]["text"]


def test_a_full_disk_at_the_start_is_said(place: Path, flags: dict[str, str]) -> None:
    """No process below this one can write a byte to a file, which is what a full disk is like."""
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    code += "from scrubjay.errors import DaemonError; from scrubjay.process.lifecycle import start_daemon\n"
    code += f"try: start_daemon({str(place)!r}, {flags!r})\nexcept DaemonError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("The daemon ended while it was starting"), done.stderr
    assert done.stdout.count("\n") == 1
    assert daemons(place) == []


def test_a_disk_that_fills_up_later_ends_nothing(place: Path, flags: dict[str, str]) -> None:
    start_daemon(place, {**flags, "log_level": "debug"})
    client = Client(place)
    for _ in client.wait_until_ready():
        pass
    pid = client.get("status")["pid"]
    for process in (psutil.Process(pid), *psutil.Process(pid).children()):
        process.rlimit(psutil.RLIMIT_FSIZE, (0, 0))
    client.post("documents/open", {"uri": "file:///project/a.py", "text": "x = 1\n"})
    body = {"uri": "file:///project/a.py", "position": {"line": 0, "character": 0}, "max_tokens": 3}
    assert client.post("complete", body)["items"]
    assert client.get("status")["pid"] == pid
    assert stop_daemon(place)
    assert not place.exists()
