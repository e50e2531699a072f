"""What is right and wrong about one completion, by its text alone."""

import ast
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from scrubjay_training.cursors import Hole, indent_of

_LOOP_LINES, _LOOP_TOKENS = 3, 5


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote into a hole of a text.

    Args:
        end: where the text goes on after the completion; at least the hole's end.
        has_ended: by an end token, not because it was cut off.
    """

    text: str
    hole: Hole
    end: int
    written: str
    tokens: tuple[int, ...]
    has_ended: bool

    @property
    def rest_of_line(self) -> str:
        """What truly follows on the cursor's line."""
        return first_line(self.text[self.hole.start : self.end])


def goes_on(completion: Completion) -> bool:
    """Whether something is written on the cursor's own line."""
    return bool(first_line(completion.written).strip())


def matches_line(completion: Completion) -> bool:
    """Whether the cursor's line was completed exactly, but for blanks at its end."""
    return first_line(completion.written).rstrip() == completion.rest_of_line.rstrip()


def is_exact(completion: Completion) -> bool:
    """Whether all that was written, its last blanks aside, is what stands there."""
    return completion.written.rstrip() == completion.text[completion.hole.start : completion.end].rstrip()


def ends_in_place(completion: Completion) -> bool:
    """Whether it ended by itself, and no line of it left the block of the cursor's line."""
    begin = completion.text.rfind("\n", 0, completion.hole.start) + 1
    line = completion.text[begin : completion.hole.start] + first_line(completion.written)
    indent = indent_of(line)
    later = completion.written.split("\n")[1:]
    return completion.has_ended and all(indent_of(text) >= indent for text in later if text.strip())


def loops(completion: Completion) -> bool:
    """Whether a line comes three times in a row, or a token five times."""
    lines = [line.strip() for line in completion.written.split("\n") if line.strip()]
    return _has_run(lines, _LOOP_LINES) or _has_run(completion.tokens, _LOOP_TOKENS)


def parses(completion: Completion) -> bool:
    """Whether the whole file with the completion in it is Python."""
    whole = completion.text[: completion.hole.start] + completion.written + completion.text[completion.end :]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(whole)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def first_line(text: str) -> str:
    """A text up to its first line end."""
    return text.split("\n", 1)[0]


def _has_run(items: Sequence[object], n: int) -> bool:
    return any(len(set(items[i : i + n])) == 1 for i in range(len(items) - n + 1))
