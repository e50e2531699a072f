"""What is to be typed to make the new version of a file out of the old one, and which of it is a repetition."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache, lru_cache
from itertools import accumulate, pairwise

from scrubjay.nextedit.lexing import is_word, tokens_of

MAX_ALIGNED = 40_000
SIMILAR = 0.5
N_BESIDE = 8
"""Tokens on either side that can tell where a change is to be repeated."""
MAX_COMPARED = 50

Change = tuple[tuple[str, ...], tuple[str, ...], str, str]
"""Tokens that went, tokens that came, and the neighbours."""
Place = tuple[str, int, int]
"""A file, a part of it, and a line of what this part is to be."""


def words_of(text: str) -> list[str]:
    return [token.text for token in tokens_of(text)]


@lru_cache(maxsize=1 << 16)
def _words_of_line(line: str) -> list[str]:
    return words_of(line)


def distance(a: list[str], b: list[str]) -> int:
    """How many tokens have to go or to come to make `a` into `b`."""
    # The longest common subsequence by bits of long integers: a bit that is not set in `row` is one token more.
    places: dict[str, int] = {}
    for at, token in enumerate(b):
        places[token] = places.get(token, 0) | 1 << at
    every = (1 << len(b)) - 1
    row = every
    for token in a:
        here = row & places.get(token, 0)
        row = (row + here | row - here) & every
    return len(a) + len(b) - 2 * (len(b) - row.bit_count())


@dataclass(slots=True)
class Hunk:
    """Lines as they are, and as they are to be. In a long one each line goes, then each comes: no line becomes another."""

    current: str
    target: str
    is_long: bool = False
    _changes: tuple[str, list[tuple[int, Change]]] = ("", [])
    _pairs: tuple[str | None, list[tuple[str, str]]] = (None, [])

    @classmethod
    def of(cls, old: list[str], new: list[str]) -> "Hunk":
        return cls("".join(old), "".join(new), old != new and len(old) * len(new) > MAX_ALIGNED)

    def steps(self) -> Iterator[tuple[int, int, str]]:
        """What to type, line by line: each step replaces [start, end) of `current` as the steps before have left it."""
        while self.current != self.target:
            yield self._next()

    def _next(self) -> tuple[int, int, str]:
        offset = 0
        for old, new in self.pairs():
            if old != new:
                first = next(
                    (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
                )
                rest_old, rest_new = old[first:], new[first:]
                n_same = next(
                    (i for i, (a, b) in enumerate(zip(rest_old[::-1], rest_new[::-1], strict=False)) if a != b),
                    min(len(rest_old), len(rest_new)),
                )
                return offset + first, offset + len(old) - n_same, rest_new[: len(rest_new) - n_same]
            offset += len(old)
        raise AssertionError

    def typed(self, current: str) -> None:
        """The next step was taken. What becomes of the lines below it was known before: it depends on them alone."""
        pairs = self.pairs()
        at = next(number for number, (old, new) in enumerate(pairs) if old != new)
        new = pairs[at][1]
        pairs = [*pairs[:at], *([(new, new)] if new else []), *pairs[at + 1 :]]
        lines = [old for old, _ in pairs if old]
        self.current = current
        if current.splitlines(keepends=True) == lines:
            self._pairs = current, pairs

    def pairs(self) -> list[tuple[str, str]]:
        """Lines with what becomes of them; "" for a line that comes, or that goes."""
        if self._pairs[0] != self.current:
            self._pairs = self.current, self._aligned()
        return self._pairs[1]

    def _aligned(self) -> list[tuple[str, str]]:
        a, b = self.current.splitlines(keepends=True), self.target.splitlines(keepends=True)
        if self.is_long:
            return [*((line, "") for line in a), *(("", line) for line in b)]
        costs = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
        similar = [[_similarity(x, y) for y in b] for x in a]
        for i in range(len(a) - 1, -1, -1):
            for j in range(len(b) - 1, -1, -1):
                match = similar[i][j] + costs[i + 1][j + 1] if similar[i][j] >= SIMILAR else -1.0
                costs[i][j] = max(match, costs[i + 1][j], costs[i][j + 1])
        found, i, j = [], 0, 0
        while i < len(a) or j < len(b):
            if (
                i < len(a)
                and j < len(b)
                and similar[i][j] >= SIMILAR
                and costs[i][j] == similar[i][j] + costs[i + 1][j + 1]
            ):
                found.append((a[i], b[j]))
                i, j = i + 1, j + 1
            elif i < len(a) and (j == len(b) or costs[i][j] == costs[i + 1][j]):
                found.append((a[i], ""))
                i += 1
            else:
                found.append(("", b[j]))
                j += 1
        return found

    def changes(self) -> list[tuple[int, Change]]:
        """The changes inside of lines that are still to be made, with the number of the line that comes of it."""
        if self._changes[0] != self.current:
            numbers = accumulate((bool(new) for _, new in self.pairs()), initial=0)
            pairs = [(n, *pair) for n, pair in zip(numbers, self.pairs(), strict=False) if all(pair)]
            found = [(n, change) for n, old, new in pairs if old != new for change, _ in changes_of(old, new)]
            self._changes = self.current, found
        return self._changes[1]


@lru_cache(maxsize=1 << 18)
def _similarity(a: str, b: str) -> float:
    if a == b:
        return 1.0
    if not a.strip() or not b.strip():
        return 0.0
    one, other = _words_of_line(a), _words_of_line(b)
    if 2 * min(len(one), len(other)) < SIMILAR * (len(one) + len(other)):
        return 0.0
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.ratio() if matcher.quick_ratio() >= SIMILAR else 0.0


@lru_cache(maxsize=1 << 16)
def changes_of(old: str, new: str) -> list[tuple[Change, tuple[int, int]]]:
    """The changes of a line, and which of its tokens go."""
    a, b = ["\n", *words_of(old)], ["\n", *words_of(new)]
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    spans = [(i, j, k, m) for tag, i, j, k, m in matcher.get_opcodes() if tag != "equal"]
    if len({(tuple(a[i:j]), tuple(b[k:m])) for i, j, k, m in spans}) > 1:
        spans = [(spans[0][0], spans[-1][1], spans[0][2], spans[-1][3])]
    found = [
        ((tuple(a[i:j]), tuple(b[k:m]), a[i - 1], a[j] if j < len(a) else "\n"), (i - 1, j - 1)) for i, j, k, m in spans
    ]
    return [change for change in found if any(map(is_word, change[0][0] + change[0][1]))]


@dataclass(slots=True)
class File:
    """A file as it is: lines that stay, and hunks."""

    key: str
    parts: list[Hunk]
    text: str

    @classmethod
    def of(cls, key: str, old: str, new: str) -> "File":
        a, b = old.splitlines(keepends=True), new.splitlines(keepends=True)
        matcher = SequenceMatcher(None, a, b, autojunk=False)
        return cls(key, [Hunk.of(a[i:j], b[k:m]) for _, i, j, k, m in matcher.get_opcodes()], old)

    def start_of(self, wanted: Hunk) -> int:
        return sum(len(part.current) for part in self.parts[: next(i for i, p in enumerate(self.parts) if p is wanted)])

    def holding(self, start: int, end: int) -> tuple[Hunk, int] | None:
        """The part in which [start, end) is, and where it begins."""
        at = 0
        for part in self.parts:
            if part.current != part.target and at <= start and end <= at + len(part.current):
                return part, at
            at += len(part.current)
        return None


# --- what can be foreseen --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Made:
    """A change, and the tokens of the old version before and after it, the nearest first."""

    place: Place
    before: tuple[str, ...]
    after: tuple[str, ...]


def foreseeable(files: Sequence[File]) -> set[tuple[Place, Change]]:
    """The changes that another one, made before, foretells.

    That one has to be equal, and what the two have in common beside them has to say where: of the places in the old
    version that have it, more become the same than do not.
    """
    streams = [words_of(file.text) for file in files]
    where: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for number, stream in enumerate(streams):
        for at, pair in enumerate(pairwise(stream)):
            where[pair].append((number, at))

    @cache
    def n_places(before: tuple[str, ...], old: tuple[str, ...], after: tuple[str, ...]) -> int:
        wanted, first = [*before[::-1], *old, *after], len(before) - 1
        pair = (wanted[first], wanted[first + 1])
        return sum(
            at >= first and streams[number][at - first : at - first + len(wanted)] == wanted
            for number, at in where[pair]
        )

    found = set()
    for change, made in _all_changes(files, streams).items():
        for index, one in enumerate(made):
            for before, after in {_common(one, other) for other in made[max(index - MAX_COMPARED, 0) : index]}:
                n_same = sum(
                    each.before[: len(before)] == before and each.after[: len(after)] == after for each in made
                )
                if 2 * n_same > n_places(before, change[0], after):
                    found.add((one.place, change))
                    break
    return found


def _common(one: _Made, other: _Made) -> tuple[tuple[str, ...], tuple[str, ...]]:
    before = next((n for n, (a, b) in enumerate(zip(one.before, other.before, strict=False)) if a != b), N_BESIDE)
    after = next((n for n, (a, b) in enumerate(zip(one.after, other.after, strict=False)) if a != b), N_BESIDE)
    return one.before[:before], one.after[:after]


def _all_changes(files: Sequence[File], streams: Sequence[list[str]]) -> dict[Change, list[_Made]]:
    """What is to be made, in the order in which it is typed."""
    found: dict[Change, list[_Made]] = defaultdict(list)
    for file, stream in zip(files, streams, strict=True):
        starts = [token.start for token in tokens_of(file.text)]
        offset = 0
        for number, part in enumerate(file.parts):
            line = 0
            for old, new in part.pairs() if part.current != part.target else ():
                if old and new and old != new:
                    first = bisect_left(starts, offset)
                    for change, (a, b) in changes_of(old, new):
                        start, end = first + a, first + b
                        before = tuple(stream[max(start - N_BESIDE, 0) : start][::-1])
                        found[change].append(
                            _Made((file.key, number, line), before, tuple(stream[end : end + N_BESIDE]))
                        )
                offset += len(old)
                line += bool(new)
            if part.current == part.target:
                offset += len(part.current)
    return found
