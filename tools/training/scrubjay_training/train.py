"""Third stage: learn. Stops at any time; started again, it goes on from its last checkpoint as if it had never stopped."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from scrubjay_training.batches import all_rows, open_examples, row_of
from scrubjay_training.learner import Learner, learn_step, learner_of, load_learner, new_learner
from scrubjay_training.start import grown, read_model, read_tokenizer
from scrubjay_training.team import Team
from scrubjay_training.values import Plan, Shape, Workspace

Note = Callable[[str], None]
_NEWEST = 50  # steps whose mean loss is told


@dataclass(slots=True)
class _Progress:
    """What is told of a training while it runs."""

    workspace: Workspace
    plan: Plan
    note: Note
    begun: float
    n_before: int
    losses: list[float]

    def report(self, learner: Learner, loss: float) -> None:
        """Write a line of the log for every step, and tell every tenth."""
        seconds = (time.monotonic() - self.begun) / (learner.n_done - self.n_before)
        self.losses = [*self.losses, loss][-_NEWEST:]
        entry = {
            "step": learner.n_done,
            "tokens": learner.n_tokens,
            "loss": round(loss, 4),
            "seconds": round(seconds, 4),
        }
        with self.workspace.log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + os.linesep)
        if learner.n_done % 10 == 0 or learner.n_done == self.plan.n_steps:
            minutes = (self.plan.n_steps - learner.n_done) * seconds / 60
            speed, mean = self.plan.n_tokens / seconds, sum(self.losses) / len(self.losses)
            self.note(
                f"step {learner.n_done}/{self.plan.n_steps}  {learner.n_tokens / 1e6:.2f} M tokens  loss {mean:.3f}  "
                f"{speed:.0f} tokens/s  {minutes:.0f} minutes to go"
            )


def train(
    workspace: Workspace,
    shape: Shape,
    plan: Plan,
    note: Note,
    mirror: Path | None = None,
    start: Path | None = None,
) -> Learner:
    """Learn until the plan is done, saving every few minutes (into the folder `mirror` too) and at the end.

    Args:
        start: a GGUF file whose model, grown to `shape`, and tokenizer a training begins with that has no checkpoint yet.
    """
    torch.set_num_threads(plan.n_threads)
    learner = _first(workspace, shape, plan, start)
    saved = begun = time.monotonic()
    progress = _Progress(workspace, plan, note, begun, learner.n_done, [])
    steps = _steps_together if plan.n_processes > 1 else _steps_alone
    for loss in steps(workspace, learner, plan):
        progress.report(learner, loss)
        is_last = learner.n_done == plan.n_steps
        if is_last or time.monotonic() - saved > 60 * plan.minutes_between_saves:
            _save(workspace, learner, mirror)
            saved = time.monotonic()
    return learner


def _first(workspace: Workspace, shape: Shape, plan: Plan, start: Path | None) -> Learner:
    if workspace.checkpoint.exists():
        return load_learner(workspace.checkpoint, plan)
    if start is None:
        return new_learner(shape, plan)
    read_tokenizer(start).save(str(workspace.tokenizer))
    return learner_of(grown(read_model(start), shape, plan.seed), plan)


def _steps_alone(workspace: Workspace, learner: Learner, plan: Plan) -> Iterator[float]:
    """The losses of all steps that are left, each made when it is asked for."""
    for rows in all_rows(workspace, plan, learner.n_done):
        _keep_stable(workspace, learner, plan)
        yield learn_step(learner, rows, plan)


def _steps_together(workspace: Workspace, learner: Learner, plan: Plan) -> Iterator[float]:
    """The same by several processes."""
    examples = open_examples(workspace)
    with Team(learner, lambda step, row: [row_of(examples, plan, step, row)], plan) as team:
        while learner.n_done < plan.n_steps:
            _keep_stable(workspace, learner, plan)
            yield team.learn_step()


def _keep_stable(workspace: Workspace, learner: Learner, plan: Plan) -> None:
    if learner.n_done == plan.n_steps - plan.n_decay:
        learner.save(workspace.stable_checkpoint)


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
