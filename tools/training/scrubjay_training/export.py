"""Fourth stage: the model and its tokenizer as one GGUF file that llama.cpp runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType, quants
from tokenizers import Tokenizer
from torch import Tensor, nn

from scrubjay_training.model import Attention, FeedForward, Layer, StarterModel
from scrubjay_training.values import END, FILE, MIDDLE, PAD, PREFIX, REPO, SPECIALS, SUFFIX, Shape

Kind = Literal["f32", "f16", "q8_0"]
KINDS: tuple[Kind, ...] = ("f32", "f16", "q8_0")
_TYPES = {
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
_ALWAYS_F32 = ("norm.weight", "shortconv.conv.weight")
_BLOCK = 32  # Q8_0 quantises rows in blocks of this many
Array = npt.NDArray[np.float32]


def export(model: StarterModel, tokenizer: Tokenizer, path: Path, kind: Kind = "q8_0") -> None:
    """Write `path`; norms and convolution taps stay F32 whatever the kind."""
    writer = GGUFWriter(path, "lfm2")
    _add_general(writer, kind)
    _add_shape(writer, model.shape)
    _add_tokenizer(writer, tokenizer)
    for name, parameter in parameters(model):
        _add_tensor(writer, name, parameter.detach().float().cpu().numpy(), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def parameters(model: StarterModel) -> Iterator[tuple[str, Tensor]]:
    """Every parameter under its name in the file; the last dimension is what llama.cpp calls the first."""
    yield "token_embd.weight", model.embedding.weight
    yield "token_embd_norm.weight", model.last_norm.weight
    for i, layer in enumerate(model.layers):
        for name, parameter in _layer_parameters(layer):
            yield f"blk.{i}.{name}.weight", parameter


def _layer_parameters(layer: nn.Module) -> Iterator[tuple[str, Tensor]]:
    if not isinstance(layer, Layer):
        raise TypeError("The layers of a model are of the class Layer.")
    yield "attn_norm", layer.mixer_norm.weight
    yield "ffn_norm", layer.feed_forward_norm.weight
    yield from _mixer_parameters(layer.mixer)
    net: FeedForward = layer.feed_forward
    yield from (("ffn_gate", net.gate.weight), ("ffn_up", net.up.weight))
    yield "ffn_down", net.down.weight


def _mixer_parameters(mixer: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(mixer, Attention):
        for name in ("query", "key", "value", "output"):
            short = name[0] if name != "output" else name
            yield f"attn_{short}", getattr(mixer, name).weight
        yield "attn_q_norm", mixer.query_norm.weight
        yield "attn_k_norm", mixer.key_norm.weight
    else:
        yield "shortconv.conv", mixer.conv
        yield "shortconv.in_proj", mixer.in_proj.weight
        yield "shortconv.out_proj", mixer.out_proj.weight


def _add_tensor(writer: GGUFWriter, name: str, array: Array, kind: Kind) -> None:
    wanted = _TYPES[kind][0]
    if name.endswith(_ALWAYS_F32) or array.shape[-1] % _BLOCK:
        wanted = GGMLQuantizationType.F32
    writer.add_tensor(name, quants.quantize(array, wanted), raw_dtype=wanted)


def _add_general(writer: GGUFWriter, kind: Kind) -> None:
    writer.add_name("Scrubjay starter")
    writer.add_description("A small fill-in-the-middle model for Python that comes with Scrubjay")
    writer.add_license("mit")
    writer.add_file_type(_TYPES[kind][1])


def _add_shape(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_block_count(shape.n_layers)
    writer.add_context_length(shape.n_ctx)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.n_heads)
    # llama.cpp tells a convolution from attention by this alone: it has no key and value heads.
    writer.add_head_count_kv([shape.n_heads if i in shape.attention else 0 for i in range(shape.n_layers)])
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.n_vocab)
    writer.add_shortconv_l_cache(shape.n_taps)


def _add_tokenizer(writer: GGUFWriter, tokenizer: Tokenizer) -> None:
    tokens = [tokenizer.id_to_token(i) or "" for i in range(tokenizer.get_vocab_size())]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL if token in SPECIALS else TokenType.NORMAL for token in tokens])
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    writer.add_add_bos_token(False)
    writer.add_eos_token_id(tokens.index(END))
    writer.add_pad_token_id(tokens.index(PAD))
    fim = {"pre": PREFIX, "suf": SUFFIX, "mid": MIDDLE, "pad": PAD, "rep": REPO, "sep": FILE}
    for key, text in fim.items():
        writer.add_uint32(f"tokenizer.ggml.fim_{key}_token_id", tokens.index(text))
