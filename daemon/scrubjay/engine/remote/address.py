"""Where a remote model is, and the key that its server wants. Nothing here asks the network."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from scrubjay.config import REMOTE_KEY_VARIABLE
from scrubjay.errors import UsageError

_NAME = re.compile(r"remote(?:\+(?P<dialect>\w+))?:(?P<url>.*)", re.DOTALL)
_FORM = "remote:http://HOST:PORT/v1 (vLLM, SGLang) or remote+llama:http://HOST:PORT (llama-server, Scrubjay)"


@dataclass(frozen=True, slots=True)
class RemoteAddress:
    """`remote[+llama]:URL[#MODEL]`.

    Args:
        dialect: whose routes the server has: OpenAI's completions, or those of llama.cpp's server.
        url: without a slash at its end, nor anything secret.
        model: which of the served models, "" for the only one.
    """

    dialect: Literal["openai", "llama"]
    url: str
    model: str = ""

    @property
    def root(self) -> str:
        """Where the routes are that OpenAI does not have."""
        return self.url.removesuffix("/v1")

    @property
    def is_readable(self) -> bool:
        """Whether others on the way can read what is sent, the key included."""
        url = urlsplit(self.url)
        return url.scheme == "http" and url.hostname not in ("localhost", "127.0.0.1", "::1")


def is_remote(name: str) -> bool:
    """Whether a model's `name` says that another server runs it."""
    return _NAME.match(name) is not None


def parse_remote(name: str) -> RemoteAddress:
    """The parts of the name of a remote model.

    Raises:
        UsageError: it is not of the form above.
    """
    match = _NAME.fullmatch(name)
    dialect = match["dialect"] if match else ""
    if not match or dialect not in (None, "llama"):
        raise UsageError(f"{_without_secrets(name)!r} is no remote model; write {_FORM}.")
    try:
        url = urlsplit(match["url"])
        is_address = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and not url.query
    except ValueError:
        is_address = False
    if not is_address:
        raise UsageError(f"{_without_secrets(name)!r} has no address in it; write {_FORM}.")
    if url.username or url.password:
        raise UsageError(
            f"Keys do not belong into an address, where others see them; use --remote-key-file or {REMOTE_KEY_VARIABLE}."
        )
    clean = f"{url.scheme}://{url.netloc}{url.path.rstrip('/')}"
    if dialect:
        return RemoteAddress("llama", clean.removesuffix("/v1"))
    return RemoteAddress("openai", clean, url.fragment)


def read_key(file: str) -> str:
    """The key of a remote model's server, "" for none.

    Args:
        file: has the key and nothing else; "" for what is in `REMOTE_KEY_VARIABLE`, if that is set.

    Raises:
        UsageError: the file cannot be read, or the key cannot be sent.
    """
    key = (_from_file(Path(file)) if file else os.environ.get(REMOTE_KEY_VARIABLE, "")).strip()
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"The key in {file or REMOTE_KEY_VARIABLE} has characters that no header can have.")
    return key


def _from_file(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"The key of the remote model cannot be read from {path}: {why}.") from error


def _without_secrets(name: str) -> str:
    """`name`, without what stands before the host."""
    return re.sub(r"//[^/@]*@", "//", name)
