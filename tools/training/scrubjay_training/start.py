"""A model to go on from: read from a GGUF file of `export`, and grown into a larger shape without a change of its logits.

A grown model has more layers or wider feed-forward nets. What is new in it adds nothing to the vectors that pass the layers
until it is trained: the matrices that write into them are zero there.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, TokenType, quants
from tokenizers import Tokenizer

from scrubjay_training.export import parameters
from scrubjay_training.model import BRANCH_ENDS, StarterModel, initialise
from scrubjay_training.tokenizer import make_tokenizer
from scrubjay_training.values import Shape


def read_shape(path: Path) -> Shape:
    """The sizes of the model in a GGUF file that `export` wrote."""
    return _shape(GGUFReader(path))


def read_model(path: Path) -> StarterModel:
    """The model in a GGUF file that `export` wrote; what was quantised is dequantised.

    Raises:
        ValueError: a tensor is missing, or has another shape than the file's other values say.
    """
    reader = GGUFReader(path)
    model = StarterModel(_shape(reader))
    found = {each.name: quants.dequantize(each.data, each.tensor_type) for each in reader.tensors}
    with torch.no_grad():
        for name, parameter in parameters(model):
            array = np.array(found.get(name, ()), dtype=np.float32)  # a copy: the file's own memory is read only
            if array.size != parameter.numel():
                raise ValueError(f"{path} has no tensor {name} of the shape {tuple(parameter.shape)}.")
            parameter.copy_(torch.from_numpy(array).view_as(parameter))
    return model


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a GGUF file that `export` wrote."""
    reader = GGUFReader(path)
    types = _value(reader, "tokenizer.ggml.token_type")
    tokens = _value(reader, "tokenizer.ggml.tokens")
    texts = [token for token, kind in zip(tokens, types, strict=True) if kind != TokenType.CONTROL]
    merges = [tuple(pair.split(" ")) for pair in _value(reader, "tokenizer.ggml.merges")]
    return make_tokenizer(texts, merges)


def grown(model: StarterModel, shape: Shape, seed: int) -> StarterModel:
    """A model of a shape with more layers or a wider feed-forward net that has the same logits; what is new is drawn by the seed.

    Raises:
        ValueError: the shape differs in something else, is smaller, or has no place for a layer among those of its kind.
    """
    larger = StarterModel(shape)
    initialise(larger, seed)
    old, new = dict(model.named_parameters()), dict(larger.named_parameters())
    places = _places(model.shape, shape)
    with torch.no_grad():
        for name, parameter in new.items():
            if name.endswith(BRANCH_ENDS):
                parameter.zero_()
        for name, parameter in old.items():
            target = new[_name_in(name, places)]
            if any(size > room for size, room in zip(parameter.shape, target.shape, strict=True)):
                raise ValueError(f"{name} of the shape {tuple(parameter.shape)} has no room in {tuple(target.shape)}.")
            target[tuple(slice(size) for size in parameter.shape)] = parameter
    return larger


def _name_in(name: str, places: list[int]) -> str:
    if not name.startswith("layers."):
        return name
    _, layer, rest = name.split(".", 2)
    return f"layers.{places[int(layer)]}.{rest}"


def _places(old: Shape, new: Shape) -> list[int]:
    """Where each old layer stands among the new ones: in their order, spread evenly, attention where there is attention."""
    same = ("n_vocab", "width", "n_heads", "n_taps", "rope_base", "norm_eps")
    if others := [name for name in same if getattr(old, name) != getattr(new, name)]:
        raise ValueError(f"A model that grows keeps its {', '.join(others)}.")
    places: list[int] = []
    for i in range(old.n_layers):
        first = max(i * new.n_layers // old.n_layers, places[-1] + 1 if places else 0)
        fitting = (at for at in range(first, new.n_layers) if (at in new.attention) == (i in old.attention))
        place = next(fitting, None)
        if place is None:
            raise ValueError(f"There is no place for layer {i} among {new.n_layers} layers.")
        places.append(place)
    return places


def _shape(reader: GGUFReader) -> Shape:
    n_heads_kv = _value(reader, "lfm2.attention.head_count_kv")
    return Shape(
        n_vocab=_value(reader, "lfm2.vocab_size"),
        width=_value(reader, "lfm2.embedding_length"),
        n_layers=_value(reader, "lfm2.block_count"),
        feed_forward=_value(reader, "lfm2.feed_forward_length"),
        n_heads=_value(reader, "lfm2.attention.head_count"),
        attention=tuple(i for i, n in enumerate(n_heads_kv) if n),
        n_taps=_value(reader, "lfm2.shortconv.l_cache"),
        n_ctx=_value(reader, "lfm2.context_length"),
        rope_base=_value(reader, "lfm2.rope.freq_base"),
        norm_eps=_value(reader, "lfm2.attention.layer_norm_rms_epsilon"),
    )


def _value(reader: GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    if field is None:
        raise ValueError(f"The file says nothing of {key}.")
    return field.contents()
