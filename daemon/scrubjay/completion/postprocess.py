"""What is done to a completion before it is shown: trims first, then reasons not to show it at all (see `discards`).

Each rule is a function of the place and the text, and can be switched off by its name. A trim returns the text that is
left; a discard says whether the text is worth nothing.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scrubjay.code_text import (
    has_words,
    indent_of,
    is_only_brackets,
    is_similar,
    open_brackets,
    overlap,
    overlaps,
    unmatched_closers,
    without_literals,
)
from scrubjay.completion.cursor import CursorContext
from scrubjay.completion.discards import AUTOMATIC_DISCARDS, DISCARDS, IS_UNSURE, is_blank
from scrubjay.completion.stop_rules import PATH_LINE, STOP_RULES, Mode, ends_repeating, first_stop, stop_at

Trim = Callable[[CursorContext, str], str]

MIN_SUFFIX_OVERLAP = 15
MIN_PREFIX_OVERLAP = 2
MIN_SIMILAR_LINES = 5
MIN_EQUAL_BLOCKS = 3
MAX_BLOCK_LINES = 32
"""Larger blocks are not looked for: the time for it grows with their number of lines."""
MAX_BRACKET_CHARACTERS = 16_000
"""Characters before the cursor in which open brackets are looked for: more would cost a long file a millisecond a key."""
_THINKING = re.compile(r"\s*<think>.*?(?:</think>\s*|$)", re.DOTALL)
_FENCED = re.compile(r"\s*```[\w+#.-]*\n(.*?)(?:\n?```.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DisplayText:
    """A completion as it may be shown.

    Args:
        text: to be inserted at the cursor; "" if there is nothing to show.
        n_replaced: how many characters right of the cursor `text` replaces.
        discarded: the name of the rule by which it is not shown, "" if it is.
    """

    text: str
    n_replaced: int = 0
    discarded: str = ""


def postprocess(
    cursor: CursorContext,
    mode: Mode,
    text: str,
    is_automatic: bool = False,
    is_chat: bool = False,
    can_replace: bool = False,
    switched_off: frozenset[str] = frozenset(),
    is_cut_off: bool = False,
) -> DisplayText:
    """What of `text`, as the model wrote it, is to be shown at `cursor`.

    Args:
        is_automatic: nobody asked for it, so very little is not worth showing.
        is_chat: a chat model wrote it, which fences code and repeats what it goes on with.
        can_replace: the client can replace text right of the cursor.
        switched_off: names of rules not to apply.
        is_cut_off: it has not ended by itself, but because it was long enough.
    """
    text = text.replace("\r\n", "\n")
    first_trims = (*(CHAT_TRIMS if is_chat else ()), *((strip_half_line,) if is_cut_off else ()), *FIRST_TRIMS)
    text, emptied_by = _trimmed(cursor, text, first_trims, switched_off)
    if end := first_stop(cursor, mode, text, is_complete=True, switched_off=switched_off):
        emptied_by = emptied_by or (end.rule if text.strip() and not text[: end.offset].strip() else "")
        text = text[: end.offset]
    n_replaced = 0
    if "fit_line" not in switched_off:
        text, n_replaced = fit_line(cursor, text, can_replace)
    text, last_emptied_by = _trimmed(cursor, text, LAST_TRIMS, switched_off)
    for discard in (*DISCARDS, *(AUTOMATIC_DISCARDS if is_automatic else ())):
        if discard.__name__ not in switched_off and discard(cursor, text):
            trim = emptied_by or last_emptied_by if discard is is_blank else ""
            return DisplayText("", discarded=trim or discard.__name__)
    return DisplayText(text.replace("\n", cursor.line_end), n_replaced)


def _trimmed(cursor: CursorContext, text: str, trims: Sequence[Trim], switched_off: frozenset[str]) -> tuple[str, str]:
    """`text` after `trims`, and the name of the one that left nothing of it but white space, "" if none did."""
    emptied_by = ""
    for trim in trims:
        if trim.__name__ not in switched_off:
            left = trim(cursor, text)
            emptied_by = trim.__name__ if text.strip() and not left.strip() else emptied_by
            text = left
    return text, emptied_by


# --- trims -----------------------------------------------------------------------------------------------------------


def strip_thinking(_: CursorContext, text: str) -> str:
    """No thoughts of a model that thinks aloud, finished or not."""
    return _THINKING.sub("", text, count=1) if text.lstrip().startswith("<think>") else text


def strip_fence(_: CursorContext, text: str) -> str:
    """What is between the fences of a code block, if there is one."""
    match = _FENCED.fullmatch(text)
    return match[1] if match else text


def strip_repeated_prefix(cursor: CursorContext, text: str) -> str:
    """Without what a chat model repeats of the text before the cursor."""
    n = overlap(cursor.prefix, text)
    return text[n:] if n >= MIN_PREFIX_OVERLAP else text


def strip_half_line(_: CursorContext, text: str) -> str:
    """Without the last line, in which a text that was cut off may have ended anywhere, if it is not the only one."""
    lines = text.rpartition("\n")[0]
    return lines if lines.strip() else text


def strip_path_line(cursor: CursorContext, text: str) -> str:
    """Without a comment that is nothing but a file's path, as prompts have them between files."""
    blank = len(text) - len(text.lstrip())
    line, newline, rest = text[blank:].partition("\n")
    return rest if newline and not cursor.line_before.strip() and PATH_LINE.fullmatch(line) else text


def strip_second_space(cursor: CursorContext, text: str) -> str:
    """Without the space with which some models begin, where there is one already."""
    line = cursor.line_before
    return text[1:] if line.strip() and line.endswith(" ") and text.startswith(" ") else text


def strip_second_indent(cursor: CursorContext, text: str) -> str:
    """Without the indentation that the cursor's line has already, if the model wrote it once more."""
    there, written = cursor.line_before, indent_of(text.partition("\n")[0])
    if not there or there.strip() or len(there) + len(written) <= _deepest_indent(cursor):
        return text
    return text[min(len(written), len(there)) :]


def even_indent(cursor: CursorContext, text: str) -> str:
    """Without the one space that would make an even indentation odd."""
    there = cursor.line_before
    is_odd_one = there and not there.strip() and len(there) % 2 == 0 and indent_of(text) == " "
    return text[1:] if is_odd_one else text


def fit_line(cursor: CursorContext, text: str, can_replace: bool = False) -> tuple[str, int]:
    """The text as it fits before the rest of the cursor's line, and how much of that rest it replaces.

    Where the text brings the rest of the line itself, it is replaced, or else cut from the text. With anything but
    closers right of the cursor only one line makes sense.
    """
    rest = cursor.line_after.rstrip()
    if not rest:
        return text, 0
    line, _, others = text.partition("\n")
    is_closers = not has_words(rest)
    at = _brings_rest(line, text if is_closers else line, rest)
    if at is None:
        return (text, 0) if is_closers or not others else (line, 0)
    if is_closers and can_replace and _comes_in(rest, text):
        return text, len(rest)
    return text[:at], 0


def strip_repeated_suffix(cursor: CursorContext, text: str) -> str:
    """Without an end that the text after the cursor begins with."""
    n = overlap(text, cursor.suffix)
    return text[: len(text) - n] if n >= MIN_SUFFIX_OVERLAP else text


def strip_repeated_lines(cursor: CursorContext, text: str) -> str:
    """Without last lines that are the first ones below."""
    lines = text.split("\n")
    below = [line.rstrip() for line in cursor.below[: len(lines)]]
    n = next(overlaps([line.rstrip() for line in lines], below, len(lines) - 1), 0)
    return "\n".join(lines[:-n]) if any(below[:n]) else text


def strip_repeating_end(_: CursorContext, text: str) -> str:
    """Without a last line that ends in the same few characters over and over."""
    before, newline, line = text.rpartition("\n")
    return before if ends_repeating(line) else before + newline + line


def strip_similar_lines(_: CursorContext, text: str) -> str:
    """Only the first of five or more lines that hardly differ."""
    lines = text.split("\n")
    n_similar = 1
    for index in range(1, len(lines)):
        a, b = lines[index - 1].strip(), lines[index].strip()
        n_similar = n_similar + 1 if not is_only_brackets(b) and is_similar(a, b, 0.1) else 1
        if n_similar == MIN_SIMILAR_LINES:
            return "\n".join(lines[: index - MIN_SIMILAR_LINES + 2])
    return text


def strip_repeated_blocks(cursor: CursorContext, text: str) -> str:
    """Only the first of three equal blocks of lines."""
    lines = text.split("\n")
    # The first line of a block may be begun already.
    whole = [cursor.line_before + lines[0], *lines[1:]]
    numbers = {line: number for number, line in enumerate(whole)}
    numbered = np.array([numbers[line] for line in whole])
    for size in range(2, min(len(lines) // MIN_EQUAL_BLOCKS, MAX_BLOCK_LINES) + 1):
        # Where enough lines in a row equal the line a block before, that block is repeated that often.
        differs = np.flatnonzero(numbered[size:] != numbered[:-size])
        starts, ends = np.append(0, differs + 1), np.append(differs, len(lines) - size)
        for start in starts[ends - starts >= (MIN_EQUAL_BLOCKS - 1) * size].tolist():
            if any(whole[start : start + size]):
                return "\n".join(lines[: start + size])
    return text


def strip_unmatched_closer(cursor: CursorContext, text: str) -> str:
    """Up to a bracket that closes what nothing has opened."""
    plain = without_literals(text)
    if not unmatched_closers(plain, []):
        # What the text opens itself it may close: there is no need to look at what is before it.
        return text
    unmatched = unmatched_closers(plain, open_brackets(without_literals(cursor.prefix[-MAX_BRACKET_CHARACTERS:])))
    return text[: unmatched[0]] if unmatched else text


def match_indent_style(cursor: CursorContext, text: str) -> str:
    """Spaces for tabs at the starts of lines in a text that is indented by spaces, and the other way round."""
    before = cursor.prefix[-4_000:]
    if "\t" not in before and "\t" not in text:
        return text
    indents = [indent_of(line) for line in before.split("\n")]
    n_tabs, n_spaces = sum("\t" in indent for indent in indents), sum(" " in indent for indent in indents)
    if n_tabs == n_spaces:
        return text
    first, *others = text.split("\n")
    return "\n".join([first, *(_reindented(line, n_tabs > n_spaces) for line in others)])


def strip_blank_end(cursor: CursorContext, text: str) -> str:
    """Without blank lines at the end, and without spaces at the end of the last line unless something follows them."""
    return text.rstrip("\n") if cursor.line_after.strip() else text.rstrip()


CHAT_TRIMS: tuple[Trim, ...] = (strip_thinking, strip_fence, strip_repeated_prefix)
FIRST_TRIMS: tuple[Trim, ...] = (strip_path_line, strip_second_space, strip_second_indent, even_indent)
LAST_TRIMS: tuple[Trim, ...] = (
    strip_repeated_suffix,
    strip_repeated_lines,
    strip_repeating_end,
    strip_similar_lines,
    strip_repeated_blocks,
    strip_unmatched_closer,
    match_indent_style,
    strip_blank_end,
)


_SWITCHABLE = (stop_at, *STOP_RULES, fit_line, *CHAT_TRIMS, strip_half_line, *FIRST_TRIMS, *LAST_TRIMS, *DISCARDS)
RULES = frozenset((IS_UNSURE, *(rule.__name__ for rule in (*_SWITCHABLE, *AUTOMATIC_DISCARDS))))
"""The names by which rules can be switched off."""


def _brings_rest(line: str, text: str, rest: str) -> int | None:
    """Where in `text` the rest of the cursor's line begins once more, or the closers before its first word; else None."""
    if line.rstrip().endswith(rest):
        return len(line.rstrip()) - len(rest)
    # Prompts do not show closers right after the cursor, so the model closes these brackets itself.
    closing = rest if not has_words(rest) else rest[: len(rest) - len(rest.lstrip(")]}"))]
    brackets = "".join(character for character in closing if character in ")]}")
    closers = unmatched_closers(without_literals(text), [])
    brings = brackets and "".join(text[index] for index in closers).startswith(brackets)
    return closers[0] if brings else None


def _comes_in(rest: str, text: str) -> bool:
    """Whether all characters of `rest` come in `text`, in their order: then none is lost where it is replaced."""
    characters = iter(text)
    return all(character in characters for character in rest)


def _deepest_indent(cursor: CursorContext) -> int:
    """The deepest indentation that makes sense in the cursor's line, after what is above."""
    above = cursor.line_above
    opens_block = above.rstrip().endswith((":", "{", "(", "[", ","))
    return len(indent_of(above)) + (8 if opens_block and indent_of(above)[:1] != "\t" else int(opens_block))


def _reindented(line: str, by_tabs: bool) -> str:
    indent = indent_of(line)
    changed = indent.replace("    ", "\t") if by_tabs else indent.replace("\t", "    ")
    return changed + line[len(indent) :]
