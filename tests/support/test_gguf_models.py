"""The test models are what they claim to be, and stale state in them is seen: otherwise every other test would prove nothing."""

import ctypes
import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import llama_cpp as lib
import numpy as np
import numpy.typing as npt
import pytest

from tests.support import gguf_tensors
from tests.support.gguf_models import (
    DAMAGES,
    MODEL_CLASSES,
    TINY,
    TINY_WINDOW,
    TRUE,
    VARIANTS,
    Damage,
    corrupt_model,
    tiny_model,
    write_model,
)
from tests.support.gguf_vocab import LARGE_CORPUS, learn_merges, make_vocabulary, source_text

Tokens = npt.NDArray[np.int32]
Logits = npt.NDArray[np.float32]

PARTIAL = lib.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
N_UBATCH = 256
N_CTX = 1024
BYTES = ctypes.POINTER(ctypes.c_uint8)


@lib.llama_log_callback  # type: ignore[untyped-decorator]
def _silent(_level: int, _text: bytes, _user_data: object) -> None:
    """llama.cpp says a page for every model that it loads."""


class Raw:
    """A model and a context straight from llama.cpp's C functions, so that nothing of the engine is trusted here."""

    kept_alive: ClassVar[Any] = _silent

    def __init__(self, path: Path) -> None:
        lib.llama_log_set(_silent, ctypes.c_void_p(0))
        lib.llama_backend_init()
        self.model = lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
        assert self.model
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = N_CTX, N_UBATCH, N_UBATCH
        params.n_threads = params.n_threads_batch = 1
        params.swa_full, params.flash_attn_type = False, 1
        self.context = lib.llama_init_from_model(self.model, params)
        self.memory = lib.llama_get_memory(self.context)
        self.vocab = lib.llama_model_get_vocab(self.model)
        self.batch = lib.llama_batch_init(N_UBATCH, 0, 1)

    def close(self) -> None:
        lib.llama_batch_free(self.batch)
        lib.llama_free(self.context)
        lib.llama_model_free(self.model)

    def tokenize(self, text: str, special: bool = False) -> Tokens:
        data = text.encode()
        tokens = np.empty(len(data) + 2, np.int32)
        out = tokens.ctypes.data_as(lib.llama_token_p)
        return tokens[: lib.llama_tokenize(self.vocab, data, len(data), out, len(tokens), False, special)]

    def piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(64)
        n_bytes = lib.llama_token_to_piece(self.vocab, token, buffer, 64, 0, False)
        return buffer.raw[:n_bytes]

    def decode(self, tokens: Tokens, start: int = 0) -> Logits:
        """The logits after the last of `tokens`, which stand at position `start` and on."""
        for offset in range(0, len(tokens), N_UBATCH):
            self._decode_one(tokens[offset : offset + N_UBATCH], start + offset)
        n_vocab = lib.llama_vocab_n_tokens(self.vocab)
        return np.ctypeslib.as_array(lib.llama_get_logits_ith(self.context, -1), (n_vocab,)).copy()

    def _decode_one(self, tokens: Tokens, start: int) -> None:
        self.batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            self.batch.token[i], self.batch.pos[i] = int(token), start + i
            self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, 0
            self.batch.logits[i] = i == len(tokens) - 1
        assert lib.llama_decode(self.context, self.batch) == 0

    def cold(self, tokens: Tokens) -> Logits:
        lib.llama_memory_clear(self.memory, False)
        return self.decode(tokens)

    def greedy(self, prompt: Tokens, n_tokens: int) -> list[int]:
        generated: list[int] = []
        logits = self.cold(prompt)
        for position in range(len(prompt), len(prompt) + n_tokens):
            generated.append(int(logits.argmax()))
            logits = self.decode(np.array(generated[-1:], np.int32), position)
        return generated

    def state(self, flags: int) -> npt.NDArray[np.uint8]:
        blob = np.empty(lib.llama_state_seq_get_size_ext(self.context, 0, flags), np.uint8)
        lib.llama_state_seq_get_data_ext(self.context, blob.ctypes.data_as(BYTES), blob.size, 0, flags)
        return blob

    def restore(self, blob: npt.NDArray[np.uint8]) -> None:
        assert lib.llama_state_seq_set_data_ext(self.context, blob.ctypes.data_as(BYTES), blob.size, 0, PARTIAL)


@pytest.fixture
def raw() -> Iterator[Callable[[Path], Raw]]:
    opened: list[Raw] = []

    def open_raw(path: Path) -> Raw:
        opened.append(Raw(path))
        return opened[-1]

    yield open_raw
    for one in opened:
        one.close()


def difference(expected: Logits, actual: Logits) -> float:
    """Squared error relative to the spread of the logits: 0 is equal, 2 is unrelated."""
    return float(((expected - actual) ** 2).sum() / ((expected - expected.mean()) ** 2).sum())


def text_tokens(model: Raw, n_tokens: int, start: int = 5000) -> Tokens:
    return model.tokenize(source_text()[start:])[:n_tokens]


@pytest.mark.parametrize("kind", [*MODEL_CLASSES, *VARIANTS])
def test_memory_is_of_the_class_that_the_kind_names(kind: str, raw: Callable[[Path], Raw]) -> None:
    model = raw(tiny_model(kind))
    model.decode(text_tokens(model, 2))
    is_partial_full = model.state(PARTIAL).size == model.state(0).size
    can_truncate = lib.llama_memory_seq_rm(model.memory, 0, 1, -1)
    has_state = kind in ("shortconv", "deltanet", "mamba2_hybrid", "hybrid_swa")
    assert can_truncate == (not has_state and kind != "recurrent")
    assert is_partial_full == (kind == "recurrent" or kind.startswith("dense"))
    assert lib.llama_model_is_hybrid(model.model) == has_state
    assert lib.llama_model_is_recurrent(model.model) == (kind == "recurrent")
    assert lib.llama_model_n_swa(model.model) == (TINY_WINDOW if "swa" in kind else 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODEL_CLASSES)
def test_token_far_back_changes_what_comes_next(kind: str, raw: Callable[[Path], Raw]) -> None:
    model = raw(tiny_model(kind))
    prompt = text_tokens(model, 400)
    expected, continuation = model.cold(prompt), model.greedy(prompt, 16)
    n_followed = 0
    for replacement in (97, 194, 291, 388, 485):
        changed = prompt.copy()
        changed[-101] = (changed[-101] + replacement) % 700
        assert difference(expected, model.cold(changed)) > 1e-3
        n_followed += model.greedy(changed, 16) != continuation
    assert n_followed >= 4, (
        "most one-token changes are seen in 16 greedy tokens; a change of logits may leave them as they are"
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODEL_CLASSES)
def test_every_region_of_the_prefix_counts(kind: str, raw: Callable[[Path], Raw]) -> None:
    model = raw(tiny_model(kind))
    prompt = text_tokens(model, 400)
    expected = model.cold(prompt)
    for start in range(0, 400, 50):
        changed = prompt.copy()
        changed[start : start + 40] = changed[start : start + 40][::-1]
        assert difference(expected, model.cold(changed)) > 1e-3, f"tokens {start} to {start + 40}"


@pytest.mark.parametrize("kind", [kind for kind in (*MODEL_CLASSES, *VARIANTS) if not kind.startswith("dense")])
def test_state_of_another_prefix_is_noticed(kind: str, raw: Callable[[Path], Raw]) -> None:
    model = raw(tiny_model(kind))
    prompt, other = text_tokens(model, 301), text_tokens(model, 300, start=20_000)
    expected = model.cold(prompt)
    model.cold(other)
    stale = model.state(PARTIAL)
    model.cold(prompt[:300])
    model.restore(stale)
    assert difference(expected, model.decode(prompt[300:], 300)) > 0.1


@pytest.mark.parametrize("kind", [*MODEL_CLASSES, "hybrid_swa", "dense_plain", "dense_spm"])
def test_prompts_have_their_own_continuations(kind: str, raw: Callable[[Path], Raw]) -> None:
    model = raw(tiny_model(kind))
    tokens = text_tokens(model, 800)
    continuations = [model.greedy(tokens[start : start + 100], 12) for start in range(0, 800, 100)]
    assert len({generated[0] for generated in continuations}) >= 5
    assert len({tuple(generated) for generated in continuations}) == len(continuations)
    assert all(len(set(generated)) >= 3 for generated in continuations), "a continuation is one token over and over"


def test_one_model_often_ends_its_generations_and_the_others_do_not(raw: Callable[[Path], Raw]) -> None:
    for kind in ("dense", "dense_ending"):
        model = raw(tiny_model(kind))
        tokens = text_tokens(model, 800)
        ended = [
            any(lib.llama_vocab_is_eog(model.vocab, token) for token in model.greedy(tokens[start : start + 100], 32))
            for start in range(0, 800, 100)
        ]
        assert sum(ended) >= 4 if kind == "dense_ending" else not any(ended)


def test_byte_level_vocabulary_keeps_every_text(raw: Callable[[Path], Raw]) -> None:
    model = raw(tiny_model("dense"))
    text = "def größe(self) -> int:\r\n\treturn  '🐦' * 3\n\n\n"
    tokens = model.tokenize(text)
    assert b"".join(model.piece(int(token)) for token in tokens).decode() == text
    assert len(model.tokenize("    def __init__(self, action):\n")) < 16, "the merges are used"


def test_sentence_piece_vocabulary_wants_a_bos_and_keeps_text(raw: Callable[[Path], Raw]) -> None:
    model = raw(tiny_model("dense_spm"))
    assert lib.llama_vocab_get_add_bos(model.vocab)
    assert lib.llama_vocab_type(model.vocab) == lib.LLAMA_VOCAB_TYPE_SPM
    text = "def größe(self):\n\treturn  '🐦'\n"
    pieces = b"".join(model.piece(int(token)) for token in model.tokenize(text)).decode()
    assert pieces == " " + text
    assert len(model.tokenize("the action of the argument")) < 12


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dense", "dense_plain", "dense_spm"])
def test_fill_in_the_middle_tokens_are_where_the_vocabulary_says(kind: str, raw: Callable[[Path], Raw]) -> None:
    model = raw(tiny_model(kind))
    ids = make_vocabulary(TINY[kind].n_vocab, TINY[kind].tokenizer, fim=kind != "dense_plain").special_ids
    found = {
        "fim_pre": lib.llama_vocab_fim_pre(model.vocab),
        "fim_suf": lib.llama_vocab_fim_suf(model.vocab),
        "fim_mid": lib.llama_vocab_fim_mid(model.vocab),
        "fim_pad": lib.llama_vocab_fim_pad(model.vocab),
        "fim_rep": lib.llama_vocab_fim_rep(model.vocab),
        "fim_sep": lib.llama_vocab_fim_sep(model.vocab),
    }
    assert found == {name: ids.get(name, -1) for name in found}
    assert ("fim_pre" in ids) == (kind != "dense_plain")


def test_special_tokens_are_parsed_only_when_asked(raw: Callable[[Path], Raw]) -> None:
    model = raw(tiny_model("dense"))
    assert len(model.tokenize("<|fim_prefix|>", special=True)) == 1
    assert len(model.tokenize("<|fim_prefix|>")) > 1


def test_merges_are_learnt_most_frequent_first() -> None:
    words = {("a", "b", "c"): 3, ("a", "b"): 2, ("b", "c"): 1}
    assert learn_merges(words, 5) == [("a", "b"), ("ab", "c"), ("b", "c")]


@pytest.mark.slow
def test_large_vocabulary_is_padded_to_its_size() -> None:
    assert all(source_text(module) for module in LARGE_CORPUS)
    vocabulary = make_vocabulary(20_000)
    assert len(vocabulary.tokens) == len(set(vocabulary.tokens)) == len(vocabulary.types) == 20_000


@pytest.mark.parametrize("kind", [*MODEL_CLASSES, *VARIANTS])
def test_tiny_model_is_small_and_made_once(kind: str) -> None:
    path = tiny_model(kind)
    assert path.stat().st_size < 4_000_000
    assert tiny_model(kind) == path


def test_same_arguments_make_the_same_bytes(tmp_path: Path) -> None:
    first = write_model("shortconv", tmp_path / "1.gguf").read_bytes()
    assert write_model("shortconv", tmp_path / "2.gguf").read_bytes() == first
    assert write_model("shortconv", tmp_path / "3.gguf", seed=1).read_bytes() != first


@pytest.mark.parametrize("kind", MODEL_CLASSES)
def test_quantized_models_load_and_decode(kind: str, tmp_path: Path, raw: Callable[[Path], Raw]) -> None:
    shape = dataclasses.replace(TINY[kind], tied=True)
    model = raw(write_model(kind, tmp_path / "model.gguf", shape=shape, quant=True))
    assert np.isfinite(model.cold(text_tokens(model, 100))).all()


@pytest.mark.parametrize(
    ("kind", "n_parameters"),
    [("dense", 494.0e6), ("swa", 268.1e6), ("shortconv", 354.5e6), ("mamba2_hybrid", 340.3e6), ("recurrent", 129.0e6)],
)
def test_true_shapes_have_the_published_numbers_of_parameters(kind: str, n_parameters: float) -> None:
    total = sum(math.prod(tensor.dims) for tensor in gguf_tensors.tensors(TRUE[kind], []))
    assert total == pytest.approx(n_parameters, rel=0.002)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_models_are_refused(damage: Damage, tmp_path: Path) -> None:
    path = corrupt_model(tiny_model("dense"), damage, tmp_path / "damaged.gguf")
    lib.llama_log_set(_silent, ctypes.c_void_p(0))
    assert not lib.llama_model_load_from_file(str(path).encode(), lib.llama_model_default_params())
