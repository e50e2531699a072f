"""How much of the texts that were accepted is still there later: moved along by changes, compared five minutes later and at save.

Pure: the time is passed in, in seconds. A change costs as much as there are accepted texts in its document, however long that is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from scrubjay.completion.acceptance import Counts, Kept
from scrubjay.workspace.document import Document
from scrubjay.workspace.text import Replacement

KEPT_S = 300.0
MAX_TEXTS = 64
"""Of more, the oldest are looked at no more."""
MAX_CHARACTERS = 1_000
"""Of a text, so many are looked at; and four times as many of what has become of it."""
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(slots=True, eq=False)
class _Accepted:
    """An accepted text, which is at [start, end) of its document if it was left alone.

    Args:
        due_s: when it is five minutes old; None if that has been counted.
    """

    counts: Counts
    document: Document
    start: int
    end: int
    text: str
    due_s: float | None
    is_saved: bool = False

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to count."""
        return self.due_s is None and self.is_saved

    def move(self, change: Replacement) -> None:
        """Keep to the text while `change` is made: what is changed in the middle of it, or across an end, belongs to it."""
        start, end, n_new = change.start, change.end, len(change.new)
        delta = n_new - (end - start)
        if start == end == self.start == self.end:
            self.end += delta  # it was undone, and comes again
        elif end <= self.start:
            self.start, self.end = self.start + delta, self.end + delta
        elif start < self.end:
            self.start, self.end = min(self.start, start), max(self.end, end) + delta

    def count(self, kept: Kept, text: str) -> None:
        """Count in `kept` what is left of it in the document, which has `text`."""
        there = text[self.start : min(self.end, self.start + 4 * MAX_CHARACTERS)]
        kept.characters += sum(map(len, _WORD.findall(self.text)))
        kept.kept += n_kept(self.text, there)


class KeptTexts:
    """The texts that were accepted last."""

    def __init__(self) -> None:
        self._texts: list[_Accepted] = []

    def is_in(self, document: Document) -> bool:
        """Whether there is one in `document`."""
        return any(self._of(document))

    def add(self, counts: Counts, document: Document, start: int, text: str, now_s: float) -> None:
        """`text` was accepted, and is at `start` of `document`; what is left of it is to be counted in `counts`."""
        accepted = _Accepted(counts, document, start, start + len(text), text[:MAX_CHARACTERS], now_s + KEPT_S)
        self._texts = [*self._texts, accepted][-MAX_TEXTS:]

    def changed(self, document: Document, change: Replacement, now_s: float) -> None:
        """`change` was made in `document`."""
        for accepted in self._of(document):
            _look(accepted, change.before.text, now_s)
            accepted.move(change)

    def saved(self, document: Document, now_s: float) -> None:
        """`document` is being written to disk."""
        for accepted in self._of(document):
            if not accepted.is_saved:
                accepted.is_saved = True
                accepted.count(accepted.counts.at_save, document.text)
        self.look(now_s)

    def look(self, now_s: float) -> None:
        """Count what is five minutes old by now."""
        for accepted in self._texts:
            _look(accepted, accepted.document.text, now_s)
        self._texts = [accepted for accepted in self._texts if not accepted.is_over]

    def forget(self, counts: Counts) -> None:
        """Count nothing in `counts` any more."""
        self._texts = [accepted for accepted in self._texts if accepted.counts is not counts]

    def _of(self, document: Document) -> Iterator[_Accepted]:
        return (accepted for accepted in self._texts if accepted.document is document)


def n_kept(text: str, there: str) -> int:
    """How many characters of `text` are left in `there`: of the words and signs that both have in the same order."""
    before, after = _WORD.findall(text), _WORD.findall(there)
    if before == after:
        return sum(map(len, before))
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    return sum(len(word) for at, _, n in blocks for word in before[at : at + n])


def _look(accepted: _Accepted, text: str, now_s: float) -> None:
    """Count `accepted` if it is five minutes old; its document has had `text` since it was."""
    if accepted.due_s is not None and now_s >= accepted.due_s:
        accepted.due_s = None
        accepted.count(accepted.counts.after_5_min, text)
