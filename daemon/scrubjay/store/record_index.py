"""Which records there are, and which of them have the beginning of a prompt. Bookkeeping only."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xxhash

from scrubjay.context_keys import group_of
from scrubjay.store.files import FileFacts
from scrubjay.store.record_file import Record
from scrubjay.tokens import EMPTY, Tokens, as_tokens, common_length


@dataclass(slots=True, eq=False)
class Filed:
    """A record in its file, and when it was used last, in nanoseconds."""

    path: Path
    record: Record
    used_ns: int


Part = tuple[Filed, int]
"""A record, and how far it goes with a prompt."""


@dataclass(frozen=True, slots=True)
class Found:
    """What records have of a prompt.

    Args:
        way: records that, one after the other, have the longest beginning of the prompt.
        states: by the number of tokens that they follow, the records with the states in that beginning: others, too.
    """

    way: list[Part]
    states: dict[int, Filed]

    @property
    def n_tokens(self) -> int:
        """How long that beginning is."""
        return self.way[-1][1] if self.way else 0

    def place(self, most: int, needs_state: bool) -> int:
        """After how many tokens, `most` at most, one would go on from here, perhaps only from a state."""
        if not needs_state:
            return min(self.n_tokens, most)
        return max((n for n in self.states if n <= most), default=0)


@dataclass(slots=True)
class RecordIndex:
    """Records by the prefixes that they continue.

    Attributes:
        others: files with records of other origins, which only take space.
    """

    others: dict[Path, FileFacts] = field(default_factory=dict)
    _by_begin: dict[int, dict[bytes, list[Filed]]] = field(default_factory=dict)
    _by_path: dict[Path, Filed] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._by_path)

    def __iter__(self) -> Iterator[Filed]:
        return iter(tuple(self._by_path.values()))

    @property
    def n_bytes(self) -> int:
        """Of all of them, the others included."""
        return sum(filed.record.size for filed in self) + sum(facts.size for facts in self.others.values())

    def add(self, filed: Filed) -> None:
        """Take in a record; one in the same file is replaced."""
        self.remove(filed.path)
        self._by_path[filed.path] = filed
        self._by_begin.setdefault(filed.record.begin, {}).setdefault(filed.record.before, []).append(filed)

    def remove(self, path: Path) -> None:
        """Forget the record in the file `path`, if there is one."""
        filed = self._by_path.pop(path, None)
        if filed is None:
            return
        named = self._by_begin[filed.record.begin]
        named[filed.record.before].remove(filed)
        if not named[filed.record.before]:
            del named[filed.record.before]
        if not named:
            del self._by_begin[filed.record.begin]

    def find(self, tokens: Tokens, longest: int, group: str = "") -> Found:
        """What records of `group`, of texts of at most `longest` tokens have of `tokens`."""
        parts = [
            (filed, begin + common_length(filed.record.tokens, tokens[begin:]))
            for begin, filed in self._starts(tokens, group)
            if filed.record.end <= longest
        ]
        way = _chained(parts)
        n = way[-1][1] if way else 0
        states = {at: filed for filed, end in parts for at in filed.record.states if at <= min(end, n)}
        return Found(way, states)

    def recent_tokens(self) -> tuple[Tokens, str]:
        """The longest text whose parts are those records of its beginning that were used last, and whose group it is."""
        tokens = EMPTY
        last = max(self, key=lambda filed: filed.used_ns, default=None)
        group = group_of(last.record.key) if last else ""
        while True:
            longer = [
                filed for begin, filed in self._starts(tokens, group) if begin + len(filed.record.tokens) > len(tokens)
            ]
            if not longer:
                return tokens, group
            # Of equals the first in the text: the others continue it.
            best = max(longer, key=lambda filed: (filed.used_ns, -filed.record.end)).record
            tokens = as_tokens(np.concatenate([tokens[: best.begin], best.tokens]))

    def _starts(self, tokens: Tokens, group: str) -> list[tuple[int, Filed]]:
        """All records of `group` that continue a beginning of `tokens`."""
        data = np.ascontiguousarray(tokens, dtype="<i4")
        name, done = xxhash.xxh3_128(), 0
        starts: list[tuple[int, Filed]] = []
        # The same names as of `prefix_digest`, in one pass over the tokens.
        for begin in sorted(begin for begin in self._by_begin if begin <= len(tokens)):
            name.update(data[done:begin].data)
            done = begin
            named = self._by_begin[begin].get(name.digest(), ())
            starts += [(begin, filed) for filed in named if group_of(filed.record.key) == group]
        return starts


def _chained(parts: list[Part]) -> list[Part]:
    """The first begins with the first token, each other one within what those before it have."""
    way: list[Part] = []
    n = 0
    while fitting := [(filed, end) for filed, end in parts if filed.record.begin <= n < end]:
        way.append(max(fitting, key=lambda part: part[1]))
        n = way[-1][1]
    return way
