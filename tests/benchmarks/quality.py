"""How well the model writes the next line in either layout: the mean log-likelihood of the true one, in nats a character.

    python -m tests.benchmarks.quality [--model PATH] [--cursors N] [FILE ...]

Files default to modules of the standard library. At each cursor, a place inside a line, the rest of the line is taken away
and the model is asked how likely it is. Both layouts show the same text otherwise.
"""

import argparse
import inspect
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from scrubjay.fim import find_template
from scrubjay.layouts import LayoutName, Layouts
from scrubjay.projects import Projects
from scrubjay.starter import model_path
from scrubjay.starter.runner import Runner
from scrubjay.token_cache import TokenCache

ROOT = "/project"
N_CTX = 640
"""Short, because each token is a decode of its own."""
N_RESERVE = 64


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place inside a line of a file: the text before it, the rest of the line, and the lines after."""

    name: str
    before: str
    truth: str
    after: str


def cursors(files: list[Path], n_cursors: int) -> list[Cursor]:
    """Places in lines that are long enough, the same ones each time."""
    chance = random.Random(1)
    found = []
    for number in range(n_cursors):
        path = files[number % len(files)]
        text = path.read_text("utf-8")
        starts = [at for at in range(1, len(text)) if text[at - 1] == "\n" and len(text[at:].split("\n", 1)[0]) > 24]
        start = chance.choice(starts)
        end = text.index("\n", start) if "\n" in text[start:] else len(text)
        at = chance.randrange(end - 20, end - 8)
        found.append(Cursor(path.name, text[:at], text[at:end], text[end:]))
    return found


def likelihood(runner: Runner, cache: TokenCache, layout: LayoutName, cursor: Cursor) -> float:
    """The log-likelihood of the true rest of the line, in nats a character."""
    projects, uri = Projects(), f"file://{ROOT}/{cursor.name}"
    document = projects.open(uri, "python", 1, cursor.before + cursor.after, ROOT, str)
    template = find_template(runner.vocabulary, "starter")
    place = (projects.by_root(ROOT), document, len(cursor.before))
    prompt = Layouts(layout).prompt(*place, template, cache, N_CTX, N_RESERVE).tokens.tolist()
    truth = runner.encode(cursor.truth)
    logits = runner.all_logits([*prompt, *truth])[len(prompt) - 1 : -1].astype(np.float64)
    scores = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return float(sum(scores[i, token] for i, token in enumerate(truth))) / len(cursor.truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="held-out Python files")
    parser.add_argument("--model", type=Path, default=model_path(), help="a GGUF file")
    parser.add_argument("--cursors", type=int, default=60, help="how many places")
    flags = parser.parse_args()
    files = flags.files or [Path(inspect.getfile(random)).with_name(name) for name in ("shlex.py", "textwrap.py")]
    layouts: tuple[LayoutName, ...] = ("anchored", "plain")
    table = Table("layout", "nats a character", "places", title="mean log-likelihood of the true rest of the line")
    with Runner(flags.model, N_CTX) as runner:
        cache = TokenCache(runner.vocabulary.tokenize, 1 << 24)
        places = cursors(files, flags.cursors)
        for layout in layouts:
            scores = [likelihood(runner, cache, layout, place) for place in places]
            table.add_row(layout, f"{np.mean(scores):.4f}", str(len(scores)))
    Console().print(table)


if __name__ == "__main__":
    main()
