"""Muon for the matrices inside the layers, AdamW for everything else.

Muon (Jordan et al., 2024) replaces the momentum of a matrix by the nearest half-orthogonal one, so that every direction
learns at the same speed; a Newton-Schulz iteration comes near enough to it in five steps.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from scrubjay_training.values import Plan

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_MOMENTUM = 0.95
_N_ITERATIONS = 5


class Muon(Optimizer):
    """Steps of size `lr` times the half-orthogonal momentum; matrices only."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        if closure is not None:
            raise TypeError("Muon takes no closure.")
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._move(parameter, group["lr"], group["weight_decay"])

    def _move(self, parameter: Tensor, rate: float, decay: float) -> None:
        state = self.state[parameter]
        momentum = state.setdefault("momentum", torch.zeros_like(parameter))
        gradient = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        momentum.lerp_(gradient, 1 - _MOMENTUM)
        direction = half_orthogonal(gradient.lerp(momentum, _MOMENTUM))
        scale = max(1.0, parameter.shape[0] / parameter.shape[1]) ** 0.5
        parameter.mul_(1 - rate * decay).add_(direction, alpha=-rate * scale)


def half_orthogonal(matrix: Tensor) -> Tensor:
    """A matrix with the same singular vectors whose singular values are all near one."""
    a, b, c = _COEFFICIENTS
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_N_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if is_tall else x


def optimizers(model: nn.Module, plan: Plan) -> list[Optimizer]:
    """Muon and AdamW over the model's parameters; each group's `base` is its full rate."""
    matrices = [p for name, p in model.named_parameters() if is_matrix(name, p)]
    others = [p for name, p in model.named_parameters() if not is_matrix(name, p)]
    muon = Muon(matrices, plan.matrix_rate, plan.weight_decay)
    adam = AdamW(others, lr=plan.vector_rate, betas=(0.9, 0.97), weight_decay=0.0)
    return [muon, adam]


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon moves a parameter: the embedding and the convolutions' taps are tables, not maps."""
    return parameter.ndim == 2 and not name.startswith("embedding") and not name.endswith("conv")


def set_rate(both: Iterable[Optimizer], plan: Plan, step: int) -> None:
    """Set both optimizers to the plan's rates for a step."""
    for optimizer, full in zip(both, (plan.matrix_rate, plan.vector_rate), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = full * plan.rate(step)
