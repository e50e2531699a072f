"""What changed between two prompts, in words that a user understands. Pure; for when somebody asks, never on the way of a key."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scrubjay.prompt.segments import Span
from scrubjay.service.request_log import Change, Place, PromptRecord
from scrubjay.tokens import EMPTY, Tokens, n_shared

NEAR = 48
"""Tokens on both sides of a change whose text is looked at."""
MAX_EXCERPT = 120
_WHY_CUT = re.compile(r"which was set (.+?)(?:, as much as fits)?$")
Piece = Callable[[int], bytes]
"""The bytes of a token."""


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of a change.

    Args:
        text: a sentence.
        segment: where in the new prompt the two begin to differ; None if nothing differs.
        line: of its document, from 1; None if it is not known, or no document.
        was, now: that line in both prompts; "" where it means nothing.
    """

    text: str
    segment: Span | None = None
    line: int | None = None
    was: str = ""
    now: str = ""


class Laid:
    """One of the two prompts, with its tokens in one array."""

    def __init__(self, record: PromptRecord) -> None:
        self.segments, self.reasons, self.parts = record.segments, record.reasons, record.parts
        self.tokens: Tokens = np.concatenate([EMPTY, *record.parts])

    def at(self, n: int) -> int:
        """The number of the segment that holds token `n`, or of the last one."""
        return min(bisect_right([span.end for span in self.segments], n), len(self.segments) - 1)

    @cached_property
    def files(self) -> list[str]:
        """What stands before the current file, in order."""
        return [span.label for span in self.segments if span.kind in ("file", "tail")]

    @property
    def current(self) -> str:
        """The label of the file that is being edited."""
        return self.segments[-1].label

    def after(self, index: int) -> str:
        """The label of the next segment that has another one than segment `index`; "" at the end."""
        label = self.segments[index].label
        return next((span.label for span in self.segments[index + 1 :] if span.label != label), "")


@dataclass(frozen=True)
class Comparison:
    """Two prompts of one context.

    Args:
        place: where the new one is to be completed.
        is_idle: it was made when nobody waited.
    """

    before: Laid
    now: Laid
    place: Place | None
    is_idle: bool
    piece: Piece

    @cached_property
    def n_common(self) -> int:
        return n_shared(self.before.tokens, self.before.parts, self.now.tokens, self.now.parts)

    @cached_property
    def index(self) -> int:
        return self.now.at(self.n_common)

    @property
    def new(self) -> Span:
        """The segment of the new prompt where the two begin to differ."""
        return self.now.segments[self.index]

    @property
    def old(self) -> Span:
        """The segment of the old one."""
        return self.before.segments[self.before.at(self.n_common)]

    def words(self) -> Words:
        """What changed."""
        n_old, n_new = len(self.before.tokens), len(self.now.tokens)
        if self.n_common == n_old == n_new:
            return Words("Nothing changed since the last prompt; the last token is always evaluated again.")
        if self.n_common == n_old:
            return self._text(f"{_n_tokens(n_new - n_old)} came at the end of the prompt: {{}}")
        if self.n_common == n_new:
            return self._text("Text was deleted at the end of the prompt: {}")
        is_within = (self.old.kind, self.old.label) == (self.new.kind, self.new.label)
        return self._within() if is_within else self._between()

    # --- the same segment has another text -----------------------------------------------------------------------------

    def _within(self) -> Words:
        if (why := self._why_cut()) and self._shows_another_part():
            return Words(f"Another part of {self.new.label} is shown: what is shown was cut again {why}.", self.new)
        is_shorter = self.new.kind == "prefix" and self._shared_text() == self._texts()[1]
        return self._cut_elsewhere() if is_shorter else self._text("{}")

    def _shows_another_part(self) -> bool:
        """Whether the segment shows another part of its file: nothing of the text is shared."""
        is_cut = "as much as fits" in self.now.reasons[self.index]
        return is_cut and self.n_common - self.new.start <= 1

    def _text(self, form: str) -> Words:
        """`form` with the place of the change, and the line that changed."""
        line, span = self._line(), self.new
        changed = f"{span.label} changed" if form == "{}" else span.label
        at = f"{changed} at line {line}" if line else changed
        return Words(
            form.format(at + self._where()) + ".", span, line, self._excerpt(self.before), self._excerpt(self.now)
        )

    def _where(self) -> str:
        kind = self.new.kind
        if kind in ("file", "tail"):
            return f", before {self.now.after(self.index)} in the prompt" if self.now.after(self.index) else ""
        if not self.place or kind not in ("prefix", "suffix"):
            return ""
        is_there = self.old.kind != kind
        return ", at the cursor" if is_there else ", before the cursor" if kind == "prefix" else ", after the cursor"

    # --- other segments stand there ------------------------------------------------------------------------------------

    def _between(self) -> Words:
        old, new = self.old, self.new
        if self.before.current != self.now.current:
            return Words(f"You went from {self.before.current} to {self.now.current}{self._moved()}.", new)
        if new.label == old.label or not {"file", "tail"} & {old.kind, new.kind}:
            return self._cut_elsewhere()
        return Words(self._files() + ".", new)

    def _moved(self) -> str:
        return f", and the prompt differs from {self.new.label} on" if self.new.label != self.now.current else ""

    def _files(self) -> str:
        """Which of the files came, went or moved."""
        before, now = self.before.files, self.now.files
        if self.new.kind in ("file", "tail") and self.new.label not in before:
            return f"{self.new.label} was added to the prompt"
        if self.old.kind in ("file", "tail") and self.old.label not in now:
            return f"{self.old.label} was left out of the prompt"
        when = " when idle" if self.is_idle else ""
        moved = self.old.label if self.old.kind in ("file", "tail") else self.new.label
        return f"The project's files were reordered{when}: {moved} was moved"

    def _cut_elsewhere(self) -> Words:
        """What is shown of the current file begins or ends at another place."""
        where = f"line {self.place.line + 1} of {self.new.label}" if self.place else self.new.label
        if why := self._why_cut():
            return Words(f"What is shown around {where} was cut again {why}.", self.new, self._line())
        if self.place and self._shared_text() in self._texts():
            return Words(f"The cursor moved to {where}.", self.new, self._line())
        return self._text("{}")

    def _why_cut(self) -> str:
        """Why the text before the cursor ends where it does, if the prompt's layout says it and it was not said before."""
        old, new = (_reason(laid, "prefix") for laid in (self.before, self.now))
        found = _WHY_CUT.search(new)
        is_new = old != new or self.new.kind in ("prefix", "suffix")
        return found[1] if found and is_new else ""

    # --- lines -----------------------------------------------------------------------------------------------------------

    def _line(self) -> int | None:
        """The line of the document, from 1, at which the two begin to differ."""
        span, n = self.new, self.n_common
        further = self._shared_text().count("\n")
        if span.kind in ("file", "tail"):
            # Before the text there is a line with the path.
            return max(self._n_lines(span.start, n) + further, 1)
        if self.place is None:
            return self._n_lines(span.start, n) + further + 1 if span.kind == "prefix" else None
        if span.kind in ("prefix", "middle"):
            return self.place.line + 1 - self._n_lines_to_cursor(n) + further
        if span.kind == "suffix":
            return self.place.line + self._n_to_suffix() + self._n_lines(span.start, n) + further + 1
        return None

    def _n_lines(self, start: int, end: int) -> int:
        """How many lines end in these tokens of the new prompt."""
        tokens, counts = np.unique(self.now.tokens[start:end], return_counts=True)
        return sum(self.piece(int(token)).count(b"\n") * int(n) for token, n in zip(tokens, counts, strict=True))

    def _n_lines_to_cursor(self, n: int) -> int:
        """How many lines end between token `n` and the cursor: the text before the cursor may be in two segments."""
        own = [span for span in self.now.segments if span.kind in ("prefix", "middle")]
        return sum(self._n_lines(max(span.start, n), span.end) for span in own if span.end > n)

    def _n_to_suffix(self) -> int:
        """How many lines after the cursor's the text after it begins: 1, or 0 if the rest of the line belongs to it."""
        rest = self.place.rest if self.place else ""
        first = self._decode(self.now.tokens[self.new.start : self.new.start + NEAR]).partition("\n")[0]
        return 0 if first.strip() and rest.rstrip().endswith(first.rstrip()) else 1

    def _shared_text(self) -> str:
        """What the two share of the texts after their common tokens: tokens are longer than what changed."""
        one, other = self._texts()
        n = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
        return one[:n]

    def _texts(self) -> tuple[str, str]:
        """What comes in both after their common tokens, up to the end of the segment."""
        n = self.n_common
        old, new = (
            self._decode(laid.tokens[n : laid.segments[laid.at(n)].end][:NEAR]) for laid in (self.before, self.now)
        )
        return old, new

    def _excerpt(self, laid: Laid) -> str:
        """The line around the change in one of the prompts."""
        n, own = (
            self.n_common,
            [span for span in laid.segments if (span.kind, span.label) == (self.new.kind, self.new.label)],
        )
        span = next((span for span in own if span.start <= n <= span.end), None)
        if span is None:
            return ""
        head = self._decode(laid.tokens[max(span.start, n - NEAR) : n]) + self._shared_text()
        rest = self._decode(laid.tokens[n : min(n + NEAR, span.end)])[len(self._shared_text()) :]
        line = head.rpartition("\n")[2] + rest.partition("\n")[0]
        return line if len(line) <= MAX_EXCERPT else line[: MAX_EXCERPT - 1] + "…"

    def _decode(self, tokens: Sequence[int] | Tokens) -> str:
        return b"".join(self.piece(int(token)) for token in tokens).decode(errors="replace")


def compare(change: Change, place: Place | None, is_idle: bool, piece: Piece) -> Words:
    """What changed from the prompt before to the present one; there must be one before."""
    if change.before is None:
        raise ValueError("there is no prompt to compare with")
    return Comparison(Laid(change.before), Laid(change.now), place, is_idle, piece).words()


def _reason(laid: Laid, kind: str) -> str:
    return next((reason for span, reason in zip(laid.segments, laid.reasons, strict=True) if span.kind == kind), "")


def _n_tokens(n: int) -> str:
    return f"{n:,} token{'s' if n != 1 else ''}"
