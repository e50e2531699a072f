"""How well a model foretells what is true at a cursor, by what its prompt shows of other files.

    python -m tests.benchmarks.relevance [--model PATH ...] [--ctx N ...] [--cursors N] [--packages NAME ...]

Cursors are in real packages, which pip downloads from the package index: in files that import others of their package, at
a line that is long enough, somewhere in its first half. The ten lines from there on are taken out. The model is asked how
likely they are, in nats a character, and whether it would write the rest of the first one exactly. A prompt shows

- none: nothing but the file,
- recency: other files of the package as 0.1.0 did, whole, as if they had been edited in some order, which is drawn by lot;
  they have half of the room, however short the prefix is,
- relevance: those that have to do with the place, whole,
- parts: those, and the large ones in parts: what the daemon does.

All make the prompt in idle time, with the window that the context has room for.
"""

import argparse
import inspect
import random
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args
from unittest.mock import patch

import numpy as np
from rich.console import Console
from rich.table import Table

from scrubjay.prompt import windows
from scrubjay.prompt.fim import find_template
from scrubjay.prompt.frame import LayoutInput
from scrubjay.prompt.knowledge import Knowledge
from scrubjay.prompt.limits import Budgets, limits_for
from scrubjay.prompt.places import EMPTY_LAYOUT, anchored_prompt
from scrubjay.prompt.segments import Prompt
from scrubjay.prompt.windows import resume_at
from scrubjay.starter import model_path
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.workspace.document import Document
from scrubjay.workspace.file_tree import MAX_FILE_BYTES, FileBudget
from scrubjay.workspace.project import File, Project
from scrubjay.workspace.projects import Projects
from scrubjay_training.runner import Runner

PACKAGES = (
    *("click", "flask", "httpx", "isort", "jinja2", "kombu"),
    *("marshmallow", "networkx", "starlette", "tornado", "uvicorn", "werkzeug"),
)
"""The starter model has not learnt from flask, httpx, isort, kombu, marshmallow and uvicorn."""
ROOT = "/project"
N_LINES = 10
N_LEAST_CHARACTERS = 24
N_LEAST_LINES = 60
Context = Literal["none", "recency", "relevance", "parts"]
CONTEXTS: tuple[Context, ...] = get_args(Context)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a file of a package, the true text there, and the text after that."""

    package: str
    path: str
    before: str
    truth: str
    after: str


@dataclass(frozen=True, slots=True)
class Score:
    """The log-likelihood of the truth in nats, its length, whether the rest of the line is foretold, and the prompt's size."""

    log_likelihood: float
    n_characters: int
    is_exact: bool
    n_files: int
    n_prompt: int


def download(names: Sequence[str], folder: Path) -> None:
    """Get the wheels of packages from the package index, and unpack them."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(folder / "wheels"), *names], check=True)
    for wheel in (folder / "wheels").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "packages")


def read(folder: Path) -> dict[str, str]:
    """The texts of a package, by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and 0 < path.stat().st_size <= MAX_FILE_BYTES:
            data = path.read_bytes()
            if b"\0" not in data:
                found[str(path.relative_to(folder.parent))] = data.decode("utf-8", "replace")
    return found


def cursors(packages: dict[str, dict[str, str]], n: int) -> list[Cursor]:
    """Places in files that import of their own package, the same ones each time."""
    chance, found, names = random.Random(7), list[Cursor](), sorted(packages)
    while len(found) < n:
        name = names[len(found) % len(names)]
        texts = packages[name]
        own = (f"from {name}", f"import {name}", "from .")
        paths = [path for path in texts if path.endswith(".py") and any(word in texts[path] for word in own)]
        path = chance.choice([path for path in paths if texts[path].count("\n") >= N_LEAST_LINES])
        lines = texts[path].splitlines(keepends=True)
        number = chance.randrange(N_LEAST_LINES // 2, len(lines) - N_LINES)
        line = lines[number].strip()
        if len(line) < N_LEAST_CHARACTERS or line[0] in "#\"'":
            continue
        start, end = sum(map(len, lines[:number])), sum(map(len, lines[: number + N_LINES]))
        at = start + lines[number].index(line) + chance.randrange(len(line) // 2)
        found.append(Cursor(name, path, texts[path][:at], texts[path][at:end], texts[path][end:]))
    return found


class Asker:
    """A model, and the prompts that the daemon makes for it."""

    def __init__(self, model: Path, n_ctx: int) -> None:
        self._runner = Runner(model, n_ctx)
        self._cache = TokenCache(self._runner.vocabulary.tokenize, 1 << 26)
        self._template = find_template(self._runner.vocabulary, model.stem)
        self._limits = limits_for(Budgets(), n_ctx, 0.0, 0)

    def score(self, cursor: Cursor, texts: dict[str, str], context: Context) -> Score:
        project, document = project_of(cursor, texts, context, self._limits.n_ctx)
        start = resume_at(document, len(cursor.before), is_healed=False)
        place = (project, document, start)
        layout = LayoutInput(*place, self._template, self._cache, self._limits, is_idle=True)
        with patch.object(windows, "MIN_PREFIX_TOKENS", 0 if context == "recency" else windows.MIN_PREFIX_TOKENS):
            prompt, _ = anchored_prompt(EMPTY_LAYOUT, self._known(layout, context))
        truth = self._runner.encode(document.text[start : len(cursor.before)] + cursor.truth)
        line = document.text[start : len(cursor.before)] + cursor.truth.partition("\n")[0]
        logits = self._runner.foretold(prompt.tokens.tolist(), truth).astype(np.float64)
        scores = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        n_line = len(self._runner.encode(line))
        is_exact = all(int(logits[at].argmax()) == token for at, token in enumerate(truth[:n_line]))
        total = float(sum(scores[at, token] for at, token in enumerate(truth)))
        return Score(total, len(cursor.truth), is_exact, _n_files(prompt), len(prompt.tokens))

    def _known(self, layout: LayoutInput, context: Context) -> LayoutInput:
        if context in ("none", "recency"):
            return layout
        knowledge = Knowledge()
        for preparation in knowledge.missing(layout.project, layout.limits, self._cache.alone):
            preparation.keep(preparation.run())
        parts = knowledge.parts if context == "parts" else {}
        return replace(layout, facts=knowledge.facts, parts=parts)

    def close(self) -> None:
        self._runner.close()


def project_of(cursor: Cursor, texts: dict[str, str], context: Context, n_ctx: int) -> tuple[Project, Document]:
    """The project with the file of the cursor open, and what is known of others on disk."""
    projects, uri = Projects(), f"file://{ROOT}/{cursor.path}"
    document = projects.open(uri, "python", 1, cursor.before + cursor.after, ROOT, str)
    others = [path for path in texts if path != cursor.path and context != "none"]
    random.Random(cursor.before).shuffle(others)
    if context == "recency":
        others = _within(others, texts, FileBudget.for_model(1e6, n_ctx))
    files = [File(f"{ROOT}/{path}", texts[path]) for path in others]
    projects.set_files(ROOT, files, is_first=True)
    return projects.by_root(ROOT), document


def _within(paths: Sequence[str], texts: dict[str, str], budget: FileBudget) -> list[str]:
    chosen = list[str]()
    for path in paths:
        n_bytes = sum(len(texts[one]) for one in chosen)
        if len(chosen) < budget.n_files and n_bytes + len(texts[path]) <= budget.n_bytes:
            chosen.append(path)
    return chosen


def _n_files(prompt: Prompt) -> int:
    return sum(span.end - span.start for span in prompt.segments if span.kind == "file")


# --- tables ----------------------------------------------------------------------------------------------------------


def table_of(title: str, places: Sequence[Cursor], scores: dict[Context, list[Score]]) -> Table:
    """A row for each context; what is better and worse is told from recency."""
    table = Table("context", "nats a character", "better by", "exact", "tokens of files", "prompt", "worst package")
    table.title = title
    base = np.array([score.log_likelihood for score in scores.get("recency", [])])
    for context, found in scores.items():
        total = np.array([score.log_likelihood for score in found])
        means = [np.mean([score.n_files for score in found]), np.mean([score.n_prompt for score in found])]
        table.add_row(
            context,
            f"{total.sum() / sum(score.n_characters for score in found):.4f}",
            f"{1 - total.sum() / base.sum():+.2%}" if len(base) else "",
            f"{sum(score.is_exact for score in found)} of {len(found)}",
            *(f"{mean:.0f}" for mean in means),
            _worst(places, total, base) if len(base) else "",
        )
    return table


def _worst(places: Sequence[Cursor], total: np.ndarray, base: np.ndarray) -> str:
    """The package in which the context does worst, beside recency."""
    gains = []
    for package in {place.package for place in places}:
        chosen = [place.package == package for place in places]
        gains.append((1 - total[chosen].sum() / base[chosen].sum(), package))
    gain, package = min(gains)
    return f"{gain:+.2%} {package}"


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--model", nargs="+", type=Path, default=[model_path()], help="GGUF files")
    parser.add_argument("--ctx", nargs="+", type=int, default=[2048, 4096, 8192], help="tokens in the context")
    parser.add_argument("--cursors", type=int, default=60, help="how many places")
    parser.add_argument("--packages", nargs="+", default=PACKAGES, metavar="NAME", help="from the package index")
    parser.add_argument("--contexts", nargs="+", default=CONTEXTS, choices=CONTEXTS, help="what prompts show")
    flags = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        download(flags.packages, folder)
        packages = {package: read(folder / "packages" / package) for package in flags.packages}
    places = cursors(packages, flags.cursors)
    for model in flags.model:
        for n_ctx in flags.ctx:
            asker, scores = Asker(model, n_ctx), dict[Context, list[Score]]()
            for context in flags.contexts:
                scores[context] = [asker.score(place, packages[place.package], context) for place in places]
            asker.close()
            title = f"{model.stem}, a context of {n_ctx} tokens, {len(places)} cursors"
            Console(width=120).print(table_of(title, places, scores))


if __name__ == "__main__":
    main()
