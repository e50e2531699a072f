"""The only door to llama.cpp: its vocabulary, model, context and sampler as four small classes.

One process uses a `Model`, `LlamaContext` or `Sampler` from one thread only. A `Vocabulary` may be used from any one thread at a
time; its calls release the GIL. Nothing here remembers what a context holds: that is `context.Context`'s business.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import llama_cpp as lib
import numpy as np
import numpy.typing as npt
from llama_cpp.llama_grammar import json_schema_to_gbnf

from scrubjay.errors import ModelRefused
from scrubjay.grid import LONGEST_DECODE
from scrubjay.messages import EngineSettings, Sampling
from scrubjay.tokens import Tokens, frozen

Buffer = npt.NDArray[np.uint8]
Logits = npt.NDArray[np.float32]

PARTIAL = lib.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
FULL = 0
MAX_OUTPUTS = 32  # more outputs than this in one decode end the process, fewer keep the compute buffer small
_KV_TYPES = {"f16": 1, "q8_0": 8}
_SEQUENCE = 0
_LOG_ERROR = 4
_NO_TOKEN = -1

_raw = ctypes.CDLL(lib.llama_cpp._lib._name)
_raw.llama_set_abort_callback.argtypes = [ctypes.c_void_p] * 3
_raw.llama_set_abort_callback.restype = None
_STRLEN = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p)


class _Backend:
    """Initialises llama.cpp once per process; `is_quiet` while a decode may be aborted, which llama.cpp logs as an error."""

    ready: ClassVar[bool] = False
    is_quiet: ClassVar[bool] = False

    @classmethod
    def start(cls) -> None:
        if not cls.ready:
            lib.llama_log_set(_log, ctypes.c_void_p(0))
            lib.llama_backend_init()
            cls.ready = True


@lib.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _user_data: object) -> None:
    if level >= _LOG_ERROR and not _Backend.is_quiet:
        sys.stderr.write(text.decode(errors="replace"))


class Vocabulary:
    """The tokens of a model and the text they stand for."""

    def __init__(self, model: Any, owns_model: bool = False) -> None:
        self._model = model
        self._owns_model = owns_model
        self._vocab = lib.llama_model_get_vocab(model)
        self.n_tokens: int = lib.llama_vocab_n_tokens(self._vocab)
        self.bos: int = lib.llama_vocab_bos(self._vocab)
        self.add_bos: bool = bool(lib.llama_vocab_get_add_bos(self._vocab)) and self.bos != _NO_TOKEN

    @classmethod
    def open(cls, path: Path) -> "Vocabulary":
        """The vocabulary alone: no weights are read. Only for a file that the engine process has accepted.

        Raises:
            ModelRefused: llama.cpp cannot read it.
        """
        _Backend.start()
        params = lib.llama_model_default_params()
        params.vocab_only = True
        return cls(_load(path, params), owns_model=True)

    def close(self) -> None:
        """Free the model, if this vocabulary was opened alone; no method may be called afterwards."""
        if self._owns_model:
            lib.llama_model_free(self._model)

    @property
    def handle(self) -> Any:
        """llama.cpp's own pointer, for `Sampler`."""
        return self._vocab

    @cached_property
    def type(self) -> int:
        """llama.cpp's vocabulary type: 1 SentencePiece, 2 byte-level BPE, others."""
        return int(lib.llama_vocab_type(self._vocab))

    def tokenize(self, text: str, special: bool = False) -> Tokens:
        """The tokens of `text`, never with a BOS; `special` parses the names of special tokens in it."""
        data = text.encode("utf-8", errors="replace")
        tokens = np.empty(len(data) + 2, dtype=np.int32)
        out = ctypes.byref(lib.llama_token.from_buffer(tokens.data))  # quicker than numpy's `data_as`, at any length
        n = lib.llama_tokenize(self._vocab, data, len(data), out, len(tokens), False, special)
        return frozen(tokens[:n].copy())

    def piece(self, token: int) -> bytes:
        """The bytes that `token` stands for, perhaps not whole characters; nothing for a control token."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            n = lib.llama_token_to_piece(self._vocab, token, buffer, size, 0, False)
            if n >= 0:
                return buffer.raw[:n]
            size = -n

    def detokenize(self, tokens: Tokens) -> str:
        """The text of `tokens`, control tokens left out."""
        return b"".join(self.piece(int(token)) for token in tokens).decode(errors="replace")

    def special(self, text: str) -> int | None:
        """The one token that the special text `text` is, or None."""
        tokens = self.tokenize(text, special=True)
        return int(tokens[0]) if len(tokens) == 1 else None

    @cached_property
    def fim(self) -> Mapping[str, int]:
        """The fill-in-the-middle tokens that llama.cpp found: any of prefix, suffix, middle, repo, separator, pad."""
        found = {
            "prefix": lib.llama_vocab_fim_pre(self._vocab),
            "suffix": lib.llama_vocab_fim_suf(self._vocab),
            "middle": lib.llama_vocab_fim_mid(self._vocab),
            "repo": lib.llama_vocab_fim_rep(self._vocab),
            "separator": lib.llama_vocab_fim_sep(self._vocab),
            "pad": lib.llama_vocab_fim_pad(self._vocab),
        }
        return {name: token for name, token in found.items() if token != _NO_TOKEN}

    @cached_property
    def chat_template(self) -> str:
        """The Jinja template that came with the model, or ""."""
        template = lib.llama_model_chat_template(self._model, None)
        return template.decode(errors="replace") if template else ""

    @cached_property
    def names(self) -> tuple[str, str]:
        """The names of the tokens that begin and that end a text, "" for one that there is not."""
        tokens = (self.bos, lib.llama_vocab_eos(self._vocab))
        begin, end = (lib.llama_vocab_get_text(self._vocab, token) if token != _NO_TOKEN else b"" for token in tokens)
        return begin.decode(errors="replace"), end.decode(errors="replace")

    def is_end(self, token: int) -> bool:
        return bool(lib.llama_vocab_is_eog(self._vocab, token))


def can_offload() -> bool:
    """Whether this build of llama.cpp has a GPU to put layers on."""
    return bool(lib.llama_supports_gpu_offload())


def _load(path: Path, params: Any) -> Any:
    model = lib.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise ModelRefused(
            f"llama.cpp cannot load {path}: it is damaged, incomplete or of an unknown architecture; download it again."
        )
    return model


class Model:
    """The weights of a GGUF file.

    Args:
        path: the file, or the first part of a split one.
        settings: `gpu_layers` and `eager_load` are used here.
        mapped: map the file instead of reading it into memory of its own.
        on_progress: called with the loaded fraction, 0 to 1.

    Raises:
        ModelRefused: llama.cpp cannot load it. (Some damaged files make llama.cpp end the process instead.)
    """

    def __init__(
        self, path: Path, settings: EngineSettings, mapped: bool, on_progress: Callable[[float], None] = lambda _: None
    ) -> None:
        _Backend.start()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = settings.gpu_layers if settings.gpu_layers >= 0 else 9999
        params.load_mode = lib.LLAMA_LOAD_MODE_MMAP if mapped else lib.LLAMA_LOAD_MODE_NONE
        if settings.eager_load:
            params.lazy_mode = lib.LLAMA_LAZY_MODE_OFF

        @lib.llama_progress_callback  # type: ignore[untyped-decorator]
        def progress(fraction: float, _user_data: object) -> bool:
            on_progress(fraction)
            return True

        params.progress_callback = progress
        self.handle = _load(path, params)
        self.vocabulary = Vocabulary(self.handle)
        self.n_ctx_train: int = lib.llama_model_n_ctx_train(self.handle)
        self.n_swa: int = lib.llama_model_n_swa(self.handle)
        self.is_hybrid: bool = lib.llama_model_is_hybrid(self.handle)
        self.is_recurrent: bool = lib.llama_model_is_recurrent(self.handle)
        self.size: int = lib.llama_model_size(self.handle)
        self.n_params: int = lib.llama_model_n_params(self.handle)
        # Never AUTO, which may resolve differently elsewhere. Hybrids do best without, see "Flash attention" in the README.
        can_do_without = self.is_hybrid and not self.n_swa and settings.kv_type == "f16"
        self.flash_attention = not can_do_without or bool(settings.gpu_layers and can_offload())

    def metadata(self, key: str) -> str:
        """The value of a GGUF key as text, or ""."""
        buffer = ctypes.create_string_buffer(512)
        n = lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return buffer.value.decode(errors="replace") if n >= 0 else ""

    def close(self) -> None:
        lib.llama_model_free(self.handle)


class LlamaContext:
    """One llama_context with one sequence. Positions are numbers of tokens; a decode's tokens stand at [start, start + n).

    Args:
        n_ctx: capacity in tokens; llama.cpp rounds it up.
        n_ubatch: tokens that are computed at once; a decode has at most `n_batch`.
        abort_address: address of a byte that ends an abortable decode when it is not 0, or 0 for none.

    Raises:
        ModelRefused: llama.cpp has no memory for it.
    """

    def __init__(
        self, model: Model, settings: EngineSettings, n_ctx: int, n_ubatch: int, swa_full: bool, abort_address: int
    ) -> None:
        params = lib.llama_context_default_params()
        params.n_ctx = n_ctx
        # After a sliding window was restored, llama.cpp lets the second part of a decode overwrite what it still looks at.
        self.n_ubatch, self.n_batch = n_ubatch, n_ubatch if model.n_swa else max(n_ubatch, LONGEST_DECODE)
        params.n_ubatch, params.n_batch = self.n_ubatch, self.n_batch
        params.n_seq_max = 1
        params.n_outputs_max = MAX_OUTPUTS
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
        self._abort_address = abort_address
        self._abortable = False
        self.n_ctx: int = lib.llama_n_ctx(self.handle)
        self.n_vocab = model.vocabulary.n_tokens
        self._batch = batch = lib.llama_batch_init(self.n_batch, 0, 1)
        fields = (np.ctypeslib.as_array(field, (self.n_batch,)) for field in (batch.token, batch.pos, batch.logits))
        self._tokens, self._positions, self._outputs = fields
        for i in range(self.n_batch):
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, _SEQUENCE

    def decode(self, tokens: Tokens, start: int, want_logits: bool, abortable: bool) -> int:
        """Put 1 to `n_batch` tokens through the model.

        Returns:
            0 done; 1 no room; 2 aborted, and the memory is now untrustworthy; < 0 refused.
        """
        n = len(tokens)
        self._tokens[:n] = tokens
        self._positions[:n] = np.arange(start, start + n)
        self._outputs[:n] = 0
        self._outputs[n - 1] = want_logits
        self._batch.n_tokens = n
        self._let_abort(abortable)
        _Backend.is_quiet = abortable
        result: int = lib.llama_decode(self.handle, self._batch)
        lib.llama_synchronize(self.handle)
        return result

    def _let_abort(self, abortable: bool) -> None:
        # libc's strlen has the shape that is wanted of the callback: "" is 0, go on; one character is 1, abort. It needs
        # neither the GIL nor compiled code, and its byte may live in memory shared with another process.
        if self._abort_address and abortable != self._abortable:
            target = (_STRLEN, ctypes.c_void_p(self._abort_address)) if abortable else (None, None)
            _raw.llama_set_abort_callback(ctypes.cast(self.handle, ctypes.c_void_p), *target)
            self._abortable = abortable

    def logits(self) -> Logits:
        """A view of the last output row, `n_vocab` floats, valid until the next decode."""
        return np.ctypeslib.as_array(lib.llama_get_logits_ith(self.handle, -1), (self.n_vocab,))

    def truncate(self, n: int) -> bool:
        """Forget all but the first `n` tokens; False if this memory cannot (then nothing changed)."""
        return bool(lib.llama_memory_seq_rm(self._memory, _SEQUENCE, n, -1))

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


def grammar_of(schema: str) -> str:
    """The GBNF grammar of what a JSON schema allows; "" for no schema.

    Raises:
        ValueError: no grammar can be made of it.
    """
    if not schema:
        return ""
    try:
        grammar: str = json_schema_to_gbnf(schema)
    except Exception as error:  # the converter checks nothing: a wrong schema may raise whatever Python has
        raise ValueError(f"No grammar can be made of this JSON schema ({error!r}); simplify it.") from error
    return grammar


class Sampler:
    """A llama.cpp sampler chain. A wrong grammar or JSON schema raises ValueError.

    The order is the one of llama.cpp's own programs: penalties, top-k, top-p, min-p, infill, temperature, choice.
    """

    def __init__(self, vocabulary: Vocabulary, sampling: Sampling) -> None:
        links = self._links(vocabulary, sampling)
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params()) if links else None
        for link in links:
            lib.llama_sampler_chain_add(self._chain, link)

    def _links(self, vocabulary: Vocabulary, s: Sampling) -> list[Any]:
        """None where the best token is all that is wanted."""
        links = []
        if s.logit_bias:
            biases = (lib.llama_logit_bias * len(s.logit_bias))(*(lib.llama_logit_bias(*bias) for bias in s.logit_bias))
            links.append(lib.llama_sampler_init_logit_bias(vocabulary.n_tokens, len(biases), biases))
        if rules := s.grammar or grammar_of(s.json_schema):
            grammar = lib.llama_sampler_init_grammar(vocabulary.handle, rules.encode(), b"root")
            if not grammar:
                raise ValueError("The grammar is not valid GBNF with a rule called root.")
            links.append(grammar)
        if s.repeat_penalty != 1 or s.frequency_penalty or s.presence_penalty:
            penalties = (s.penalty_last_n, s.repeat_penalty, s.frequency_penalty, s.presence_penalty)
            links.append(lib.llama_sampler_init_penalties(vocabulary.n_tokens, *penalties))
        if s.temperature <= 0 and not s.infill:
            return [*links, lib.llama_sampler_init_greedy()] if links else []
        links += [
            lib.llama_sampler_init_top_k(s.top_k),
            lib.llama_sampler_init_top_p(s.top_p, 1),
            lib.llama_sampler_init_min_p(s.min_p, 1),
        ]
        if s.infill:
            links.append(lib.llama_sampler_init_infill(vocabulary.handle))
        if s.temperature <= 0:
            return [*links, lib.llama_sampler_init_greedy()]
        return [*links, lib.llama_sampler_init_temp(s.temperature), lib.llama_sampler_init_dist(s.seed & 0xFFFFFFFF)]

    def sample(self, context: LlamaContext) -> int:
        """Choose the next token from the last output row, and remember it for the penalties and the grammar."""
        if self._chain is None:  # handing over a large vocabulary takes longer than all else that is done for a token
            return int(context.logits().argmax())
        return int(lib.llama_sampler_sample(self._chain, context.handle, -1))

    def close(self) -> None:
        if self._chain is not None:
            lib.llama_sampler_free(self._chain)
