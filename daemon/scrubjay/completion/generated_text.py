"""The texts that are generated for one request, from pieces to what is shown. Pure.

    pieces -> written (as the model writes it) -> text (without the indent that is there already)
           -> told (what a client may be shown while the text grows) -> the item that is answered

Law: what was told is always the beginning of the first item's text.
"""

from dataclasses import dataclass, field, replace
from math import exp

from scrubjay.code_text import without_indent
from scrubjay.completion.discards import IS_UNSURE
from scrubjay.completion.finish import Finish
from scrubjay.completion.requests import Item
from scrubjay.protocol.messages import CONFIDENCE_TOKENS, Done, GeneratedToken, Piece


@dataclass(slots=True)
class GeneratedText:
    """One text while it is generated.

    Args:
        indent: what stands before the cursor, and the model writes all the same.
        is_cut: it has ended by its `Finish`; what comes after does not count.
        is_told: the client has a part of it already, so it is too late to ask how likely it is.
        logprob: how likely its first tokens were.
        before_cut: what there was of it when it was ended: why nothing is left can be told by this.
    """

    finish: Finish
    indent: str = ""
    is_told: bool = False
    text: str = ""
    is_cut: bool = False
    before_cut: str = ""
    logprob: float = 0.0
    _written: list[str] = field(default_factory=list)
    _pieces: list[Piece] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        """The engine has generated `piece`."""
        if self.is_cut:
            return
        self._pieces.append(piece)
        self.logprob += piece.logprob
        if self.is_unsure:
            self.is_cut, self.text = True, ""
            return
        n_seen = len(self.text)
        if self.indent:
            self._written.append(piece.text)
            self.text = without_indent("".join(self._written), self.indent)
        else:
            self.text += piece.text
        # One place after the other, as if the text came character by character: where it ends must not depend on its pieces.
        for length in sorted(self._places_to_look(n_seen)):
            if (end := self.finish.stop_offset(self.text[:length])) is not None:
                self.is_cut, self.text, self.before_cut = True, self.text[:end], self.text[:length]
                return

    def _places_to_look(self, n_seen: int) -> set[int]:
        """After how many characters one of the triggers has come that was not there after the first `n_seen`, or a stride."""
        stride = self.finish.stride
        places = set(range((n_seen // stride + 1) * stride, len(self.text) + 1, stride)) if stride else set[int]()
        for trigger in self.finish.triggers:
            start = self.text.find(trigger, max(n_seen - len(trigger) + 1, 0))
            while start >= 0 and trigger:
                places.add(start + len(trigger))
                start = self.text.find(trigger, start + 1)
            if not trigger:
                places.add(len(self.text))
        return places

    @property
    def is_unsure(self) -> bool:
        """Whether the model is not sure enough of it for it to be shown, however it goes on."""
        return not self.is_told and exp(self.logprob) < self.finish.min_confidence

    @property
    def is_judged(self) -> bool:
        """Whether the model stays as sure of it as it is, however it goes on."""
        return self.finish.min_confidence <= 0 or self.n_tokens >= CONFIDENCE_TOKENS

    @property
    def n_tokens(self) -> int:
        return sum(piece.n_tokens for piece in self._pieces)

    @property
    def pieces_with_margins(self) -> tuple[tuple[str, tuple[float, ...]], ...]:
        """The pieces as the model wrote them, if margins were asked for."""
        return tuple((piece.text, piece.margins) for piece in self._pieces if piece.margins)

    @property
    def tokens(self) -> tuple[GeneratedToken, ...]:
        """The tokens, if they were asked for."""
        return tuple(token for piece in self._pieces for token in piece.tokens)


class Alternatives:
    """The distinct texts of one request, generated one after the other.

    Args:
        n: how many are asked for.
        is_streamed: the first item is told while it is written; otherwise nothing of it is before it is complete.

    Attributes:
        items: what is to be shown, and `discarded` the names of the rules by which other texts are not.
        n_done: how many texts are complete.
        is_cut: the text that is being generated has ended by its `Finish`.
    """

    def __init__(self, finish: Finish, indent: str = "", n: int = 1, is_streamed: bool = True) -> None:
        self._finish = finish
        self._indent = indent
        self._n = n
        self._is_streamed = is_streamed
        self._told = ""
        self._current = GeneratedText(finish, indent)
        self.items: list[Item] = []
        self.discarded: list[str] = []
        self.n_done = 0
        self.is_cut = False

    @property
    def has_more(self) -> bool:
        """Whether another text is to be generated, perhaps in place of one that is not shown."""
        return len(self.items) < self._n and self.n_done < self._finish.max_tries(self._n)

    @property
    def has_told(self) -> bool:
        """Whether the client has a part of the first item."""
        return bool(self._told)

    def add(self, piece: Piece) -> str:
        """The engine has generated `piece`; what may be told beyond what was told already, of the first item only."""
        n_seen = len(self._current.text)
        self._current.add(piece)
        self.is_cut = self._current.is_cut
        if self.items or not self._is_streamed or not self._current.is_judged:
            return ""
        return self._tell(self._finish.tellable(self._current.text, n_seen))

    def restart(self) -> None:
        """What was generated of the present text does not count: it is written once more."""
        self._begin()

    def end(self, done: Done) -> str:
        """The present text is complete; what remains to be told of the first item."""
        text = self._current
        if text.is_cut and done.stop_reason != "none":
            # Perhaps the engine came to an end of its own before it heard of this one.
            done = replace(done, stop_reason="stop", stop_word="", n_generated=text.n_tokens)
        self._begin()
        self.n_done += 1
        if done.stop_reason == "none":
            return ""
        if text.is_unsure:
            self.discarded.append(IS_UNSURE)
            return ""
        shown = self._finish.postprocess(text.text, done.stop_reason in ("length", "time"))
        if shown.discarded:
            why = self._finish.postprocess(text.before_cut).discarded if text.is_cut and not text.text.strip() else ""
            self.discarded.append(why or shown.discarded)
        elif not self._has(shown.text):
            how = (done.stop_reason, done.n_generated, text.pieces_with_margins, done.stop_word)
            self.items.append(Item(shown.text, *how, shown.n_replaced, text.tokens))
            return self._tell(shown.text) if len(self.items) == 1 else ""
        return ""

    def end_cut(self, job: int, generate_ms: float) -> Done:
        """The end of a text that its `Finish` has ended, as the engine would tell it."""
        return Done(job, "stop", "", self._current.n_tokens, generate_ms)

    def _begin(self) -> None:
        self._current, self.is_cut = GeneratedText(self._finish, self._indent, bool(self._told)), False

    def _tell(self, text: str) -> str:
        # Text that is generated once more after an interruption may differ: then nothing is told until it catches up.
        if len(text) <= len(self._told) or not text.startswith(self._told):
            return ""
        new, self._told = text[len(self._told) :], text
        return new

    def _has(self, text: str) -> bool:
        """Whether an item says the same."""
        return any(self._finish.is_same(item.text, text) for item in self.items)
