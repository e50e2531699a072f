"""The vocabulary of a GGUF file as a file of its own, for daemons on other machines that make prompts for this model."""

import mmap
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from scrubjay.errors import ModelRefused

MAGIC = b"GGUF"
_HEADER = struct.Struct("<4sIQQ")
_LENGTH = struct.Struct("<Q")
_TYPE = struct.Struct("<I")
_ARRAY = struct.Struct("<IQ")
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value, by GGUF's number of its type."""
STRING_TYPE, ARRAY_TYPE = 8, 9
_ALIGNMENT = 32
_OF_PARTS = b"split."
"""Keys that say how many files the model has: this one is alone."""


def vocabulary_file(path: Path) -> bytes:
    """A GGUF file with everything that the one at `path` says of its model, the vocabulary included, and no weights.

    Takes some tenths of a second for a large vocabulary.

    Raises:
        ModelRefused: it cannot be read.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            version, n_keys = _head(data)
            kept = [data[start:end] for start, end, is_kept in _keys(data, n_keys) if is_kept]
    except (OSError, ValueError, struct.error, KeyError) as error:
        raise ModelRefused(f"The vocabulary of {path} cannot be read: {error}.") from error
    return without_weights(kept, version)


def without_weights(keys: Sequence[bytes], version: int = 3) -> bytes:
    """The GGUF file of `keys`, each with its value as such files have it, and of no tensors."""
    made = b"".join([_HEADER.pack(MAGIC, version, 0, len(keys)), *keys])
    return made + bytes(-len(made) % _ALIGNMENT)


def _head(data: mmap.mmap) -> tuple[int, int]:
    """The version, and the number of keys."""
    magic, version, _, n_keys = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ValueError("it is not a GGUF file")
    return version, n_keys


def _keys(data: mmap.mmap, n_keys: int) -> Iterator[tuple[int, int, bool]]:
    """Where each key begins and its value ends, and whether it is one of a vocabulary alone."""
    start = _HEADER.size
    for _ in range(n_keys):
        name = _after_string(data, start)
        (kind,) = _TYPE.unpack_from(data, name)
        end = _after_value(data, name + _TYPE.size, kind)
        if end > len(data):
            raise ValueError("it is cut off")
        yield start, end, not _is_of_parts(data, start + _LENGTH.size)
        start = end


def _after_string(data: mmap.mmap, at: int) -> int:
    return int(at + _LENGTH.size + _LENGTH.unpack_from(data, at)[0])


def _after_value(data: mmap.mmap, at: int, kind: int) -> int:
    if kind == STRING_TYPE:
        return _after_string(data, at)
    if kind != ARRAY_TYPE:
        return at + _SIZES[kind]
    inner, n = _ARRAY.unpack_from(data, at)
    at += _ARRAY.size
    if inner in _SIZES:
        return int(at + n * _SIZES[inner])
    for _ in range(n):
        at = _after_value(data, at, inner)
    return at


def _is_of_parts(data: mmap.mmap, at: int) -> bool:
    return data[at : at + len(_OF_PARTS)] == _OF_PARTS
