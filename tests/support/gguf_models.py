"""Random-weight models for every memory class of llama.cpp: tiny ones for the tests, true shapes for the benchmark.

`tiny_model(kind)` is what a test wants: the path of a GGUF of about 1 MB that loads in milliseconds, made on first use and kept.
`corrupt_model` makes files that llama.cpp must refuse.
"""

import dataclasses
import hashlib
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter

from tests.support import gguf_tensors, gguf_vocab
from tests.support.gguf_tensors import Shape, Tensor

MODEL_CLASSES: tuple[str, ...] = ("dense", "swa", "shortconv", "deltanet", "mamba2_hybrid", "recurrent")
# A hybrid whose attention has a window; a model without fill-in-the-middle tokens; a SentencePiece vocabulary, which wants a BOS;
# a model that often generates an end token (the others practically never do).
VARIANTS: tuple[str, ...] = ("hybrid_swa", "dense_plain", "dense_spm", "dense_ending")
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "models"
TINY_WINDOW = 64
Damage = Literal["empty", "truncated", "truncated_header", "magic", "garbage", "architecture", "huge_counts"]
DAMAGES: tuple[Damage, ...] = get_args(Damage)

_DENSE = Shape("qwen2", n_vocab=768, n_layer=6, n_embd=64, n_ff=128, n_head=4, n_head_kv=2, head_dim=16)
_SHORTCONV = dataclasses.replace(_DENSE, architecture="lfm2", attention=(1, 3, 5), conv_kernel=3)
_MAMBA2_HYBRID = dataclasses.replace(
    _DENSE,
    architecture="granitehybrid",
    n_layer=6,
    attention=(2, 4),
    conv_kernel=4,
    state_size=16,
    n_state_heads=8,
    n_groups=1,
)
TINY: Mapping[str, Shape] = {
    "dense": _DENSE,
    "swa": dataclasses.replace(_DENSE, architecture="gemma3", n_head_kv=1, window=TINY_WINDOW, full_attention=(2, 5)),
    "shortconv": _SHORTCONV,
    "deltanet": dataclasses.replace(
        _DENSE,
        architecture="qwen35",
        attention=(2, 5),
        conv_kernel=4,
        state_size=16,
        n_state_heads=4,
        n_groups=4,
    ),
    "mamba2_hybrid": _MAMBA2_HYBRID,
    "recurrent": Shape(
        "mamba2", n_vocab=768, n_layer=6, n_embd=64, conv_kernel=4, state_size=16, n_state_heads=8, n_groups=1
    ),
    "hybrid_swa": dataclasses.replace(_SHORTCONV, window=TINY_WINDOW),
    "dense_plain": _DENSE,
    "dense_spm": dataclasses.replace(_DENSE, n_vocab=1024, tokenizer="llama"),
    "dense_ending": dataclasses.replace(_DENSE, special_gain=3.0),
}
_TRUE = Shape(
    "qwen2", n_vocab=151936, n_layer=24, n_embd=896, n_ff=4864, n_head=14, n_head_kv=2, head_dim=64, tied=True
)
TRUE: Mapping[str, Shape] = {
    # Qwen2.5-Coder-0.5B
    "dense": dataclasses.replace(_TRUE, logit_gain=1.0, sharpness=5.0),
    # Gemma-3-270M
    "swa": Shape(
        "gemma3",
        n_vocab=262144,
        n_layer=18,
        n_embd=640,
        n_ff=2048,
        n_head=4,
        n_head_kv=1,
        head_dim=256,
        full_attention=(5, 11, 17),
        window=512,
        tied=True,
        logit_gain=0.25,  # Gemma multiplies its embeddings, which would make the last token decide alone
    ),
    # LFM2-350M
    "shortconv": Shape(
        "lfm2",
        n_vocab=65536,
        n_layer=16,
        n_embd=1024,
        n_ff=4608,
        n_head=16,
        n_head_kv=8,
        head_dim=64,
        n_ctx=128000,
        attention=(2, 5, 8, 10, 12, 14),
        conv_kernel=3,
        norm_eps=1e-5,
        tied=True,
        logit_gain=1.0,
    ),
    # Qwen3.5-0.8B
    "deltanet": Shape(
        "qwen35",
        n_vocab=248320,
        n_layer=24,
        n_embd=1024,
        n_ff=3584,
        n_head=8,
        n_head_kv=2,
        head_dim=256,
        n_ctx=262144,
        attention=(3, 7, 11, 15, 19, 23),
        conv_kernel=4,
        state_size=128,
        n_state_heads=16,
        n_groups=16,
        rope_base=1e7,
        tied=True,
        logit_gain=1.0,
    ),
    # Granite-4.0-H-350M
    "mamba2_hybrid": Shape(
        "granitehybrid",
        n_vocab=100352,
        n_layer=32,
        n_embd=768,
        n_ff=2048,
        n_head=12,
        n_head_kv=4,
        head_dim=64,
        attention=(10, 13, 17, 27),
        conv_kernel=4,
        state_size=128,
        n_state_heads=48,
        n_groups=1,
        norm_eps=1e-5,
        tied=True,
        logit_gain=1.0,
    ),
    # Mamba-2 130M
    "recurrent": Shape(
        "mamba2",
        n_vocab=50288,
        n_layer=24,
        n_embd=768,
        conv_kernel=4,
        state_size=128,
        n_state_heads=24,
        n_groups=1,
        norm_eps=1e-5,
        tied=True,
        logit_gain=1.0,
    ),
}


def tiny_model(kind: str) -> Path:
    """The tiny model of one of `MODEL_CLASSES` or `VARIANTS`, float32. Any number of processes may ask at once."""
    return _cached(kind, TINY[kind], quant=False, fim=kind != "dense_plain")


def true_shape(kind: str) -> Path:
    """A model of one of `MODEL_CLASSES` with the dimensions of a real one, Q8_0: 0.15 to 0.8 GB, made in up to a minute."""
    return _cached(f"true-{kind}", TRUE[kind], quant=True, fim=True)


def write_model(
    kind: str, path: Path, *, shape: Shape | None = None, quant: bool = False, fim: bool = True, seed: int = 0
) -> Path:
    """Write a model of `kind` to `path`, with its tiny dimensions or those given, and return the path.

    `quant` makes the projections Q8_0; `fim=False` leaves out the fill-in-the-middle tokens. The same arguments make the same
    bytes. One tensor is in memory at a time.
    """
    shape = shape or TINY[kind]
    vocabulary = gguf_vocab.make_vocabulary(shape.n_vocab, shape.tokenizer, fim)
    plan = list(gguf_tensors.tensors(shape, vocabulary.control_ids))
    writer = GGUFWriter(path, shape.architecture)
    _add_keys(writer, kind, shape)
    vocabulary.write(writer)
    for tensor in plan:
        _add_info(writer, tensor, quant)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in plan:
        writer.write_tensor_data(tensor.data(seed, quant))
    writer.close()
    return path


def _add_info(writer: GGUFWriter, tensor: Tensor, quant: bool) -> None:
    kind = GGMLQuantizationType.Q8_0 if tensor.is_quantized(quant) else GGMLQuantizationType.F32
    writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.float32), tensor.n_bytes(quant), raw_dtype=kind)


def _add_keys(writer: GGUFWriter, kind: str, shape: Shape) -> None:
    writer.add_name(f"scrubjay-test-{kind}")
    writer.add_block_count(shape.n_layer)
    writer.add_context_length(shape.n_ctx)
    writer.add_embedding_length(shape.n_embd)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    writer.add_vocab_size(shape.n_vocab)
    writer.add_head_count(shape.n_head)
    if shape.n_head:
        _add_attention_keys(writer, shape)
    if shape.architecture == "lfm2":
        writer.add_shortconv_l_cache(shape.conv_kernel)
    elif shape.conv_kernel:
        _add_state_keys(writer, shape)


def _add_attention_keys(writer: GGUFWriter, shape: Shape) -> None:
    if shape.architecture in ("lfm2", "granitehybrid"):  # a layer is recurrent when it has no key-value heads
        writer.add_head_count_kv([shape.n_head_kv * shape.has_attention(layer) for layer in range(shape.n_layer)])
    else:
        writer.add_head_count_kv(shape.n_head_kv)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_base)
    if shape.window:
        writer.add_sliding_window(shape.window)
        writer.add_sliding_window_pattern([layer not in shape.full_attention for layer in range(shape.n_layer)])
    if shape.architecture == "qwen35":
        _add_qwen35_keys(writer, shape)
    if shape.architecture == "granitehybrid":
        writer.add_rope_scaling_finetuned(False)  # this family has no position encoding


def _add_qwen35_keys(writer: GGUFWriter, shape: Shape) -> None:
    n_rot = shape.head_dim // 4
    time, height = n_rot // 6 + n_rot % 3 // 2, n_rot // 6
    writer.add_rope_dimension_count(n_rot)
    writer.add_rope_dimension_sections([time, height, n_rot // 2 - time - height, 0])
    writer.add_array("qwen35.attention.recurrent_layers", [not shape.has_attention(i) for i in range(shape.n_layer)])


def _add_state_keys(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_ssm_conv_kernel(shape.conv_kernel)
    writer.add_ssm_inner_size(shape.inner_size)
    writer.add_ssm_state_size(shape.state_size)
    writer.add_ssm_time_step_rank(shape.n_state_heads)
    writer.add_ssm_group_count(shape.n_groups)


def corrupt_model(path: Path, damage: Damage, out: Path) -> Path:
    """Write to `out` a damaged copy of the dense model at `path` that llama.cpp must refuse, and return `out`.

    "truncated" ends within the weights, "truncated_header" within the tokens; "architecture" names an unknown one; "huge_counts"
    claims more tensors than any file can hold; "garbage" has the right length and nothing else.
    """
    data = path.read_bytes()
    damaged = {
        "empty": b"",
        "truncated": data[: len(data) * 3 // 4],
        "truncated_header": data[:4096],
        "magic": b"FUGG" + data[4:],
        "garbage": np.random.default_rng(0).bytes(len(data)),
        "architecture": data.replace(b"qwen2", b"jay99", 1),
        "huge_counts": data[:8] + b"\xff" * 7 + b"\x7f" + data[16:],
    }
    out.write_bytes(damaged[damage])
    return out


def _cached(name: str, shape: Shape, *, quant: bool, fim: bool) -> Path:
    path = CACHE / f"{name}-{_content_key(shape, quant, fim)}.gguf"
    if path.exists():
        return path
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        made = write_model(name, Path(folder) / "model.gguf", shape=shape, quant=quant, fim=fim)
        made.replace(path)  # atomic: two processes may both make it, none sees half of it
    return path


def _content_key(shape: Shape, *options: object) -> str:
    """Names everything that a file depends on; the vocabulary is learnt from the running Python's library."""
    sources = [Path(str(module.__file__)).read_bytes() for module in (gguf_vocab, gguf_tensors, sys.modules[__name__])]
    key = repr((shape, options, sys.version_info[:3])).encode()
    return hashlib.blake2b(b"".join([key, *sources]), digest_size=8).hexdigest()
