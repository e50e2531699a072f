"""Daemons whose local socket is TCP on loopback, from start to stop, with every client; none of these is told so."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import pytest

from scrubjay.errors import DaemonError
from scrubjay.loopback import VARIABLE, TokenFile, read_token_file, write_token_file
from scrubjay.process import claim as claims
from scrubjay.process.claim import MAX_SOCKET_PATH, claim_socket, is_running
from scrubjay.process.client import Client
from scrubjay.process.lifecycle import start_daemon, stop_daemon
from scrubjay_client import Scrubjay, ScrubjayError
from scrubjay_lsp.session import Session
from tests.process.test_claim import NOTES, dead_socket
from tests.process.test_lifecycle import N_STARTERS, daemons
from tests.support.daemon_process import running_daemon
from tests.support.gguf_models import tiny_model
from tests.support.lsp_editor import Editor
from tests.support.shared_daemon import FLAGS
from tests.test_loopback import ANSWERS, stranger

PROGRAM = "def area(width, height):\n    return width * height\n\n\ndef perimeter(width, height):\n    ret"
LONG = "a folder whose name is longer than the path of a Unix socket may be, " * 2
CLIENTS: dict[str, Callable[[Path], object]] = {
    "command line": lambda place: Client(place).post("documents/open", {"uri": "file:///a.py", "text": "x = 1\n"}),
    "script": lambda place: Scrubjay(place).open("a.py", "x = 1\n"),
    "language server": lambda place: asyncio.run(Session.open(str(place), lambda _: None)),
}


def started(place: Path, **flags: str) -> bool:
    """Whether a daemon had to be started there, in this form."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(VARIABLE, "tcp")
        return start_daemon(place, {**FLAGS, "data_dir": str(place.parent), **flags})


def said(place: Path) -> TokenFile:
    """What the token file says."""
    token_file = read_token_file(place)
    assert token_file
    return token_file


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where a daemon is that all tests share which leave it as it was."""
    place = tmp_path_factory.mktemp("tcp") / LONG / "s"
    assert len(os.fsencode(place)) > MAX_SOCKET_PATH
    assert started(place, confidence="0")
    yield place
    assert stop_daemon(place)
    assert not place.exists()
    assert not is_running(place)
    assert sorted(path.name for path in place.parent.glob("s*")) == ["s.lock", "s.starting"]


@pytest.fixture
def dead(tmp_path: Path) -> Iterator[Path]:
    """Where a daemon has been killed."""
    place = tmp_path / "own" / "s"
    started(place, model=str(tiny_model("dense")))
    os.kill(Client(place).get("status")["pid"], signal.SIGKILL)
    stop_daemon(place)
    yield place
    stop_daemon(place)


def test_a_token_file_is_for_its_user_alone(shared: Path) -> None:
    assert stat.S_ISREG(shared.stat().st_mode)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o600
    assert stat.S_IMODE(shared.parent.stat().st_mode) == 0o700


def test_one_that_runs_is_found(shared: Path) -> None:
    assert is_running(shared)
    assert not started(shared)
    assert not start_daemon(shared, FLAGS)
    assert daemons(shared) == [Client(shared).get("status")["pid"]]


def test_the_command_line_and_scripts_complete(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(PROGRAM)
    command = ("complete", f"{tmp_path / 'main.py'}:6:8", "--max-tokens=8", f"--socket={shared}")
    done = subprocess.run([sys.executable, "-m", "scrubjay", *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    with Scrubjay(shared) as scrubjay:
        [item] = scrubjay.complete(tmp_path / "main.py", 6, 8, max_tokens=8)["items"]
        events = scrubjay.events()
        assert next(events)["type"] == "state"
    assert done.stdout.rstrip("\n") == item["text"].rstrip("\n")


async def test_an_editor_shows_ghost_text(shared: Path, tmp_path: Path) -> None:
    editor = await Editor.start(tmp_path, shared, options={"maxTokens": 8, "completion": {"maxPromptMs": 0}})
    buffer = editor.open("shapes.py", PROGRAM)
    buffer.type("u")
    assert [item.insert_text for item in await buffer.inline()]
    assert (await editor.synchronised())["pid"] == Client(shared).get("status")["pid"], "other routes, too"
    await editor.stop()


async def test_who_does_not_have_the_token_gets_a_sentence(shared: Path) -> None:
    token_file = said(shared)
    good = token_file.headers
    sentence = "This daemon wants the token of its token file, as `Authorization: Bearer TOKEN`."
    requests = [
        ("/api/status", {}, 401, sentence),
        ("/health", {}, 401, sentence),
        ("/", {}, 401, sentence),
        ("/none", {}, 401, sentence),
        ("/api/status", {"Authorization": f"Bearer {token_file.token}x"}, 401, sentence),
        ("/api/status", {"Authorization": "Bearer ä"}, 401, sentence),
        ("/api/status", good | {"Origin": "http://evil.example"}, 403, "Web pages may not talk to Scrubjay."),
        ("/api/proof?nonce=1", {"Sec-Fetch-Site": "cross-site"}, 403, "Web pages may not talk to Scrubjay."),
        ("/api/proof?nonce=1", {"Host": "evil.example"}, 403, "evil.example is not this server; use http://127.0.0.1."),
        ("/api/proof", {}, 400, "`nonce` must have 1 to 128 characters."),
        ("/api/proof?nonce=" + 129 * "a", {}, 400, "`nonce` must have 1 to 128 characters."),
        ("/none", good, 404, None),
        ("/api/status", good, 200, None),
    ]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{token_file.port}") as http:
        for path, headers, status, message in requests:
            async with http.get(path, headers=headers) as response:
                answer = await response.json()
                assert (response.status, message in (None, answer.get("error", {}).get("message"))) == (status, True), (
                    path
                )
        with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
            await http.ws_connect("/api/session")


def test_many_that_start_it_have_one_daemon(tmp_path: Path) -> None:
    place = tmp_path / "own" / "s"
    with pytest.MonkeyPatch.context() as environment, ThreadPoolExecutor(N_STARTERS) as threads:
        environment.setenv(VARIABLE, "tcp")
        flags = {**FLAGS, "data_dir": str(tmp_path), "model": str(tiny_model("dense"))}
        new = list(threads.map(lambda _: start_daemon(place, flags), range(N_STARTERS)))
    assert sorted(new) == [False] * (N_STARTERS - 1) + [True]
    assert daemons(place) == [Client(place).get("status")["pid"]]
    with pytest.raises(DaemonError, match="already listens"), claim_socket(place):
        raise AssertionError("two daemons")
    assert stop_daemon(place), "the attempt did no harm"


def test_a_program_that_has_got_the_port_of_a_killed_daemon_gets_nothing(
    dead: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not is_running(dead), "nobody has the port"
    old = said(dead)
    for name, ask in CLIENTS.items():
        with (
            stranger(ANSWERS["another daemon"], port=old.port) as (_, received),
            pytest.raises((DaemonError, ScrubjayError), match="`scrubjay start` starts one"),
        ):
            ask(dead)
        [request] = received
        assert request.startswith(b"GET /api/proof?nonce="), name
        assert old.token.encode() not in request, name
    monkeypatch.setattr(claims, "ANSWER_S", 0.1)
    for is_silent in (True, False):
        with stranger(b"", is_silent, old.port):
            assert not is_running(dead)
    with stranger(b"", is_silent=True, port=old.port) as (_, received):
        # The old file does not keep the next one from the place, nor does the stranger.
        with claim_socket(dead):
            assert not dead.exists()
        assert len(received) == 1
    flags = {**FLAGS, "data_dir": str(dead.parent), "model": str(tiny_model("dense"))}
    assert start_daemon(dead, flags), "nor one with a Unix socket"
    assert dead.is_socket()
    os.kill(Client(dead).get("status")["pid"], signal.SIGKILL)
    stop_daemon(dead)
    assert started(dead, model=flags["model"])
    assert said(dead).token != old.token


def test_one_that_is_stopped_by_a_signal_has_its_place(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = Client(shared).get("status")["pid"]
    monkeypatch.setattr(claims, "ANSWER_S", 0.1)
    os.kill(pid, signal.SIGSTOP)
    try:
        assert is_running(shared)
        with pytest.raises(DaemonError, match=r"has said nothing for 0\.1 s"):
            Client(shared, 0.1).get("status")
        with pytest.raises(ScrubjayError, match=r"has said nothing for 0\.1 s"):
            Scrubjay(shared, 0.1).get("status")
    finally:
        os.kill(pid, signal.SIGCONT)


def test_what_has_come_to_the_place_meanwhile_stays(tmp_path: Path) -> None:
    place = tmp_path / "s"
    for comes in (lambda: place.write_text(NOTES), lambda: write_token_file(place, TokenFile(1, "other"))):
        with claim_socket(place) as claim:
            write_token_file(place, TokenFile(1, "ours"))
            claim.note_bound()
            assert claim.is_intact
            place.unlink()
            assert not claim.is_intact
            comes()
            assert not claim.is_intact
        assert place.exists()
        place.unlink()
    with claim_socket(place) as claim:
        dead_socket(place)
        claim.note_bound()
        place.unlink()
        write_token_file(place, TokenFile(1, "other"))
        assert not claim.is_intact
    assert said(place)


@pytest.mark.slow
async def test_a_daemon_whose_token_file_is_replaced_makes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "run" / "s"
    place.parent.mkdir(mode=0o700)
    monkeypatch.setenv(VARIABLE, "tcp")
    async with running_daemon(tiny_model("dense"), place) as daemon:
        session = await Session.open(str(place), lambda _: None)
        running = asyncio.create_task(session.run())
        before = said(place)
        place.unlink()
        write_token_file(place, TokenFile(before.port, "other"))
        assert "was deleted; it is there again" in await daemon.line_with("was deleted")
        assert said(place) == before
        assert await session.get("status", {}), "who had read the old one may go on"
        assert (await asyncio.to_thread(Client(place).get, "status"))["pid"] == daemon.process.pid
        assert await asyncio.to_thread(stop_daemon, place)
        assert await daemon.process.wait() == 0
        await running
        assert not place.exists()
