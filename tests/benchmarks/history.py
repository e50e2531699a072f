"""What the order of files costs over a history of commits: in tokens that have to be processed, counted without a model.

    python -m tests.benchmarks.history [--package NAME] [--commits N] [--model PATH]

The files of a package are copied, and edited as people do: a few files for a while, now and then another one. After each
edit a completion is asked for there, and after each commit the project is laid out as when nobody types. Every prompt
costs what it does not share with the one before. The daemon's own layout makes the prompts, once with the files in its
order, by recency of edits, and once in a fixed one.
"""

import argparse
import importlib
import inspect
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.table import Table

from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.prompt.file_order import FileSlot, reorder
from scrubjay.prompt.fim import find_template
from scrubjay.prompt.frame import LayoutInput
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.places import EMPTY_LAYOUT, LayoutState, anchored_prompt
from scrubjay.prompt.segments import Prompt, part_tokens
from scrubjay.starter import model_path
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.tokens import EMPTY, common_length
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.text import Change

ROOT = "/project"
LIMITS = Limits(n_ctx=1 << 17, reserve=512)
"""Room for all files: only their order counts."""
INTERVAL = 256
N_IN_HAND = 3
P_CHANGE = 0.15
"""How often one of the files in hand gives way to another."""
P_STRAY = 0.2
"""How often a commit touches one more file."""

Order = Literal["recency", "fixed"]
ORDERS: tuple[Order, ...] = ("recency", "fixed")


@dataclass(frozen=True, slots=True)
class Edit:
    """In the file `name`, the line with number `line` gives way to `new`, which may be several lines or none."""

    name: str
    line: int
    new: str


Commit = tuple[Edit, ...]


def history(texts: dict[str, str], n_commits: int, n_in_hand: int = N_IN_HAND, seed: int = 1) -> Iterator[Commit]:
    """Commits upon `texts`, the same ones each time; at any time, people work on `n_in_hand` of the files."""
    chance = random.Random(seed)
    names = sorted(texts)
    in_hand = chance.sample(names, min(n_in_hand, len(names)))
    n_lines = {name: text.count("\n") for name, text in texts.items()}
    for number in range(n_commits):
        if chance.random() < P_CHANGE:
            in_hand[chance.randrange(len(in_hand))] = chance.choice(names)
        touched = {chance.choice(in_hand): None, chance.choice(in_hand): None}
        if chance.random() < P_STRAY:
            touched[chance.choice(names)] = None
        yield tuple(edit for name in touched for edit in _edits(chance, name, n_lines, number))


def _edits(chance: random.Random, name: str, n_lines: dict[str, int], number: int) -> Iterator[Edit]:
    """One to three edits, close to each other, of one file."""
    line = chance.randrange(max(n_lines[name], 1))
    for part in range(chance.randint(1, 3)):
        n_new = chance.choice([0, 1, 1, 2])
        yield Edit(
            name, line, "".join(f"    value_{number}_{part}_{i} = compute({number}, {i})\n" for i in range(n_new))
        )
        n_lines[name] = max(n_lines[name] + n_new - 1, 1)
        line = max(min(line + chance.randint(-8, 8), n_lines[name] - 1), 0)


@dataclass(slots=True)
class Replay:
    """Plays a history, and counts; `n_processed` is exact, `n_on_grid` with checkpoints every `INTERVAL` tokens only."""

    vocabulary: Vocabulary
    cache: TokenCache
    order: Order
    projects: Projects = field(default_factory=Projects)
    laid: LayoutState = EMPTY_LAYOUT
    last: Prompt | None = None
    n_prompts: int = 0
    n_processed: int = 0
    n_on_grid: int = 0

    @property
    def project(self) -> Project:
        return self.projects.by_root(ROOT)

    def open(self, texts: dict[str, str]) -> None:
        """Open all files; the first prompt is the same for every order, and not counted."""
        for name in sorted(texts):
            self.projects.open(_uri(name), "", 0, texts[name], ROOT, str)
        self.ask(self.projects.document(_uri(max(texts))), 0, is_idle=True)
        self.n_prompts = self.n_processed = self.n_on_grid = 0

    def play(self, commits: Sequence[Commit]) -> "Replay":
        for commit in commits:
            for edit in commit:
                document = self._make(edit)
                self.ask(document, document.last_edit)
            self.ask(document, document.last_edit, is_idle=True)
        return self

    def ask(self, document: Document, offset: int, is_idle: bool = False) -> None:
        """Have a prompt made, and count what it costs."""
        template = find_template(self.vocabulary)
        layout = LayoutInput(self.project, document, offset, template, self.cache, LIMITS, is_idle)
        prompt, self.laid = anchored_prompt(self._ordered(layout), layout)
        n_tokens = len(prompt.tokens)
        common = min(common_length(prompt.tokens, self.last.tokens if self.last else EMPTY), n_tokens - 1)
        self.last = prompt
        self.n_prompts += 1
        self.n_processed += n_tokens - common
        self.n_on_grid += n_tokens - common // INTERVAL * INTERVAL

    def _make(self, edit: Edit) -> Document:
        document = self.projects.document(_uri(edit.name))
        content = document.content
        start, end = content.line_start(edit.line), content.line_start(edit.line + 1)
        change = Change(edit.new, content.position_at(start, "utf-32"), content.position_at(end, "utf-32"))
        return self.projects.change(_uri(edit.name), document.version + 1, [change], "utf-32")

    def _ordered(self, layout: LayoutInput) -> LayoutState:
        """How the project is laid out now, in the order that is to be tried."""
        if self.order == "recency":
            return self.laid

        def make(document: Document) -> FileSlot:
            segment = layout.file_segment(document)
            return FileSlot(document.key, segment.label, document.text, part_tokens(segment.parts, self.cache))

        others = sorted(self.project.documents.values(), key=lambda document: document.key)
        slots = reorder((), others, layout.document.key, make)
        return replace(self.laid, places=tuple(replace(place, slots=slots) for place in self.laid.places[-1:]))


def _uri(name: str) -> str:
    return f"file://{ROOT}/{name}"


def replayed(vocabulary: Vocabulary, texts: dict[str, str], commits: Sequence[Commit]) -> dict[Order, Replay]:
    """The same history in each order."""
    cache = TokenCache(vocabulary.tokenize, 1 << 28)
    found = {}
    for order in ORDERS:
        found[order] = Replay(vocabulary, cache, order)
        found[order].open(texts)
        found[order].play(commits)
    return found


def package_texts(name: str) -> dict[str, str]:
    """The modules of a package, by file name."""
    folder = Path(inspect.getfile(importlib.import_module(name))).parent
    return {path.name: path.read_text("utf-8") for path in sorted(folder.glob("*.py")) if path.stat().st_size}


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--package", default="email", help="whose files to edit (default: email)")
    parser.add_argument("--commits", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--model", type=Path, default=model_path(), help="a GGUF file, for its vocabulary")
    flags = parser.parse_args()
    texts = package_texts(flags.package)
    table = Table(
        *("history", "order", "prompts", "tokens processed", "a prompt", f"with a grid of {INTERVAL}", "of fixed"),
        title=f"{flags.commits} commits upon {len(texts)} files of {flags.package}",
    )
    vocabulary = Vocabulary.open(flags.model)
    for name, n_in_hand in ((f"{N_IN_HAND} files in hand", N_IN_HAND), ("all files alike", len(texts))):
        replays = replayed(vocabulary, texts, list(history(texts, flags.commits, n_in_hand)))
        for order, replay in replays.items():
            share = replay.n_processed / replays["fixed"].n_processed
            counts = (replay.n_prompts, replay.n_processed, replay.n_processed // replay.n_prompts, replay.n_on_grid)
            table.add_row(name, order, *(f"{count:,}" for count in counts), f"{share:.0%}")
    Console().print(table)


if __name__ == "__main__":
    main()
