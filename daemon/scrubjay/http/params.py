"""Reading what clients send: every field by name and type, with a sentence for each that is wrong.

A field that is null counts as absent; unknown fields are ignored.
"""

import asyncio
import json
import math
import re
from codecs import iterdecode
from collections.abc import Awaitable, Callable, Mapping, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from json.decoder import JSONArray, JSONObject, scanstring  # type: ignore[attr-defined]
from json.scanner import py_make_scanner  # type: ignore[attr-defined]
from typing import Any, TypeVar

from aiohttp import web

from scrubjay.errors import RequestError
from scrubjay.workspace.text import Change, Position, PositionEncoding

T = TypeVar("T", bound=str)
V = TypeVar("V")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Id = str | int
"""What a client may call a request."""
Fields = Mapping[str, Callable[["Params", str], Any]]
"""Fields by name, each with the method of `Params` that reads it."""
MAX_INTEGER = 2**53
MAX_ITEMS = 10_000
MAX_TEXTS = 1_000
"""Of arrays: each item is read on the event loop, and generated text is searched for each stop string."""
_ENCODINGS: tuple[PositionEncoding, ...] = ("utf-8", "utf-16", "utf-32")
_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
}


MAX_BODY = 16 << 20
"""Bytes of a request: they are copied and decoded as a whole, and more would be noticed by everybody."""
MAX_VALUES = 1 << 19
"""Of one body: freeing its values, or looking through them for garbage, cannot be interrupted either."""
N_SLICE = 1 << 18
"""Bytes of a body, and characters of a string, that are read at a time."""
N_OF_CONTAINER = 4
"""As many values an object or an array counts for, beside what is in it."""
AT_ONCE = 32 << 10
"""Bytes of JSON that are read on the event loop, in a few milliseconds at most; more goes to a thread."""
LARGE = 1 << 20
"""Bytes of JSON that are read in another thread than smaller ones, which then need not wait for them."""
# One thread each: for the interpreter the event loop waits once for every thread that works.
_SMALLER_BODIES, _LARGE_BODIES = ThreadPoolExecutor(1, "bodies"), ThreadPoolExecutor(1, "large-bodies")
TOO_LARGE = f"The request is larger than {MAX_BODY >> 20} MiB; leave such texts out."


def parse_object(body: bytes | str) -> "Params":
    """The fields of a JSON object; an empty body is an empty object.

    Raises:
        RequestError: it is not JSON, or not an object.
    """
    return Params.of(_parsed(body, json.loads), "The body")


async def read_any_size(body: bytes | str, read: Callable[["Params"], V]) -> V:
    """What `read` makes of the fields of `body`. Nobody else has to wait for it: what is long is read in a thread.

    Raises:
        RequestError: as `parse_object`; or 413, it is too large; or what `read` raises.
    """
    if len(body) <= AT_ONCE:
        return read(parse_object(body))
    if len(body) > MAX_BODY:
        raise RequestError(TOO_LARGE, 413)

    def parse_and_read() -> V:  # so that the values are freed in the thread, too
        return read(Params.of(_parsed(body, _Interruptible().decode), "The body"))

    executor = _SMALLER_BODIES if len(body) <= LARGE else _LARGE_BODIES
    return await asyncio.get_running_loop().run_in_executor(executor, parse_and_read)


def _parsed(body: bytes | str, parse: Callable[[str], Any]) -> Any:
    try:
        text = body if isinstance(body, str) else _decoded(body)
        # A byte order mark is no JSON, but some write it.
        return parse(text.removeprefix("\ufeff")) if body else {}
    except (ValueError, RecursionError) as error:
        raise RequestError(f"The body is not JSON ({error}); send one JSON object.") from error


def _decoded(body: bytes) -> str:
    """Its text, read in slices: where not all is ASCII, other threads would wait for one call."""
    slices = (body[start : start + N_SLICE] for start in range(0, len(body), N_SLICE))
    return "".join(iterdecode(slices, json.detect_encoding(body)))


# Where a string may be cut: before an escape that is none's second half, or after characters of which none is an escape's.
_CUT = re.compile(r"(?<!\\)(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\|(?<=[^\\]{12})[^\\]")


def string_in_slices(text: str, begin: int, strict: bool = True, n_slice: int = N_SLICE) -> tuple[str, int]:
    """`json.decoder.scanstring`, which is one call for a string of any length, in calls for about `n_slice` characters."""
    parts: list[str] = []
    while cut := _CUT.search(text, begin + n_slice, begin + 2 * n_slice):
        part, n = scanstring(text[begin : cut.start()] + '"', 0, strict)
        parts.append(part)
        if n <= cut.start() - begin:
            return "".join(parts), begin + n
        begin = cut.start()
    last, end = scanstring(text, begin, strict)
    return "".join((*parts, last)), end


class _Interruptible(json.JSONDecoder):
    """Reads one text with functions of Python's, a value at a time: between them the event loop has its turn."""

    def __init__(self) -> None:
        super().__init__()
        self._n_values = 0
        self.parse_object = lambda *arguments: self._counted(*JSONObject(*arguments))
        self.parse_array = lambda *arguments: self._counted(*JSONArray(*arguments))
        self.parse_string = string_in_slices
        self.scan_once = py_make_scanner(self)

    def _counted(self, values: Sized, end: int) -> tuple[Sized, int]:
        """Raises:
        RequestError: there are too many values.
        """
        self._n_values += N_OF_CONTAINER + len(values)
        if self._n_values > MAX_VALUES:
            raise RequestError(f"The request has more than {MAX_VALUES} values; send fewer.", 413)
        return values, end


class Params:
    """The fields of one JSON object.

    Each method returns a field's value, or the default if there is one and the field is absent.

    Raises:
        RequestError: the field is missing, or of a wrong type or value.
    """

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self._values = values
        self._path = path

    @classmethod
    def of(cls, value: object, name: str, path: str = "") -> "Params":
        """The fields of `value`, which must be an object."""
        if not isinstance(value, dict):
            raise RequestError(f"{name} must be a JSON object, not {kind_of(value)}.")
        return cls(value, path)

    @property
    def values(self) -> dict[str, Any]:
        """All fields as they were sent."""
        return dict(self._values)

    def read(self, fields: Fields) -> dict[str, Any]:
        """The values of several fields by name."""
        return {name: read(self, name) for name, read in fields.items()}

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        value = self._get(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "a string", value)
        return value

    def integer(self, name: str, default: int | None = None, low: int = 0, high: int = MAX_INTEGER) -> int:
        value = self._get(name, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(name, "an integer", value)
        if not low <= value <= high:
            raise RequestError(f"`{self._path}{name}` must be between {low} and {high}.")
        return value

    def number(self, name: str, default: float | None = None, low: float = 0.0, high: float = 1e9) -> float:
        value = self._get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self._wrong(name, "a number", value)
        # Not of an integer: it may be too large for a float.
        if (isinstance(value, float) and not math.isfinite(value)) or not low <= value <= high:
            raise RequestError(f"`{self._path}{name}` must be between {low:g} and {high:g}.")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self._get(name, default)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def choice(self, name: str, allowed: Sequence[T], default: T) -> T:
        value = self._get(name, default)
        for option in allowed:
            if value == option:
                return option
        raise RequestError(f"`{self._path}{name}` must be one of {', '.join(allowed)}.")

    def texts(self, name: str) -> tuple[str, ...]:
        """A string or an array of strings; empty ones do not count."""
        value = self._get(name, ())
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list | tuple) or not set(map(type, values)) <= {str}:
            raise self._wrong(name, "a string or an array of strings", value)
        self._require_few(name, values, MAX_TEXTS)
        return tuple(item for item in values if item)

    def identity(self, name: str) -> Id:
        value = self._get(name, None)
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise self._wrong(name, "an integer or a string", value)
        return value

    def nested(self, name: str) -> "Params":
        value = self._get(name, None)
        return Params.of(value, f"`{self._path}{name}`", f"{self._path}{name}.")

    def items(self, name: str) -> list["Params"]:
        """An array of objects."""
        value = self._get(name, None)
        if not isinstance(value, list):
            raise self._wrong(name, "an array", value)
        self._require_few(name, value, MAX_ITEMS)
        paths = [f"{self._path}{name}[{index}]" for index in range(len(value))]
        return [Params.of(item, f"`{path}`", f"{path}.") for item, path in zip(value, paths, strict=True)]

    def _get(self, name: str, default: object) -> object:
        value = self._values.get(name)
        if value is not None:
            return value
        if default is None:
            raise RequestError(f"`{self._path}{name}` is missing.")
        return default

    def _require_few(self, name: str, values: Sized, most: int) -> None:
        if len(values) > most:
            raise RequestError(f"`{self._path}{name}` has {len(values)} items; send at most {most}.")

    def _wrong(self, name: str, wanted: str, value: object) -> RequestError:
        return RequestError(f"`{self._path}{name}` must be {wanted}, not {kind_of(value)}.")


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


def optional(read: Callable[[Params, str], V]) -> Callable[[Params, str], V | None]:
    """The reader of a field that may be absent, and is None then; `read` reads it where it is there."""

    def read_if_there(params: Params, name: str) -> V | None:
        return read(params, name) if params.has(name) else None

    return read_if_there


def position_of(params: Params, name: str) -> Position:
    place = params.nested(name)
    return Position(place.integer("line"), place.integer("character"))


def encoding_of(params: Params, name: str = "position_encoding") -> PositionEncoding:
    return params.choice(name, _ENCODINGS, "utf-16")


def changes_of(params: Params, name: str) -> tuple[Change, ...]:
    return tuple(map(_change, params.items(name)))


def _change(item: Params) -> Change:
    text = item.text("text")
    if not item.has("range"):
        return Change(text)
    area = item.nested("range")
    return Change(text, position_of(area, "start"), position_of(area, "end"))


BODY_S = 60.0
"""How long a client may take to send its body."""


async def read_params(request: web.Request, read: Callable[[Params], V]) -> V:
    """What `read` makes of the fields of the JSON object that `request` brings; no body counts as an empty object.

    Raises:
        RequestError: 408, it took too long; 400, it is no JSON object; or what `read` raises.
    """
    try:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
    except TimeoutError as error:
        raise RequestError(f"The body did not come within {BODY_S:g} s; send it again.", 408) from error
    return await read_any_size(body, read)
