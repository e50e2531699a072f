"""The engine's loop: receive, choose the context, sync, generate, answer.

One process, one thread, one job at a time. The socket is the only way in; the abort byte only says "look at the socket now".
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import psutil

from scrubjay.contexts.checkpoint_pool import CheckpointPool
from scrubjay.contexts.checkpointed import CheckpointedContext
from scrubjay.contexts.context_pool import ContextPool
from scrubjay.contexts.naive import Context, Control, Counters, Interrupted
from scrubjay.errors import EngineError, ModelRefused, PromptRefused
from scrubjay.llama.context import LlamaContext
from scrubjay.protocol.messages import (
    AskStatus,
    Close,
    ContextStatus,
    Done,
    EngineStatus,
    Failed,
    FromEngine,
    LoadFailed,
    LoadProgress,
    Open,
    Opened,
    Piece,
    PrefillDone,
    PrefillProgress,
    Run,
    Stopped,
)
from scrubjay.worker.abort_flag import AbortByte
from scrubjay.worker.generate import Generation
from scrubjay.worker.load import LoadedModel, open_model
from scrubjay.worker.mailbox import Disconnected, Inbox, Outbox

SPARE_BUFFERS = 8  # for the places of edits and the ends of segments
WORTH_TELLING = 64  # tokens: who waits for fewer is told when they are done


class Engine:
    """Serves one model: the contexts, and what the loop does with each message."""

    def __init__(self, opening: LoadedModel, abort: AbortByte) -> None:
        self._opening = opening
        self._abort = abort
        self._counters = Counters()
        self._llamas = [opening.llama]
        self.checkpoints = CheckpointPool(opening.info.checkpoint_budget)
        self._contexts = ContextPool(lambda: self._warm(self._new_llama()), opening.info.max_contexts)
        self._contexts.adopt(self._warm(opening.llama))
        self._cold: Context | None = None
        if opening.settings.eager_load and opening.info.state_size:
            n_ctx, grid = opening.llama.n_ctx, opening.grid
            # The longest prompt has a state saved after each of its decodes: to go on from, or to go back to after an abort.
            n_decodes = sum(1 for _ in grid.ranges(0, n_ctx, grid.tail_cuts(n_ctx)))
            self.checkpoints.prepare(opening.info.state_size, n_decodes + SPARE_BUFFERS)

    def run(self, job: Run, control: Control, send: Callable[[FromEngine], None]) -> Done:
        """Sync and generate for `job`; `send` takes what is said meanwhile.

        Raises:
            Interrupted: as `control` wished.
            EngineError: see `Context.sync`.
            ValueError: the sampling cannot be had.
        """
        key, context = ("", self._cold_context()) if job.cold else self._contexts.choose(job.context, job.tokens)
        if job.sampling is None or job.sampling.max_tokens <= 0:
            send(PrefillDone(job.job, context.sync(job.tokens, job.boundaries, job.hot, control), key))
            return Done(job.job, "none")

        def emit(text: str, n_tokens: int, margins: tuple[float, ...]) -> None:
            send(Piece(job.job, text, n_tokens, margins))

        # Before the prefill, so that a wrong grammar costs nothing.
        with Generation(context, self._opening.model.vocabulary, job.sampling, emit) as generation:
            send(PrefillDone(job.job, context.sync(job.tokens, job.boundaries, job.hot, control), key))
            made = generation.run(control)
        return Done(job.job, made.stop_reason, made.stop_word, made.n_tokens, made.elapsed_ms)

    def status(self) -> EngineStatus:
        contexts = tuple(
            ContextStatus(
                key,
                context.n_resident,
                tuple(item.n_tokens for item in context.checkpoints),
                sum(item.size for item in context.checkpoints),
            )
            for key, context in self._contexts.all()
        )
        return EngineStatus(
            contexts=contexts,
            checkpoint_bytes=self.checkpoints.used(),
            checkpoint_budget=self.checkpoints.budget,
            n_checkpoints=sum(len(context.checkpoints) for context in contexts),
            n_saved=self.checkpoints.n_saved,
            n_restored=self._counters.n_restored,
            n_evicted=self.checkpoints.n_evicted,
            n_decoded=self._counters.n_decoded,
            n_decodes=self._counters.n_decodes,
            n_reused_graphs=sum(llama.n_reused_graphs() for llama in self._llamas),
            n_aborted=self._counters.n_aborted,
            n_repaired=self._counters.n_repaired,
            n_integrity_failures=self._counters.n_integrity_failures,
            rss=psutil.Process().memory_info().rss,
        )

    def _new_llama(self) -> LlamaContext:
        o = self._opening
        llama = LlamaContext(o.model, o.settings, o.llama.n_ctx, o.llama.n_ubatch, o.swa_full, self._abort.address)
        self._llamas.append(llama)
        return llama

    def _warm(self, llama: LlamaContext) -> CheckpointedContext:
        o = self._opening
        return CheckpointedContext(llama, o.memory_class, o.grid, self._counters, o.model.n_swa, self.checkpoints)

    def _cold_context(self) -> Context:
        if self._cold is None:
            self._cold = Context(self._new_llama(), self._opening.memory_class, self._opening.grid, self._counters)
        return self._cold


def serve(connection: socket.socket, abort: AbortByte) -> None:
    """Serve the daemon at the other end of `connection` until it hangs up or says `Close`."""
    inbox, outbox = Inbox(connection), Outbox(connection)
    try:
        engine = _open(inbox, abort, outbox.send)
        while engine and not isinstance(message := inbox.receive(), Close):
            match message:
                case Run():
                    outbox.send(_answer(engine, message, inbox, abort, outbox))
                    inbox.forget(message.job)
                case AskStatus():
                    outbox.send(engine.status())
    except (Disconnected, BrokenPipeError, ConnectionResetError):
        return


def _open(inbox: Inbox, abort: AbortByte, send: Callable[[FromEngine], None]) -> Engine | None:
    message = inbox.receive()
    if not isinstance(message, Open):
        return None
    settings = message.settings
    if not settings.graph_reuse:
        os.environ["LLAMA_GRAPH_REUSE_DISABLE"] = "1"
    try:
        opening = open_model(settings, abort.address, lambda stage, part: send(LoadProgress(stage, round(part, 3))))
        engine = Engine(opening, abort)
    except ModelRefused as refusal:
        send(LoadFailed(str(refusal)))
        return None
    except OSError as error:
        send(LoadFailed(f"{Path(settings.model)} cannot be read: {error.strerror}."))
        return None
    send(Opened(opening.info))
    return engine


def _answer(engine: Engine, job: Run, inbox: Inbox, abort: AbortByte, outbox: Outbox) -> Done | Stopped | Failed:
    """Do `job`; whatever happens, exactly one final answer comes of it."""
    progress = Progress(job, inbox, outbox)
    control = Control(progress.check, abort.clear, progress.note)
    try:
        return engine.run(job, control, outbox.put)
    except Interrupted:
        return Stopped(job.job, progress.done, len(job.tokens))
    except (PromptRefused, ValueError) as error:
        return Failed(job.job, str(error), "request")
    except EngineError as error:
        return Failed(job.job, str(error), "engine")


class Progress:
    """How far a job is, and whether it is still wanted."""

    def __init__(self, job: Run, inbox: Inbox, outbox: Outbox) -> None:
        self._job = job
        self._inbox = inbox
        self._outbox = outbox
        self.done = 0

    def check(self) -> None:
        """Called before each decode."""
        self._outbox.flush()
        if self._inbox.is_stopped(self._job.job):
            raise Interrupted

    def note(self, n_tokens: int) -> None:
        self.done = n_tokens
        if len(self._job.tokens) - n_tokens >= WORTH_TELLING:
            self._outbox.put(PrefillProgress(self._job.job, n_tokens, len(self._job.tokens)))
