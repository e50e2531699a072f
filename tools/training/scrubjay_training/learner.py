"""What learns: a model, its gradients in one flat buffer, its optimizers; and how it is written to a file and read back."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW

from scrubjay_training.batches import Rows
from scrubjay_training.loss import output_loss
from scrubjay_training.model import StarterModel, initialise
from scrubjay_training.optimizer import Muon, optimizers, set_rate
from scrubjay_training.values import Plan, Shape

_LARGEST_NORM = 1.0


@dataclass(frozen=True, slots=True)
class Sums:
    """Over the tokens of some rows: the weighted negative log-likelihood in nats, and the weights."""

    nats: float = 0.0
    weight: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.nats + other.nats, self.weight + other.weight)

    @property
    def mean(self) -> float:
        return self.nats / self.weight


@dataclass(slots=True)
class Learner:
    """What changes while learning.

    Args:
        gradients: of all parameters one behind the other, [n_parameters]; each parameter's `grad` is a view into it.
        n_done: steps made.
        n_tokens: tokens that they had in all.
    """

    model: StarterModel
    muon: Muon
    adam: AdamW
    gradients: Tensor
    n_done: int = 0
    n_tokens: int = 0

    def save(self, path: Path) -> None:
        """Write everything that going on needs; a reader sees the old file or the new one, never half of one."""
        state = {
            "shape": asdict(self.model.shape),
            "model": self.model.state_dict(),
            "optimizers": [self.muon.state_dict(), self.adam.state_dict()],
            "n_done": self.n_done,
            "n_tokens": self.n_tokens,
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)


def new_learner(shape: Shape, plan: Plan) -> Learner:
    """A learner that knows nothing, the same for the same seed."""
    model = StarterModel(shape)
    initialise(model, plan.seed)
    return learner_of(model, plan)


def learner_of(model: StarterModel, plan: Plan) -> Learner:
    """A learner with that model, which has made no step yet."""
    model.to(plan.device)
    muon, adam = optimizers(model, plan)
    return Learner(model, muon, adam, flat_gradients(model))


def load_learner(path: Path, plan: Plan) -> Learner:
    """The learner that was saved there."""
    state = _read(path)
    learner = learner_of(_model(state), plan)
    learner.muon.load_state_dict(state["optimizers"][0])
    learner.adam.load_state_dict(state["optimizers"][1])
    learner.n_done, learner.n_tokens = state["n_done"], state.get("n_tokens", 0)
    return learner


def load_model(path: Path) -> StarterModel:
    """The model of a checkpoint."""
    return _model(_read(path))


def flat_gradients(model: StarterModel) -> Tensor:
    """A buffer of zeros for the gradients of a model, which from now on collects them."""
    parameters = list(model.parameters())
    buffer = torch.zeros(sum(parameter.numel() for parameter in parameters), device=parameters[0].device)
    collect_in(model, buffer)
    return buffer


def collect_in(model: StarterModel, buffer: Tensor) -> None:
    """From now on gradients of the model are added up in `buffer`, [n_parameters]."""
    start = 0
    for parameter in model.parameters():
        parameter.grad = buffer[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()


def add_gradients(model: StarterModel, rows: Rows, plan: Plan) -> Sums:
    """Add the gradients of the sum of losses of some rows, all equally long, to those that are there."""
    device = torch.device(plan.device)
    tokens = torch.tensor([row.tokens for row in rows], device=device)
    weights = torch.tensor([row.weights for row in rows], device=device)[:, 1:].flatten()
    with torch.autocast(device.type, torch.bfloat16, enabled=plan.is_narrow):
        vectors = model(tokens[:, :-1], _lengths(rows)).flatten(0, 1)
    dtype = torch.bfloat16 if plan.is_narrow else torch.float32
    loss = output_loss(vectors, model.embedding.weight, tokens[:, 1:].flatten(), weights, dtype)
    loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
    return Sums(float(loss.item()), float(weights.sum().item()))


def _lengths(rows: Rows) -> list[int]:
    """Of the texts of a row without its last token, which nothing follows; several rows at once are taken as one text each."""
    if len(rows) > 1:
        return []
    *others, last = rows[0].lengths
    return [*others, last - 1] if last > 1 else others


def take_mean(gradients: Tensor, weight: float) -> None:
    """Turn gradients of a sum of losses into those of the mean, and shorten them if they are too long."""
    norm = float(gradients.norm().item()) / weight
    gradients *= min(1.0, _LARGEST_NORM / (norm + 1e-6)) / weight


def learn_step(learner: Learner, rows: Rows, plan: Plan) -> float:
    """One step of both optimizers; returns the loss before it, the mean over all tokens."""
    learner.gradients.zero_()
    n_at_once = len(rows) if plan.device == "cuda" else 1  # one row's vectors stay in a processor's cache
    sums = Sums()
    for start in range(0, len(rows), n_at_once):
        sums += add_gradients(learner.model, rows[start : start + n_at_once], plan)
    take_mean(learner.gradients, sums.weight)
    set_rate((learner.muon, learner.adam), plan, learner.n_done)
    learner.muon.step()
    learner.adam.step()
    count_step(learner, plan)
    return sums.mean


def count_step(learner: Learner, plan: Plan) -> None:
    """A step more is done."""
    learner.n_tokens += plan.n_rows_at(learner.n_done) * plan.window_at(learner.n_done)
    learner.n_done += 1


def _read(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state


def _model(state: dict[str, Any]) -> StarterModel:
    model = StarterModel(Shape(**{**state["shape"], "attention": tuple(state["shape"]["attention"])}))
    model.load_state_dict(state["model"])
    return model
