"""The model, written as llama.cpp's architecture `lfm2` computes it; each parameter's comment is its name in the GGUF.

A token's vector passes `n_layers` layers; each adds what its mixer makes of the tokens so far, then what its gated
feed-forward net makes of the token itself, both behind an RMS norm. The mixer is attention or a short convolution. The last
norm is `token_embd_norm`, and the embedding serves as the output matrix too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from scrubjay_training.values import Shape

BRANCH_ENDS = ("out_proj.weight", "output.weight", "down.weight")
"""How the names of matrices end that write into the vectors which pass the layers."""


class Places(NamedTuple):
    """Where the tokens of a row stand.

    Args:
        cos: of the angles by which heads are turned, [time, head_width / 2].
        sin: of the same angles.
        lengths: tokens of each text of the row. None attends to another; a short convolution sees two tokens past its start.
    """

    cos: Tensor
    sin: Tensor
    lengths: list[int]


class ShortConvolution(nn.Module):
    """in_proj makes B, C and x, in this order; out = out_proj(C * convolution(B * x)), each channel by itself.

    llama.cpp keeps the last `n_taps - 1` products B * x for each sequence: that is all of this layer's state.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.in_proj = nn.Linear(shape.width, 3 * shape.width, bias=False)  # shortconv.in_proj
        self.conv = nn.Parameter(torch.zeros(shape.width, shape.n_taps))  # shortconv.conv, F32 always, oldest tap first
        self.out_proj = nn.Linear(shape.width, shape.width, bias=False)  # shortconv.out_proj

    def forward(self, x: Tensor, _places: Places) -> Tensor:
        """[batch, time, width] -> the same."""
        before, after, value = self.in_proj(x).chunk(3, dim=-1)
        n_taps, n_time = self.conv.shape[1], x.shape[1]
        padded = functional.pad(before * value, (0, 0, n_taps - 1, 0))
        mixed = sum((padded[:, tap : tap + n_time] * self.conv[:, tap] for tap in range(n_taps)), x.new_zeros(()))
        out: Tensor = self.out_proj(after * mixed)
        return out


class Attention(nn.Module):
    """Causal attention of all heads over a text's tokens; queries and keys are normed for each head, then rotated."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.query = nn.Linear(shape.width, shape.width, bias=False)  # attn_q
        self.key = nn.Linear(shape.width, shape.width, bias=False)  # attn_k
        self.value = nn.Linear(shape.width, shape.width, bias=False)  # attn_v
        self.output = nn.Linear(shape.width, shape.width, bias=False)  # attn_output
        self.query_norm = nn.RMSNorm(shape.head_width, eps=shape.norm_eps)  # attn_q_norm
        self.key_norm = nn.RMSNorm(shape.head_width, eps=shape.norm_eps)  # attn_k_norm

    def forward(self, x: Tensor, places: Places) -> Tensor:
        """[batch, time, width] -> the same."""
        query = rotated(self.query_norm(self._heads(self.query(x))), places)
        key = rotated(self.key_norm(self._heads(self.key(x))), places)
        mixed = attended(query, key, self._heads(self.value(x)), places.lengths)
        out: Tensor = self.output(mixed.transpose(1, 2).reshape(x.shape))
        return out

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.shape.n_heads, self.shape.head_width).transpose(1, 2)


class FeedForward(nn.Module):
    """down(silu(gate(x)) * up(x))."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate = nn.Linear(shape.width, shape.feed_forward, bias=False)  # ffn_gate
        self.up = nn.Linear(shape.width, shape.feed_forward, bias=False)  # ffn_up
        self.down = nn.Linear(shape.feed_forward, shape.width, bias=False)  # ffn_down

    def forward(self, x: Tensor) -> Tensor:
        """[batch, time, width] -> the same."""
        out: Tensor = self.down(functional.silu(self.gate(x)) * self.up(x))
        return out


class Layer(nn.Module):
    """A mixer of tokens, then a feed-forward net, each added to what came in."""

    def __init__(self, shape: Shape, attends: bool) -> None:
        super().__init__()
        self.mixer_norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)  # attn_norm, of convolutions too
        self.mixer = Attention(shape) if attends else ShortConvolution(shape)
        self.feed_forward_norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)  # ffn_norm
        self.feed_forward = FeedForward(shape)

    def forward(self, x: Tensor, places: Places) -> Tensor:
        """[batch, time, width] -> the same."""
        x = x + self.mixer(self.mixer_norm(x), places)
        out: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return out


class StarterModel(nn.Module):
    """Tokens [batch, time] -> vectors [batch, time, width]; `logits` of those give [..., n_vocab]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.n_vocab, shape.width)  # token_embd, the output matrix too
        self.layers = nn.ModuleList(Layer(shape, i in shape.attention) for i in range(shape.n_layers))
        self.last_norm = nn.RMSNorm(shape.width, eps=shape.norm_eps)  # token_embd_norm

    def forward(self, tokens: Tensor, lengths: Sequence[int] = ()) -> Tensor:
        """What `logits` needs, for each token.

        Args:
            lengths: tokens of each text of a row, the same for all rows; one text if there are none.
        """
        cos, sin = rotation_for(self.shape, tokens.shape[1])
        places = Places(cos.to(tokens.device), sin.to(tokens.device), list(lengths) or [tokens.shape[1]])
        x: Tensor = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, places)
        normed: Tensor = self.last_norm(x)
        return normed

    def logits(self, x: Tensor) -> Tensor:
        """For every next token, from what `forward` gave."""
        return functional.linear(x, self.embedding.weight)


def initialise(model: StarterModel, seed: int) -> None:
    """The same numbers for the same seed: small embeddings, matrices that keep the scale, residual branches near zero."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name == "embedding.weight":
            nn.init.normal_(parameter, std=0.02, generator=generator)
        elif name.endswith("conv"):
            nn.init.normal_(parameter, std=0.2, generator=generator)
            with torch.no_grad():
                parameter[:, -1] += 0.7
        elif parameter.ndim == 2:
            std = parameter.shape[1] ** -0.5 * (0.2 if name.endswith(BRANCH_ENDS) else 1.0)
            nn.init.normal_(parameter, std=std, generator=generator)


def attended(query: Tensor, key: Tensor, value: Tensor, lengths: list[int]) -> Tensor:
    """What each token takes from those of its text up to itself; all [batch, heads, time, head_width]."""
    texts = zip(*(x.split(lengths, dim=2) for x in (query, key, value)), strict=True)
    return torch.cat([functional.scaled_dot_product_attention(*text, is_causal=True) for text in texts], dim=2)


def rotation_for(shape: Shape, n_time: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines [time, head_width / 2] of the angles by which heads are turned."""
    half = shape.head_width // 2
    speeds = shape.rope_base ** (-torch.arange(half, dtype=torch.float32) / half)
    angles = torch.outer(torch.arange(n_time, dtype=torch.float32), speeds)
    return angles.cos(), angles.sin()


def rotated(x: Tensor, places: Places) -> Tensor:
    """Turn each head's first half against its second (what llama.cpp calls the NEOX order); [..., time, head_width]."""
    cos, sin, _ = places
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
