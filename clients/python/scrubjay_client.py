"""A client of Scrubjay's daemon in one file: copy it beside your script. It needs Python 3.11 and nothing else.

    with Scrubjay() as scrubjay:
        print(scrubjay.complete("main.py", line=12, column=9)["items"])

Lines and columns count from 1, columns in characters, as compilers and `scrubjay complete` count them.
"""

import hmac
import json
import os
import socket
import stat
import struct
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import urlencode
from uuid import uuid4

PROOF_S = 30.0
"""How long a daemon over TCP may take to prove what it is, if no other time is set."""
_ADVICE = "start the daemon with a socket in a folder of your own (--socket PATH)"
Event = dict[str, Any]
"""`type` says what it is: state, project, edit, progress, checkpoint, restore or completion."""


class Reuse(TypedDict):
    """What a prompt cost, in tokens: of `prompt`, `common` were there already and `processed` had to be processed.

    `state` is "ready", or "warming" if the model had no time for the prompt yet.
    """

    prompt: int
    common: int
    restored: int
    paged: int
    processed: int
    needed: int
    excess: int
    reason: str
    state: str


class Item(TypedDict):
    """One text for the place, and why it ends there."""

    text: str
    stop_reason: str
    n_tokens: int


class Cost(TypedDict):
    """What warming cost; times in milliseconds."""

    timings: dict[str, float]
    reuse: Reuse


class Completion(Cost):
    """Up to as many texts as were asked for, none if the model had nothing to say, and what they cost."""

    items: list[Item]
    version: int | None
    model: str


class ScrubjayError(Exception):
    """What is wrong and what to do, in one sentence.

    Args:
        status: of the daemon's HTTP answer; 0 if there was none.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Scrubjay:
    """The daemon as a script uses it: one request after the other.

    What the script has opened is its own: it does not touch what an editor has of the same file. Leaving the `with`
    block closes it; the model's context stays warm.

    Args:
        path: of the daemon's socket, or of its token file where that is TCP on loopback; None for the usual one.
        timeout_s: how long the daemon may be silent; None for as long as it likes.

    Raises:
        ScrubjayError: from every method: no daemon answers, it refuses the request, or a file cannot be read.
    """

    def __init__(self, path: Path | str | None = None, timeout_s: float | None = None) -> None:
        self.path = default_socket() if path is None else Path(path)
        self._timeout_s = timeout_s
        self._owner = f"script-{uuid4().hex}"
        self._versions: dict[str, int] = {}

    def __enter__(self) -> "Scrubjay":
        return self

    def __exit__(self, *_: object) -> None:
        # A daemon that is gone has closed everything.
        with suppress(ScrubjayError):
            for uri in list(self._versions):
                self._post("documents/close", {"uri": uri, "owner": self._owner})
                del self._versions[uri]

    def open(self, file: Path | str, text: str | None = None) -> None:
        """Show the daemon a file; all that are open make up the prompt. A second time, its new text.

        Args:
            text: of the file, which need not exist then; None for what is on disk.
        """
        uri = _uri(file)
        version = self._versions.get(uri, 0) + 1
        document = {"uri": uri, "text": _read(file) if text is None else text, "version": version}
        self._post("documents/open", {**document, "owner": self._owner})
        self._versions[uri] = version

    def complete(self, file: Path | str, line: int, column: int, n: int = 1, max_tokens: int = 128) -> Completion:
        """Up to `n` texts for a place of `file`, which is opened if it is not."""
        answer: Completion = self._post("complete", self._asked(file, line, column, n, max_tokens))
        return answer

    def stream(
        self, file: Path | str, line: int, column: int, max_tokens: int = 128
    ) -> Generator[str, None, Completion]:
        """The text for a place of `file` as it is written, piece by piece; the generator's value is the whole answer.

        Close it if you leave early: that ends the request.
        """
        request = {**self._asked(file, line, column, 1, max_tokens), "stream": True}
        with self._answer("POST", "complete", request) as response:
            for sent in response:
                answer: Any = json.loads(sent)
                _raise_error(answer)
                if "done" in answer:
                    del answer["done"]
                    done: Completion = answer
                    return done
                yield answer["text"]
        raise self._gone()

    def warm(self, file: Path | str, line: int | None = None, column: int = 1) -> Cost:
        """Have the prompt for a place of `file` processed ahead of need; without a line, for where the daemon expects it."""
        self._open_once(file)
        place = {} if line is None else _place(line, column)
        cost: Cost = self._post("warm", {"uri": _uri(file), "owner": self._owner, **place})
        return cost

    def tail(self, root: Path | str, name: str, text: str, *, once: bool = True) -> None:
        """Show the model a text after all files of the project at `root`, one of which is open: a compiler's output, say.

        It takes the place of one of the same name; an empty one only takes it away. `once`: for the next prompt alone.
        """
        self._post("tail", {"root": str(Path(root).absolute()), "name": name, "text": text, "once": once})

    def events(self) -> Iterator[Event]:
        """What happens in the daemon from now on; the first event is its state. Ends with the daemon."""
        with self._answer("GET", "events") as response:
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

    def get(self, route: str, **query: str) -> dict[str, Any]:
        """The answer to `GET /api/<route>`: "status", or "context" of a `root`."""
        with self._answer("GET", f"{route}?{urlencode(query)}" if query else route) as response:
            answer: dict[str, Any] = json.loads(response.read())
        return answer

    def _asked(self, file: Path | str, line: int, column: int, n: int, max_tokens: int) -> dict[str, Any]:
        self._open_once(file)
        which = {"uri": _uri(file), "owner": self._owner, **_place(line, column)}
        return {**which, "n": n, "max_tokens": max_tokens, "trigger": "invoked"}

    def _open_once(self, file: Path | str) -> None:
        if _uri(file) not in self._versions:
            self.open(file)

    def _post(self, route: str, body: Mapping[str, object]) -> Any:
        with self._answer("POST", route, body) as response:
            return json.loads(response.read())

    @contextmanager
    def _answer(self, method: str, route: str, body: Mapping[str, object] | None = None) -> Iterator[HTTPResponse]:
        connection = HTTPConnection("localhost")
        try:
            connection.sock, headers = _connect(self.path, self._timeout_s)
            content = None if body is None else json.dumps(body).encode("ascii")
            connection.request(method, f"/api/{route}", content, headers)
            response = connection.getresponse()
            if response.status >= 400:
                _raise_error(json.loads(response.read()))
            yield response
        except TimeoutError as error:
            raise ScrubjayError(
                f"The daemon on {self.path} has said nothing for {self._timeout_s or PROOF_S:g} s."
            ) from error
        except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
            raise self._gone() from error
        finally:
            connection.close()

    def _gone(self) -> ScrubjayError:
        return ScrubjayError(f"No Scrubjay daemon answers on {self.path}; `scrubjay start` starts one.")


def default_socket() -> Path:
    """Where the daemon listens if its configuration file does not say otherwise."""
    if named := os.environ.get("SCRUBJAY_SOCKET"):
        return Path(named).expanduser()
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "scrubjay" / "daemon.sock"
    user = os.getuid()
    folders = [
        Path(f"/run/user/{user}"),
        Path(tempfile.gettempdir()) / f"runtime-{user}",
        Path("~/Library/Caches/TemporaryItems").expanduser(),
    ]
    sockets = [folder / "scrubjay" / "daemon.sock" for folder in folders]
    return next((path for path in sockets if path.exists()), sockets[0])


def _connect(path: Path, timeout_s: float | None) -> tuple[socket.socket, dict[str, str]]:
    """A connection to the daemon, and the headers that requests on it need."""
    _require_own_folder(path.parent)
    if stat.S_ISREG(path.lstat().st_mode):
        return _connect_over_tcp(json.loads(path.read_text("ascii")), timeout_s)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        _require_own_peer(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection, {}


def _connect_over_tcp(said: dict[str, Any], timeout_s: float | None) -> tuple[socket.socket, dict[str, str]]:
    """The same where the socket's path is that of a file that says `said`: the port, and a token.

    The file may be old, and the port another program's by now: who listens has to prove that it knows the token, too.
    """
    port, token = int(said["port"]), str(said["token"])
    connection = socket.create_connection(("127.0.0.1", port), timeout_s or PROOF_S)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _require_proof(connection, token)
        connection.settimeout(timeout_s)
    except BaseException:
        connection.close()
        raise
    return connection, {"Authorization": f"Bearer {token}"}


def _require_proof(connection: socket.socket, token: str) -> None:
    nonce = uuid4().hex
    connection.sendall(f"GET /api/proof?nonce={nonce} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    with HTTPResponse(connection) as response:
        response.begin()
        given = str(json.loads(response.read(512))["proof"])
    expected = hmac.new(token.encode(), nonce.encode(), "sha256").hexdigest()
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise ConnectionError("another program has the port")


def _require_own_folder(folder: Path) -> None:
    """See that nobody else can put a socket there: what is sent holds source code."""
    status = folder.stat()
    if not hasattr(os, "geteuid"):
        return  # Windows keeps others out of its users' folders
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ScrubjayError(f"The folder {folder} belongs to another user, or others may write to it; {_ADVICE}.")


def _require_own_peer(connection: socket.socket, path: Path) -> None:
    """See that a process of this user listens at the other end, where the system can tell (Linux)."""
    if hasattr(socket, "SO_PEERCRED"):
        _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if user != os.geteuid():
            raise ScrubjayError(f"A program of another user (id {user}) listens on {path}; {_ADVICE}.")


def _uri(file: Path | str) -> str:
    return Path(file).absolute().as_uri()


def _read(file: Path | str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ScrubjayError(f"{file} cannot be read: {reason}.") from error


def _place(line: int, column: int) -> dict[str, object]:
    return {"position": {"line": line - 1, "character": column - 1}, "position_encoding": "utf-32"}


def _raise_error(answer: Mapping[str, Any]) -> None:
    """Raise what the daemon answers instead of what was asked for."""
    if error := answer.get("error"):
        raise ScrubjayError(error["message"], error["code"])
