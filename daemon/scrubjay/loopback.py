"""TCP on loopback in place of a Unix socket: where a system has none, and in folders that cannot hold one.

At the path of the socket there is a *token file* then: a regular file that only its user can read, with the port and a random
token of this run of the daemon. A daemon that was killed leaves its file, and anybody may have got its port since. So whoever
connects has the other end prove first that it knows the token; the token itself is sent to nobody who has not.
"""

import errno
import hmac
import json
import os
import re
import secrets
import socket
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from scrubjay.errors import UsageError

HOST = "127.0.0.1"
VARIABLE = "SCRUBJAY_LOCAL"
"""Set to "tcp", has the daemon listen on loopback also where there are Unix sockets."""
PROOF = "/api/proof"
"""The one route that answers without the token: `?nonce=TEXT`, whose answer is `TokenFile.proof` of it."""
PROOF_S = 30.0
"""How long the other end may take to prove what it is, if nobody sets another limit."""
MAX_NONCE = 128
MAX_BYTES = 512
"""Of a token file or an answer: too little for lists in lists that are too deep to be read."""
_FORM = "tcp"
_TOKEN = re.compile(r"[\w-]+", re.ASCII)


def uses_unix_sockets(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a daemon that is started here listens on a Unix socket, or else on loopback.

    Clients go by what is at the path instead: it is the daemon's environment that counts.

    Raises:
        UsageError: the variable says neither.
    """
    wanted = environment.get(VARIABLE, "")
    if wanted not in ("", _FORM):
        raise UsageError(f"{VARIABLE} may be `tcp` or nothing, not {wanted!r}.")
    return hasattr(socket, "AF_UNIX") and not wanted


@dataclass(frozen=True, slots=True)
class TokenFile:
    """What a token file says: where a daemon listens, and what it and its clients know."""

    port: int
    token: str

    @property
    def headers(self) -> dict[str, str]:
        """What each request needs."""
        return {"Authorization": f"Bearer {self.token}"}

    def proof(self, nonce: str) -> str:
        """What only who knows the token can answer to `nonce`."""
        return proof(self.token, nonce)

    def connect(self, timeout_s: float | None) -> socket.socket:
        """A connection to the daemon of this file, which has proven that it is.

        Args:
            timeout_s: of the connection, then and later; None for none, but for the proof.

        Raises:
            TimeoutError: who listens there says nothing.
            ConnectionError: nobody listens there, or somebody else.
        """
        connection = socket.create_connection((HOST, self.port), timeout_s or PROOF_S)
        try:
            # A request is sent as its headers and its body: the second must not wait until the first is acknowledged.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._require_proof(connection)
            connection.settimeout(timeout_s)
        except BaseException:
            connection.close()
            raise
        return connection

    def _require_proof(self, connection: socket.socket) -> None:
        from http.client import HTTPException, HTTPResponse

        nonce = secrets.token_urlsafe(24)
        request = f"GET {PROOF}?nonce={quote(nonce)} HTTP/1.1\r\nHost: {HOST}:{self.port}\r\n\r\n"
        connection.sendall(request.encode("ascii"))
        try:
            with HTTPResponse(connection) as response:
                response.begin()
                answer = json.loads(response.read(MAX_BYTES))
        except (HTTPException, ValueError) as error:
            raise ConnectionError("what listens there is no daemon") from error
        given = answer.get("proof") if isinstance(answer, dict) else None
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), self.proof(nonce).encode()):
            raise ConnectionError("what listens there is not the daemon that wrote the file")


def new_token() -> str:
    """For one run of a daemon."""
    return secrets.token_urlsafe(32)


def proof(token: str, nonce: str) -> str:
    """See `TokenFile.proof`."""
    return hmac.new(token.encode(), nonce.encode("utf-8", "surrogatepass"), "sha256").hexdigest()


def bind() -> socket.socket:
    """A socket at a free port of this machine alone.

    Raises:
        OSError: there is none.
    """
    bound = socket.socket(socket.AF_INET)
    try:
        # Else another program could have the same port on Windows, and get what is meant for this one.
        if exclusive := getattr(socket, "SO_EXCLUSIVEADDRUSE", None):
            bound.setsockopt(socket.SOL_SOCKET, exclusive, 1)
        bound.bind((HOST, 0))
    except OSError:
        bound.close()
        raise
    return bound


def read_token_file(path: Path) -> TokenFile | None:
    """What the token file at `path` says; None if what is there is none."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return None
        with path.open("rb") as file:
            content = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError):
        return None
    match content:
        case {"scrubjay": "tcp", "port": int(port), "token": str(token)} if len(content) == 3:
            is_port = 0 < port < 1 << 16 and not isinstance(port, bool)
            return TokenFile(port, token) if is_port and _TOKEN.fullmatch(token) else None
    return None


def write_token_file(path: Path, said: TokenFile) -> None:
    """Put a token file at `path`, which must be free; who looks there sees all of it or nothing.

    Raises:
        OSError: it cannot be written, or not so that only this user can read it.
    """
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    written = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump({"scrubjay": _FORM, "port": said.port, "token": said.token}, file)
        _require_private(written)
        _require_free(path)
        written.replace(path)
    except BaseException:
        written.unlink(missing_ok=True)
        raise


def _require_private(path: Path) -> None:
    # Windows has no such bits: there the folder keeps others out.
    if hasattr(os, "geteuid") and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise PermissionError(errno.EPERM, "others could read the token in it")


def _require_free(path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
