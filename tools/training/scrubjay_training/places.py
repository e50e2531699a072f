"""What kind of place a cursor in a Python file stands at: which completions fail hides in a mean over all of them."""

import io
import re
import tokenize
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from scrubjay_training.cursors import Hole, line_starts

PlaceKind = Literal["word", "attribute", "call", "argument", "import", "value", "other", "prose", "body"]
"""Inside a word; after a dot; right after `(`; elsewhere in brackets; in an import; right after `=` or `return`; elsewhere in
code; in a comment or a string, wherever there; before the body of a function."""

_MARKS: tuple[tuple[PlaceKind, re.Pattern[str]], ...] = (
    ("import", re.compile(r"^\s*(import|from)\b")),
    ("attribute", re.compile(r"\.$")),
    ("call", re.compile(r"\(\s*$")),
    ("value", re.compile(r"([^=!<>]=|\breturn|\byield|\bawait)\s*$")),
)
"""What a line looks like before the cursor, the first that fits; a keyword argument's value is a value too."""
_OPENING, _CLOSING = "([{", ")]}"


@dataclass(frozen=True, slots=True)
class _Piece:
    """A token of Python: its half-open range, and what it does to the depth of brackets."""

    start: int
    end: int
    is_prose: bool
    depth: int


def place_of(text: str, hole: Hole) -> PlaceKind:
    """The kind of place that a hole's cursor stands at. The text must be Python, as files of the corpus are."""
    if hole.kind == "block":
        return "body"
    before = text[text.rfind("\n", 0, hole.start) + 1 : hole.start]
    pieces = _pieces(text)
    if any(piece.is_prose and piece.start < hole.start < piece.end for piece in pieces):
        return "prose"
    if re.search(r"\w$", before) and re.match(r"\w", text[hole.start :]):
        return "word"
    depth = sum(piece.depth for piece in pieces if piece.start < hole.start)
    return next((place for place, mark in _MARKS if mark.search(before)), "argument" if depth > 0 else "other")


@lru_cache(maxsize=256)
def _pieces(text: str) -> tuple[_Piece, ...]:
    starts = line_starts(text)
    pieces = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        start, end = (starts[min(row, len(starts)) - 1] + column for row, column in (token.start, token.end))
        is_prose = token.type in {tokenize.STRING, tokenize.COMMENT}
        depth = (token.string in _OPENING) - (token.string in _CLOSING) if token.type == tokenize.OP else 0
        pieces.append(_Piece(start, end, is_prose, depth))
    return tuple(pieces)
