"""The loop of the engine process: receive, choose the context, bring the prompt in, generate, answer.

One process, one thread, one job at a time. The socket is the only way in; the abort byte only says "look at the socket now".
"""

import logging
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, time_ns

import psutil

from scrubjay.abort_byte import AbortByte
from scrubjay.contexts.branches import BranchStore
from scrubjay.contexts.checkpoint_pool import CheckpointPool
from scrubjay.contexts.checkpointed import CheckpointedContext
from scrubjay.contexts.context_pool import ContextPool
from scrubjay.contexts.naive import Context, Control, Counters, Interrupted, NaiveContext, require_possible
from scrubjay.errors import EngineError, IntegrityError, ModelRefused, PromptRefused
from scrubjay.llama.context import LlamaContext
from scrubjay.protocol.contexts import ContextStatus, EngineStatus
from scrubjay.protocol.messages import (
    AskStatus,
    Close,
    Done,
    EngineSettings,
    Failed,
    FromEngine,
    LoadFailed,
    LoadProgress,
    ModelInfo,
    Open,
    Opened,
    PrefillDone,
    PrefillProgress,
    Run,
    Stopped,
)
from scrubjay.protocol.records import Forget, Forgotten, RecordStatus
from scrubjay.store.record_store import RecordStore, StoreLimits
from scrubjay.worker.embed import Embedder
from scrubjay.worker.generate import KeptTexts, generation_of, sending
from scrubjay.worker.load import LoadedModel, open_model
from scrubjay.worker.mailbox import Disconnected, Inbox, Outbox
from scrubjay.worker.origin import origin_of
from scrubjay.worker.records import ContextRecords

logger = logging.getLogger(__name__)

BRANCH_SHARE = 2
"""Branches, their checkpoints included, take at most this part of the bytes that checkpoints may take."""
SPARE_BUFFERS = 8
"""Beyond the regular checkpoints of one context: for the places of edits and the ends of segments."""
FREE_PARTS = 4
"""Buffers for parts of branches, some 2,000 tokens, that are ready for what must be kept next."""
MIN_PROGRESS_TOKENS = 64
"""Where fewer tokens are left, the next message is that the prefill is done."""
IDLE_S = 0.5
"""After so long without a message the contexts are checked."""

PAUSES = 3.0
"""How many times as long as a decode took what is unasked pauses after it, where others wait for processors."""
MAX_PAUSE_S = 5.0

SAVE_S = 2.0
"""How long the end of the process waits for records to be written."""

Send = Callable[[FromEngine], None]


class Worker:
    """Serves one model: its contexts, and what the loop does with each message."""

    def __init__(self, loaded: LoadedModel, abort: AbortByte) -> None:
        self._loaded = loaded
        self._abort = abort
        self._counters = Counters()
        self._llamas = [loaded.llama]
        self._is_checked = True
        self.checkpoints = CheckpointPool(loaded.info.checkpoint_budget)
        self.branches = BranchStore(loaded.info.checkpoint_budget // BRANCH_SHARE, self.checkpoints)
        self.records: ContextRecords | None = None
        self.contexts = ContextPool(lambda: self._checkpointed(self._new_llama()), loaded.info.max_contexts)
        self.contexts.adopt(self._checkpointed(loaded.llama))
        self._cold: Context | None = None
        self._kept = KeptTexts()
        self._n_unready = 0
        """Buffers for checkpoints that are to be allocated, and touched."""
        if loaded.settings.eager_load and loaded.info.state_size:
            n_ctx, grid = loaded.llama.n_ctx, loaded.grid
            # The longest prompt has a state saved after each of its decodes: to go on from, or to go back to after an abort.
            self._n_unready = SPARE_BUFFERS + sum(1 for _ in grid.ranges(0, n_ctx, grid.tail_cuts(n_ctx)))
        if loaded.settings.store:
            self.records = self._open_records()
        if self.records is None or not len(self.records.store):
            # Where there is something to go back to, the first prompt is not long, and should be answered soon: see `rest`.
            self._make_ready(self._n_unready)

    @property
    def info(self) -> ModelInfo:
        return self._loaded.info

    def run(self, job: Run, control: Control, send: Send) -> Done | Stopped:
        """Bring in the prompt of `job` and generate after it; `send` takes what is said meanwhile.

        Raises:
            EngineError: see `Context.sync`.
            ValueError: the sampling cannot be had.
        """
        self._is_checked = False
        if self.records:
            self.records.interrupt()
        context: Context | None = None
        # All that may be refused is refused before a context is chosen: choosing may empty another one.
        require_possible(job.tokens, self._loaded.llama)
        kept, n_before, n_read = self._kept.take(job), self._counters.n_decoded, None
        tokens, vocabulary = kept.tokens if kept else job.tokens, self._loaded.model.vocabulary
        with kept.resources if kept else ExitStack() as resources:
            generation = kept.generation if kept else resources.enter_context(generation_of(job, vocabulary, send))
            try:
                # A job that was stopped while it waited must not take a context from another one either.
                control.check()
                key, context = (
                    ("", self._cold_context()) if job.cold else self.contexts.choose(job.context, tokens, job.group)
                )
                if kept:
                    cost = kept.bring_back(context, control, sending(job.job, send))
                else:
                    cost = context.sync(job.tokens, job.boundaries, job.hot, control)
                send(PrefillDone(job.job, cost, key, kept is not None))
                n_read = self._counters.n_decoded - n_before
                if generation is None or job.sampling is None:
                    return Done(job.job, "none")
                made = generation.run(context, control, self._loaded.drafts.drafting(job.sampling))
            except Interrupted as interrupted:
                if interrupted.goes_on and generation:
                    self._kept.keep(job, generation, resources)
                n_tokens = len(job.tokens)
                n_read = self._counters.n_decoded - n_before if n_read is None else n_read
                return Stopped(job.job, min(context.n_resident, n_tokens) if context else 0, n_tokens, n_read)
        return Done(job.job, made.stop_reason, made.stop_word, made.n_tokens, made.elapsed_ms, drafts=made.drafts)

    def pace(self, worked_s: float, is_unasked: bool) -> float:
        """Before a decode: have as many threads as the machine has room for.

        Returns:
            How many seconds to do nothing, so that others come to their work, after `worked_s` of work.
        """
        threads = self._loaded.threads
        threads.look(self._llamas)
        return min(PAUSES * worked_s, MAX_PAUSE_S) if is_unasked and threads.count.is_crowded else 0.0

    def rest(self, idle_s: float) -> float | None:
        """What is done after jobs, when there was none for `idle_s`; returns after how long there is more, None for never."""
        if not self._is_checked:
            self.check_integrity()
            self.checkpoints.prepare_to_lend(FREE_PARTS)
        if self._n_unready:
            self._make_ready(1)
            return 0.0
        return self.records.step(idle_s) if self.records else None

    def _make_ready(self, count: int) -> None:
        self.checkpoints.prepare(self.info.state_size, count)
        self._n_unready -= count

    def forget(self, root: str) -> Forgotten:
        """Hold nothing any more of the project at `root`, or nothing at all."""
        if self.records is None:
            return Forgotten()
        wiped = self.records.forget(root)
        return Forgotten(wiped.n_records, wiped.n_bytes, tuple(sorted(wiped.keys)))

    def close(self, seconds: float = SAVE_S) -> None:
        """Keep what is worth keeping, and can be written within `seconds`: this process ends."""
        if self.records:
            self.records.interrupt()
            self.records.save_all(seconds)

    def check_integrity(self) -> None:
        """Check all bookkeeping since the last job; empty what is wrong, say so in the log, and count it."""
        if self._is_checked:
            return
        self._is_checked = True
        # Before the pool, which drops what a wrong context had: most faults then cost one context only.
        for key, context in self.contexts.all():
            try:
                context.check_integrity()
            except IntegrityError as error:
                self._distrust([key], error)
        try:
            self.checkpoints.check_integrity()
            self.branches.check_integrity()
        except IntegrityError as error:
            # Whose checkpoints are wrong cannot be told, so no context keeps its own.
            self._distrust([key for key, _ in self.contexts.all()], error)
            self.branches.clear()
            self.checkpoints.clear()

    def status(self) -> EngineStatus:
        contexts = tuple(
            ContextStatus(
                key,
                context.n_resident,
                tuple(item.n_tokens for item in context.checkpoints),
                sum(item.size for item in context.checkpoints),
                self.records.n_covered(context.resident, key) if self.records else 0,
            )
            for key, context in self.contexts.all()
        )
        return EngineStatus(
            contexts=contexts,
            checkpoint_bytes=self.checkpoints.used(),
            checkpoint_budget=self.checkpoints.budget,
            n_checkpoints=sum(len(context.checkpoints) for context in contexts),
            n_saved=self.checkpoints.n_saved,
            n_restored=self._counters.n_restored,
            n_branches=len(self.branches),
            branch_bytes=self.branches.n_bytes,
            branch_budget=self.branches.budget,
            n_paged_in=self._counters.n_paged_in,
            n_evicted=self.checkpoints.n_evicted,
            n_decoded=self._counters.n_decoded,
            n_decodes=self._counters.n_decodes,
            n_reused_graphs=sum(llama.n_reused_graphs() for llama in self._llamas),
            n_aborted=self._counters.n_aborted,
            n_repaired=self._counters.n_repaired,
            n_integrity_failures=self._counters.n_integrity_failures,
            n_drafted=self._counters.n_drafted,
            n_draft_accepted=self._counters.n_draft_accepted,
            rss=psutil.Process().memory_info().rss,
            on_gpus=self._loaded.weights_on_gpus + self._loaded.context_on_gpus * len(self._llamas),
            records=_record_status(self.records) if self.records else None,
        )

    def _distrust(self, keys: list[str], error: IntegrityError) -> None:
        logger.error("A check of the contexts failed: %s Emptied: %s.", error, ", ".join(keys))
        self._counters.n_integrity_failures += 1
        for key in keys:
            self.contexts.forget(key)

    def _open_records(self) -> ContextRecords | None:
        m = self._loaded
        settings = m.settings
        try:
            origin = origin_of(m)
        except OSError as error:
            logger.warning("No records are kept: %s cannot be read: %s.", error.filename, error.strerror)
            return None
        limits = StoreLimits(settings.store_budget, settings.store_daily)
        store = RecordStore(Path(settings.store), origin, limits, time_ns)
        store.open()
        records = ContextRecords(store, m, self.contexts, self.checkpoints, self.branches, self._distrust)
        for _, context in self.contexts.all():
            context.recall = records.recall
        return records

    def _new_llama(self) -> LlamaContext:
        m = self._loaded
        first, abort = m.llama, self._abort.address
        llama = LlamaContext(m.model, m.settings, first.n_ctx, first.n_ubatch, m.swa_full, abort, first.n_rollback)
        llama.set_threads(m.threads.count.n)
        self._llamas.append(llama)
        return llama

    def _checkpointed(self, llama: LlamaContext) -> CheckpointedContext:
        m = self._loaded
        context = CheckpointedContext(
            llama, m.memory_class, m.grid, self._counters, m.model.n_swa, self.checkpoints, self.branches
        )
        if self.records:
            context.recall = self.records.recall
        return context

    def _cold_context(self) -> Context:
        if self._cold is None:
            m = self._loaded
            self._cold = NaiveContext(self._new_llama(), m.memory_class, m.grid, self._counters)
        return self._cold


def serve(connection: socket.socket, abort: AbortByte) -> None:
    """Serve the daemon at the other end of `connection` until it hangs up or says `Close`."""
    inbox, outbox = Inbox(connection), Outbox(connection)
    try:
        if worker := _open(inbox, abort, outbox.send):
            try:
                serve_jobs(worker, inbox, abort, outbox)
            finally:
                # Also when the daemon was killed: what it had this process compute is worth the same.
                worker.close()
    except (Disconnected, BrokenPipeError, ConnectionResetError):
        return


def serve_jobs(worker: Worker | Embedder, inbox: Inbox, abort: AbortByte, outbox: Outbox) -> None:
    """Answer each message until `Close`; check the contexts when there is none for a while.

    Raises:
        Disconnected: the daemon is gone.
    """
    idle_since = monotonic()
    pause: float | None = IDLE_S
    while True:
        while not inbox.wait(pause):
            pause = worker.rest(monotonic() - idle_since)
            if pause is None and worker.records:
                outbox.send(worker.status())  # what is written is written
        match inbox.receive():
            case Close():
                return
            case Run() as job:
                # No other message is read meanwhile, but `Stop` takes effect at once: see `Inbox`.
                outbox.send(_answer(worker, job, inbox, abort, outbox))
                inbox.forget(job.job)
                idle_since, pause = monotonic(), IDLE_S
            case AskStatus():
                outbox.send(worker.status())
            case Forget(root):
                outbox.send(worker.forget(root))


def _open(inbox: Inbox, abort: AbortByte, send: Send) -> Worker | Embedder | None:
    message = inbox.receive()
    if not isinstance(message, Open):
        return None
    settings = message.settings
    if not settings.graph_reuse:
        os.environ["LLAMA_GRAPH_REUSE_DISABLE"] = "1"
    try:
        worker = _server(settings, abort, send)
    except ModelRefused as refusal:
        send(LoadFailed(str(refusal)))
        return None
    except OSError as error:
        # Of a split model, the part that is missing.
        send(LoadFailed(f"{error.filename or Path(settings.model)} cannot be read: {error.strerror}."))
        return None
    send(Opened(worker.info))
    return worker


def _server(settings: EngineSettings, abort: AbortByte, send: Send) -> Worker | Embedder:
    def report(stage: str, part: float) -> None:
        send(LoadProgress(stage, round(part, 3)))

    if settings.embeds:
        return Embedder(settings, report)
    worker = Worker(open_model(settings, abort.address, report), abort)
    if worker.records:
        report("records", 0.0)
        worker.records.read_ahead()
    return worker


def _answer(
    worker: Worker | Embedder, job: Run, inbox: Inbox, abort: AbortByte, outbox: Outbox
) -> Done | Stopped | Failed:
    """Do `job`; whatever happens, exactly one final answer comes of it."""

    worked_since = monotonic()

    def check() -> None:
        nonlocal worked_since
        # Before each decode: what was said since the last one leaves now, while the model works anyway.
        outbox.flush()
        if inbox.is_stopped(job.job, worker.pace(monotonic() - worked_since, job.is_unasked)):
            raise Interrupted(inbox.goes_on(job.job))
        worked_since = monotonic()

    def note(n_tokens: int) -> None:
        if len(job.tokens) - n_tokens >= MIN_PROGRESS_TOKENS:
            outbox.put(PrefillProgress(job.job, n_tokens, len(job.tokens)))

    try:
        return worker.run(job, Control(check, abort.clear, note), outbox.put)
    except (PromptRefused, ValueError) as error:
        return Failed(job.job, str(error), "request")
    except EngineError as error:
        return Failed(job.job, str(error), "engine")


def _record_status(records: ContextRecords) -> RecordStatus:
    store = records.store
    return RecordStatus(
        len(store),
        store.n_bytes,
        store.limits.size,
        store.n_bytes_today,
        store.limits.daily,
        records.is_saved,
        store.error,
    )
