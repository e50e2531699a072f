"""The engine process of a model that makes vectors of texts: no contexts, nothing that is kept."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import psutil

from scrubjay.contexts.naive import Control, Interrupted
from scrubjay.errors import PromptRefused
from scrubjay.llama.devices import built_for, can_offload, device
from scrubjay.llama.embedding import EmbeddingContext
from scrubjay.llama.model import Model
from scrubjay.protocol.contexts import EngineStatus
from scrubjay.protocol.messages import (
    Done,
    Embedded,
    EngineSettings,
    FromEngine,
    ModelInfo,
    PrefillCost,
    PrefillDone,
    Run,
    Stopped,
)
from scrubjay.protocol.records import Forgotten
from scrubjay.worker.load import load_weights
from scrubjay.worker.threads import threads_for
from scrubjay.worker.tuning import with_threads
from scrubjay.worker.warmup import Report

DEFAULT_TOKENS = 2048
"""Of a text, unless --ctx says otherwise: its tokens are computed at once, and the memory for that grows with them."""


class Embedder:
    """Serves one model; see `worker.loop.Worker` for the methods."""

    def __init__(self, settings: EngineSettings, report: Report) -> None:
        """Raises:
        ModelRefused: llama.cpp cannot load the model, or it makes no vectors.
        OSError: the file cannot be read.
        """
        wanted, begun = settings.n_threads, perf_counter()
        settings = with_threads(settings)
        self._model = load_weights(settings, report, psutil.virtual_memory().available)
        self._context = EmbeddingContext(
            self._model, settings, settings.n_ctx or min(self._model.n_ctx_train, DEFAULT_TOKENS)
        )
        self._threads = threads_for(settings, wanted)
        self._n_decoded = self._n_decodes = 0
        self.records = None
        self.info = _info(self._model, settings, self._context.n_ctx, (perf_counter() - begun) * 1e3)

    def pace(self, worked_s: float, is_unasked: bool) -> float:  # noqa: ARG002
        """As `Worker.pace`; nothing is ever embedded unasked."""
        self._threads.look([self._context])
        return 0.0

    def run(self, job: Run, control: Control, send: Callable[[FromEngine], None]) -> Done | Stopped:
        """Send the vector of the tokens of `job`.

        Raises:
            PromptRefused: they are too many.
            EngineError: llama.cpp refuses.
        """
        tokens, begun = self._context.whole(job.tokens), perf_counter()
        if len(tokens) > self._context.n_ctx:
            raise PromptRefused(
                f"The text has {len(tokens)} tokens, and the model takes {self._context.n_ctx}; send it in parts."
            )
        try:
            control.check()
        except Interrupted:
            return Stopped(job.job, 0, len(job.tokens))
        vector = self._context.vector(tokens)
        n = len(tokens)
        self._n_decoded, self._n_decodes = self._n_decoded + n, self._n_decodes + 1
        ms = (perf_counter() - begun) * 1e3
        send(PrefillDone(job.job, PrefillCost(n, 0, 0, n, n, "cold", prefill_ms=ms, n_decodes=1)))
        send(Embedded(job.job, tuple(vector.tolist())))
        return Done(job.job, "none")

    def rest(self, _idle_s: float) -> float | None:
        """There is nothing to do."""
        return None

    def forget(self, _root: str) -> Forgotten:
        """Nothing is held."""
        return Forgotten()

    def close(self) -> None:
        """Nothing is to be kept."""

    def status(self) -> EngineStatus:
        rss = psutil.Process().memory_info().rss
        return EngineStatus((), n_decoded=self._n_decoded, n_decodes=self._n_decodes, rss=rss)


def _info(model: Model, settings: EngineSettings, n_ctx: int, load_ms: float) -> ModelInfo:
    return ModelInfo(
        path=settings.model,
        name=model.metadata("general.name") or Path(settings.model).stem,
        architecture=model.metadata("general.architecture"),
        memory_class="none",
        n_ctx=n_ctx,
        n_ctx_train=model.n_ctx_train,
        n_vocab=model.vocabulary.n_tokens,
        n_swa=model.n_swa,
        size=model.size,
        n_params=model.n_params,
        state_size=0,
        interval=0,
        n_ubatch=n_ctx,
        checkpoint_budget=0,
        max_contexts=0,
        prefill_speed=0.0,
        generation_speed=0.0,
        load_ms=load_ms,
        warm_up_ms=0.0,
        cold_ratio=0.0,
        device=device(settings.gpu_layers),
        n_threads=settings.n_threads,
        quantization=model.quantization,
        can_offload=can_offload(),
        built_for=built_for(),
    )
