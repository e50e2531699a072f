"""What a keystroke costs outside the model, in a project of about 32,000 tokens.

    python -m tests.benchmarks.own_time [--model PATH] [--keys N] [--profile]

First without a model, so that it is seen where the time goes: each key changes the document, copies the project, makes
the prompt, looks for a known completion and applies the completion rules to a text, as the daemon does. Only the
vocabulary of the model is used. Then the whole way through a service and an engine process with a light model: what its
answers say of the time outside the model.
"""

import argparse
import asyncio
import cProfile
import inspect
import pstats
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import numpy as np
from rich.console import Console
from rich.table import Table

from scrubjay.completion.history import CompletionHistory
from scrubjay.completion.requests import CompletionRequest
from scrubjay.completion.rules import CompletionRules
from scrubjay.prompt.document import DocumentRecipe
from scrubjay.prompt.layouts import LayoutName
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.view import ProjectView
from scrubjay.service.prompt_builder import PromptBuilder
from scrubjay.starter import model_path
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.text import Change, Position
from tests.benchmarks.typing import light_model
from tests.benchmarks.typing import measure as measure_typing
from tests.support.prompts import making

ROOT = "/project"
LIMITS = Limits(n_ctx=49_152, reserve=512)
N_TOKENS = 32_000
N_CHARACTERS_A_TOKEN = 6.2
"""Of the small model."""
N_LIGHT_CHARACTERS_A_TOKEN = 3.9
MOST_BYTES_OF_A_FILE = 16_000
N_LINES = 6
TYPED = "    result = compute(first, second, third)  # typed key by key\n"
COMPLETION = "value = self.compute(first)\nreturn value\n\nprint(value)\n"


class Split:
    """Times by the name of what took them, in milliseconds."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        begun = perf_counter()
        yield
        self.times[name].append((perf_counter() - begun) * 1e3)


def read_modules(n_characters: int) -> dict[str, str]:
    """Modules of the standard library by name, that many characters of them; none so large that it is shown in parts."""
    files: dict[str, str] = {}
    paths = Path(inspect.__file__).parent.glob("*.py")
    for path in sorted(path for path in paths if path.stat().st_size <= MOST_BYTES_OF_A_FILE):
        if text := path.read_text("utf-8")[:n_characters]:
            files[path.name] = text
            n_characters -= len(text)
    return files


def open_project(projects: Projects) -> str:
    """About as many characters as the tokens need; returns the URI of the last document."""
    uri = ""
    for name, text in read_modules(int(N_TOKENS * N_CHARACTERS_A_TOKEN)).items():
        uri = f"file://{ROOT}/{name}"
        projects.open(uri, "python", 1, text, ROOT, str)
    return uri


async def measure(model: Path, layout: LayoutName, n_keys: int) -> tuple[Split, int]:
    """The times of all keys, and the length of the last prompt."""
    builder, projects, split, remembered = PromptBuilder(layout), Projects(), Split(), CompletionHistory()
    await builder.open(model, model.stem)
    uri = open_project(projects)
    line = projects.document(uri).text.count("\n") // 2
    whole = ProjectView.of(projects.project_of(uri), projects.document(uri), 0)
    n_prompt = len((await making(builder, DocumentRecipe(whole), LIMITS)).tokens)
    column = 0
    for number in range(n_keys):
        key = TYPED[number % len(TYPED)]
        with split.timed("all"):
            with split.timed("change"):
                at = Position(line, column)
                document = projects.change(uri, number + 2, (Change(key, at, at),), "utf-32")
            line, column = (line + 1, 0) if key == "\n" else (line, column + 1)
            with split.timed("copy"):
                request = CompletionRequest(uri, Position(line, column), "utf-32")
                view = ProjectView.of(
                    projects.project_of(uri), document, document.offset_at(request.position, "utf-32")
                )
            with split.timed("known"):
                remembered.at(request, view.project, view.document, view.offset).find()
            with split.timed("prompt"):
                n_prompt = len((await making(builder, DocumentRecipe(view), LIMITS)).tokens)
            with split.timed("rules"):
                rules = CompletionRules.of(request, view.document, view.offset)
                rules.stop_offset(COMPLETION)
                rules.postprocess(COMPLETION)
    await builder.close()
    return split, n_prompt


def through_service(layout: LayoutName) -> tuple[Split, int]:
    """The same of a service with its engine, and the length of the last prompt."""
    split, others = Split(), read_modules(int(N_TOKENS * N_LIGHT_CHARACTERS_A_TOKEN))
    with light_model() as model:
        typist = asyncio.run(measure_typing(model, layout, N_LINES, others, LIMITS.n_ctx))
    split.times["outside the model"] = [key.timings.own_ms for key in typist.keys]
    return split, typist.keys[-1].reuse.prompt


def show(split: Split, title: str, console: Console) -> None:
    table = Table("part", "median ms", "95th %", "99th %", "most", title=title)
    for name, times in sorted(split.times.items(), key=lambda item: -float(np.median(item[1]))):
        table.add_row(name, *(f"{np.percentile(times, share):.2f}" for share in (50, 95, 99, 100)))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--model", type=Path, default=model_path(), help="a GGUF file, for its vocabulary")
    parser.add_argument("--keys", type=int, default=500, help="how many keys to press")
    parser.add_argument("--profile", action="store_true", help="also say which functions took the time")
    flags = parser.parse_args()
    layouts: tuple[LayoutName, ...] = ("anchored", "plain")
    for layout in layouts:
        profile = cProfile.Profile()
        if flags.profile:
            profile.enable()
        split, n_prompt = asyncio.run(measure(flags.model, layout, flags.keys))
        profile.disable()
        show(split, f"{layout}: own time of {flags.keys} keys, prompt of {n_prompt} tokens", Console())
        if flags.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(20)
        split, n_prompt = through_service(layout)
        n_keys = len(split.times["outside the model"])
        show(split, f"{layout}: own time of {n_keys} keys in a service, prompt of {n_prompt} tokens", Console())


if __name__ == "__main__":
    main()
