"""The tokens of each step. They depend on seed and step alone, so any process may make them, and in any order."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from random import Random
from typing import ClassVar

from tokenizers import Tokenizer

from scrubjay_training.collect import SourceFile, read_corpus
from scrubjay_training.examples import Example, Examples
from scrubjay_training.tokenizer import encode_plain, load_tokenizer
from scrubjay_training.values import SPECIALS, Plan, Workspace

Rows = list[Example]
_N_AHEAD = 4  # steps for each worker


def examples_of(files: list[SourceFile], tokenizer: Tokenizer) -> Examples:
    """The maker of examples for a tokenizer."""
    specials = {text: token for text in SPECIALS if (token := tokenizer.token_to_id(text)) is not None}
    return Examples(files, lambda text: encode_plain(tokenizer, text), specials)


def open_examples(workspace: Workspace) -> Examples:
    """The maker of examples from all files that are not held out."""
    files = [file for file in read_corpus(workspace.corpus) if not file.held_out]
    return examples_of(files, load_tokenizer(workspace.tokenizer))


def row_of(examples: Examples, plan: Plan, step: int, row: int) -> Example:
    """One sequence of a step, a token longer than the window."""
    return examples.sequence(plan.window_at(step) + 1, Random(f"{plan.seed}/{step}/{row}"))


def rows_of(examples: Examples, plan: Plan, step: int) -> Rows:
    """The sequences of one step."""
    return [row_of(examples, plan, step, row) for row in range(plan.n_rows_at(step))]


def all_rows(workspace: Workspace, plan: Plan, first: int) -> Iterator[Rows]:
    """The sequences of every step from `first` to the plan's last, made ahead by other processes if the plan has any."""
    steps = range(first, plan.n_steps)
    if plan.n_workers == 0:
        examples = open_examples(workspace)
        yield from (rows_of(examples, plan, step) for step in steps)
        return
    with ProcessPoolExecutor(plan.n_workers, initializer=_Worker.start, initargs=(workspace, plan)) as pool:
        ahead: deque[Future[Rows]] = deque()
        for step in steps:
            ahead.append(pool.submit(_Worker.rows, step))
            if len(ahead) > _N_AHEAD * plan.n_workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


class _Worker:
    """What a worker process keeps between two steps."""

    made: ClassVar[tuple[Examples, Plan] | None] = None

    @classmethod
    def start(cls, workspace: Workspace, plan: Plan) -> None:
        cls.made = (open_examples(workspace), plan)

    @classmethod
    def rows(cls, step: int) -> Rows:
        if cls.made is None:
            raise RuntimeError("A worker must be started before it makes batches.")
        return rows_of(*cls.made, step)
