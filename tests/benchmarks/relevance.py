"""How well a model foretells what is true at a cursor, by what its prompt shows of other files.

    python -m tests.benchmarks.relevance FOLDER [--places new] [--model PATH] [--ctx N] [--cursors N] [--minutes N] --out FILE

FOLDER has a folder for each package, and in it one for each of two versions of it, unpacked as pip has them. Cursors are in
files of the older one that import others of their package, and that the newer one has changed if there are enough of these: at
a line that is long enough, somewhere in its first half. The ten lines from there on are taken out. The model is asked how likely
they are, in nats, and whether it would write the rest of the first one exactly.

Two other files that changed in the newer version are open, and have just been edited so; where there are none, files drawn by
lot. All the rest is on disk, and equally old.

With `--places new`, cursors are at lines that the newer version wrote, in its text, as if someone were at work on it. The two
other files are then those of which the new lines have most new words in common with this one's: the same piece of work.

A prompt shows

- none: nothing but the file,
- whole: these two and what is on disk, as far as they fit whole,
- recency: these two, then what is on disk as the daemon chooses it, the large ones in parts,
- shown: what the daemon shows: as recency, and lines of these files that look like those around the cursor,
- imports: these two, then the files that the current one imports,
- definitions: as recency, and heads of definitions of names near the cursor, in at most a quarter of the prompt,
- imports+definitions,
- definitions only: nothing else of other files.

All are laid out as in idle time, with the window that the context has room for.
"""

import argparse
import inspect
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Literal, get_args

import numpy as np
from rich.console import Console
from rich.table import Table

from scrubjay.prompt.fim import find_template, styled
from scrubjay.prompt.fim_by_chat import chat_fim_template
from scrubjay.prompt.frame import LayoutInput, prompt_frame
from scrubjay.prompt.layouts import Layouts
from scrubjay.prompt.limits import Budgets, limits_for
from scrubjay.prompt.windows import resume_at
from scrubjay.starter import model_path
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.workspace.document import Document
from scrubjay.workspace.file_tree import FileBudget, FileTree
from scrubjay.workspace.project import File, Project, Tail
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.text import Change
from scrubjay_training.runner import Runner
from tests.benchmarks.related import Index, definitions_near
from tests.benchmarks.version_places import Cursor, Package, Texts, changed_lines, cursors, new_cursors, packages

SPEED = 1e6
"""Tokens per second: the model is quick enough to be shown whatever fits."""
MAX_BYTES_PER_TOKEN = 12
"""Of imported files: the large ones are shown in parts."""
Where = Literal["any", "new"]
Context = Literal[
    "none",
    "whole",
    "recency",
    "shown",
    "imports",
    "definitions",
    "imports+definitions",
    "definitions only",
]
CONTEXTS: tuple[Context, ...] = get_args(Context)


@dataclass(frozen=True, slots=True)
class Score:
    """The log-likelihood of the truth in nats, its length, whether the rest of the line is foretold, and the prompt's size."""

    cursor: int
    package: str
    context: str
    log_likelihood: float
    n_characters: int
    is_exact: bool
    n_files: int
    n_prompt: int


class Asker:
    """A model, and the prompts that the daemon makes for it."""

    def __init__(self, model: Path, n_ctx: int, style: str, n_threads: int) -> None:
        self._runner = Runner(model, n_ctx, n_threads)
        self._cache = TokenCache(self._runner.vocabulary.tokenize, 1 << 26)
        vocabulary: Any = self._runner.vocabulary
        template = find_template(vocabulary, model.stem)
        self._template = styled(template, style, partial(chat_fim_template, vocabulary))  # type: ignore[arg-type]
        self._limits = limits_for(Budgets(), n_ctx, 0.0, 0)
        self._indexes: dict[tuple[object, ...], Index] = {}

    def score(self, number: int, cursor: Cursor, package: Package, context: Context) -> Score:
        project, document = self._project(cursor, package, context)
        offset = len(cursor.before)
        start = resume_at(document, offset, is_healed=False)
        layout = LayoutInput(project, document, start, self._template, self._cache, self._limits, is_idle=True)
        layouts = Layouts()
        if context != "whole":
            for preparation in layouts.parts(project.root).missing(project, self._limits, self._cache.alone):
                preparation.keep(preparation.run())
        if context == "shown":
            for preparation in layouts.windows(project.root).missing(project):
                preparation.keep(preparation.run())
        if "definitions" in context:
            text = self._definitions(self._index(package, cursor), layout, cursor, prompt_frame(layout).room // 4 - 32)
            project.add_tail(Tail("definitions.py", text, once=False))
        prompt = layouts.prompt(replace(layout, n_typed=offset - start))
        typed = document.text[start:offset]
        truth = self._runner.encode(typed + cursor.truth)
        logits = self._runner.foretold(prompt.tokens.tolist(), truth).astype(np.float64)
        scores = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        n_line = len(self._runner.encode(typed + cursor.truth.partition("\n")[0]))
        is_exact = all(int(logits[at].argmax()) == token for at, token in enumerate(truth[:n_line]))
        total = float(sum(scores[at, token] for at, token in enumerate(truth)))
        n_files = sum(span.end - span.start for span in prompt.segments if span.kind in ("file", "tail"))
        n = (len(cursor.truth), is_exact, n_files, len(prompt.tokens))
        return Score(number, package.name, context, total, *n)

    def _definitions(self, index: Index, layout: LayoutInput, cursor: Cursor, room: int) -> str:
        """Heads of definitions of names near the cursor, in at most `room` tokens."""
        text = definitions_near(index, cursor.path, layout.document.text, len(cursor.before), room * 3)
        while len(self._cache(text)) > room:
            text = text[: len(text) * 9 // 10].rpartition("\n")[0] + "\n"
        return text

    def _project(self, cursor: Cursor, package: Package, context: Context) -> tuple[Project, Document]:
        """The project with the file of the cursor open, and what is known of others."""
        projects = Projects()
        with TemporaryDirectory() as folder:
            root = os.path.realpath(folder)
            if context not in ("none", "definitions only"):
                for path in cursor.edited:
                    _edit(
                        projects,
                        f"file://{root}/{path}",
                        root,
                        package.old[path],
                        package.new.get(path, package.old[path]),
                    )
            document = projects.open(
                f"file://{root}/{cursor.path}", "python", 1, cursor.before + cursor.after, root, str
            )
            files: Sequence[File] = ()
            if "imports" in context:
                files = self._imported(root, cursor, package)
            elif context in ("whole", "recency", "shown", "definitions"):
                files = _on_disk(root, package.old, self._limits.n_ctx)
            projects.set_files(root, tuple(files), is_first=True)
            return projects.by_root(root), document

    def _imported(self, root: str, cursor: Cursor, package: Package) -> list[File]:
        """The files that the current one imports, the last one defining most of the names that it uses."""
        index, used = self._index(package, cursor), {*re.findall(r"\w+", cursor.before + cursor.after)}
        labels = index.imported(cursor.path, index.outlines[cursor.path])
        defined = Counter(one.label for name in used for one in index.by_name.get(name, ()))
        chosen, n_left = list[str](), self._limits.n_ctx * MAX_BYTES_PER_TOKEN
        texts = package.with_new(cursor.edited)
        for label in sorted(labels, key=lambda label: -defined[label]):
            if len(texts[label]) <= n_left:
                chosen.append(label)
                n_left -= len(texts[label])
        return [File(f"{root}/{label}", texts[label]) for label in reversed(chosen)]

    def _index(self, package: Package, cursor: Cursor) -> Index:
        """Of the package as it is at that cursor."""
        key = (package.name, cursor.path, cursor.edited)
        if key not in self._indexes:
            texts = package.with_new(cursor.edited) | {cursor.path: cursor.before + cursor.after}
            self._indexes = {key: Index.of(texts)}
        return self._indexes[key]

    def close(self) -> None:
        self._runner.close()


def _edit(projects: Projects, uri: str, root: str, old: str, new: str) -> None:
    """Open a file, and make it what it is in the next version, a change after the other."""
    document = projects.open(uri, "python", 1, old, root, str)
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    for i, j, k, m in reversed(changed_lines(before, after)):
        content = document.content
        start, end = sum(map(len, before[:i])), sum(map(len, before[:j]))
        change = Change("".join(after[k:m]), content.position_at(start, "utf-32"), content.position_at(end, "utf-32"))
        document = projects.change(uri, document.version + 1, [change], "utf-32")


def _on_disk(root: str, texts: Texts, n_ctx: int) -> tuple[File, ...]:
    """What the daemon would know of what is on disk, all of it equally old."""
    for path, text in texts.items():
        at = Path(root) / path
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text, "utf-8")
        os.utime(at, (1e9, 1e9))
    tree = FileTree(root, FileBudget.for_model(SPEED, n_ctx))
    tree.scan()
    return tree.recent_files()


# --- tables ----------------------------------------------------------------------------------------------------------


def table_of(title: str, scores: list[dict[str, Any]]) -> Table:
    """A row for each context; what is better and worse is told from recency, at the same cursors."""
    contexts = [context for context in CONTEXTS if any(score["context"] == context for score in scores)]
    by = {(score["context"], score["cursor"]): score for score in scores}
    common = [n for n in sorted({c for _, c in by}) if all((context, n) in by for context in contexts)]
    table = Table(
        "context", "nats a character", "better by", "exact", "of files", "prompt", "worst package", "worse by 1 %"
    )
    table.title = f"{title}, {len(common)} cursors"
    base = np.array([by["recency", n]["log_likelihood"] for n in common])
    names = np.array([by["recency", n]["package"] for n in common])
    for context in contexts:
        own = [by[context, n] for n in common]
        total = np.array([one["log_likelihood"] for one in own])
        gain, error = 1 - total.sum() / base.sum(), (total - base).std() * len(common) ** 0.5 / -base.sum()
        gains = sorted((1 - total[names == name].sum() / base[names == name].sum(), name) for name in set(names))
        table.add_row(
            context,
            f"{total.sum() / sum(one['n_characters'] for one in own):.4f}",
            f"{gain:+.2%} ± {error:.2%}",
            f"{sum(one['is_exact'] for one in own)}",
            *(f"{np.mean([one[key] for one in own]):.0f}" for key in ("n_files", "n_prompt")),
            f"{gains[0][0]:+.2%} {gains[0][1]}",
            f"{sum(one < -0.01 for one, _ in gains)} of {len(gains)}",
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=model_path(), help="a GGUF file")
    parser.add_argument("--style", default="auto", help="as the option prompt-style")
    parser.add_argument("--ctx", type=int, default=4096, help="tokens in the context")
    parser.add_argument("--cursors", type=int, default=60, help="how many places")
    parser.add_argument("--places", default="any", choices=get_args(Where), help="where cursors are")
    parser.add_argument("--contexts", nargs="+", default=CONTEXTS, choices=CONTEXTS, help="what prompts show")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument(
        "--out", type=Path, required=True, help="where scores are kept; what is there is not asked again"
    )
    flags = parser.parse_args()
    of = packages(flags.folder)
    asker, ends = Asker(flags.model, flags.ctx, flags.style, flags.threads), monotonic() + 60 * flags.minutes
    scores = [json.loads(line) for line in flags.out.open()] if flags.out.exists() else []
    done = {(score["context"], score["cursor"]) for score in scores}
    with flags.out.open("a") as out:
        places = (new_cursors if flags.places == "new" else cursors)(of, flags.cursors)
        for number, cursor in enumerate(places):
            for context in flags.contexts:
                if (context, number) not in done and monotonic() < ends:
                    scores.append(asdict(asker.score(number, cursor, of[cursor.package], context)))
                    print(json.dumps(scores[-1]), file=out, flush=True)
    asker.close()
    Console(width=140).print(table_of(f"{flags.model.stem}, a context of {flags.ctx} tokens", scores))


if __name__ == "__main__":
    main()
