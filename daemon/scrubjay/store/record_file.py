"""The format of a record: one file for the tokens [begin, end) of a prefix, with the memory and the saved states they left.

    prefix    magic, version, length of the description, number of tokens, checksum of both
    description   JSON: what it was made with, whose it is, its range, the names of both prefixes, sizes and checksums
    tokens        int32, little endian
    memory        the attention's memory of the tokens
    states        saved states after some of them, in order

Everything is checked before it is used: the first three parts when a folder is opened, memory and states when they are read.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash

from scrubjay.context_keys import group_of
from scrubjay.errors import ScrubjayError
from scrubjay.store.files import Bytes, view_of
from scrubjay.tokens import Tokens, as_tokens, frozen, prefix_digest

MAGIC = b"SCRUBJAY"
VERSION = 1
_PREFIX = struct.Struct("<8sIII16s")
MAX_DESCRIPTION_BYTES = 1 << 16
MAX_TOKENS = 1 << 22

Origin = Mapping[str, str | int | bool]
"""What a record was made with: all that must be equal for its bytes to mean the same."""


class RecordRefused(ScrubjayError):
    """A file is no record that this program can use."""


@dataclass(frozen=True, slots=True)
class Section:
    """Some bytes of a record's file."""

    offset: int
    size: int
    checksum: bytes

    def is_right(self, data: Bytes) -> bool:
        """Whether `data` are its bytes."""
        return view_of(data).nbytes == self.size and xxhash.xxh3_128_digest(view_of(data)) == self.checksum


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a record without its memory and states.

    Args:
        origin: what it was made with.
        key: whose it is: a project's root, or the key of a context that no project claims.
        begin: how many tokens come before its own.
        tokens: its own tokens.
        before: name of the prefix of `begin` tokens.
        memory: None for a model without attention.
        states: by the number of tokens that they follow.
        size: bytes of the whole file.
    """

    origin: Origin
    key: str
    begin: int
    tokens: Tokens
    before: bytes
    memory: Section | None
    states: Mapping[int, Section]
    size: int

    @property
    def end(self) -> int:
        return self.begin + len(self.tokens)


@dataclass(frozen=True, slots=True)
class Draft:
    """A record to be written.

    Args:
        tokens: all of the prefix, the first `begin` of which are not its own.
        memory: of its own tokens; None for a model without attention.
        states: number of tokens and bytes of each, in order; after more than `begin` tokens.
    """

    key: str
    tokens: Tokens
    begin: int
    memory: Bytes | None
    states: Sequence[tuple[int, Bytes]]

    @property
    def parts(self) -> list[Bytes]:
        """What follows the head of the file, in order."""
        return [*([] if self.memory is None else [self.memory]), *(state for _, state in self.states)]

    def name(self, origin: Origin) -> str:
        """Equal for records that are of the same use to the same group."""
        made_with = json.dumps(dict(origin), sort_keys=True).encode()
        ends = [len(self.tokens), self.begin, *(n for n, _ in self.states)]
        names = prefix_digest(self.tokens, len(self.tokens)) + prefix_digest(self.tokens, self.begin)
        return xxhash.xxh3_128_hexdigest(
            made_with + names + struct.pack(f"<{len(ends)}Q", *ends) + group_of(self.key).encode()
        )


def head_of(draft: Draft, origin: Origin) -> bytes:
    """The beginning of the file of `draft`, to be followed by its `parts`."""
    own = np.ascontiguousarray(draft.tokens[draft.begin :], dtype="<i4").tobytes()
    description = {
        "origin": dict(origin),
        "key": draft.key,
        "begin": draft.begin,
        "before": prefix_digest(draft.tokens, draft.begin).hex(),
        "memory": None if draft.memory is None else _described(draft.memory),
        "states": [[n, *_described(state)] for n, state in draft.states],
    }
    text = json.dumps(description, sort_keys=True).encode()
    return _PREFIX.pack(MAGIC, VERSION, len(text), len(own) // 4, xxhash.xxh3_128_digest(text + own)) + text + own


def _described(data: Bytes) -> tuple[int, str]:
    return view_of(data).nbytes, xxhash.xxh3_128_hexdigest(view_of(data))


def size_of_head(beginning: bytes) -> int:
    """How many bytes the part before memory and states has, by the first bytes of a file.

    Raises:
        RecordRefused: it is no record, or one of another version.
    """
    if len(beginning) < _PREFIX.size:
        raise RecordRefused("It is too short.")
    magic, version, n_text, n_tokens, _ = _PREFIX.unpack_from(beginning)
    if magic != MAGIC:
        raise RecordRefused("It is no record.")
    if version != VERSION:
        raise RecordRefused(f"It has version {version} of the format.")
    if n_text > MAX_DESCRIPTION_BYTES or not 0 < n_tokens <= MAX_TOKENS:
        raise RecordRefused("Its lengths are impossible.")
    return int(_PREFIX.size + n_text + 4 * n_tokens)


def parse_head(head: bytes, size: int) -> Record:
    """The record whose file begins with `head` and has `size` bytes.

    Raises:
        RecordRefused: something about it is not as it must be.
    """
    if len(head) < size_of_head(head):
        raise RecordRefused("It is too short.")
    _, _, n_text, n_tokens, checksum = _PREFIX.unpack_from(head)
    end = _PREFIX.size + n_text
    text, own = head[_PREFIX.size : end], head[end : end + 4 * n_tokens]
    if xxhash.xxh3_128_digest(text + own) != checksum:
        raise RecordRefused("Its checksum is wrong.")
    try:
        record = _record(json.loads(text), frozen(as_tokens(np.frombuffer(own, dtype="<i4"))), end + 4 * n_tokens)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordRefused(f"Its description is not as it should be: {error!r}.") from error
    if record.size != size:
        raise RecordRefused(f"It has {size} bytes and not {record.size}.")
    return record


def _record(described: Mapping[str, Any], tokens: Tokens, offset: int) -> Record:
    memory = None
    if described["memory"] is not None:
        memory = _section(offset, *described["memory"])
        offset += memory.size
    begin = int(described["begin"])
    states: dict[int, Section] = {}
    for n, *facts in described["states"]:
        if not max([begin, *states]) < n <= begin + len(tokens):
            raise ValueError(f"a state after {n} tokens")
        states[int(n)] = section = _section(offset, *facts)
        offset += section.size
    before = bytes.fromhex(described["before"])
    if begin < 0 or len(before) != 16:
        raise ValueError(f"{begin} tokens before")
    return Record(dict(described["origin"]), str(described["key"]), begin, tokens, before, memory, states, offset)


def _section(offset: int, size: int, checksum: str) -> Section:
    if int(size) <= 0:
        raise ValueError(f"a part of {size} bytes")
    return Section(offset, int(size), bytes.fromhex(checksum))
