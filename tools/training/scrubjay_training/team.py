"""Processes of one thread each learn a step together, on a machine that does other work as well.

Threads of one process wait for each other hundreds of times in a step, and the slowest one, whose core somebody else wants,
sets the pace. Here each process takes the next row of the step when it is done with one, adds its gradients in a buffer of
its own, and waits once for the sum and once for the moved matrices, of which each moves a part.

    leader                     helper
    step N ------------------> takes rows, adds up gradients
    takes rows too
    sum of gradients <-------- nats and weights
    move, rates -------------> moves its matrices
    moves its own <----------- done

Parameters, Muon's momenta and all buffers of gradients lie in memory that the processes share. A process ends when the
other end of its pipe does.
"""

import multiprocessing
from collections.abc import Callable
from ctypes import c_long
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from scrubjay_training.batches import Rows
from scrubjay_training.learner import Learner, Sums, add_gradients, collect_in, count_step, take_mean
from scrubjay_training.optimizer import set_rate
from scrubjay_training.values import Plan

MakeRow = Callable[[int, int], Rows]
"""The rows to learn at once, of a step and a number below the plan's `n_rows_at`; the same in every process."""


class Team:
    """A learner and the processes that help it; use it in a `with` statement. Sums depend on who was faster, in their last bits.

    Args:
        make_row: is called in all processes, with a step and the number of a row.
    """

    def __init__(self, learner: Learner, make_row: MakeRow, plan: Plan) -> None:
        torch.set_num_threads(1)
        self._learner, self._make_row, self._plan = learner, make_row, plan
        # Forked, so that all share the corpus, and have the name of this program.
        self._fork = multiprocessing.get_context("fork")
        self._next = self._fork.Value(c_long, 0)
        for tensor in (*learner.model.parameters(), learner.gradients, *learner.muon.momenta()):
            _share(tensor)
        collect_in(learner.model, learner.gradients)
        self._buffers = [_share(torch.zeros_like(learner.gradients)) for _ in range(plan.n_processes - 1)]
        self._helpers: list[tuple[Any, Connection]] = []

    def __enter__(self) -> "Team":
        for part, buffer in enumerate(self._buffers, 1):
            ours, theirs = self._fork.Pipe()
            inherited = [ours, *(pipe for _, pipe in self._helpers)]
            helper = self._fork.Process(target=self._help, args=(part, buffer, theirs, inherited), daemon=True)
            helper.start()
            theirs.close()
            self._helpers.append((helper, ours))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for helper, pipe in self._helpers:
            pipe.close()
            helper.join()

    def learn_step(self) -> float:
        """One step of both optimizers; returns the loss before it. EOFError: a helper has died."""
        learner, plan = self._learner, self._plan
        self._next.value = 0
        self._tell(("gradients", learner.n_done))
        sums = self._add_rows(learner.n_done, learner.gradients)
        for _, pipe in self._helpers:
            sums += pipe.recv()
        for buffer in self._buffers:
            learner.gradients += buffer
        take_mean(learner.gradients, sums.weight)
        set_rate((learner.muon, learner.adam), plan, learner.n_done)
        self._tell(("move", learner.n_done))
        learner.adam.step()
        learner.muon.step_part(0, plan.n_processes)
        for _, pipe in self._helpers:
            pipe.recv()
        count_step(learner, plan)
        return sums.mean

    def _tell(self, order: tuple[str, int]) -> None:
        for _, pipe in self._helpers:
            pipe.send(order)

    def _add_rows(self, step: int, buffer: Tensor) -> Sums:
        buffer.zero_()
        sums = Sums()
        while (row := self._take()) < self._plan.n_rows_at(step):
            sums += add_gradients(self._learner.model, self._make_row(step, row), self._plan)
        return sums

    def _take(self) -> int:
        with self._next.get_lock():
            self._next.value += 1
            return int(self._next.value) - 1

    def _help(self, part: int, buffer: Tensor, pipe: Connection, inherited: list[Connection]) -> None:
        """What a helper does until the leader is gone."""
        for other in inherited:
            other.close()
        learner, plan = self._learner, self._plan
        summed = learner.gradients
        try:
            while True:
                order, step = pipe.recv()
                if order == "gradients":
                    collect_in(learner.model, buffer)
                    pipe.send(self._add_rows(step, buffer))
                else:
                    collect_in(learner.model, summed)
                    set_rate((learner.muon, learner.adam), plan, step)
                    learner.muon.step_part(part, plan.n_processes)
                    pipe.send(None)
        except (EOFError, BrokenPipeError, KeyboardInterrupt):
            return


def _share(tensor: Tensor) -> Tensor:
    """The same tensor, from now on in memory that forked processes share."""
    shared: Tensor = tensor.share_memory_()  # type: ignore[no-untyped-call,unused-ignore]
    return shared
