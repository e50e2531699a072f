"""From the logits after a prompt to text: sample, decode, sample, until something ends it."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Self

import numpy as np

from scrubjay.contexts.naive import Context, Control
from scrubjay.llama.context import Logits
from scrubjay.llama.sampler import Sampler
from scrubjay.llama.typed_text import TypedText, pieces_of
from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.protocol.messages import CONFIDENCE_TOKENS, DraftCounts, GeneratedToken, Sampling, StopReason, TokenChoice
from scrubjay.worker.detokenizer import IncrementalDetokenizer
from scrubjay.worker.drafting import Advance, Drafting

MAX_MARGIN = 100.0
"""What stands for the margin of a token that was the only one possible."""
Emit = Callable[[str, int, tuple[float, ...], tuple[GeneratedToken, ...], float], None]
"""Takes the next text, the number of tokens it is made of, their margins, the tokens themselves, and `Piece.logprob`."""


@dataclass(frozen=True, slots=True)
class Generated:
    stop_reason: StopReason
    stop_word: str
    n_tokens: int
    elapsed_ms: float
    drafts: DraftCounts


class Generation:
    """One generation; a context manager, because llama.cpp's sampler must be freed.

    Making it parses the grammar, so that a wrong one is refused before a context is chosen.

    Args:
        emit: called as soon as text is certain.

    Raises:
        ValueError: the grammar is not valid.
    """

    def __init__(self, vocabulary: Vocabulary, sampling: Sampling, emit: Emit) -> None:
        self._vocabulary = vocabulary
        self._sampling = sampling
        self._emit = emit
        self._sampler = Sampler(vocabulary, sampling)
        self._typed = _typed_text(vocabulary, sampling) if sampling.typed else None
        self._stream = IncrementalDetokenizer(sampling.stop)
        self._n_tokens = self._n_pending = 0
        self._margins: list[float] = []
        self._logprob = 0.0
        self._tokens: list[GeneratedToken] = []
        self._has_newline = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sampler.close()

    def run(self, context: Context, control: Control, drafting: Drafting | None = None) -> Generated:
        """Generate after the resident tokens of `context`, whose last decode must have left logits.

        What is generated stays resident: the next prompt shows whether it was accepted.

        Args:
            drafting: what is decoded ahead, where the context can go back; None for nothing.

        Raises:
            Interrupted: as `control` wished; what was decoded is kept.
            DecodeFailed: llama.cpp refused; the context is empty now.
        """
        begun = perf_counter()
        deadline = begun + self._sampling.max_ms / 1e3 if self._sampling.max_ms else float("inf")
        advance = Advance(context, (context.can_try and drafting) or Drafting(), self._sampling.max_tokens)
        try:
            reason = self._generate(context, advance, control, deadline)
        finally:
            advance.finish()
        self._give_out(self._stream.finish())
        elapsed_ms = (perf_counter() - begun) * 1e3
        return Generated(reason, self._stream.stop_word, self._n_tokens, elapsed_ms, advance.counts)

    def _generate(self, context: Context, advance: Advance, control: Control, deadline: float) -> StopReason:
        while True:
            token = self._next_token(context, advance, control)
            if token is None or self._ends(token):
                return "end"
            self._take(token, context)
            if self._stream.stop_word:
                return "stop"
            if self._sampler.is_complete:
                return "end"
            if self._n_tokens >= self._sampling.max_tokens or advance.is_full:
                return "length"
            if self._has_newline and perf_counter() > deadline:
                return "time"
            control.check()
            advance.step(token)

    def _next_token(self, context: Context, advance: Advance, control: Control) -> int | None:
        if self._typed and self._typed.left:
            if len(allowed := self._typed.allowed()):
                return self._sampler.sample_of(allowed, context.llama)
            self._write_typed(self._typed, advance, control)
        return self._sampler.sample(context.llama)

    def _write_typed(self, typed: TypedText, advance: Advance, control: Control) -> None:
        """Put what is left of the typed text through the model as it is: the vocabulary has no tokens with just its bytes."""
        for token in self._vocabulary.tokenize(typed.left.decode(errors="replace")).tolist():
            control.check()
            if not advance.is_full:
                advance.step(token)
        typed.accept(typed.left)

    def _ends(self, token: int) -> bool:
        if token in self._sampling.stop_tokens:
            return True
        return self._vocabulary.is_end(token) and not self._sampling.ignore_end

    def _take(self, token: int, context: Context) -> None:
        piece = self._vocabulary.piece(token)
        if self._typed and self._typed.left and not (piece := self._typed.accept(piece)):
            return
        self._n_tokens += 1
        self._n_pending += 1
        if self._sampling.with_margins:
            self._margins.append(margin(context.llama.logits()))
        if self._sampling.with_confidence and self._n_tokens <= CONFIDENCE_TOKENS:
            self._logprob += logprobs_of(context.llama.logits(), [token])[0]
        if self._sampling.with_tokens or self._sampling.n_probs >= 0:
            self._tokens.append(self._described(token, context))
        # A time limit must not cut the first line: half a line is no use to anybody.
        self._has_newline = self._has_newline or b"\n" in piece
        self._give_out(self._stream.feed(piece))

    def _described(self, token: int, context: Context) -> GeneratedToken:
        """The token that was chosen from the last logits, with as many others as are wanted."""
        n_top = self._sampling.n_probs
        if n_top < 0:
            return GeneratedToken(TokenChoice(token, self._vocabulary.piece(token)))
        logits = context.llama.logits()
        top = likeliest(logits, n_top)
        logprobs = logprobs_of(logits, [token, *top])
        choice, *others = (
            TokenChoice(number, self._vocabulary.piece(number), logprob)
            for number, logprob in zip([token, *top], logprobs, strict=True)
        )
        return GeneratedToken(choice, tuple(others))

    def _give_out(self, text: str) -> None:
        if text or self._tokens:
            self._emit(text, self._n_pending, tuple(self._margins), tuple(self._tokens), self._logprob)
            self._n_pending, self._logprob = 0, 0.0
            self._margins, self._tokens = [], []


def likeliest(logits: Logits, n: int) -> list[int]:
    """The `n` tokens with the highest logits, the highest first."""
    n = min(n, len(logits))
    found = np.argpartition(logits, -n)[-n:] if n else np.empty(0, dtype=np.int64)
    return [int(token) for token in found[np.argsort(-logits[found], kind="stable")]]


def logprobs_of(logits: Logits, tokens: list[int]) -> list[float]:
    """The logarithms of the probabilities of `tokens`."""
    highest = float(logits.max())
    total = highest + float(np.log(np.exp(logits - highest, dtype=np.float64).sum()))
    return [float(logits[token]) - total for token in tokens]


def margin(logits: Logits) -> float:
    """The best logit minus the second best, at most `MAX_MARGIN`."""
    second, best = np.partition(logits, -2)[-2:]
    return min(float(best - second), MAX_MARGIN)


def _typed_text(vocabulary: Vocabulary, sampling: Sampling) -> TypedText:
    data = sampling.typed.encode(errors="replace")
    return TypedText(pieces_of(vocabulary), data, sampling.stop_tokens)
