"""Reasons to show nothing of a text: functions of the place and of what the trims have left. Each is switched off by its name."""

import re
from collections.abc import Callable
from itertools import dropwhile

from scrubjay.code_text import is_only_brackets, is_similar, open_brackets, without_literals
from scrubjay.completion.cursor import CursorContext

Discard = Callable[[CursorContext, str], bool]

IS_UNSURE = "is_unsure"
"""The name of the rule that shows nothing unasked of which the model is not sure: see `Finish.min_confidence`."""
MIN_CHARACTERS = 4
MAX_BLANK_LINES = 8
MIN_BLOCK_LINES = 4
MAX_ABOVE_CHARACTERS = 16_000
"""Before the cursor, in which a text is looked for that would be there twice."""
_WHOLE_NAME = re.compile(r"[^\W\d]\w+\W*")
_OPEN_OPERATOR = re.compile(r"(?:(?<![=-])[-+*/%&|^=!<>:]?=|=>|\s(?:[-+*/%<>&|^]|&&|\|\||\*\*|//|<<|>>))\s*$")
_OPEN_WORD = re.compile(
    r"(?:^|\W)(?:import|from|as|and|or|not|in|is|if|elif|while|for|lambda|await|with|del|class|def|new|const|let|var|typeof)\s*$"
    r"|(?:^|\W)(?:return|yield|raise|assert|throw|case)\s+$"
)


def is_blank(_: CursorContext, text: str) -> bool:
    """There is nothing to see."""
    return not text.strip()


def is_line_rest(cursor: CursorContext, text: str) -> bool:
    """It is what follows in the line."""
    return bool(cursor.line_after.strip()) and text.strip() == cursor.line_after.strip()


def begins_with_line_break(cursor: CursorContext, text: str) -> bool:
    """It begins with a line end where the line cannot end: after an operator, a comma and a space, or a word such as `import`.

    A comma alone may end a line within brackets.
    """
    if cursor.is_in_comment or text.lstrip(" \t")[:1] != "\n" or not (line := cursor.line_before):
        return False
    if line.rstrip().endswith(","):
        return line.endswith((" ", "\t")) or not open_brackets(without_literals(cursor.prefix[-MAX_ABOVE_CHARACTERS:]))
    return bool(_OPEN_OPERATOR.search(line) or _OPEN_WORD.search(line))


def repeats_below(cursor: CursorContext, text: str) -> bool:
    """It is the lines below: from a new line on, or the next line that is not blank and those after it."""
    first, *others = text.split("\n")
    if not first.strip() and others:
        return others == cursor.below[: len(others)]
    below = list(dropwhile(lambda line: not line.strip(), cursor.below[: len(others) + MAX_BLANK_LINES]))
    if cursor.line_after.strip() or not below or cursor.line_before + first != below[0]:
        return False
    is_begun = len(others) == 1 and len(below) > 1 and below[1].startswith(others[0])
    return not others or is_begun or others == below[1 : len(others) + 1]


def nearly_repeats_below(cursor: CursorContext, text: str) -> bool:
    """It is hardly different from the up to three lines below."""
    lines = (cursor.line_before + text).split("\n")
    below = [line for line in cursor.below[:12] if line.strip()][: len(lines)]
    whole = "\n".join(line.strip() for line in lines)
    return len(lines) <= 3 and is_similar(whole, "\n".join(line.strip() for line in below), 0.05)


def repeats_line_above(cursor: CursorContext, text: str) -> bool:
    """Its first line makes the cursor's line equal to the one above."""
    line = (cursor.line_before + text.partition("\n")[0]).strip()
    return len(line) > MIN_CHARACTERS and line == cursor.line_above.strip() and not is_only_brackets(line)


def repeats_block_above(cursor: CursorContext, text: str) -> bool:
    """It is a block of four or more lines that stands above already, whatever its indentation."""
    lines = _stripped(cursor.line_before + text)
    return len(lines) >= MIN_BLOCK_LINES and stands_above(cursor, text)


def stands_above(cursor: CursorContext, text: str) -> bool:
    """Whether all lines of `text`, the first one with what is before it, stand above in that order, blank ones aside."""
    above = cursor.prefix[-MAX_ABOVE_CHARACTERS:].rpartition("\n")[0]
    lines = _stripped(cursor.line_before + text)
    return "\n".join(["", *lines, ""]) in "\n".join(["", *_stripped(above), ""])


def is_too_little(cursor: CursorContext, text: str) -> bool:
    """It saves no typing: a few characters that are no whole name."""
    written = text.strip()
    is_name = not cursor.line_before[-1:].isalnum() and _WHOLE_NAME.fullmatch(written) is not None
    return len(written) < MIN_CHARACTERS and not is_name


def _stripped(text: str) -> list[str]:
    return [stripped for line in text.split("\n") if (stripped := line.strip())]


DISCARDS: tuple[Discard, ...] = (
    is_blank,
    is_line_rest,
    begins_with_line_break,
    repeats_below,
    nearly_repeats_below,
    repeats_line_above,
    repeats_block_above,
)
AUTOMATIC_DISCARDS: tuple[Discard, ...] = (is_too_little,)
"""Of texts for which nobody asked."""
