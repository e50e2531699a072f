"""Third stage: learn. Stops at any time; started again, it goes on from its last checkpoint as if it had never stopped."""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import Optimizer

from scrubjay_training.batches import Rows, all_rows
from scrubjay_training.model import StarterModel, initialise
from scrubjay_training.optimizer import optimizers, set_rate
from scrubjay_training.values import Plan, Shape, Workspace

_CHUNK = 2048
Note = Callable[[str], None]


@dataclass(slots=True)
class Learner:
    """What changes while learning: the model, its optimizers, and how many steps they have made."""

    model: StarterModel
    optimizers: list[Optimizer]
    n_done: int = 0

    def save(self, path: Path) -> None:
        """Write everything that going on needs; a reader sees the old file or the new one, never half of one."""
        state = {
            "shape": asdict(self.model.shape),
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "n_done": self.n_done,
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)


def new_learner(shape: Shape, plan: Plan) -> Learner:
    """A learner that knows nothing, the same for the same seed."""
    model = StarterModel(shape)
    initialise(model, plan.seed)
    model.to(plan.device)
    return Learner(model, optimizers(model, plan))


def load_learner(path: Path, plan: Plan) -> Learner:
    """The learner that was saved there."""
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    model = load_model(path).to(plan.device)
    both = optimizers(model, plan)
    for optimizer, saved in zip(both, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return Learner(model, both, state["n_done"])


def load_model(path: Path) -> StarterModel:
    """The model of a checkpoint."""
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    shape = Shape(**{**state["shape"], "attention": tuple(state["shape"]["attention"])})
    model = StarterModel(shape)
    model.load_state_dict(state["model"])
    return model


def mean_loss(model: StarterModel, tokens: Tensor, weights: Tensor) -> Tensor:
    """Mean negative log-likelihood of the tokens after the first, in nats, by their weights; both [batch, time].

    Chunks keep the logits small.
    """
    vectors = model(tokens[:, :-1]).flatten(0, 1)
    targets, weights = tokens[:, 1:].flatten(), weights[:, 1:].flatten()
    total = torch.zeros((), device=tokens.device)
    for x, target, weight in zip(*(each.split(_CHUNK) for each in (vectors, targets, weights)), strict=True):
        total = total + functional.cross_entropy(model.logits(x), target, reduction="none") @ weight
    return total / weights.sum()


def learn_step(learner: Learner, rows: Rows, plan: Plan) -> float:
    """One step of both optimizers; returns the loss before it."""
    tokens = torch.tensor([row.tokens for row in rows], device=plan.device)
    weights = torch.tensor([row.weights for row in rows], device=plan.device)
    set_rate(learner.optimizers, plan, learner.n_done)
    with torch.autocast("cuda", torch.bfloat16, enabled=plan.device == "cuda"):
        loss = mean_loss(learner.model, tokens, weights)
    for optimizer in learner.optimizers:
        optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call,unused-ignore]
    torch.nn.utils.clip_grad_norm_(learner.model.parameters(), 1.0)
    for optimizer in learner.optimizers:
        optimizer.step()
    learner.n_done += 1
    return float(loss.item())


def train(workspace: Workspace, shape: Shape, plan: Plan, note: Note, mirror: Path | None = None) -> Learner:
    """Learn until the plan is done, saving every few minutes (into the folder `mirror` too) and at the end."""
    torch.set_num_threads(plan.n_threads)
    is_new = not workspace.checkpoint.exists()
    learner = new_learner(shape, plan) if is_new else load_learner(workspace.checkpoint, plan)
    saved = begun = time.monotonic()
    n_before = learner.n_done
    for rows in all_rows(workspace, plan, learner.n_done):
        if learner.n_done == plan.n_steps - plan.n_decay:
            learner.save(workspace.stable_checkpoint)
        loss = learn_step(learner, rows, plan)
        now = time.monotonic()
        _report(workspace, learner.n_done, loss, (now - begun) / (learner.n_done - n_before), plan, note)
        if now - saved > 60 * plan.minutes_between_saves or learner.n_done == plan.n_steps:
            _save(workspace, learner, mirror)
            saved = now
    return learner


def _save(workspace: Workspace, learner: Learner, mirror: Path | None) -> None:
    learner.save(workspace.checkpoint)
    if mirror is None:
        return
    mirror.mkdir(parents=True, exist_ok=True)
    for path in (workspace.tokenizer, workspace.stable_checkpoint, workspace.checkpoint, workspace.manifest):
        if path.exists():
            part = mirror / f"{path.name}.part"
            shutil.copyfile(path, part)
            part.replace(mirror / path.name)


def _report(workspace: Workspace, n_done: int, loss: float, seconds: float, plan: Plan, note: Note) -> None:
    with workspace.log.open("a", encoding="utf-8") as log:
        log.write(json.dumps({"step": n_done, "loss": round(loss, 4), "seconds": round(seconds, 2)}) + os.linesep)
    if n_done % 10 == 0 or n_done == plan.n_steps:
        minutes = (plan.n_steps - n_done) * seconds / 60
        speed = plan.n_tokens / seconds
        note(f"step {n_done}/{plan.n_steps}  loss {loss:.3f}  {speed:.0f} tokens/s  {minutes:.0f} minutes to go")
