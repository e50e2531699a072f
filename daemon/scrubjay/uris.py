"""What URIs of documents mean: the one path on disk that all spellings of a URI name."""

import os
import re
import unicodedata
from urllib.parse import unquote

_LOCAL_HOSTS = ("", "localhost")
_FILE = re.compile(r"file:(?://([^/]*)(?=/)|(?!//))(/.*)", re.IGNORECASE | re.DOTALL)
_NOTEBOOK_CELL = re.compile(
    r"vscode-notebook-cell:(?://([^/]*)(?=/)|(?!//))(/[^#?]*)[^#]*#?(.*)", re.IGNORECASE | re.DOTALL
)
_DRIVE = re.compile(r"/([A-Za-z])[:|](?=/|$)")


def path_of(uri: str) -> str | None:
    """The path that a `file:` URI names, None for any other and for files of other machines. Does not look at the disk."""
    match = _FILE.fullmatch(uri)
    return _local_path(match) if match else None


def notebook_of(uri: str) -> tuple[str, str] | None:
    """The path of the notebook to which a cell's URI belongs, and the cell's name; None for what is no cell."""
    match = _NOTEBOOK_CELL.fullmatch(uri)
    path = _local_path(match) if match else None
    return (path, match[3]) if match and path else None


def canonical_path(path: str) -> str:
    """The one path that all spellings of `path`, an absolute one, mean: links resolved, names as the disk has them.

    What the disk refuses (folders that must not be read, names that are too long, zero bytes) counts as not there.
    """
    try:
        path = os.path.realpath(path)
    except (OSError, ValueError):
        return os.path.normpath(path)
    return path if path.isascii() else _as_on_disk(path)


def exists(path: str) -> bool:
    """Whether there is something at `path` as far as the disk says it."""
    try:
        os.lstat(path)
    except (OSError, ValueError):
        return False
    return True


def _local_path(match: re.Match[str]) -> str | None:
    if (match[1] or "").lower() not in _LOCAL_HOSTS:
        return None
    path = unquote(match[2], errors="surrogateescape")
    # Editors do not agree on the case of a drive's letter, nor on whether its colon is encoded.
    return _DRIVE.sub(lambda drive: f"/{drive[1].lower()}:", path, count=1) if _DRIVE.match(path) else path


def _as_on_disk(path: str) -> str:
    """`path` with each name composed or decomposed (NFC, NFD), whichever is there; as it is where neither is."""
    found = ""
    for name in path.split("/")[1:]:
        spellings = (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))
        there = (spelling for spelling in spellings if name.isascii() or exists(f"{found}/{spelling}"))
        found = f"{found}/{next(there, name)}"
    return found
