"""Muon for the matrices inside the layers, AdamW for everything else.

Muon (Jordan et al., 2024) replaces the momentum of a matrix by the nearest half-orthogonal one, so that every direction
learns at the same speed; a Newton-Schulz iteration comes near enough to it in five steps.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from scrubjay_training.values import Plan

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_MOMENTUM = 0.95
_N_ITERATIONS = 5


class Muon(Optimizer):
    """Steps of size `lr` times the half-orthogonal momentum; matrices only, all in one group.

    Args:
        dtype: in which products of matrices are computed.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, weight_decay: float, dtype: torch.dtype) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})
        self._dtype = dtype
        for parameter in self._matrices():
            self.state[parameter]["momentum"] = torch.zeros_like(parameter)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        if closure is not None:
            raise TypeError("Muon takes no closure.")
        self.step_part(0, 1)

    def step_part(self, part: int, n_parts: int) -> None:
        """Move the matrices of one part out of `n_parts`; all parts cost about the same and together are all matrices."""
        group = self.param_groups[0]
        with torch.no_grad():
            for parameter in sorted(self._matrices(), key=Tensor.numel, reverse=True)[part::n_parts]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group["lr"], group["weight_decay"])

    def momenta(self) -> Iterator[Tensor]:
        """The momentum of each matrix."""
        return (self.state[parameter]["momentum"] for parameter in self._matrices())

    def _matrices(self) -> list[Tensor]:
        return list(self.param_groups[0]["params"])

    def _move(self, parameter: Tensor, gradient: Tensor, rate: float, decay: float) -> None:
        momentum = self.state[parameter]["momentum"]
        momentum.lerp_(gradient, 1 - _MOMENTUM)
        direction = half_orthogonal(gradient.lerp(momentum, _MOMENTUM), self._dtype)
        scale = max(1.0, parameter.shape[0] / parameter.shape[1]) ** 0.5
        parameter.mul_(1 - rate * decay).add_(direction, alpha=-rate * scale)


def half_orthogonal(matrix: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """A matrix with the same singular vectors whose singular values are all near one, computed in `dtype`."""
    a, b, c = _COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = (x / (x.norm() + 1e-7)).to(dtype)
    for _ in range(_N_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    direction: Tensor = (x.T if is_tall else x).to(matrix.dtype)
    return direction


def optimizers(model: nn.Module, plan: Plan) -> tuple[Muon, AdamW]:
    """Muon and AdamW over the model's parameters."""
    matrices = [p for name, p in model.named_parameters() if is_matrix(name, p)]
    others = [p for name, p in model.named_parameters() if not is_matrix(name, p)]
    dtype = torch.bfloat16 if plan.is_narrow else torch.float32
    muon = Muon(matrices, plan.matrix_rate, plan.weight_decay, dtype)
    adam = AdamW(others, lr=plan.vector_rate, betas=(0.9, 0.97), weight_decay=0.0)
    return muon, adam


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon moves a parameter: the embedding and the convolutions' taps are tables, not maps."""
    return parameter.ndim == 2 and not name.startswith("embedding") and not name.endswith("conv")


def set_rate(both: Iterable[Optimizer], plan: Plan, step: int) -> None:
    """Set both optimizers to the plan's rates for a step."""
    for optimizer, full in zip(both, (plan.matrix_rate, plan.vector_rate), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = full * plan.rate(step)
