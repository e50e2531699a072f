"""One llama_context."""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum

import llama_cpp as lib
import numpy as np
import numpy.typing as npt

from scrubjay.errors import ModelRefused
from scrubjay.llama.backend import _Backend, _raw
from scrubjay.llama.model import Model
from scrubjay.protocol.messages import MAX_DECODE_TOKENS, EngineSettings
from scrubjay.tokens import Tokens

Buffer = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]

PARTIAL = lib.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
FULL = 0
MAX_OUTPUTS = 32  # more outputs than this in one decode end the process, fewer keep the compute buffer small
_KV_TYPES = {"f16": 1, "q8_0": 8}
_SEQUENCE = 0
_SPARE = 1
"""A second sequence, empty but while ranges of the memory are copied. Nothing is ever decoded in it."""
_STATE_HEADER = 8
"""Bytes that every saved state begins with, whatever its flags."""
_STRLEN = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p)


class DecodeResult(Enum):
    """How a decode ended."""

    DONE = 0
    NO_ROOM = 1
    ABORTED = 2
    """The memory claims tokens that it has not evaluated: its state must be restored or cleared."""
    REFUSED = -1


class LlamaContext:
    """One llama_context with one sequence. Positions are numbers of tokens; a decode's tokens stand at [start, start + n).

    Args:
        n_ctx: capacity in tokens; llama.cpp rounds it up.
        n_ubatch: tokens that are computed at once; a decode has at most `n_batch`.
        abort_address: address of a byte that ends an abortable decode when it is not 0, or 0 for none.
        n_rollback: tokens of the last decode that a recurrent memory shall be able to forget again; where it can, each of them
            takes the memory of a state.

    Raises:
        ModelRefused: llama.cpp has no memory for it.
    """

    def __init__(
        self,
        model: Model,
        settings: EngineSettings,
        n_ctx: int,
        n_ubatch: int,
        swa_full: bool,
        abort_address: int,
        n_rollback: int = 0,
    ) -> None:
        params = lib.llama_context_default_params()
        params.n_ctx = n_ctx
        # After a sliding window was restored, llama.cpp lets the second part of a decode overwrite what it still looks at.
        self.n_ubatch, self.n_batch = n_ubatch, n_ubatch if model.n_swa else max(n_ubatch, MAX_DECODE_TOKENS)
        params.n_ubatch, params.n_batch = self.n_ubatch, self.n_batch
        # Not 2, though ranges are copied by way of a second one: memory would grow by a window, or a recurrent state, and a
        # sliding window lose a twelfth of its speed. Only what is decoded counts.
        params.n_seq_max = 1
        params.n_outputs_max = MAX_OUTPUTS
        # It wants all of these and the token before them in one computation, and one place more.
        params.n_rs_seq = max(0, min(n_rollback, n_ubatch - 2))
        params.n_threads = params.n_threads_batch = settings.n_threads
        params.flash_attn_type = int(model.flash_attention)
        params.type_k = params.type_v = _KV_TYPES[settings.kv_type]
        params.swa_full = swa_full
        params.kv_unified = True
        params.no_perf = False
        self.handle = lib.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise ModelRefused(
                f"There is not enough memory for a context of {n_ctx} tokens; serve with a smaller --ctx."
            )
        self._memory = lib.llama_get_memory(self.handle)
        self.ranges = MemoryRanges(self, model.is_hybrid or model.is_recurrent)
        self._abort_address = abort_address
        self._abortable = False
        self.n_ctx: int = lib.llama_n_ctx(self.handle)
        self.n_vocab = model.vocabulary.n_tokens
        self.row = -1
        """Which of the tokens of the last decode `logits` and samplers look at; -1 for the last one."""
        self._batch = batch = lib.llama_batch_init(self.n_batch, 0, 1)
        fields = (np.ctypeslib.as_array(field, (self.n_batch,)) for field in (batch.token, batch.pos, batch.logits))
        self._fields = tuple(fields)
        for i in range(self.n_batch):
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, _SEQUENCE

    def decode(self, tokens: Tokens, start: int, want_logits: int, abortable: bool) -> DecodeResult:
        """Put 1 to `n_batch` tokens through the model, after the first `start` tokens.

        Args:
            want_logits: of how many of the last tokens, at most `MAX_OUTPUTS`; true for the last one.
        """
        if want_logits > MAX_OUTPUTS:
            raise ValueError(f"{want_logits} outputs are more than the {MAX_OUTPUTS} for which there is room")
        n = len(tokens)
        own_tokens, positions, outputs = self._fields
        own_tokens[:n] = tokens
        positions[:n] = np.arange(start, start + n)
        outputs[:n] = 0
        outputs[n - want_logits : n] = 1
        self.row = -1
        self._batch.n_tokens = n
        self.let_abort(abortable)
        _Backend.is_quiet = abortable
        code: int = lib.llama_decode(self.handle, self._batch)
        lib.llama_synchronize(self.handle)
        return DecodeResult(max(code, DecodeResult.REFUSED.value))

    def let_abort(self, abortable: bool) -> None:
        """Let the shared byte abort the decodes from now on, or not."""
        # libc's strlen has the shape that is wanted of the callback: "" is 0, go on; one character is 1, abort. It needs
        # neither the GIL nor compiled code, and its byte may live in memory shared with another process.
        if self._abort_address and abortable != self._abortable:
            target = (_STRLEN, ctypes.c_void_p(self._abort_address)) if abortable else (None, None)
            _raw.llama_set_abort_callback(ctypes.cast(self.handle, ctypes.c_void_p), *target)
            self._abortable = abortable

    def set_threads(self, n: int) -> None:
        """Use `n` threads from the next decode on."""
        lib.llama_set_n_threads(self.handle, n, n)

    def logits(self) -> Logits:
        """A view of the logits after the token `row` of the last decode, `n_vocab` floats, valid until the next decode."""
        return np.ctypeslib.as_array(lib.llama_get_logits_ith(self.handle, self.row), (self.n_vocab,))

    def truncate(self, n: int) -> bool:
        """Forget all but the first `n` tokens; False if this memory cannot (then nothing changed)."""
        return bool(lib.llama_memory_seq_rm(self._memory, _SEQUENCE, n, -1))

    @property
    def n_rollback(self) -> int:
        """So many tokens of the last decode `truncate` can forget where the memory is recurrent, once."""
        return int(lib.llama_n_rs_seq(self.handle))

    def clear(self) -> None:
        """Forget all tokens; the memory's contents are left as they are, which costs nothing."""
        lib.llama_memory_clear(self._memory, False)

    def first_position(self) -> int:
        """The lowest position that every part of the memory still holds, -1 if it is empty."""
        return int(lib.llama_memory_seq_pos_min(self._memory, _SEQUENCE))

    def last_position(self) -> int:
        """The highest position that every part of the memory holds, -1 if it is empty."""
        return int(lib.llama_memory_seq_pos_max(self._memory, _SEQUENCE))

    def state_size(self, flags: int = PARTIAL) -> int:
        """Bytes that `save_state` would write now."""
        return int(lib.llama_state_seq_get_size_ext(self.handle, _SEQUENCE, flags))

    def save_state(self, buffer: Buffer, flags: int = PARTIAL) -> int:
        """Write the state into `buffer`; returns the bytes written, 0 on failure."""
        out = buffer.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        return int(lib.llama_state_seq_get_data_ext(self.handle, out, buffer.nbytes, _SEQUENCE, flags))

    def load_state(self, buffer: Buffer, flags: int = PARTIAL) -> bool:
        """Read a state that `save_state` wrote with the same flags; on False the memory must be cleared."""
        data = buffer.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        return bool(lib.llama_state_seq_set_data_ext(self.handle, data, buffer.nbytes, _SEQUENCE, flags) > 0)

    def n_reused_graphs(self) -> int:
        """Decodes since `reset_counters` for which llama.cpp did not have to build its graph again."""
        return int(lib.llama_perf_context(self.handle).n_reused)

    def reset_counters(self) -> None:
        lib.llama_perf_context_reset(self.handle)

    def close(self) -> None:
        lib.llama_batch_free(self._batch)
        lib.llama_free(self.handle)


class MemoryRanges:
    """Parts of a context's memory, token by token: of its attention, and on demand of its sliding windows.

    While a range is saved, or loaded, all other tokens are a second sequence's.

    Args:
        has_state: whether it has a recurrent part, which knows nothing of a second sequence.
    """

    def __init__(self, llama: LlamaContext, has_state: bool) -> None:
        self.llama = llama
        self.has_state = has_state
        self._memory = lib.llama_get_memory(llama.handle)
        self._nothing: Buffer | None = None
        self._scratch: Buffer = np.empty(0, dtype=np.uint8)

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Around calls of `select` and `save`. Afterwards the state of a recurrent part, if there is one, is to be loaded."""
        lib.llama_memory_seq_cp(self._memory, _SEQUENCE, _SPARE, 0, -1)
        try:
            yield
        finally:
            lib.llama_memory_seq_rm(self._memory, _SEQUENCE, -1, -1)
            self._put_back()

    def select(self, begin: int, end: int, whole: bool) -> int:
        """Let `save` write the memory of the tokens in [begin, end); returns how many bytes that takes.

        Args:
            whole: with what `PARTIAL` states have; if not, one of these is to be loaded after all ranges.
        """
        lib.llama_memory_seq_rm(self._memory, _SEQUENCE, -1, -1)
        nothing = self._partial_of_nothing()
        lib.llama_memory_seq_cp(self._memory, _SPARE, _SEQUENCE, begin, end)
        size = self.llama.state_size(FULL)
        return size if whole else size - self.llama.state_size(PARTIAL) + len(nothing)

    def save(self, buffer: Buffer) -> bool:
        """Write what was selected into `buffer`, which it fills; False on failure."""
        size = self.llama.state_size(FULL)
        if size == len(buffer):
            return self.llama.save_state(buffer, FULL) == size
        if len(self._scratch) < size:
            self._scratch = np.empty(size, dtype=np.uint8)
        if self.llama.save_state(self._scratch, FULL) != size:
            return False
        # The part that is not wanted comes last: one that says that there is nothing takes its place.
        nothing = self._partial_of_nothing()[_STATE_HEADER:]
        end = len(buffer) - len(nothing)
        buffer[:end], buffer[end:] = self._scratch[:end], nothing
        return True

    def load(self, parts: Sequence[tuple[Buffer, int]]) -> bool:
        """For each part, one after the other, have the tokens that `save` wrote after the first `begin`, in place of all others.

        On False the memory must be cleared. Unless they were saved whole, a state is to be loaded afterwards.

        Args:
            parts: each a buffer that `save` filled, and its `begin`; no gap is between them, and none begins before another.
        """
        done = 0
        for buffer, begin in parts:
            # What is there before the next part waits as the other sequence's: to put it back takes longer than to load a part.
            lib.llama_memory_seq_cp(self._memory, _SEQUENCE, _SPARE, done, begin)
            if not self.llama.load_state(buffer, FULL):
                return False
            done = begin
        self._put_back()
        return True

    def _put_back(self) -> None:
        lib.llama_memory_seq_cp(self._memory, _SPARE, _SEQUENCE, 0, -1)
        if self.has_state:
            # A recurrent part refuses to forget a sequence that it does not know. This takes some milliseconds.
            lib.llama_memory_seq_keep(self._memory, _SEQUENCE)
        else:
            lib.llama_memory_seq_rm(self._memory, _SPARE, -1, -1)

    def _partial_of_nothing(self) -> Buffer:
        """The state of no tokens; to be asked for the first time when there are none."""
        if self._nothing is None:
            self._nothing = np.empty(self.llama.state_size(PARTIAL), dtype=np.uint8)
            self.llama.save_state(self._nothing, PARTIAL)
        return self._nothing
