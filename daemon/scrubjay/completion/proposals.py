"""Completions that are shown, and what becomes of them: told by clients, or seen in their documents. Pure.

Clients say what only they know: that something is shown, and which key was pressed. Many cannot tell all of it, and none
tells that a text was written by hand; but documents do. A proposal that the user types along with is one proposal, however
often its rest is asked for meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scrubjay.code_text import common_prefix_length
from scrubjay.completion.acceptance import Counts, Outcome
from scrubjay.completion.kept_texts import KeptTexts
from scrubjay.workspace.document import Document
from scrubjay.workspace.text import Replacement

Told = Literal["shown", "accepted", "accepted_in_part", "rejected"]
MAX_REMEMBERED = 64
"""Proposals about which clients can still tell something."""
PAIRS = ("()", "[]", "{}", '""', "''", "``")
MIN_TAKEN = 2
"""Characters, white space apart, that come at once: one comes with a key, and with it the indentation of a new line."""


@dataclass(slots=True, eq=False)
class Proposal:
    """`texts` were shown at `start` of `document`, of one of which the first `n` characters are there by now.

    Args:
        tells: the client tells what is accepted, so that it need not be concluded from what comes into the document at once.
        outcome: so far.
        is_over: nothing more becomes of it, unless a client says that it was accepted.
    """

    counts: Counts
    document: Document
    start: int
    texts: tuple[str, ...]
    tells: bool = False
    n: int = 0
    outcome: Outcome = "pending"
    is_over: bool = False

    def follow(self, change: Replacement, text: str, is_at_once: bool) -> str:
        """`change` was made in the document, which has `text` after it; returns what was taken of the proposal at once.

        Args:
            is_at_once: what comes with the change came at once; else it may be many keys.
        """
        at, end = self.start + self.n, change.start + len(change.new)
        if change.end < self.start:
            self.start += end - change.end
            return ""
        if change.start > at:
            return ""  # further down
        if not change.new and self.start <= change.start < at:
            self.n = change.start - self.start  # the rest may be written yet
            return ""
        n = min(self._n_written(text), end - self.start)
        if change.start == at and n == self.n and text[at - 1 : end] in PAIRS:
            return ""  # the editor has closed a bracket
        if change.start < self.start or n <= self.n:
            self.end()
            return ""
        self.n = n
        taken = text[at : self.start + n]
        is_at_once = self.outcome == "accepted_in_part" if self.tells else is_at_once
        is_taken = is_at_once and change.start == at and len("".join(taken.split())) >= MIN_TAKEN
        self._advance(is_taken, is_whole=any(text.startswith(each, self.start) for each in self.texts))
        return taken if is_taken else ""

    def goes_on(self, document: Document, start: int, texts: Sequence[str]) -> bool:
        """Whether `texts`, shown at `start` of `document`, are the rest of it: then it consists of them from now on."""
        n = start - self.start
        is_over = self.is_over or self.outcome == "accepted"
        if is_over or document is not self.document or not 0 <= n <= self.n:
            return False
        rests = [each[n:] for each in self.texts]
        if not any(a.startswith(b) or b.startswith(a) for a in rests if a for b in texts if b):
            return False
        written = document.text[self.start : start]
        self.texts = tuple(written + each for each in texts)
        self.n = n
        return True

    def become(self, outcome: Outcome) -> None:
        """It has this outcome."""
        self.counts.move(self.outcome, outcome)
        self.outcome = outcome

    def end(self) -> None:
        """It is shown no more."""
        self.is_over = True
        if self.outcome == "pending":
            self.become("rejected")

    def _n_written(self, text: str) -> int:
        return max(common_prefix_length(text[self.start : self.start + len(each)], each) for each in self.texts)

    def _advance(self, is_taken: bool, is_whole: bool) -> None:
        """More of it is there: taken at once, or typed."""
        self.is_over = is_whole
        if is_taken and not self.tells:
            self.become("accepted" if is_whole else "accepted_in_part")
        elif is_whole and self.outcome == "pending":
            self.become("typed_out")


class Proposals:
    """What is shown to each client, one proposal at a time, and what was shown before.

    Args:
        kept: is to see what is left of accepted texts.
    """

    def __init__(self, kept: KeptTexts) -> None:
        self._kept = kept
        self._shown: dict[str, Proposal] = {}
        self._by_number: dict[int, Proposal] = {}

    def show(
        self,
        number: int,
        owner: str,
        counts: Counts,
        document: Document,
        start: int,
        texts: Sequence[str],
        tells: bool = False,
    ) -> None:
        """`owner` is shown `texts`, the answer to the request of that number, at `start` of `document`; `tells` as above."""
        # White space at the end is not seen, and some editors leave it out.
        texts = [written for text in texts if (written := text.rstrip())]
        shown = self._shown.get(owner)
        if number in self._by_number or not texts:
            return
        if not (shown and shown.goes_on(document, start, texts)):
            if shown:
                shown.end()
            counts.show()
            shown = self._shown[owner] = Proposal(counts, document, start, tuple(texts), tells)
        self._by_number[number] = shown
        if len(self._by_number) > MAX_REMEMBERED:
            del self._by_number[next(iter(self._by_number))]

    def told(self, number: int, outcome: Told, now_s: float) -> None:
        """A client says what the user did about the proposal that answered the request of that number."""
        proposal = self._by_number.get(number)
        if proposal is None or proposal.outcome == "accepted":
            return
        if outcome == "accepted":
            self._accept(proposal, now_s)
        elif outcome == "accepted_in_part" and proposal.outcome in ("pending", "rejected"):
            proposal.become(outcome)
        elif outcome == "rejected" and not proposal.is_over:
            proposal.end()

    def changed(self, document: Document, changes: Sequence[Replacement], now_s: float) -> None:
        """`changes` were made in `document`, one after the other."""
        followed = [proposal for proposal in self._shown.values() if proposal.document is document]
        if not followed and not self._kept.is_in(document):
            return
        texts = [*(change.before.text for change in changes[1:]), document.text]
        for each, text in zip(changes, texts, strict=True):
            # Many changes that come together are one of the whole text.
            change = each.narrowed() if each.is_whole else each
            self._kept.changed(document, change, now_s)
            for proposal in followed:
                if not proposal.is_over and (taken := proposal.follow(change, text, not each.is_whole)):
                    start = proposal.start + proposal.n - len(taken)
                    self._kept.add(proposal.counts, document, start, taken, now_s)

    def close(self, owner: str) -> None:
        """`owner` is gone: nothing is shown any more."""
        if proposal := self._shown.pop(owner, None):
            proposal.end()

    def close_all(self) -> None:
        """Nothing is shown to anybody any more."""
        for owner in list(self._shown):
            self.close(owner)

    def forget(self, counts: Counts) -> None:
        """Count nothing in `counts` any more."""
        self._shown = {owner: shown for owner, shown in self._shown.items() if shown.counts is not counts}
        self._by_number = {number: shown for number, shown in self._by_number.items() if shown.counts is not counts}

    def _accept(self, proposal: Proposal, now_s: float) -> None:
        """The client has put the text, or what was left of it, into the document, which may not show it yet."""
        was_seen = proposal.outcome == "accepted_in_part"
        proposal.become("accepted")
        if proposal.n and not was_seen:
            text = proposal.document.text[proposal.start : proposal.start + proposal.n]
            self._kept.add(proposal.counts, proposal.document, proposal.start, text, now_s)
