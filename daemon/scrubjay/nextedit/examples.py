"""What an edit did, as examples of a pattern: the tokens that went, those that came, and those beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

from scrubjay.nextedit.lexing import Token, is_name, is_word, tokens_of
from scrubjay.positions import split_lines
from scrubjay.workspace.edit_history import Edit

N_BESIDE = 8
"""Tokens on either side that count as what is beside a change."""
MAX_TOKENS = 500
"""An edit of more tokens is no example."""


@dataclass(frozen=True, slots=True)
class Example:
    """Tokens replaced by others at one place.

    Args:
        left, right: the tokens beside, nearest last and nearest first.
        gap: what now stands between the nearest tokens on either side, with the white space around it.
        core: the same from the first to the last of the new tokens.
        indent: of the line at which it begins.
        start: where the new tokens begin, in the text after the edit.
    """

    key: str
    left: tuple[str, ...]
    old: tuple[str, ...]
    new: tuple[str, ...]
    right: tuple[str, ...]
    gap: str
    core: str
    indent: str
    start: int

    @property
    def renamed(self) -> tuple[str, str] | None:
        """The old name and the new one, if that is all."""
        if len(self.old) == len(self.new) == 1 and is_name(self.old[0]) and is_name(self.new[0]):
            return self.old[0], self.new[0]
        return None

    @property
    def has_words(self) -> bool:
        return any(map(is_word, (*self.old, *self.new)))


@lru_cache(maxsize=256)
def examples_of(edit: Edit) -> list[Example]:
    """What `edit` did, in the order of the text: each line's changes together, then each of them."""
    above = split_lines(edit.above)[-2] if edit.above else ""
    below = split_lines(edit.below)[0]
    old = tokens_of(f"{above}{edit.old}{below}")
    text, start = f"{above}{edit.new}{below}", edit.start - len(above)
    new = tokens_of(text)
    if not edit.new.strip() and not edit.old.strip():
        return []
    if len(old) + len(new) > MAX_TOKENS:
        return []
    found = []
    for hull in _hulls(_differences(old, new), old):
        if len(hull) > 1:
            whole = (hull[0][0], hull[-1][1], hull[0][2], hull[-1][3])
            found.append(_example(edit.key, old, new, text, start, whole))
        found += [_example(edit.key, old, new, text, start, part) for part in hull]
    return [example for example in found if example.has_words]


Span = tuple[int, int, int, int]
"""[a, b) of the old tokens became [c, d) of the new ones."""


def _differences(old: Sequence[Token], new: Sequence[Token]) -> list[Span]:
    matcher = SequenceMatcher(None, [token.text for token in old], [token.text for token in new], autojunk=False)
    return [span for tag, *span in matcher.get_opcodes() if tag != "equal"]  # type: ignore[misc]


def _hulls(spans: Sequence[Span], old: Sequence[Token]) -> Iterator[list[Span]]:
    """The spans of each line together."""
    group: list[Span] = []
    for span in spans:
        if group and any(token.text == "\n" for token in old[group[-1][0] : span[1]]):
            yield group
            group = []
        group.append(span)
    if group:
        yield group


def _example(key: str, old: Sequence[Token], new: Sequence[Token], text: str, start: int, span: Span) -> Example:
    a, b, c, d = span
    gap_start = new[c - 1].end if c else 0
    gap_end = new[d].start if d < len(new) else len(text)
    line = text[text.rfind("\n", 0, gap_start if c and new[c - 1].text != "\n" else gap_end) + 1 :]
    return Example(
        key=key,
        left=tuple(token.text for token in old[max(a - N_BESIDE, 0) : a]),
        old=tuple(token.text for token in old[a:b]),
        new=tuple(token.text for token in new[c:d]),
        right=tuple(token.text for token in old[b : b + N_BESIDE]),
        gap=text[gap_start:gap_end],
        core=text[new[c].start : new[d - 1].end] if d > c else "",
        indent=line[: len(line) - len(line.lstrip(" \t"))],
        start=start + (new[c].start if d > c else gap_start),
    )
