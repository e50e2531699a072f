"""How well the model writes what is true in either layout: the mean log-likelihood of it, in nats a character.

    python -m tests.benchmarks.quality [--model PATH] [--cursors N] [FILE ...]

Files default to Scrubjay's own, from which the small model has not learnt. Half of the cursors are inside a line, and the
model is asked how likely the rest of that line is; the others are where Enter leaves them, after the indentation of a line
that is not there yet, and it is asked for that line. What it has to write of the indentation counts, too.
Each prompt is made for that place alone. Both layouts show the same text otherwise, of other files, too.
"""

import argparse
import inspect
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from rich.console import Console
from rich.table import Table

import scrubjay
from scrubjay.prompt.fim import find_template
from scrubjay.prompt.frame import LayoutInput
from scrubjay.prompt.layouts import LayoutName, Layouts
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.view import ProjectView
from scrubjay.prompt.windows import resume_at
from scrubjay.starter import model_path
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.workspace.projects import Projects
from scrubjay_training.runner import Runner

ROOT = "/project"
N_CTX = 1024
N_RESERVE = 64
N_LEAST_CHARACTERS = 24
"""Of a line that is worth foretelling."""
Asked = Literal["rest of the line", "next line"]


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a file: the text before it, what is true there, and the text after that."""

    asked: Asked
    name: str
    before: str
    truth: str
    after: str


def cursors(files: Sequence[Path], n_cursors: int) -> list[Cursor]:
    """Places at lines that are long enough, the same ones each time."""
    chance = random.Random(1)
    found = []
    for number in range(n_cursors):
        path = files[number % len(files)]
        text = path.read_text("utf-8")
        starts = [
            at for at in range(1, len(text)) if text[at - 1] == "\n" and _line_end(text, at) - at > N_LEAST_CHARACTERS
        ]
        start = chance.choice(starts)
        end = _line_end(text, start)
        is_inside = number // len(files) % 2 == 0
        indent = len(text[start:end]) - len(text[start:end].lstrip(" "))
        at = chance.randrange(end - 20, end - 8) if is_inside else start + indent
        asked: Asked = "rest of the line" if is_inside else "next line"
        found.append(Cursor(asked, path.name, text[:at], text[at:end], text[end:]))
    return found


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def likelihood(runner: Runner, cache: TokenCache, layout: LayoutName, cursor: Cursor, others: Sequence[Path]) -> float:
    """The log-likelihood of what is true at the cursor, in nats a character."""
    projects, uri = Projects(), f"file://{ROOT}/{cursor.name}"
    for other in others:
        if other.name != cursor.name:
            projects.open(f"file://{ROOT}/{other.name}", "python", 1, other.read_text("utf-8"), ROOT, str)
    document = projects.open(uri, "python", 1, cursor.before + cursor.after, ROOT, str)
    template = find_template(runner.vocabulary, "starter")
    view = ProjectView.of(projects.by_root(ROOT), document, len(cursor.before))
    start = resume_at(document, view.offset, is_healed=False)
    place = (view.project, document, start)
    prompt = Layouts(layout).prompt(LayoutInput(*place, template, cache, Limits(N_CTX, N_RESERVE))).tokens.tolist()
    truth = runner.encode(document.text[start : view.offset] + cursor.truth)
    logits = runner.foretold(prompt, truth).astype(np.float64)
    scores = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return float(sum(scores[i, token] for i, token in enumerate(truth))) / len(cursor.truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="held-out Python files")
    parser.add_argument("--model", type=Path, default=model_path(), help="a GGUF file")
    parser.add_argument("--cursors", type=int, default=60, help="how many places")
    flags = parser.parse_args()
    files = (
        flags.files or sorted(Path(scrubjay.__file__).parent.glob("*.py"), key=lambda path: -path.stat().st_size)[:10]
    )
    layouts: tuple[LayoutName, ...] = ("anchored", "plain")
    table = Table(
        "asked for", *layouts, "anchored is better by", "places", title="mean log-likelihood, nats a character"
    )
    with Runner(flags.model, N_CTX) as runner:
        cache = TokenCache(runner.vocabulary.tokenize, 1 << 24)
        places = cursors(files, flags.cursors)
        scores = {
            layout: np.array([likelihood(runner, cache, layout, at, files) for at in places]) for layout in layouts
        }
    for asked in ("rest of the line", "next line", "both"):
        chosen = [asked in (place.asked, "both") for place in places]
        means = [float(scores[layout][chosen].mean()) for layout in layouts]
        error = float((scores["anchored"] - scores["plain"])[chosen].std()) / sum(chosen) ** 0.5
        table.add_row(
            asked,
            *(f"{mean:.4f}" for mean in means),
            f"{1 - means[0] / means[1]:.2%} ± {error / -means[1]:.2%}",
            str(sum(chosen)),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
