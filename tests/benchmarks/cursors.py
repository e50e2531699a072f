"""What a model writes at cursors in held-out files, with token healing and without, by kind of place.

    python -m tests.benchmarks.cursors CORPUS [--model PATH] [--cursors N] [--out FILE]

CORPUS is what the training collects (`corpus.jsonl`). Prompts and texts are made by the daemon's own code: recipe, layout,
worker, rules. With --out each answer is written as a line of JSON, with the margins of its tokens: what the least confidence
of what is shown unasked is chosen by (see `confidence`).
"""

import argparse
import inspect
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from scrubjay.completion.cursor import CursorContext
from scrubjay.completion.postprocess import postprocess
from scrubjay.completion.stop_rules import choose_mode
from scrubjay.contexts.naive import Control
from scrubjay.prompt.document import DocumentRecipe
from scrubjay.prompt.fim import FimTemplate, find_template
from scrubjay.prompt.fim_by_chat import chat_fim_template
from scrubjay.prompt.infill_history import InfillHistory
from scrubjay.prompt.layouts import Layouts
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.recipe import PromptTools
from scrubjay.prompt.view import ProjectView
from scrubjay.protocol.messages import EngineSettings, FromEngine, Piece, Run, Sampling
from scrubjay.starter import model_path
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.worker.load import open_model
from scrubjay.worker.loop import Worker
from scrubjay.workspace.projects import Projects
from scrubjay_training.collect import HELD_OUT
from scrubjay_training.cursors import Hole, choose_hole
from scrubjay_training.places import PlaceKind, place_of
from tests.support.engine_rig import AbortFlag

N_CTX = 2048
N_PROMPT = 1280
N_LINE, N_BODY = 40, 96
ROOT = "/project"


@dataclass(frozen=True, slots=True)
class File:
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What was written at one cursor: in place of `truth`, the rest of the line or the body."""

    place: PlaceKind
    path: str
    before: str
    truth: str
    is_healed: bool
    text: str
    shown: str
    discarded: str
    margins: tuple[float, ...]
    logprobs: tuple[float, ...]
    n_prompt: int

    @property
    def is_exact(self) -> bool:
        """Whether the rest of the line is what stood there, or the first line of a body."""
        return self._line(self.text) == self._line(self.truth)

    @property
    def goes_on(self) -> bool:
        """Whether anything is written there."""
        return bool(self._line(self.text).strip())

    def _line(self, text: str) -> str:
        return (text.lstrip("\n") if self.place == "body" else text).split("\n")[0].rstrip()


class Asker:
    """A model in this process, asked as the daemon asks it."""

    def __init__(self, path: Path, style: str = "auto", n_threads: int = 2) -> None:
        settings = EngineSettings(str(path), n_ctx=N_CTX, n_threads=n_threads, eager_load=False, gpu_layers=0)
        loaded = open_model(settings, 0, lambda *_: None)
        self.worker = Worker(loaded, AbortFlag())  # type: ignore[arg-type]
        self.vocabulary = loaded.model.vocabulary
        self.template = _template(self.vocabulary, loaded.info.name, style)
        self._cache = TokenCache(self.vocabulary.tokenize, 1 << 25)

    def ask(
        self,
        files: Sequence[File],
        path: str,
        text: str,
        offset: int,
        n_tokens: int,
        is_healed: bool,
        stop: tuple[str, ...],
    ) -> tuple[str, tuple[float, ...], tuple[float, ...], int]:
        """What is written at `offset` of `text`, its margins and log-probabilities, and the length of the prompt."""
        projects = Projects()
        for file in files:
            projects.open(f"file://{ROOT}/{file.path}", "python", 1, file.text, ROOT, str)
        document = projects.open(f"file://{ROOT}/{path}", "python", 1, text, ROOT, str)
        recipe = DocumentRecipe(ProjectView.of(projects.by_root(ROOT), document, offset), is_healed=is_healed)
        limits = Limits(N_CTX, 256, N_PROMPT, 0)
        tools = PromptTools(self.vocabulary, self.template, self._cache, Layouts(), InfillHistory(), limits)
        prompt = recipe.make(tools)
        sampling = Sampling(
            n_tokens,
            typed=recipe.typed,
            with_margins=True,
            n_probs=0,
            stop=(*stop, *self.template.stop),
            stop_tokens=self.template.stop_tokens,
        )
        said: list[FromEngine] = []
        self.worker.run(Run(1, ROOT, prompt.tokens, prompt.boundaries, prompt.hot, sampling), Control(), said.append)
        pieces = [message for message in said if isinstance(message, Piece)]
        written = "".join(piece.text for piece in pieces)
        if recipe.indent:
            from scrubjay.code_text import without_indent

            written = without_indent(written, recipe.indent)
        margins = tuple(margin for piece in pieces for margin in piece.margins)
        logprobs = tuple(token.choice.logprob for piece in pieces for token in piece.tokens)
        return written, margins, logprobs, len(prompt.tokens)


def _template(vocabulary: Any, name: str, style: str) -> FimTemplate:
    template = find_template(vocabulary, name)
    if template.order != "plain" or style == "plain":
        return template
    return chat_fim_template(vocabulary) or template


def held_out(corpus: Path) -> dict[str, list[File]]:
    """The files of each package from which nothing was learnt."""
    found: dict[str, list[File]] = defaultdict(list)
    for line in corpus.open(encoding="utf-8"):
        head = line[:200]
        if any(f'"package": "{package}"' in head for package in HELD_OUT):
            file = json.loads(line)
            if file["held_out"] and file["path"].endswith(".py"):
                found[file["package"]].append(File(file["path"], file["text"]))
    return found


def cursors(files: dict[str, list[File]], n: int, seed: int = 11) -> list[tuple[str, File, Hole, PlaceKind]]:
    """As many places of every kind, the same ones each time."""
    random = Random(seed)
    packages = sorted(files)
    wanted = dict.fromkeys(get_args(PlaceKind), -(-n // len(get_args(PlaceKind))))
    found = []
    for _ in range(60 * n):
        package = random.choice(packages)
        file = random.choice(files[package])
        hole = choose_hole(file.text, random, random.choice(("rest", "rest", "typed", "typed", "block")))
        if hole is None:
            continue
        place = place_of(file.text, hole)
        if wanted[place] > 0:
            wanted[place] -= 1
            found.append((package, file, hole, place))
    return found


def answer(asker: Asker, others: Sequence[File], file: File, hole: Hole, place: PlaceKind, is_healed: bool) -> Answer:
    """What is written at one cursor, as it is and as it is shown."""
    text = file.text[: hole.start] + file.text[hole.end :]
    stop, n_tokens = (("\n",), N_LINE) if hole.kind != "block" else ((), N_BODY)
    written, margins, logprobs, n_prompt = asker.ask(others, file.path, text, hole.start, n_tokens, is_healed, stop)
    cursor = CursorContext.at(text, hole.start, "python")
    shown = postprocess(
        cursor, choose_mode(cursor), written, is_automatic=True, is_chat=asker.template.chat is not None
    )
    before = text[max(0, hole.start - 60) : hole.start]
    truth = file.text[hole.start : hole.end]
    return Answer(
        place, file.path, before, truth, is_healed, written, shown.text, shown.discarded, margins, logprobs, n_prompt
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--model", type=Path, default=model_path(), help="a GGUF file")
    parser.add_argument("--cursors", type=int, default=100)
    parser.add_argument("--style", default="auto", choices=("auto", "plain"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    flags = parser.parse_args()
    files, asker, answers = held_out(flags.corpus), Asker(flags.model, flags.style, flags.threads), []
    for package, file, hole, place in cursors(files, flags.cursors):
        others = [other for other in files[package] if other is not file and len(other.text) < 3000][:2]
        for is_healed in (True, False):
            answers.append(answer(asker, others, file, hole, place, is_healed))
            if flags.out:
                with flags.out.open("a", encoding="utf-8") as out:
                    print(json.dumps(asdict(answers[-1])), file=out)
    table = Table("place", "cursors", "exact", "exact, healed", "goes on", "goes on, healed")
    for place in (*get_args(PlaceKind), None):
        of_place = [each for each in answers if place in (each.place, None)]
        off, on = ([each for each in of_place if each.is_healed is healed] for healed in (False, True))
        if on:
            shares = [
                f"{100 * fmean(map(bool, values)):.1f} %"
                for values in (
                    [a.is_exact for a in off],
                    [a.is_exact for a in on],
                    [a.goes_on for a in off],
                    [a.goes_on for a in on],
                )
            ]
            table.add_row(place or "all", str(len(on)), *shares)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
