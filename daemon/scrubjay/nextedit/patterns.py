"""What examples have in common, and where else that is found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from scrubjay.code_text import indent_of
from scrubjay.nextedit.examples import Example
from scrubjay.nextedit.lexing import Token, is_word, line_bounds, tokens_of

MAX_HOLES = 3
MAX_HITS = 60
"""A word that is more frequent is no place to look at."""
_HOLE = "\0"
_ANY = _HOLE
"""Any word, wherever it stands for one."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """`old` between `left` and `right` becomes `new`. A token that begins with a zero byte stands for any word.

    Args:
        example: one of what it was made of; the white space is as there.
        n_examples: how many were alike.
    """

    left: tuple[str, ...]
    old: tuple[str, ...]
    new: tuple[str, ...]
    right: tuple[str, ...]
    example: Example
    n_examples: int

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        return self.left, self.old, self.new, self.right

    @property
    def whole(self) -> tuple[str, ...]:
        return self.left + self.old + self.right

    @property
    def anchor(self) -> int | None:
        """Which token to look for: the longest word."""
        words = [
            (len(token), -at) for at, token in enumerate(self.whole) if not token.startswith(_HOLE) and is_word(token)
        ]
        return -max(words)[1] if words else None

    @property
    def n_words(self) -> int:
        """How many words have to be there."""
        return sum(1 for token in self.whole if is_word(token))


@dataclass(frozen=True, slots=True)
class Match:
    """`text` is to take the place of [start, end); `at` is where the first of the tokens that go, or stay beside, begins."""

    start: int
    end: int
    text: str
    at: int


def generalised(one: Example, other: Example, n_beside: int) -> Pattern | None:
    """What two examples have in common, if they are alike; up to `n_beside` tokens on either side."""
    if (len(one.old), len(one.new)) != (len(other.old), len(other.new)):
        return None
    holes: dict[tuple[str, str], str] = {}
    old = [_common(a, b, holes, may_add=True) for a, b in zip(one.old, other.old, strict=True)]
    new = [_common(a, b, holes, may_add=False) for a, b in zip(one.new, other.new, strict=True)]
    if None in old or None in new or len(holes) > MAX_HOLES or (new and not {*holes.values()} <= {*new}):
        return None
    is_inserted = not one.old
    left = _shared(one.left[::-1], other.left[::-1], is_inserted)[:n_beside][::-1]
    right = _shared(one.right, other.right, is_inserted)[:n_beside]
    return Pattern(left, tuple(filter(None, old)), tuple(filter(None, new)), right, one, 2)


def _common(a: str, b: str, holes: dict[tuple[str, str], str], may_add: bool) -> str | None:
    if a == b:
        return a
    if may_add and is_word(a) and is_word(b):
        holes.setdefault((a, b), f"{_HOLE}{len(holes)}")
    return holes.get((a, b))


def _shared(a: Sequence[str], b: Sequence[str], has_any: bool) -> tuple[str, ...]:
    """What the two begin with: equal tokens, and with `has_any` any words within a line; the last is equal in both."""
    shared: list[str] = []
    for x, y in zip(a, b, strict=False):
        if x != y and not (has_any and is_word(x) and is_word(y) and "\n" not in shared):
            break
        shared.append(x if x == y else _ANY)
    while shared and shared[-1] == _ANY:
        shared.pop()
    return tuple(shared)


def contradicts(example: Example, pattern: Pattern) -> bool:
    """Whether `pattern` fits what the example found, and something else was done there."""
    left = example.left[len(example.left) - len(pattern.left) :] if pattern.left else ()
    found = (*left, *example.old, *example.right[: len(pattern.right)])
    if len(example.old) != len(pattern.old) or len(found) != len(pattern.whole):
        return False
    holes: dict[str, str] = {}
    fits = all(_fits(wanted, token, holes) for wanted, token in zip(pattern.whole, found, strict=True))
    return fits and example.new != tuple(holes.get(token, token) for token in pattern.new)


def matches(pattern: Pattern, text: str, start: int = 0, end: int | None = None) -> Iterator[Match]:
    """The places in [start, end) of `text` that `pattern` fits, in order; none if its words are too frequent."""
    anchor = pattern.anchor
    if anchor is None:
        return
    end = len(text) if end is None else end
    for hit in islice(_words(pattern.whole[anchor], text, start, end), MAX_HITS):
        if match := _match_at(pattern, text, hit, anchor):
            yield match


def _words(word: str, text: str, start: int, end: int) -> Iterator[int]:
    """Where in [start, end) `word` stands as a whole word. Many times faster than a regular expression."""
    at = text.find(word, start, end)
    while at >= 0:
        after = at + len(word)
        if not _is_part(text[at - 1 : at]) and not _is_part(text[after : after + 1]):
            yield at
        at = text.find(word, after, end)


def _is_part(character: str) -> bool:
    return character.isalnum() or character == "_"


def _match_at(pattern: Pattern, text: str, hit: int, anchor: int) -> Match | None:
    whole = pattern.whole
    first, last = line_bounds(text, hit)
    for _ in range(whole[:anchor].count("\n")):
        first = line_bounds(text, first - 1)[0] if first else 0
    for _ in range(whole[anchor:].count("\n") + 1):
        last = line_bounds(text, last + 1)[1] if last < len(text) else last
    tokens = tokens_of(text[first:last], first)
    index = next(number for number, token in enumerate(tokens) if token.end > hit)
    begin = index - anchor
    if begin < 0 or begin + len(whole) > len(tokens):
        return None
    holes: dict[str, str] = {}
    for wanted, token in zip(whole, tokens[begin : begin + len(whole)], strict=True):
        if not _fits(wanted, token.text, holes):
            return None
    a = begin + len(pattern.left)
    return _filled(pattern, text, tokens, a, a + len(pattern.old), holes)


def _fits(wanted: str, token: str, holes: dict[str, str]) -> bool:
    if not wanted.startswith(_HOLE):
        return wanted == token
    return is_word(token) and (wanted == _ANY or holes.setdefault(wanted, token) == token)


def _filled(
    pattern: Pattern, text: str, tokens: Sequence[Token], a: int, b: int, holes: dict[str, str]
) -> Match | None:
    """What to write in the place of the tokens [a, b)."""
    example = pattern.example
    if pattern.old and pattern.new:
        at = tokens[a].start
        line = text[slice(*line_bounds(text, at))]
        return Match(at, tokens[b - 1].end, _written(example.core, pattern, holes, line), at)
    if a == 0 or b == len(tokens):
        return None
    at = tokens[a].start
    line = text[slice(*line_bounds(text, at if tokens[a - 1].text == "\n" else tokens[a - 1].start))]
    left, right = tokens[a - 1].end, tokens[b].start
    if pattern.new:
        return Match(left, right, _written(example.gap, pattern, holes, line), left)
    if pattern.old[-1] == "\n":
        return Match(left, tokens[b - 1].end, "", at)
    return Match(left, right, example.gap, at)


def _written(raw: str, pattern: Pattern, holes: dict[str, str], line: str) -> str:
    """`raw`, which the example wrote, with the words and the indentation of another place."""
    parts, done = [], 0
    for token, wanted in zip(tokens_of(raw), pattern.new, strict=True):
        parts += [raw[done : token.start], holes.get(wanted, token.text)]
        done = token.end
    indent = indent_of(line)
    written = "".join([*parts, raw[done:]]).replace("\n" + pattern.example.indent, "\n" + indent)
    is_line_start = pattern.left[-1:] == ("\n",) and not pattern.old
    return indent + written.removeprefix(pattern.example.indent) if is_line_start else written
