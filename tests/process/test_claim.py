"""Which process may listen on a socket's path, and what is never removed to make room for it."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from scrubjay.errors import DaemonError
from scrubjay.process.claim import claim_socket, is_running
from scrubjay.process.client import Client
from scrubjay.process.lifecycle import start_daemon, stop_daemon
from tests.support.api import connected
from tests.support.daemon_process import running_daemon
from tests.support.gguf_models import tiny_model

NOTES = "three years of notes\n"


def make_file(path: Path) -> None:
    path.write_text(NOTES)


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "kept").write_text(NOTES)


def make_link(path: Path) -> None:
    path.with_name("target").write_text(NOTES)
    path.symlink_to("target")


def make_link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


THINGS: dict[str, tuple[Callable[[Path], None], str]] = {
    "file": (make_file, "is a file"),
    "folder": (make_folder, "is a folder"),
    "link": (make_link, "is a link"),
    "link to nothing": (make_link_to_nothing, "is a link"),
    "pipe": (os.mkfifo, "is a named pipe"),
}


def dead_socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))


def contents(folder: Path) -> dict[str, str | None]:
    """Everything in the folder: texts of files, where links lead, None for the rest."""
    found: dict[str, str | None] = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        text = str(path.readlink()) if stat.S_ISLNK(mode) else path.read_text() if stat.S_ISREG(mode) else None
        found[str(path.relative_to(folder))] = text
    return found


@pytest.mark.parametrize("kind", THINGS)
def test_what_is_no_socket_stays(kind: str, tmp_path: Path) -> None:
    make, words = THINGS[kind]
    folder = tmp_path / "own"
    folder.mkdir(mode=0o700)
    make(folder / "notes.txt")
    before = contents(folder)
    for listen in (lambda: start_daemon(folder / "notes.txt"), claim_socket(folder / "notes.txt").__enter__):
        with pytest.raises(DaemonError, match=words) as caught:
            listen()
        assert "choose another --socket" in str(caught.value)
        assert contents(folder) == before, "nothing is taken away, and nothing is left beside it"
    assert not stop_daemon(folder / "notes.txt")
    assert contents(folder) == before


def test_a_dead_socket_of_our_own_is_replaced(tmp_path: Path) -> None:
    place = tmp_path / "s"
    dead_socket(place)
    with claim_socket(place) as claim:
        assert not place.exists()
        dead_socket(place)
        claim.note_bound()
        assert claim.is_intact
    assert not place.exists()


def test_a_number_left_by_a_killed_daemon_does_not_stay(tmp_path: Path) -> None:
    place = tmp_path / "s"
    lock = tmp_path / "s.lock"
    lock.write_text("9" * 19)
    dead_socket(place)
    with claim_socket(place):
        assert lock.read_text() == str(os.getpid())
        assert not place.exists()
    assert int(lock.read_text()) == 0
    assert not stop_daemon(place)


def test_what_has_come_to_the_place_meanwhile_stays(tmp_path: Path) -> None:
    place = tmp_path / "s"
    with claim_socket(place) as claim:
        dead_socket(place)
        claim.note_bound()
        place.unlink()
        place.write_text(NOTES)
        assert not claim.is_intact
    assert place.read_text() == NOTES


def test_a_socket_on_which_another_program_listens_stays(tmp_path: Path) -> None:
    place = tmp_path / "agent"
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(place))
        listener.listen()
        with pytest.raises(DaemonError, match="Another program listens"), claim_socket(place):
            raise AssertionError("it was taken")
        assert is_running(place)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["lock", "starting"])
def test_a_file_that_has_the_name_of_a_lock_stays(ending: str, tmp_path: Path) -> None:
    lock = tmp_path / f"Cargo.{ending}"
    lock.write_text("# This file is generated.\n")
    with pytest.raises(DaemonError, match="not a lock file of Scrubjay"):
        start_daemon(tmp_path / "Cargo", {"model": str(tiny_model("dense"))})
    if ending == "lock":
        with pytest.raises(DaemonError, match="not a lock file of Scrubjay"):
            stop_daemon(tmp_path / "Cargo")
    assert lock.read_text() == "# This file is generated.\n"
    lock.unlink()
    lock.symlink_to("nothing")
    with pytest.raises(DaemonError, match="cannot be opened"):
        start_daemon(tmp_path / "Cargo", {"model": str(tiny_model("dense"))})
    lock.unlink()
    lock.mkdir()
    with pytest.raises(DaemonError, match="cannot be opened"):
        start_daemon(tmp_path / "Cargo", {"model": str(tiny_model("dense"))})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user's")
def test_a_folder_of_another_user(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    with pytest.raises(DaemonError, match="belongs to another user"):
        start_daemon(folder / "s")
    with pytest.raises(DaemonError, match="belongs to another user"):
        Client(folder / "s").get("status")
    (folder / "s.lock").write_text(str(os.getpid()))
    with pytest.raises(DaemonError, match="belongs to another user"):
        stop_daemon(folder / "s")


LISTEN = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.setuid(65534)
listener.listen()
print("listens", flush=True)
connection, _ = listener.accept()
print(connection.recv(1000), flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a program of another user's")
async def test_a_listener_of_another_user_is_told_nothing(tmp_path: Path) -> None:
    place = tmp_path / "s"
    pipe = asyncio.subprocess.PIPE
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", LISTEN, str(place), stdout=pipe)
    assert other.stdout
    assert await other.stdout.readline() == b"listens\n"
    with pytest.raises(DaemonError, match=r"another user \(id 65534\)"):
        await asyncio.to_thread(Client(place).post, "documents/open", {"uri": "file:///a.py", "text": "secret"})
    assert await other.stdout.readline() == b"b''\n", "not a byte was sent"
    assert await other.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("what", ["folder", "socket", "lock"])
async def test_a_daemon_whose_socket_is_deleted_makes_it_again(what: str, tmp_path: Path) -> None:
    place = tmp_path / "run" / "s"
    place.parent.mkdir(mode=0o700)
    async with running_daemon(tiny_model("dense"), place) as daemon, daemon.api.events() as events:
        await anext(events)
        if what == "folder":
            shutil.rmtree(place.parent)
        else:
            (place if what == "socket" else place.with_name("s.lock")).unlink()
        assert "was deleted; it is there again" in await daemon.line_with("was deleted")
        async with connected(place) as other:
            assert (await other.get("/api/status"))[1]["pid"] == daemon.process.pid
        await daemon.api.open("file:///project/a.py", "x = 1\n")
        assert await asyncio.to_thread(stop_daemon, place)
        assert await daemon.process.wait() == 0
        assert not place.exists()


@pytest.mark.slow
async def test_a_daemon_whose_place_another_has_taken_ends(tmp_path: Path) -> None:
    place = tmp_path / "run" / "s"
    place.parent.mkdir(mode=0o700)
    async with running_daemon(tiny_model("dense"), place) as daemon:
        daemon.process.send_signal(signal.SIGSTOP)
        shutil.rmtree(place.parent)
        place.parent.mkdir(mode=0o700)
        async with running_daemon(tiny_model("dense"), place) as other:
            daemon.process.send_signal(signal.SIGCONT)
            assert "another daemon listens there; this one ends" in await daemon.line_with("was deleted")
            assert await daemon.process.wait() == 0
            assert (await other.api.get("/api/status"))[1]["pid"] == other.process.pid
