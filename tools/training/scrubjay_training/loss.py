"""The loss, and its gradient in the same pass: logits of all tokens at once would be the largest thing in memory by far.

A few hundred tokens at a time, their logits stay in the processor's cache, and are turned into the gradient where they lie.
"""

from typing import Any

import torch
from torch import Tensor

_CHUNK, _CHUNK_OF_A_GPU = 512, 8192
_LEAST_CHANCE = 1e-30  # whose logarithm is still a number


class _OutputLoss(torch.autograd.Function):
    """Sum of weighted negative log-likelihoods, with the gradients of its two float arguments made ahead."""

    @staticmethod
    def forward(
        ctx: Any, vectors: Tensor, matrix: Tensor, targets: Tensor, weights: Tensor, dtype: torch.dtype
    ) -> Tensor:
        total = torch.zeros((), device=vectors.device)
        to_vectors, to_matrix = torch.empty_like(vectors), torch.zeros_like(matrix)
        narrow = matrix.to(dtype)
        n_at_once = _CHUNK_OF_A_GPU if vectors.is_cuda else _CHUNK
        for start in range(0, len(vectors), n_at_once):
            part = slice(start, start + n_at_once)
            x, target, weight = vectors[part].to(dtype), targets[part, None], weights[part, None]
            chances = torch.softmax(x @ narrow.T, 1, dtype=torch.float32)
            total -= chances.gather(1, target).clamp_(min=_LEAST_CHANCE).log_().mul_(weight).sum()
            gradient = chances.mul_(weight).scatter_add_(1, target, -weight)
            narrow_gradient = gradient.to(dtype)
            to_vectors[part] = narrow_gradient @ narrow
            to_matrix += narrow_gradient.T @ x
        ctx.save_for_backward(to_vectors, to_matrix)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        to_vectors, to_matrix = ctx.saved_tensors
        return to_vectors * gradients[0], to_matrix * gradients[0], None, None, None


def output_loss(vectors: Tensor, matrix: Tensor, targets: Tensor, weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Sum of the negative log-likelihoods of `targets` [n], in nats, each times its weight in `weights` [n].

    Args:
        vectors: what the model made of the tokens before the targets, [n, width].
        matrix: the output matrix, [n_vocab, width].
        dtype: in which products of matrices are computed.
    """
    total: Tensor = _OutputLoss.apply(vectors, matrix, targets, weights, dtype)  # type: ignore[no-untyped-call]
    return total
