"""Token files, and what of a program that has got the port of an old one."""

import json
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scrubjay import loopback
from scrubjay.errors import UsageError
from scrubjay.loopback import TokenFile, new_token, proof, read_token_file, uses_unix_sockets, write_token_file

PORTS = st.integers(1, 65535)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["scrubjay", "port", "token", "x"]), inner),
    max_leaves=5,
)
ANSWERS = {
    "an ssh server": b"SSH-2.0-OpenSSH_9.2\r\n",
    "a web server": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "a page": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
    "another daemon": b'HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n{"proof": "' + b"0" * 64 + b'"}',
    "a list": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    "a number": b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"proof": 1}',
    "a short proof": b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"proof": ""}',
    "a deep list": b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"[" * 9999,
    "no word": b"",
}


@contextmanager
def stranger(answer: bytes, is_silent: bool = False, port: int = 0) -> Iterator[tuple[int, list[bytes]]]:
    """A program on a port, and all that one client sends to it, which is complete afterwards."""
    received: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(ConnectionResetError):
            received.append(connection.recv(1 << 16))
            if not is_silent:
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(1 << 16):
                received.append(data)

    with closing(socket.create_server(("127.0.0.1", port))) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], received
        thread.join()


def test_which_form_a_daemon_has(monkeypatch: pytest.MonkeyPatch) -> None:
    assert uses_unix_sockets({})
    assert uses_unix_sockets({"SCRUBJAY_LOCAL": ""})
    assert not uses_unix_sockets({"SCRUBJAY_LOCAL": "tcp"})
    with pytest.raises(UsageError, match="SCRUBJAY_LOCAL may be `tcp`"):
        uses_unix_sockets({"SCRUBJAY_LOCAL": "pipe"})
    monkeypatch.delattr(socket, "AF_UNIX")
    assert not uses_unix_sockets({})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own") / "s"


@given(port=PORTS)
def test_what_is_written_is_read(port: int, place: Path) -> None:
    place.unlink(missing_ok=True)
    said = TokenFile(port, new_token())
    write_token_file(place, said)
    assert read_token_file(place) == said
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert [path.name for path in place.parent.iterdir()] == ["s"]


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    place = tmp_path / "s"
    place.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        write_token_file(place, TokenFile(1, "t"))
    assert [path.name for path in tmp_path.iterdir()] == ["s"]


@given(content=st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
@example(content=b"[" * 9999)
def test_no_other_file_is_a_token_file(content: bytes, place: Path) -> None:
    place.write_bytes(content)
    assert read_token_file(place) is None


@pytest.mark.parametrize(
    "change",
    [
        {"port": 0},
        {"port": 65536},
        {"port": True},
        {"port": "80"},
        {"token": ""},
        {"token": "a\r\nb: c"},
        {"token": "ä"},
        {"scrubjay": 1},
        {"more": 1},
    ],
    ids=str,
)
def test_a_file_that_is_almost_one_is_none(change: dict[str, object], tmp_path: Path) -> None:
    sound = {"scrubjay": "tcp", "port": 80, "token": "t"}
    (tmp_path / "s").write_text(json.dumps(sound))
    assert read_token_file(tmp_path / "s") == TokenFile(80, "t")
    (tmp_path / "s").write_text(json.dumps(sound | change))
    assert read_token_file(tmp_path / "s") is None
    assert read_token_file(tmp_path) is read_token_file(tmp_path / "none") is None


@given(st.text(min_size=1), st.text(min_size=1), st.text(), st.text())
def test_a_proof_is_of_one_token_and_one_nonce(token: str, other: str, nonce: str, another: str) -> None:
    is_same = (token, nonce) == (other, another)
    assert (proof(token, nonce) == proof(other, another)) is is_same


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_program_that_has_got_the_port_gets_nothing(kind: str) -> None:
    token = new_token()
    with stranger(ANSWERS[kind]) as (port, received), pytest.raises(ConnectionError):
        TokenFile(port, token).connect(10.0)
    [request, *more] = received
    assert request.startswith(b"GET /api/proof?nonce=")
    assert token.encode() not in request
    assert not more


def test_a_program_that_is_silent_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "PROOF_S", 0.1)
    for timeout_s in (0.1, None):
        with stranger(b"", is_silent=True) as (port, received), pytest.raises(TimeoutError):
            TokenFile(port, "t").connect(timeout_s)
        assert len(received) == 1


def test_nobody_on_the_port() -> None:
    with closing(loopback.bind()) as bound, pytest.raises(ConnectionError):
        TokenFile(bound.getsockname()[1], "t").connect(10.0)
