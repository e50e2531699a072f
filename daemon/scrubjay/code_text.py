"""A place in a text at which a completion is asked for, and what the completion rules want to know of texts."""

import re

_BRACKETS = {")": "(", "]": "[", "}": "{"}
_WORD = re.compile(r"\w")
_NOT_BRACKETS = re.compile(r"[^()\[\]{}]+")
_STRINGS = re.compile(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'")


def indent_of(line: str) -> str:
    """The blanks with which `line` begins."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def without_indent(text: str, indent: str) -> str:
    """`text`, which was written from the start of a line, for a place in that line behind `indent`; "" if it is all blank.

    With less indentation it goes on behind what is there all the same: it is not for a completion to take that away.
    """
    written = indent_of(text)
    if written == text:
        return ""
    return text[len(indent if written.startswith(indent) else written) :]


def without_closers(text: str, closers: str) -> str:
    """`text` for a place before `closers`, without these at its end, if it is one line and they close nothing of its own."""
    line = text.rstrip()
    if not closers or "\n" in text or not line.endswith(closers):
        return text
    at = len(line) - len(closers)
    closes_own = closers[0] in _BRACKETS and at not in unmatched_closers(without_literals(line), [])
    return text if closes_own else line[:at]


def has_words(text: str) -> bool:
    """Whether `text` is more than what editors insert by themselves behind the cursor: closers, and blanks."""
    return _WORD.search(text) is not None


def is_only_brackets(line: str) -> bool:
    """Whether `line` has nothing but brackets and punctuation, so that two such lines are alike by chance."""
    return not any(character.isalnum() or character in "_\"'" for character in line)


def is_similar(a: str, b: str, share: float) -> bool:
    """Whether at most `share` of the longer one's characters have to be edited to make `a` into `b`."""
    limit = int(max(len(a), len(b)) * share)
    if abs(len(a) - len(b)) > limit:
        return False
    return a == b or (limit > 0 and _distance(a, b, limit) <= limit)


def open_brackets(text: str) -> list[str]:
    """The brackets that `text` opens and does not close; a closer that fits none is passed over."""
    opened: list[str] = []
    for bracket in _NOT_BRACKETS.sub("", text):
        if bracket not in _BRACKETS:
            opened.append(bracket)
        elif opened and opened[-1] == _BRACKETS[bracket]:
            opened.pop()
    return opened


def unmatched_closers(text: str, opened: list[str]) -> list[int]:
    """Where in `text` brackets are closed that neither `opened` nor `text` itself has opened."""
    opened = list(opened)
    found = []
    for index, character in enumerate(text):
        if character in "([{":
            opened.append(character)
        elif character in _BRACKETS:
            if opened and opened[-1] == _BRACKETS[character]:
                opened.pop()
            elif _BRACKETS[character] not in opened:
                found.append(index)
    return found


def overlap(a: str, b: str, longest: int = 400) -> int:
    """Length of the longest end of `a` that is a beginning of `b`, looked for up to `longest`."""
    most = min(len(a), len(b), longest)
    return next((n for n in range(most, 0, -1) if a.endswith(b[:n])), 0)


def without_literals(text: str) -> str:
    """`text` with spaces for strings that begin and end in a line, so that every offset stays."""
    return _STRINGS.sub(lambda match: " " * len(match[0]), text)


def _distance(a: str, b: str, limit: int) -> int:
    """The Levenshtein distance of `a` and `b`, or something greater than `limit`."""
    far = limit + 1
    row = {j: j for j in range(min(limit, len(b)) + 1)}
    for i, character in enumerate(a, 1):
        above, row = row, {}
        for j in range(max(i - limit, 0), min(i + limit, len(b)) + 1):
            if j == 0:
                row[0] = i
                continue
            replaced = above.get(j - 1, far) + (character != b[j - 1])
            row[j] = min(replaced, above.get(j, far) + 1, row.get(j - 1, far) + 1)
    return row.get(len(b), far)
