"""From the logits after a prompt to text: sample, decode, sample, until something ends it."""

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from time import perf_counter
from typing import Self

import numpy as np

from scrubjay.contexts.naive import Context, Control, Interrupted
from scrubjay.llama.context import Logits
from scrubjay.llama.sampler import Sampler
from scrubjay.llama.typed_text import TypedText, pieces_of
from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.protocol.messages import (
    CONFIDENCE_TOKENS,
    DraftCounts,
    GeneratedToken,
    Piece,
    PrefillCost,
    Run,
    Sampling,
    StopReason,
    TokenChoice,
)
from scrubjay.tokens import Tokens, as_tokens
from scrubjay.worker.detokenizer import IncrementalDetokenizer
from scrubjay.worker.drafting import Advance, Drafting

MAX_KEPT = 8
MAX_MARGIN = 100.0
"""What stands for the margin of a token that was the only one possible."""
Emit = Callable[[str, int, tuple[float, ...], tuple[GeneratedToken, ...], float], None]
"""Takes the next text, the number of tokens it is made of, their margins, the tokens themselves, and `Piece.logprob`."""


def sending(job: int, send: Callable[[Piece], None]) -> Emit:
    """What sends the texts that are generated for `job`."""

    def emit(
        text: str, n_tokens: int, margins: tuple[float, ...], tokens: tuple[GeneratedToken, ...], logprob: float
    ) -> None:
        send(Piece(job, text, n_tokens, margins, tokens, logprob))

    return emit


@dataclass(frozen=True, slots=True)
class Generated:
    stop_reason: StopReason
    stop_word: str
    n_tokens: int
    elapsed_ms: float
    drafts: DraftCounts


@dataclass(slots=True)
class _Pending:
    """What there is to tell of the tokens whose text is not certain yet; see `Emit`."""

    n_tokens: int = 0
    margins: list[float] = field(default_factory=list)
    tokens: list[GeneratedToken] = field(default_factory=list)
    logprob: float = 0.0


@dataclass(slots=True)
class _Run:
    """What a text has cost so far, and how one would go on with it: after `tokens`, `owed` comes next, None at its beginning."""

    tokens: list[int] = field(default_factory=list)
    owed: int | None = None
    elapsed_s: float = 0.0
    drafts: DraftCounts = field(default_factory=DraftCounts)


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
        self.emit = emit
        self._sampler = Sampler(vocabulary, sampling)
        self._typed = _typed_text(vocabulary, sampling) if sampling.typed else None
        self._stream = IncrementalDetokenizer(sampling.stop)
        self._n_tokens = 0
        self._pending = _Pending()
        self._run = _Run()
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
        so_far = self._run
        begun = perf_counter() - so_far.elapsed_s
        deadline = begun + self._sampling.max_ms / 1e3 if self._sampling.max_ms else float("inf")
        drafting = (context.can_try and drafting) or Drafting()
        advance = Advance(context, drafting, control, self._sampling.max_tokens - self._n_tokens)
        try:
            reason = self._generate(context, advance, control, deadline)
        finally:
            advance.finish()
            so_far.elapsed_s = perf_counter() - begun
            n_drafted, n_accepted = advance.counts.n_drafted, advance.counts.n_accepted
            so_far.drafts = DraftCounts(so_far.drafts.n_drafted + n_drafted, so_far.drafts.n_accepted + n_accepted)
        self._give_out(self._stream.finish())
        return Generated(reason, self._stream.stop_word, self._n_tokens, so_far.elapsed_s * 1e3, so_far.drafts)

    def way_on(self, prompt: Tokens) -> Tokens | None:
        """After an interruption: what has to be resident for `run` to go on with the text after `prompt`.

        None where it cannot: then the text is to be generated from its beginning.
        """
        return None if self._run.owed is None else as_tokens([*prompt.tolist(), *self._run.tokens])

    def _generate(self, context: Context, advance: Advance, control: Control, deadline: float) -> StopReason:
        so_far = self._run
        while True:
            if so_far.owed is not None:
                control.check()
                self._step(advance, so_far.owed)
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
            so_far.owed = token

    def _step(self, advance: Advance, token: int) -> None:
        self._run.tokens.append(token)
        self._run.owed = None
        try:
            advance.step(token)
        except Interrupted:
            # Inside a decode, of which nothing is left.
            self._run.owed = self._run.tokens.pop()
            raise

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
                self._step(advance, token)
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
        self._pending.n_tokens += 1
        if self._sampling.with_margins:
            self._pending.margins.append(margin(context.llama.logits()))
        if self._sampling.with_confidence and self._n_tokens <= CONFIDENCE_TOKENS:
            self._pending.logprob += logprobs_of(context.llama.logits(), [token])[0]
        if self._sampling.with_tokens or self._sampling.n_probs >= 0:
            self._pending.tokens.append(self._described(token, context))
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
        pending = self._pending
        if text or pending.tokens:
            self._pending = _Pending()
            self.emit(text, pending.n_tokens, tuple(pending.margins), tuple(pending.tokens), pending.logprob)


def generation_of(job: Run, vocabulary: Vocabulary, send: Callable[[Piece], None]) -> "Generation | nullcontext[None]":
    """What generates for `job`; None inside for a job that only brings in its prompt."""
    if job.sampling is None or job.sampling.max_tokens <= 0:
        return nullcontext()
    return Generation(vocabulary, job.sampling, sending(job.job, send))


@dataclass(frozen=True, slots=True)
class KeptText:
    """A text that was interrupted: `tokens` have to be resident for it to go on; closing `resources` gives it up."""

    generation: Generation
    tokens: Tokens
    resources: ExitStack

    def bring_back(self, context: Context, control: Control, emit: Emit) -> PrefillCost:
        """Have `tokens` resident, which costs nothing where they still are; `emit` takes the text from now on."""
        self.generation.emit = emit
        n = len(self.tokens)
        if np.array_equal(context.resident, self.tokens):
            return PrefillCost(n, n, 0, 0, 0, "append")
        return context.sync(self.tokens, control=control)


class KeptTexts:
    """The texts that were interrupted last and are to go on, by the numbers of their jobs; older ones begin again."""

    def __init__(self) -> None:
        self._texts: dict[int, KeptText] = {}

    def take(self, job: Run) -> KeptText | None:
        """How `job` goes on; None if it begins, or its text is not wanted any more."""
        kept = self._texts.pop(job.job, None)
        if kept and job.sampling is None:
            kept.resources.close()
            return None
        return kept

    def keep(self, job: Run, generation: Generation, resources: ExitStack) -> None:
        """Have the text of `job` go on when it is run again, if it can."""
        if (tokens := generation.way_on(job.tokens)) is None:
            return
        self._texts[job.job] = KeptText(generation, tokens, resources.pop_all())
        while len(self._texts) > MAX_KEPT:
            self._texts.pop(next(iter(self._texts))).resources.close()


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
