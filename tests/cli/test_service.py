"""The service: its files as systemd and launchd read them, and a socket that is handed over."""

import json
import os
import plistlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scrubjay.cli import service
from scrubjay.errors import DaemonError, UsageError
from scrubjay.process.client import Client
from scrubjay.process.lifecycle import stop_daemon
from scrubjay.process.run import given_socket
from tests.support.gguf_models import tiny_model
from tests.support.service import source
from tests.support.shared_daemon import FLAGS
from tests.support.user_manager import UserManager, user_manager

LAUNCHER = """
import os, socket, sys
path, *command = sys.argv[1:]
listening = socket.socket(socket.AF_UNIX)
listening.bind(path)
listening.listen()
os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
print("listening", flush=True)
for n in range(2):
    if (pid := os.fork()) == 0:
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
        os.execv(command[0], command)
    print(os.waitpid(pid, 0)[1], flush=True)
"""
"""What a service manager does: listens, and starts the program, here a second time when it has ended."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user whose session has no service manager."""
    for name in [name for name in os.environ if name.startswith(("SCRUBJAY_", "XDG_", "DBUS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path


def scrubjay(manager: UserManager, *arguments: str, status: int = 0) -> str:
    return manager.run(sys.executable, "-m", "scrubjay", *arguments, status=status)


def processed(manager: UserManager, place: str) -> tuple[int, int]:
    """Of a completion: tokens that were processed for its prompt, and tokens of the prompt."""
    reuse = json.loads(scrubjay(manager, "complete", place, "--max-tokens", "1", "--json"))["reuse"]
    return reuse["processed"], reuse["prompt"]


def main_process(manager: UserManager) -> int:
    """Of the service, 0 if it does not run."""
    return int(manager.run("systemctl", "--user", "show", "--property=MainPID", "--value", "scrubjay.service"))


def run(*arguments: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "scrubjay", "service", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_it_is_installed_shown_and_removed(home: Path) -> None:
    folder = home / ".config" / "systemd" / "user"
    assert "not installed" in run("status", status=1)
    assert f"Written: {folder / 'scrubjay.socket'}" in run("install")
    assert "Written" not in run("install"), "a second time changes nothing"
    assert str(home / "run" / "scrubjay" / "daemon.sock") in (folder / "scrubjay.socket").read_text()
    assert str(folder / "scrubjay.service") in run("status")
    if shutil.which("systemd-analyze"):
        units = [str(folder / name) for name in service.UNITS]
        done = subprocess.run(
            ["systemd-analyze", "--user", "verify", *units], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    run("remove")
    assert not list(folder.iterdir())
    assert "not installed" in run("remove", status=1)


def test_launchd_gets_a_list_of_properties(home: Path) -> None:
    [(path, text)] = service.service_files("darwin").items()
    assert path == home / "Library" / "LaunchAgents" / "scrubjay.plist"
    job = plistlib.loads(text.encode())
    assert job["ProgramArguments"][-1] == "serve"
    assert job["KeepAlive"] == {"SuccessfulExit": False}
    with pytest.raises(UsageError, match="scrubjay start"):
        service.service_files("win32")


def test_only_a_socket_meant_for_this_process_is_taken(tmp_path: Path) -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "HOME": "/"}
    assert given_socket(tmp_path / "s", environment) is None
    assert environment == {"HOME": "/"}, "children are not to think that it is for them"
    assert given_socket(tmp_path / "s", {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"}) is None


@pytest.mark.slow
def test_a_socket_is_handed_over_and_outlives_the_daemon(home: Path) -> None:
    place = home / "run" / "s"
    options = [f"--{name.replace('_', '-')}={value}" for name, value in FLAGS.items() if value.isdecimal()]
    serve = [sys.executable, "-m", "scrubjay", "serve", f"--socket={place}", f"--model={tiny_model('dense')}", *options]
    manager = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(place), *serve], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert manager.stdout
    assert manager.stdout.readline() == "listening\n"
    first = Client(place).get("status")["pid"]
    os.kill(first, signal.SIGKILL)
    assert int(manager.stdout.readline()) == signal.SIGKILL
    second = Client(place).get("status")["pid"]
    assert second != first, "who connects before it is there waits for it"
    assert place.is_socket()
    assert stop_daemon(place)
    assert int(manager.stdout.readline()) == 0
    assert place.is_socket(), "it is the service manager's"
    manager.communicate()


@pytest.mark.slow
def test_another_socket_than_the_configured_one_is_refused(home: Path) -> None:
    serve = [sys.executable, "-m", "scrubjay", "serve", f"--socket={home / 'run' / 'other'}"]
    manager = subprocess.run(
        [sys.executable, "-c", LAUNCHER, str(home / "run" / "s"), *serve], capture_output=True, text=True, check=False
    )
    assert "install it again" in manager.stderr
    with pytest.raises(DaemonError):
        Client(home / "run" / "other").get("status")


@pytest.mark.slow
def test_a_socket_that_is_handed_over_is_none_for_tcp(home: Path) -> None:
    code = "import sys; from pathlib import Path; from scrubjay.process.run import *; given_socket(Path(sys.argv[1]), os.environ)"
    place = str(home / "run" / "s")
    manager = subprocess.run(
        [sys.executable, "-c", LAUNCHER, place, sys.executable, "-c", code, place],
        env={**os.environ, "SCRUBJAY_LOCAL": "tcp"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (
        "UsageError: The service manager hands over a Unix socket, which SCRUBJAY_LOCAL=tcp does not want"
        in manager.stderr
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
def test_a_crash_an_upgrade_and_a_login_with_a_real_service_manager(home: Path) -> None:
    options = {"model": str(tiny_model("deltanet")), "ctx": "4096", "threads": "1", "rules": "false"}
    file = home / ".config" / "scrubjay" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in options.items()))
    (home / "shapes.py").write_text(source(20))
    place = f"{home / 'shapes.py'}:9:1"
    with user_manager(home) as manager:
        assert "scrubjay.service is active" in scrubjay(manager, "service", "install")
        shown = scrubjay(manager, "service", "status")
        assert all(f"{unit}: enabled, active" in shown for unit in service.UNITS), shown
        n_cold, n_prompt = processed(manager, place)
        assert n_cold == n_prompt > 64
        # A crash: whoever asks next waits on the socket, which is still there, for the next process.
        crashed = main_process(manager)
        manager.run("kill", "-KILL", str(crashed))
        assert processed(manager, place)[1] == n_prompt
        assert main_process(manager) not in {0, crashed}
        # What an upgrade ends with: the next process is the service manager's again, and has what the last one had.
        before = main_process(manager)
        assert "listens again" in scrubjay(manager, "restart")
        assert main_process(manager) not in {0, before}
        assert processed(manager, place) == (1, n_prompt)
    with user_manager(home) as manager:
        assert main_process(manager), "it starts at login, before anybody asks"
        assert processed(manager, place) == (1, n_prompt)
        # Nobody is there any more after `stop`, until somebody connects.
        scrubjay(manager, "stop")
        assert main_process(manager) == 0
        assert processed(manager, place) == (1, n_prompt)
        scrubjay(manager, "service", "remove")
        assert "not installed" in scrubjay(manager, "service", "status", status=1)
        assert main_process(manager) == 0
        scrubjay(manager, "status", status=1)
