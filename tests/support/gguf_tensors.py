"""The tensors of the test models, by architecture, with weights drawn so that the whole prefix decides the next token.

Random weights make useless models by default: attention averages over all tokens until every position looks the same, states
forget at once or never change, the last token decides alone. So here every projection keeps unit variance; queries and keys are
scaled so that attention scores have a standard deviation of `Shape.sharpness` (a softmax over few tokens); the heads' decay rates
are spread geometrically, from a few tokens to several hundred; embeddings are small beside what the layers add.
"""

import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, quants

from tests.support.gguf_vocab import TokenizerModel

Floats = npt.NDArray[np.float32]
_CHUNK = 1 << 22  # elements made at a time, so that a large tensor does not cost its size in floats
_FAST, _SLOW = 0.2, 0.003  # decay per token of the quickest and the slowest head


@dataclass(frozen=True, slots=True)
class Shape:
    """The dimensions of one model. A zero means: this architecture has no such thing.

    `attention` lists the layers that have attention (None: all have); the other layers are recurrent.
    `full_attention` lists those of them that see everything when there is a sliding `window`.
    """

    architecture: str
    n_vocab: int
    n_layer: int
    n_embd: int
    n_ff: int = 0
    n_head: int = 0
    n_head_kv: int = 0
    head_dim: int = 0
    n_ctx: int = 32768
    attention: tuple[int, ...] | None = None
    full_attention: tuple[int, ...] = ()
    window: int = 0
    conv_kernel: int = 0
    state_size: int = 0
    n_state_heads: int = 0
    n_groups: int = 0
    rope_base: float = 1e6
    norm_eps: float = 1e-6
    tied: bool = False
    tokenizer: TokenizerModel = "gpt2"
    sharpness: float = 3.0
    embedding_gain: float = 0.5
    logit_gain: float = 3.0
    special_gain: float = 0.0

    def has_attention(self, layer: int) -> bool:
        return self.attention is None or layer in self.attention

    @property
    def inner_size(self) -> int:
        """Width of a recurrent layer: the delta net's values, or Mamba-2's fixed expansion by two."""
        return self.n_state_heads * self.state_size if self.architecture == "qwen35" else 2 * self.n_embd


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor still to be made: normal values, or geometric ones from `first` to `last`.

    `dims` is in GGUF's order, fastest first. The rows in `scaled_rows` are multiplied by `row_gain`.
    """

    name: str
    dims: tuple[int, ...]
    mean: float = 0.0
    std: float = 0.0
    first: float = 0.0
    last: float = 0.0
    is_projection: bool = False
    scaled_rows: tuple[int, ...] = ()
    row_gain: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """As numpy has it."""
        return self.dims[::-1]

    def is_quantized(self, quant: bool) -> bool:
        return quant and self.is_projection and self.dims[0] % 32 == 0

    def n_bytes(self, quant: bool) -> int:
        n = math.prod(self.dims)
        return n // 32 * 34 if self.is_quantized(quant) else n * 4

    def data(self, seed: int, quant: bool) -> npt.NDArray[Any]:
        """The tensor's content: float32, or uint8 rows of Q8_0 blocks. The same for the same seed and name."""
        if self.first:
            return np.geomspace(self.first, self.last, math.prod(self.dims)).astype(np.float32).reshape(self.shape)
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        rows, width = math.prod(self.shape[:-1]), self.shape[-1]
        n_chunk = max(_CHUNK // width, 1)
        parts = [self._rows(rng, start, min(start + n_chunk, rows), quant) for start in range(0, rows, n_chunk)]
        return np.concatenate(parts).reshape(*self.shape[:-1], -1)

    def _rows(self, rng: np.random.Generator, start: int, end: int, quant: bool) -> npt.NDArray[Any]:
        values: Floats = rng.standard_normal((end - start, self.shape[-1]), dtype=np.float32)
        values *= np.float32(self.std)
        values += np.float32(self.mean)
        scaled = [row - start for row in self.scaled_rows if start <= row < end]
        values[scaled] *= np.float32(self.row_gain)
        return quants.quantize(values, GGMLQuantizationType.Q8_0) if self.is_quantized(quant) else values


def tensors(shape: Shape, control_ids: list[int]) -> Iterator[Tensor]:
    """All tensors of a model, in the file's order. The output rows of the control tokens are scaled by `shape.special_gain`."""
    width = math.sqrt(shape.n_embd)
    # Gemma multiplies embeddings by the square root of their width.
    gain = shape.embedding_gain / (width if shape.architecture == "gemma3" else 1.0)
    if shape.tied:
        gain = shape.logit_gain / width
    yield Tensor("token_embd.weight", (shape.n_embd, shape.n_vocab), std=gain, is_projection=True)
    yield _norm("token_embd_norm" if shape.architecture == "lfm2" else "output_norm", shape.n_embd)
    if not shape.tied:
        yield Tensor(
            "output.weight",
            (shape.n_embd, shape.n_vocab),
            std=shape.logit_gain / width,
            is_projection=True,
            scaled_rows=tuple(control_ids),
            row_gain=shape.special_gain,
        )
    for layer in range(shape.n_layer):
        yield from _LAYERS[shape.architecture](shape, layer)


def _projection(name: str, n_in: int, n_out: int, gain: float = 1.0) -> Tensor:
    return Tensor(f"{name}.weight", (n_in, n_out), std=gain / math.sqrt(n_in), is_projection=True)


def _norm(name: str, n: int, value: float = 1.0) -> Tensor:
    return Tensor(f"{name}.weight", (n,), mean=value)


def _attention_and_feed_forward(shape: Shape, layer: int) -> Iterator[Tensor]:
    yield _norm(f"blk.{layer}.attn_norm", shape.n_embd)
    yield from _attention(shape, layer)
    yield _norm(f"blk.{layer}.ffn_norm", shape.n_embd)
    yield from _feed_forward(shape, layer)


def _qwen2_layer(shape: Shape, layer: int) -> Iterator[Tensor]:
    yield from _attention_and_feed_forward(shape, layer)
    n_kv = shape.n_head_kv * shape.head_dim
    for name, n in (("q", shape.n_head * shape.head_dim), ("k", n_kv), ("v", n_kv)):
        yield Tensor(f"blk.{layer}.attn_{name}.bias", (n,), std=0.1)


def _gemma3_layer(shape: Shape, layer: int) -> Iterator[Tensor]:
    yield from _attention_and_feed_forward(shape, layer)
    yield from _query_key_norms(shape, layer)
    yield _norm(f"blk.{layer}.post_attention_norm", shape.n_embd)
    yield _norm(f"blk.{layer}.post_ffw_norm", shape.n_embd)


def _lfm2_layer(shape: Shape, layer: int) -> Iterator[Tensor]:
    yield _norm(f"blk.{layer}.attn_norm", shape.n_embd)
    if shape.has_attention(layer):
        yield from _attention(shape, layer)
        yield from _query_key_norms(shape, layer)
    else:
        yield from _short_convolution(shape, layer)
    yield _norm(f"blk.{layer}.ffn_norm", shape.n_embd)
    yield from _feed_forward(shape, layer)


def _qwen35_layer(shape: Shape, layer: int) -> Iterator[Tensor]:
    yield _norm(f"blk.{layer}.attn_norm", shape.n_embd)
    if shape.has_attention(layer):
        yield from _attention(shape, layer, n_gates=1)
        yield from _query_key_norms(shape, layer)
    else:
        yield from _delta_net(shape, layer)
    yield _norm(f"blk.{layer}.post_attention_norm", shape.n_embd)
    yield from _feed_forward(shape, layer)


def _granite_layer(shape: Shape, layer: int) -> Iterator[Tensor]:
    yield _norm(f"blk.{layer}.attn_norm", shape.n_embd)
    yield from _attention(shape, layer) if shape.has_attention(layer) else _mamba2(shape, layer)
    yield _norm(f"blk.{layer}.ffn_norm", shape.n_embd)
    yield from _feed_forward(shape, layer)


def _mamba2_layer(shape: Shape, layer: int) -> Iterator[Tensor]:
    yield _norm(f"blk.{layer}.attn_norm", shape.n_embd)
    yield from _mamba2(shape, layer)


def _attention(shape: Shape, layer: int, n_gates: int = 0) -> Iterator[Tensor]:
    p, n_q, n_kv = f"blk.{layer}.attn_", shape.n_head * shape.head_dim, shape.n_head_kv * shape.head_dim
    # Where queries and keys are normalised, that norm sets the scores' spread and this gain has no effect.
    gain = math.sqrt(shape.sharpness)
    yield _projection(f"{p}q", shape.n_embd, n_q * (1 + n_gates), gain)
    yield _projection(f"{p}k", shape.n_embd, n_kv, gain)
    yield _projection(f"{p}v", shape.n_embd, n_kv)
    yield _projection(f"{p}output", n_q, shape.n_embd, 2.0)


def _query_key_norms(shape: Shape, layer: int) -> Iterator[Tensor]:
    for name in ("attn_q_norm", "attn_k_norm"):
        yield _norm(f"blk.{layer}.{name}", shape.head_dim, math.sqrt(shape.sharpness))


def _feed_forward(shape: Shape, layer: int) -> Iterator[Tensor]:
    yield _projection(f"blk.{layer}.ffn_gate", shape.n_embd, shape.n_ff)
    yield _projection(f"blk.{layer}.ffn_up", shape.n_embd, shape.n_ff)
    yield _projection(f"blk.{layer}.ffn_down", shape.n_ff, shape.n_embd)


def _short_convolution(shape: Shape, layer: int) -> Iterator[Tensor]:
    p = f"blk.{layer}.shortconv."
    yield Tensor(f"{p}conv.weight", (shape.conv_kernel, shape.n_embd), std=1 / math.sqrt(shape.conv_kernel))
    yield _projection(f"{p}in_proj", shape.n_embd, 3 * shape.n_embd)
    yield _projection(f"{p}out_proj", shape.n_embd, shape.n_embd)


def _delta_net(shape: Shape, layer: int) -> Iterator[Tensor]:
    p, n_heads = f"blk.{layer}.", shape.n_state_heads
    n_channels = 2 * shape.n_groups * shape.state_size + shape.inner_size
    yield _projection(f"{p}attn_qkv", shape.n_embd, n_channels)
    yield _projection(f"{p}attn_gate", shape.n_embd, shape.inner_size)
    yield Tensor(f"{p}ssm_conv1d.weight", (shape.conv_kernel, n_channels), std=1 / math.sqrt(shape.conv_kernel))
    yield Tensor(f"{p}ssm_dt.bias", (n_heads,), mean=0.5)
    yield Tensor(f"{p}ssm_a", (n_heads,), first=-_FAST, last=-_SLOW)
    yield _projection(f"{p}ssm_beta", shape.n_embd, n_heads)
    yield _projection(f"{p}ssm_alpha", shape.n_embd, n_heads)
    yield _norm(f"{p}ssm_norm", shape.state_size)
    yield _projection(f"{p}ssm_out", shape.inner_size, shape.n_embd, 1.5)


def _mamba2(shape: Shape, layer: int) -> Iterator[Tensor]:
    p, n_heads, n_inner = f"blk.{layer}.", shape.n_state_heads, shape.inner_size
    n_channels = n_inner + 2 * shape.n_groups * shape.state_size
    yield _projection(f"{p}ssm_in", shape.n_embd, n_inner + n_channels + n_heads)
    yield Tensor(f"{p}ssm_conv1d.weight", (shape.conv_kernel, n_channels), std=1 / math.sqrt(shape.conv_kernel))
    yield Tensor(f"{p}ssm_conv1d.bias", (n_channels,), std=0.1)
    # The time step is softplus of about 0: 0.7, and a decay per token of 0.7 times ssm_a.
    yield Tensor(f"{p}ssm_dt.bias", (n_heads,))
    yield Tensor(f"{p}ssm_a", (1, n_heads), first=-_FAST, last=-_SLOW)
    yield Tensor(f"{p}ssm_d", (1, n_heads), mean=0.2)
    yield _norm_of_groups(f"{p}ssm_norm", n_inner // shape.n_groups, shape.n_groups)
    yield _projection(f"{p}ssm_out", n_inner, shape.n_embd, 1.5)


def _norm_of_groups(name: str, n: int, n_groups: int) -> Tensor:
    return Tensor(f"{name}.weight", (n, n_groups), mean=1.0)


_LAYERS: dict[str, Callable[[Shape, int], Iterator[Tensor]]] = {
    "qwen2": _qwen2_layer,
    "gemma3": _gemma3_layer,
    "lfm2": _lfm2_layer,
    "qwen35": _qwen35_layer,
    "granitehybrid": _granite_layer,
    "mamba2": _mamba2_layer,
}
