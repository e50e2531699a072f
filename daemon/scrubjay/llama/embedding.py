"""A llama_context that makes one vector of a text. It keeps nothing."""

import llama_cpp as lib
import numpy as np
import numpy.typing as npt

from scrubjay.errors import EngineError, ModelRefused
from scrubjay.llama.model import Model
from scrubjay.protocol.messages import EngineSettings
from scrubjay.tokens import Tokens, as_tokens, frozen

Vector = npt.NDArray[np.float32]
_NONE, _MEAN, _RANK = lib.LLAMA_POOLING_TYPE_NONE, lib.LLAMA_POOLING_TYPE_MEAN, lib.LLAMA_POOLING_TYPE_RANK


class EmbeddingContext:
    """Makes vectors as the model's file says; of its tokens' mean where that says nothing.

    Args:
        n_ctx: the most tokens of a text; all of them are computed at once.

    Raises:
        ModelRefused: there is no memory for it, or the model makes no vectors.
    """

    def __init__(self, model: Model, settings: EngineSettings, n_ctx: int) -> None:
        self.handle = _new(model, settings, n_ctx, lib.LLAMA_POOLING_TYPE_UNSPECIFIED)
        pooling = lib.llama_pooling_type(self.handle)
        if pooling == _RANK:
            raise ModelRefused("This model ranks texts; for embeddings name one that makes vectors of them.")
        if pooling == _NONE:
            lib.llama_free(self.handle)
            self.handle = _new(model, settings, n_ctx, _MEAN)
        self.n_ctx = n_ctx
        self._memory = lib.llama_get_memory(self.handle)
        self._end = _end_tokens(model)
        self._n_embd: int = lib.llama_model_n_embd(model.handle)
        self._batch = batch = lib.llama_batch_init(n_ctx, 0, 1)
        for i in range(n_ctx):
            batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = i, 1, 0, 1
        self._tokens = np.ctypeslib.as_array(batch.token, (n_ctx,))

    def set_threads(self, n: int) -> None:
        """Use `n` threads from the next text on."""
        lib.llama_set_n_threads(self.handle, n, n)

    def whole(self, tokens: Tokens) -> Tokens:
        """`tokens` with what the vocabulary wants after them."""
        has_end = len(tokens) >= len(self._end) and np.array_equal(tokens[len(tokens) - len(self._end) :], self._end)
        return tokens if has_end else frozen(np.concatenate([tokens, self._end]))

    def vector(self, tokens: Tokens) -> Vector:
        """The vector of 1 to `n_ctx` tokens, of length 1.

        Raises:
            EngineError: llama.cpp refuses.
        """
        self._tokens[: len(tokens)] = tokens
        self._batch.n_tokens = len(tokens)
        if self._memory:
            lib.llama_memory_clear(self._memory, True)
        run = lib.llama_decode if self._memory else lib.llama_encode
        code = run(self.handle, self._batch)
        found = lib.llama_get_embeddings_seq(self.handle, 0) if code == 0 else None
        if not found:
            raise EngineError(f"llama.cpp makes no vector of this text (status {code}).")
        vector = np.ctypeslib.as_array(found, (self._n_embd,)).astype(np.float32)
        return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _new(model: Model, settings: EngineSettings, n_ctx: int, pooling: int) -> lib.llama_context_p:
    params = lib.llama_context_default_params()
    params.n_ctx = params.n_batch = params.n_ubatch = n_ctx
    params.n_seq_max = 1
    params.n_threads = params.n_threads_batch = settings.n_threads
    params.embeddings = True
    params.pooling_type = pooling
    handle: lib.llama_context_p | None = lib.llama_init_from_model(model.handle, params)
    if not handle:
        raise ModelRefused(f"There is not enough memory for texts of {n_ctx} tokens; serve with a smaller --ctx.")
    return handle


def _end_tokens(model: Model) -> Tokens:
    vocabulary = lib.llama_model_get_vocab(model.handle)
    if lib.llama_vocab_get_add_sep(vocabulary):
        return as_tokens([lib.llama_vocab_sep(vocabulary)])
    return as_tokens([lib.llama_vocab_eos(vocabulary)] if lib.llama_vocab_get_add_eos(vocabulary) else [])
