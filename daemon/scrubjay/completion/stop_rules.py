"""When a completion is to end, while it is being written: pure functions of the place and the text so far.

Each rule says after how many characters the text should have ended, or None to go on. A rule that is about lines looks
only at lines that are complete, so that what it says does not depend on how the text came in pieces.
"""

import re
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from scrubjay.code_text import has_words, indent_of, is_only_brackets, is_similar
from scrubjay.completion.cursor import CursorContext

Mode = Literal["single", "multi"]
Rule = Callable[[CursorContext, str], int | None]

MIN_EQUAL_LINES = 3
_CLOSING = re.compile(r"\s*(?:[\])}]|(?:end|fi|done|esac)\b[\s;,)]*$)")
PATH_LINE = re.compile(r"\s*(?:#|//|--|;;?|%)[ \t]*(?:Path:[ \t]*)?(?:[\w./-]+\.\w+|[\w.-]+/[\w./-]+)[ \t]*")
PROSE = frozenset(("markdown", "plaintext", "text", "restructuredtext", "asciidoc", "org", "latex", "git-commit"))
"""Identifiers of languages in which a paragraph is what a block is elsewhere."""
MAX_REPEATING_CHARACTERS = 2_000
"""At the end of a line, in which repetitions are looked for."""
LOOP_STRIDE = 16
"""Characters after which the growing line is looked at."""
_BLANK = re.compile(r"\n[ \t]*\n")
_DOUBLE_BLANK = re.compile(r"\n[ \t]*\n[ \t]*\n")

STOP_STRINGS = ("\ndiff --git ",)
"""Strings at which a model has left the file that it was to go on with."""


def choose_mode(cursor: CursorContext) -> Mode:
    """One line where something but closers follows in the line, or in a comment; else as many as make sense."""
    if has_words(cursor.line_after):
        return "single"
    return "single" if cursor.is_in_comment else "multi"


class Stop(NamedTuple):
    """After how many characters a text ends, and by which rule."""

    offset: int
    rule: str


def stop_at(
    cursor: CursorContext,
    mode: Mode,
    text: str,
    is_complete: bool = False,
    switched_off: frozenset[str] = frozenset(),
) -> int | None:
    """The least number of characters after which a rule ends `text`, None if none does; see `first_stop`."""
    stop = first_stop(cursor, mode, text, is_complete, switched_off)
    return stop.offset if stop else None


def first_stop(
    cursor: CursorContext,
    mode: Mode,
    text: str,
    is_complete: bool = False,
    switched_off: frozenset[str] = frozenset(),
) -> Stop | None:
    """Where `text` ends by the first rule that ends it, None if none does.

    Args:
        is_complete: no more text comes, so the last line is complete as well.
        switched_off: names of rules not to apply; `stop_at` stands for all of them.
    """
    if stop_at.__name__ in switched_off:
        return None
    whole = text + "\n" if is_complete else text
    rules = [rule for rule in STOP_RULES if rule.__name__ not in switched_off]
    if mode == "multi" and single_line in rules:
        rules.remove(single_line)
    found = [Stop(min(cut, len(text)), rule.__name__) for rule in rules if (cut := rule(cursor, whole)) is not None]
    stop = min(found, default=None)
    return None if stop and is_complete and stop.offset >= len(text) else stop


def single_line(_: CursorContext, text: str) -> int | None:
    """Ends with the first line that is not blank."""
    end = text.find("\n", len(text) - len(text.lstrip()))
    return end if end >= 0 else None


def repeats_suffix(cursor: CursorContext, text: str) -> int | None:
    """Ends where the text after the cursor begins to be repeated."""
    found = text.find(cursor.suffix_start) if cursor.suffix_start else -1
    return found if found >= 0 else None


def repeats_next_line(cursor: CursorContext, text: str) -> int | None:
    """Ends before a line that is the next one below, or nearly: then the rest is there already."""
    below = cursor.next_line.strip()
    if is_only_brackets(below):
        return None
    for start, line in _lines(cursor, text):
        # A line that was begun by hand may well resemble the next one: lists are written like that.
        if line.strip() == below or (start > 0 and _is_same(line.strip(), below)):
            return max(start - 1, 0)
    return None


def repeats_itself(cursor: CursorContext, text: str) -> int | None:
    """Ends after the first of three equal lines."""
    lines = [(start, line) for start, line in _lines(cursor, text) if line.strip()]
    for index in range(len(lines) - MIN_EQUAL_LINES + 1):
        same = {line.strip() for _, line in lines[index : index + MIN_EQUAL_LINES]}
        if len(same) == 1 and not is_only_brackets(same.pop()):
            return max(lines[index + 1][0] - 1, 0)
    return None


def leaves_blank_lines(_: CursorContext, text: str) -> int | None:
    """Ends before two blank lines: what follows is something else."""
    match = _DOUBLE_BLANK.search(text, len(text) - len(text.lstrip()))
    return match.start() if match else None


def leaves_scope(cursor: CursorContext, text: str) -> int | None:
    """Ends before the first line indented less than the cursor's.

    A closing line is kept if the text below does not close that block itself.
    """
    indent = len(indent_of(_cursor_line(cursor, text)))
    for start, line in _lines(cursor, text):
        if start == 0 or not line.strip() or len(indent_of(line)) >= indent:
            continue
        is_open = len(indent_of(cursor.next_line)) < len(indent_of(line)) or not cursor.next_line
        return start + len(line) if is_open and _CLOSING.match(line) else start - 1
    return None


def leaves_block(cursor: CursorContext, text: str) -> int | None:
    """Ends with the first block of deeper lines, if a blank line comes after it and then a line at the cursor's indentation."""
    indent = len(indent_of(_cursor_line(cursor, text)))
    is_deeper, blank = False, None
    for start, line in _lines(cursor, text):
        if not line.strip():
            blank = start if blank is None else blank
            continue
        if start > 0 and is_deeper and blank and len(indent_of(line)) <= indent:
            return blank - 1
        is_deeper = is_deeper or (start > 0 and len(indent_of(line)) > indent)
        blank = None
    return None


def leaves_paragraph(cursor: CursorContext, text: str) -> int | None:
    """In prose, ends before the first blank line."""
    match = _BLANK.search(text, len(text) - len(text.lstrip())) if cursor.language in PROSE else None
    return match.start() if match else None


def leaves_file(cursor: CursorContext, text: str) -> int | None:
    """Ends before a comment that is nothing but a file's path, as prompts have them between files."""
    found = (start for start, line in _lines(cursor, text) if start > 0 and PATH_LINE.fullmatch(line))
    return next((start - 1 for start in found), None)


def loops_in_line(text: str) -> bool:
    """Whether the line that is being written ends in the same few characters over and over.

    Asked for each `LOOP_STRIDE` characters, and not of complete texts: of those `strip_repeating_end` takes such a line away.
    """
    return bool(text) and len(text) % LOOP_STRIDE == 0 and ends_repeating(text[text.rfind("\n") + 1 :])


def ends_repeating(line: str) -> bool:
    """Whether `line` ends in the same three or more characters six times over, or in ten or more four times."""
    end = line[-MAX_REPEATING_CHARACTERS:]
    return any(end.endswith(end[-size:] * (6 if size < 10 else 4)) for size in range(3, len(end) // 4 + 1))


def leaves_asked_indent(text: str, n_indent: int) -> int | None:
    """Ends before the first line after the cursor's that is indented by less than `n_indent` characters.

    Not a rule of ours: llama.cpp's server has it for clients that ask for it, whatever the place.
    """
    start = 0
    for number, line in enumerate(text.split("\n")):
        if number > 0 and line.strip() and len(indent_of(line)) < n_indent:
            return start - 1
        start += len(line) + 1
    return None


STOP_RULES: tuple[Rule, ...] = (
    single_line,
    repeats_suffix,
    repeats_next_line,
    repeats_itself,
    leaves_blank_lines,
    leaves_paragraph,
    leaves_block,
    leaves_scope,
    leaves_file,
)
"""In an order in which the first of two that end a text at the same place says best why."""


def _lines(cursor: CursorContext, text: str) -> Iterator[tuple[int, str]]:
    """The complete lines of `text` with their starts; the first one together with what the cursor's line has before."""
    start = 0
    for line in text.split("\n")[:-1]:
        yield start, (cursor.line_before + line if start == 0 else line)
        start += len(line) + 1


def _cursor_line(cursor: CursorContext, text: str) -> str:
    """The line that the cursor is in, with the completion's first line if it has nothing else."""
    return cursor.line_before + text.partition("\n")[0]


def _is_same(line: str, below: str) -> bool:
    return line == below if is_only_brackets(line) else is_similar(line, below, 0.1)
