"""Which beginning of a text may be shown while it is being written: what no rule can still trim, end or discard. Pure.

Told are whole lines, and the first of them not before it is certain that the text is not going to be discarded: mostly
once it has a line that is not already below the cursor. In the middle of a line, in one-line completions and in answers
from a chat, everything is told at the end. It is better to wait than to take back.
"""

from itertools import dropwhile

from scrubjay.code_text import is_only_brackets, is_similar, is_within, overlap, overlaps
from scrubjay.completion.cursor import CursorContext
from scrubjay.completion.discards import MIN_CHARACTERS, begins_with_line_break, repeats_line_above, stands_above
from scrubjay.completion.postprocess import FIRST_TRIMS, LAST_TRIMS, MAX_BLOCK_LINES, match_indent_style
from scrubjay.completion.stop_rules import Mode, ends_repeating, stop_at

MAX_HELD_LINES = 64
"""While more lines than these may still go, nothing is told."""
MAX_NEAR_LINES = 3
MAX_NEAR_EDITS = 24
"""What is so different from the lines below stays different enough, however it goes on: see `nearly_repeats_below`."""


def certain_beginning(cursor: CursorContext, mode: Mode, text: str, switched_off: frozenset[str] = frozenset()) -> str:
    """The beginning of `text`, as it is going to be shown however it goes on; "" as long as there is none."""
    if mode == "single" or cursor.line_after.strip():
        return ""
    whole_lines = text.replace("\r\n", "\n").rpartition("\n")[0]
    for trim in FIRST_TRIMS:
        if trim.__name__ not in switched_off:
            whole_lines = trim(cursor, whole_lines + "\n").removesuffix("\n")
    if stop_at(cursor, mode, whole_lines + "\n") is not None:
        return ""
    told = _without_open_end(cursor, whole_lines)
    if any(trim(cursor, told) != told for trim in LAST_TRIMS if trim is not match_indent_style):
        return ""
    if match_indent_style.__name__ not in switched_off:
        told = match_indent_style(cursor, told)
    return "" if _may_be_discarded(cursor, told) else told.replace("\n", cursor.line_end)


def _without_open_end(cursor: CursorContext, text: str) -> str:
    """`text`, of whole lines, without the last ones that a rule may take away, whether more follows or not."""
    lines = text.split("\n")
    below = [line.rstrip() for line in cursor.below[: len(lines)]]
    for _ in range(MAX_HELD_LINES):
        if not lines:
            break
        if not _is_open(lines, below, cursor.line_before) and not _begins_suffix(lines, cursor):
            return "\n".join(lines)
        lines.pop()
    return ""


def _is_open(lines: list[str], below: list[str], line_before: str) -> bool:
    """Whether the last of `lines` may be taken away by a rule that looks at lines."""
    last = lines[-1]
    return (
        last != last.rstrip()
        or last in ("", *lines[-MAX_BLOCK_LINES - 1 : -1])  # a block of lines may be repeated
        or _is_like_the_one_before(lines, line_before)
        or ends_repeating(last)
        or next(overlaps([line.rstrip() for line in lines[-len(below) :]], below, len(below)), 0) > 0
    )


def _is_like_the_one_before(lines: list[str], line_before: str) -> bool:
    """Whether more lines like the last two may make one too many."""
    if len(lines) == 1:
        return False
    last = lines[-1].strip()
    # To the rule about equal lines, the first one has before it what the cursor's line has.
    others = (line.strip() for line in (*reversed(lines[1:-1]), line_before + lines[0]))
    is_equal = last == next((line for line in others if line), "")
    return is_equal or (not is_only_brackets(last) and is_similar(lines[-2].strip(), last, 0.1))


def _begins_suffix(lines: list[str], cursor: CursorContext) -> bool:
    """Whether `lines` end with what the text after the cursor begins with."""
    end = "\n".join(lines[-MAX_BLOCK_LINES:])
    return overlap(end, cursor.suffix) > 0 or overlap(end, cursor.suffix_start) > 0


def _may_be_discarded(cursor: CursorContext, told: str) -> bool:
    """Whether a text that begins with the lines `told` may turn out not to be worth showing."""
    lines = told.split("\n")
    is_little = len(told.strip()) < MIN_CHARACTERS
    is_wrong = begins_with_line_break(cursor, told) or repeats_line_above(cursor, told) or stands_above(cursor, told)
    return is_little or is_wrong or _may_repeat(cursor, lines) or _may_nearly(cursor, lines)


def _may_repeat(cursor: CursorContext, lines: list[str]) -> bool:
    """Whether `repeats_below` may come to discard a text that begins with `lines`."""
    all_below = cursor.suffix.split("\n")[1:]
    if not lines[0].strip():
        return lines[1:] == all_below[: len(lines) - 1]
    below = list(dropwhile(lambda line: not line.strip(), all_below))
    if not below or cursor.line_before + lines[0] != below[0]:
        return False
    is_begun = len(lines) == 2 and len(below) > 1 and below[1].startswith(lines[1])
    return is_begun or lines[1:] == below[1 : len(lines)]


def _may_nearly(cursor: CursorContext, lines: list[str]) -> bool:
    """Whether `nearly_repeats_below` may come to discard a text that begins with `lines`."""
    if len(lines) > MAX_NEAR_LINES:
        return False
    told = "\n".join(line.strip() for line in (cursor.line_before + lines[0], *lines[1:]))
    below = [line.strip() for line in cursor.below[:12] if line.strip()]
    return any(
        is_within(told, "\n".join(below[:n_lines])[: len(told)], MAX_NEAR_EDITS)
        for n_lines in range(len(lines), MAX_NEAR_LINES + 1)
    )
