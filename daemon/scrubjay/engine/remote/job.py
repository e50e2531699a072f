"""One job at the server of a remote model, from its request to its end."""

from collections.abc import Callable
from contextlib import aclosing
from time import perf_counter

from scrubjay.engine.remote.dialects import Dialect, Heard, Sender, Served
from scrubjay.engine.remote.sent import cost_of
from scrubjay.engine.remote.wire import Wire
from scrubjay.protocol.messages import (
    Done,
    FromEngine,
    Piece,
    PrefillCost,
    PrefillDone,
    PrefillProgress,
    Run,
    Sampling,
    StopReason,
)

MIN_PROGRESS_TOKENS = 64
"""Where fewer tokens are left, the next message is that the prefill is done."""
MAX_SURPLUS_TOKENS = 64
"""A server that writes so many more tokens than were asked for is not waited for."""


class RemoteJob:
    """Has a server do `run`.

    Args:
        n_common: how many leading tokens of the prompt were sent before.
        key: of the context.
        deliver: takes what happens, but for the end.

    Attributes:
        n_read: how many tokens of the prompt the server has read, as far as it has said.
    """

    def __init__(self, run: Run, n_common: int, key: str, deliver: Callable[[FromEngine], None]) -> None:
        self._run = run
        self._n_common = n_common
        self._key = key
        self._deliver = deliver
        self._begun = perf_counter()
        self._first: float | None = None
        self._n_cached: int | None = None
        self._n_tokens = 0
        self._typed = run.sampling.typed if run.sampling else ""
        self._has_newline = False
        self.n_read = 0

    async def do(self, wire: Wire, dialect: Dialect, served: Served, sender: Sender) -> Done:
        """Returns the end, when there is nothing more to be heard.

        Raises:
            RemoteFailed: the server does not do it.
        """
        if served.software == "scrubjay":
            self._typed = ""  # it leaves that out by itself
        body = dialect.body(self._run, served, sender)
        end: Heard | None = None
        async with aclosing(wire.stream(dialect.path, body, {"X-Session-ID": sender.session})) as events:
            async for event in events:
                try:
                    heard = dialect.hear(event)
                    self._note(heard)
                    ended = None if end else self._take(heard)
                except (LookupError, TypeError, ValueError) as error:
                    raise wire.garbage(f"an event with {', '.join(map(repr, event))[:80]}") from error
                end = end or ended
                if ended and ended is not heard:
                    break  # the server would go on
        if end is None:
            raise wire.cut()
        if not self._is_prefilled:
            self._prefilled()
        return self._done(end)

    @property
    def _is_prefilled(self) -> bool:
        return self._first is not None

    def _note(self, heard: Heard) -> None:
        """The numbers that an event has, whatever else is in it."""
        if heard.n_cached is not None:
            self._n_cached = heard.n_cached
        if heard.n_read is not None and not self._is_prefilled:
            self.n_read = heard.n_read
            n_prompt = len(self._run.tokens)
            if n_prompt - self.n_read >= MIN_PROGRESS_TOKENS:
                self._deliver(PrefillProgress(self._run.job, self.n_read, n_prompt))

    def _take(self, heard: Heard) -> Heard | None:
        """Hand on the text of an event; if the text ends with it, how."""
        has_text = bool(heard.text or heard.tokens)
        if not (has_text or heard.end):
            return None
        if not self._is_prefilled:
            self._prefilled()
        sampling = self._run.sampling
        if sampling is None:
            return heard if heard.end else None
        if has_text and set(heard.tokens) & set(sampling.stop_tokens):
            return Heard(end="end")
        if has_text:
            self._give_out(heard, sampling)
        return heard if heard.end else self._own_end(sampling)

    def _own_end(self, sampling: Sampling) -> Heard | None:
        """Where the server does not know of a limit, or does not keep it."""
        reason: StopReason | None = None
        if self._n_tokens >= sampling.max_tokens + (MAX_SURPLUS_TOKENS if not sampling.typed else 0):
            reason = "length"
        elif sampling.max_ms and self._has_newline and self._generate_ms > sampling.max_ms:
            reason = "time"
        return Heard(end=reason) if reason else None

    def _give_out(self, heard: Heard, sampling: Sampling) -> None:
        text, n_tokens = self._without_typed(heard.text), heard.n_tokens
        if not text and heard.text:
            return  # it was typed
        self._n_tokens += n_tokens
        self._has_newline = self._has_newline or "\n" in text
        if text or n_tokens:
            logprob = heard.logprob if sampling.with_confidence else 0.0
            self._deliver(Piece(self._run.job, text, n_tokens, logprob=logprob))

    def _without_typed(self, text: str) -> str:
        """What `text` adds to what was typed.

        Raises:
            ValueError: it is no way to go on there.
        """
        typed, self._typed = self._typed, self._typed[len(text) :]
        if not (typed.startswith(text) or text.startswith(typed)):
            raise ValueError(text)
        return text[len(typed) :]

    def _prefilled(self) -> None:
        self._first = perf_counter()
        self.n_read = len(self._run.tokens)
        self._deliver(PrefillDone(self._run.job, self._cost(), self._key))

    def _cost(self) -> PrefillCost:
        """What the prompt has cost, as far as it is known by now."""
        ms = ((self._first or perf_counter()) - self._begun) * 1e3
        n_prompt = len(self._run.tokens)
        known = self._n_cached
        return cost_of(n_prompt, self._n_common, min(self._n_common, n_prompt - 1) if known is None else known, ms)

    @property
    def _generate_ms(self) -> float:
        return (perf_counter() - (self._first or perf_counter())) * 1e3

    def _done(self, end: Heard) -> Done:
        if self._run.sampling is None:
            return Done(self._run.job, "none", cost=self._cost())
        n = self._n_tokens if self._run.sampling.typed or end.n_generated is None else end.n_generated
        return Done(self._run.job, end.end or "none", end.stop_word, n, self._generate_ms, self._cost())
