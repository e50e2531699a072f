"""How messages between the daemon and its engine process look on the wire."""

import marshal
import struct
from dataclasses import is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

import numpy as np

from scrubjay.protocol.contexts import EngineStatus
from scrubjay.protocol.messages import (
    AskStatus,
    Close,
    Done,
    Embedded,
    Failed,
    LoadFailed,
    LoadProgress,
    Message,
    Open,
    Opened,
    Piece,
    PrefillDone,
    PrefillProgress,
    Run,
    Stop,
    Stopped,
)
from scrubjay.protocol.records import Forget, Forgotten
from scrubjay.tokens import EMPTY, Tokens, frozen, n_shared

_TYPES: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in (
        Open, Run, Stop, AskStatus, Forget, Close,
        LoadProgress, Opened, LoadFailed, PrefillProgress, PrefillDone, Piece, Embedded, Done, Stopped, Failed, Forgotten,
        EngineStatus,
    )
}  # fmt: skip
_LENGTHS = struct.Struct("<II")
_ARRAYS = (Tokens, tuple[Tokens, ...])


@cache
def _fields(cls: Any) -> tuple[tuple[str, Any], ...]:
    """The fields of `cls` that are in a header, each with the class of what is nested there, if anything is."""
    types = get_type_hints(cls)
    return tuple((name, _nested(types[name])) for name in types if types[name] not in _ARRAYS)


def _nested(declared: Any) -> Any:
    inner: Any = (get_args(declared) or (declared,))[0]
    return inner if is_dataclass(inner) else None


def _row(thing: Any) -> list[Any]:
    """The values of the fields of `thing`; rows take the place of what is nested, alone or in a tuple."""
    row = [(getattr(thing, name), nested) for name, nested in _fields(thing.__class__)]
    return [value if nested is None or value is None else _rows(value) for value, nested in row]


def _rows(value: Any) -> Any:
    return tuple(map(_row, value)) if isinstance(value, tuple) else _row(value)


def _built(cls: Any, row: list[Any], **more: object) -> Any:
    """What `_row` made `row` of; `more` are the other fields."""
    named = zip(_fields(cls), row, strict=True)
    return cls(**{name: _unpacked(nested, value) if nested else value for (name, nested), value in named}, **more)


def _unpacked(cls: Any, value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_built(cls, row) for row in value)
    return value and _built(cls, value)


def encode(message: Message, before: Run | None = None) -> bytes:
    """The frame of `message`; `before` was the last `Run` that was sent to the same reader."""
    tokens, n_same = EMPTY, 0
    if isinstance(message, Run):
        tokens = message.tokens
        n_same = n_shared(before.tokens, before.parts, tokens, message.parts) if before else 0
    payload = tokens[n_same:].astype("<i4", copy=False).tobytes()
    header = marshal.dumps((type(message).__name__, n_same, _row(message)))
    return _LENGTHS.pack(len(header), len(payload)) + header + payload


class Decoder:
    """Turns a stream of bytes into messages, however the stream was cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._before = EMPTY

    def feed(self, data: bytes) -> list[Message]:
        """The messages completed by `data`, in order."""
        self._buffer += data
        messages = []
        while (end := self._frame_end()) is not None:
            frame = bytes(self._buffer[_LENGTHS.size : end])
            n_header = _LENGTHS.unpack_from(self._buffer)[0]
            del self._buffer[:end]
            message = _message(frame[:n_header], frame[n_header:], self._before)
            if isinstance(message, Run):
                self._before = message.tokens
            messages.append(message)
        return messages

    def _frame_end(self) -> int | None:
        if len(self._buffer) < _LENGTHS.size:
            return None
        end = _LENGTHS.size + sum(_LENGTHS.unpack_from(self._buffer))
        return end if len(self._buffer) >= end else None


def _message(header: bytes, payload: bytes, before: Tokens) -> Message:
    name, n_same, row = marshal.loads(header)
    more = {}
    if name == Run.__name__:
        more["tokens"] = frozen(np.concatenate([before[:n_same], np.frombuffer(payload, dtype="<i4")], dtype=np.int32))
    message: Message = _built(_TYPES[name], row, **more)
    return message
