"""What the user has changed, as a person sees it: edits, each at one place, in order, across the documents of a project.

A key is no edit. Changes that touch the same or adjacent lines are one as long as no pause comes between them. An edit is
kept as whole lines, so a key costs as much as the lines of its edit, whatever the size of the document.
"""

import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import unified_diff
from itertools import islice, takewhile

from scrubjay.positions import split_lines
from scrubjay.workspace.text import Replacement, Text

PAUSE_S = 5.0
"""After a longer time without a change at its place, an edit is finished."""
MAX_EDIT_CHARACTERS = 8 << 10
"""What changes more at once is no edit of a person: a reload, or a generated file."""
MAX_JOINED_CHARACTERS = 1000
"""Changes made at once are one edit if they are not farther from each other; farther ones are edits of their own."""
MAX_CHARACTERS = 64 << 10
"""What all edits hold together, four bytes a character at most; the oldest are dropped."""
MAX_TAKEN_BACK = 16
MAX_PLACES = 16
N_CONTEXT_LINES = 3

_HUNK = re.compile(r"@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@")


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines of a document replaced by others. All offsets and line numbers are those of the text before the edit.

    Args:
        key: of the document.
        start: the offset at which `old` begins, which `new` replaces; both are whole lines with their ends.
        line: the number of the first of these lines, from 0.
        above, below: the lines next to them, up to three on either side.
        at_s: when the last of its changes was made.
        n_changes: how many there were.
        epoch: edits of one document that have another one are not known to follow each other.
    """

    key: str
    start: int
    old: str
    new: str
    line: int
    above: str
    below: str
    at_s: float
    n_changes: int = 1
    epoch: int = 0

    @property
    def end(self) -> int:
        """The offset at which `new` ends, in the text after the edit."""
        return self.start + len(self.new)

    @property
    def delta(self) -> int:
        """By how many characters the document has grown."""
        return len(self.new) - len(self.old)

    @property
    def n_characters(self) -> int:
        """What the edit holds."""
        return len(self.old) + len(self.new) + len(self.above) + len(self.below)

    @property
    def is_nothing(self) -> bool:
        return self.old == self.new

    def undoes(self, other: "Edit") -> bool:
        """Whether it makes of what `other` left what `other` found."""
        return (self.key, self.epoch, self.start) == (other.key, other.epoch, other.start) and (
            (self.old, self.new) == (other.new, other.old)
        )

    def unified_diff(self, label: str) -> str:
        """The edit as a unified diff of the file `label`, with up to three lines of context."""
        old, new = (_diff_lines(f"{self.above}{middle}{self.below}") for middle in (self.old, self.new))
        first = self.line - _n_line_ends(self.above)
        diff = unified_diff(old, new, f"a/{label}", f"b/{label}", n=N_CONTEXT_LINES)
        return "".join(_ended(_with_lines(line, first) if line.startswith("@@") else line) for line in diff)


@dataclass(frozen=True, slots=True)
class _Lines:
    """A replacement of whole lines: what a change does, as the edit would that it is on its own."""

    text: Text
    first: int
    last: int
    start: int
    end: int
    new: str

    @classmethod
    def of(cls, change: Replacement) -> "_Lines":
        text = change.before
        first = text.line_at(change.start)
        last = first if change.end == change.start else text.line_at(change.end)
        start, end = text.line_start(first), text.line_start(last + 1)
        new = text.text[start : change.start] + change.new + text.text[change.end : end]
        return cls(text, first, last, start, end, new)

    @property
    def old(self) -> str:
        return self.text.text[self.start : self.end]

    @property
    def above(self) -> str:
        return _above(self.text, self.first, self.start)

    @property
    def below(self) -> str:
        return _below(self.text, self.last + 1, self.end)

    def edit(self, key: str, at_s: float, epoch: int) -> Edit:
        return Edit(key, self.start, self.old, self.new, self.first, self.above, self.below, at_s, 1, epoch)


MAX_DELETED = 4
MIN_DELETED_CHARACTERS = 16


class EditHistory:
    """The edits of a project, oldest first.

    Attributes:
        taken_back: edits that were undone, the last one at the end.
    """

    def __init__(self) -> None:
        self._edits: list[Edit] = []
        self._n_characters = 0
        self._epochs: Counter[str] = Counter()
        # Documents edited since they were saved.
        self._unsaved: set[str] = set()
        self.taken_back: deque[Edit] = deque(maxlen=MAX_TAKEN_BACK)

    def __iter__(self) -> Iterator[Edit]:
        return iter(self._edits)

    def __len__(self) -> int:
        return len(self._edits)

    @property
    def last(self) -> Edit | None:
        """The edit that was begun last."""
        return self._edits[-1] if self._edits else None

    def of(self, key: str) -> list[Edit]:
        """The edits of one document that are known to follow each other up to its present text, oldest first."""
        edits = (self._edits[index] for index in self._backwards(key))
        return [*takewhile(lambda edit: edit.epoch == self._epochs[key], edits)][::-1]

    def places(self, key: str) -> list[int]:
        """Where the last edits of one document are in its present text, the last one first; see `of`."""
        found: list[int] = []
        later: list[Edit] = []
        for edit in self.of(key)[: -MAX_PLACES - 1 : -1]:
            at = edit.start
            for other in reversed(later):
                at += other.delta if at > other.start else 0
            found.append(max(at, 0))
            later.append(edit)
        return found

    def current(self) -> list[Edit]:
        """All edits that are known to lead to the present texts of their documents; none if the last one does not."""
        edits = [edit for edit in self._edits if edit.epoch == self._epochs[edit.key]]
        return edits if edits[-1:] == self._edits[-1:] else []

    def deleted(self) -> tuple[str, ...]:
        """The last texts that edits took out and that say something, the last one first: they may come back elsewhere."""
        olds = (edit.old for edit in (*reversed(self.taken_back), *reversed(self._edits[-MAX_DELETED:])))
        return tuple(old for old in olds if len(old.strip()) >= MIN_DELETED_CHARACTERS)[:MAX_DELETED]

    def record(self, key: str, changes: Sequence[Replacement], now_s: float) -> None:
        """The user has made `changes` at once, one after the other, of the document `key`."""
        narrowed = _joined([change.narrowed() for change in changes])
        lines = [_Lines.of(change) for change in narrowed]
        if _is_formatting(narrowed) or any(
            each.end - each.start + len(change.new) > MAX_EDIT_CHARACTERS
            for change, each in zip(narrowed, lines, strict=True)
        ):
            self.interrupt(key)
            return
        for change, each in zip(narrowed, lines, strict=True):
            if change.new or change.end > change.start:
                self._record(key, each, now_s)
        self._unsaved.add(key)
        while self._n_characters > MAX_CHARACTERS:
            self._remove(0)

    def interrupt(self, key: str) -> None:
        """The document `key` has another text, which is nobody's edit: what comes does not follow what was."""
        self._epochs[key] += 1

    def saved(self, key: str) -> None:
        """The editor has written the document to disk."""
        self._unsaved.discard(key)

    def found_on_disk(self, key: str) -> None:
        """The text of the document `key` is what is on disk now. If nobody saved it, the editor has read it from there."""
        last = next(self._backwards(key), None)
        if key in self._unsaved and last is not None and self._edits[last].n_changes == 1:
            self._remove(last)
            self.interrupt(key)
            self._unsaved.discard(key)

    def _backwards(self, key: str) -> Iterator[int]:
        """Where the edits of the document are, the last one first."""
        return (index for index in reversed(range(len(self._edits))) if self._edits[index].key == key)

    def _record(self, key: str, lines: _Lines, now_s: float) -> None:
        if not self._join(key, lines, now_s):
            self._insert(len(self._edits), lines.edit(key, now_s, self._epochs[key]))
        self._drop_undone(key)

    def _join(self, key: str, lines: _Lines, now_s: float) -> bool:
        """Let a change be part of the edit that it touches, if no pause was between, or it undoes the whole edit."""
        start, end = lines.start, lines.end
        later: list[int] = []
        for index in self._backwards(key):
            edit = self._edits[index]
            if edit.epoch != self._epochs[key]:
                return False
            if start <= edit.end and end >= edit.start:
                return self._merge(index, lines, start, end, later, now_s)
            if start > edit.end:
                start, end = start - edit.delta, end - edit.delta
            later.insert(0, index)
        return False

    def _merge(self, index: int, lines: _Lines, start: int, end: int, later: list[int], now_s: float) -> bool:
        """Let the change of `lines`, which were [start, end) after the edit at `index`, be part of it.

        Args:
            later: where the edits are that the document had since; one that touches the edit keeps it as it is.
        """
        edit = self._edits[index]
        low, high = min(start, edit.start), max(end, edit.end)
        moved = _moved(low, high, [self._edits[number] for number in later])
        if moved is None:
            return False
        at, gaps = moved
        text = lines.text.text
        before, after = text[at : at + edit.start - low], text[at + edit.end - low : at + high - low]
        merged = replace(
            edit,
            start=low,
            old=before + edit.old + after,
            new=text[at : lines.start] + lines.new + text[lines.end : at + high - low],
            line=edit.line - _n_line_ends(before),
            above=edit.above[: max(len(edit.above) - len(before), 0)] if later else _lines_above(lines.text, at),
            below=edit.below[len(after) :] if later else _lines_below(lines.text, at + high - low),
            at_s=now_s,
            n_changes=edit.n_changes + 1,
        )
        is_late = now_s - edit.at_s > PAUSE_S or len(merged.old) + len(merged.new) > MAX_EDIT_CHARACTERS
        if is_late and not merged.is_nothing:
            return False
        self._remove(index)
        self._insert(index, merged)
        for number, gap in zip(later, gaps, strict=True):
            self._edits[number] = _beside(self._edits[number], gap, lines)
        if merged.is_nothing:
            self.taken_back.append(edit)
            self._remove(index)
        return True

    def _drop_undone(self, key: str) -> None:
        """Drop the last two edits of the document if the one undoes the other."""
        last, other = [*islice(self._backwards(key), 2), None, None][:2]
        if last is not None and other is not None and self._edits[last].undoes(self._edits[other]):
            self.taken_back.append(self._edits[other])
            self._remove(last)
            self._remove(other)

    def _insert(self, index: int, edit: Edit) -> None:
        self._edits.insert(index, edit)
        self._n_characters += edit.n_characters

    def _remove(self, index: int) -> None:
        self._n_characters -= self._edits.pop(index).n_characters


def _moved(low: int, high: int, edits: Sequence[Edit]) -> tuple[int, list[int]] | None:
    """Where [low, high) begins after `edits`, and how far below it each of them is, or above: negative; None if one touches."""
    gaps = []
    for edit in edits:
        old_end = edit.start + len(edit.old)
        if low <= old_end and high >= edit.start:
            return None
        gaps.append(edit.start - high if edit.start > high else old_end - low)
        if edit.start < low:
            low, high = low + edit.delta, high + edit.delta
    return low, gaps


def _beside(edit: Edit, gap: int, lines: _Lines) -> Edit:
    """An edit after a change that comes before it in time: moved if that is above it, with no context that it changes."""
    if gap < 0:
        return replace(edit, below=edit.below[:-gap])
    n_lines, n_characters = _n_line_ends(lines.new) - _n_line_ends(lines.old), len(lines.new) - len(lines.old)
    return replace(edit, start=edit.start + n_characters, line=edit.line + n_lines, above=edit.above[-gap:])


def _joined(changes: Sequence[Replacement]) -> Sequence[Replacement]:
    """The changes as one, if they are near each other."""
    if len(changes) < 2:
        return changes
    before, after = changes[0].before, changes[-1].after()
    joined = Replacement(before, 0, len(before.text), after.text).narrowed()
    return [joined] if len(joined.old) + len(joined.new) <= MAX_JOINED_CHARACTERS else changes


def _is_formatting(changes: Sequence[Replacement]) -> bool:
    """Whether they change nothing but white space, in several places: what a formatter does."""
    if any("".join(change.old.split()) != "".join(change.new.split()) for change in changes):
        return False
    # What is left of a change at one place begins and ends with what it changes.
    return len(changes) > 1 or any(change.old.strip() for change in changes)


def _above(text: Text, line: int, offset: int) -> str:
    """The lines above `line`, which begins at `offset`."""
    return text.text[text.line_start(max(line - N_CONTEXT_LINES, 0)) : offset]


def _below(text: Text, line: int, offset: int) -> str:
    """The lines from `line` on, which begins at `offset`."""
    return text.text[offset : text.line_start(line + N_CONTEXT_LINES)]


def _lines_above(text: Text, offset: int) -> str:
    return _above(text, text.line_at(offset), offset)


def _lines_below(text: Text, offset: int) -> str:
    # At the end there is no line left; the last one, without an end, would be found there.
    return "" if offset == len(text.text) else _below(text, text.line_at(offset), offset)


# --- unified diffs ---------------------------------------------------------------------------------------------------


def _n_line_ends(text: str) -> int:
    return len(split_lines(text)) - 1


def _diff_lines(text: str) -> list[str]:
    lines = split_lines(text)
    return lines if lines[-1] else lines[:-1]


def _with_lines(header: str, n_lines: int) -> str:
    match = _HUNK.match(header)
    if match is None:
        return header
    old, old_length, new, new_length = match.groups(default="")
    return f"@@ -{int(old) + n_lines}{old_length} +{int(new) + n_lines}{new_length} @@\n"


def _ended(line: str) -> str:
    return line if line.endswith(("\n", "\r")) else f"{line}\n\\ No newline at end of file\n"
