"""What typing costs in a project of about 8,000 tokens: a real function typed key by key, in both layouts.

    python -m tests.benchmarks.typing [--model PATH] [--lines N]

Each key is a change and a completion through a real service and engine, as editors send them: brackets close themselves,
a newline brings its indentation, two words are typed wrong and corrected, after each line is a pause in which the project
is warmed, and half-way the user jumps to another function, types there, and comes back. No answer comes from the cache
of completions. The model is a gated-delta-net hybrid with few weights, for numbers of tokens do not depend on them; and
the window is the one of a slow machine, for a quick one would show more.
"""

import argparse
import asyncio
import inspect
import sched
import shlex
import string
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from scrubjay.completion.requests import Completion, CompletionRequest
from scrubjay.prompt.layouts import LayoutName
from scrubjay.protocol.messages import EngineSettings, Sampling
from scrubjay.service.events import Complete, Warm
from scrubjay.service.service import Service
from scrubjay.service.settings import ServiceSettings
from scrubjay.workspace.events import ChangeDocument, OpenDocument
from scrubjay.workspace.text import Change, Position
from tests.support.gguf_models import TINY, write_model

N_CTX = 16_384
N_VOCAB = 16_384
"""Enough for words to be tokens, as in real vocabularies."""
OTHERS = {f"{module.__name__}.py": inspect.getsource(module) for module in (sched, shlex, string)}
N_STRAY = 2
"""Tokens that the model writes for each key; the next key has to do without them."""
CLOSERS = {"(": ")", "[": "]", "{": "}"}
FUNCTION = inspect.getsource(textwrap.indent)
N_LINES = len(FUNCTION.splitlines())
OTHER_FUNCTION = "def _munge_whitespace"
MISTAKES = {"provided": "provdied", "return": "retrun"}
"""What is typed wrong the first time."""
ROOT = "/project"
URI = f"file://{ROOT}/{textwrap.__name__}.py"
ROWS = (
    "| layout | keys | prompt | median | 95 % | most | jump away | jump back | window + I | in pauses |",
    "|---" * 10 + "|",
)


@dataclass(slots=True)
class Typist:
    """A document, the cursor in it, and what each key and each jump has cost; `n_warmed` is what the pauses have."""

    service: Service
    text: str
    cursor: int
    version: int = 1
    keys: list[Completion] = field(default_factory=list)
    jumps: list[Completion] = field(default_factory=list)
    bounds: list[int] = field(default_factory=list)
    n_warmed: int = 0

    async def key(self, key: str) -> None:
        """Press one key as an editor takes it, and ask. A backspace in an indentation takes all of one level."""
        line = self.text[self.text.rfind("\n", 0, self.cursor) + 1 : self.cursor]
        if key == "\b":
            n = (len(line) - 1) % 4 + 1 if line and not line.strip() else 1
            await self._replace(self.cursor - n, self.cursor, "")
        elif key in CLOSERS.values() and self.text.startswith(key, self.cursor):
            self.cursor += 1
        else:
            await self._replace(self.cursor, self.cursor, key + CLOSERS.get(key, ""))
            self.cursor -= key in CLOSERS
        self.keys.append(await self.ask())

    async def pause(self) -> None:
        """Long enough for the project to be warmed."""
        event = Warm(root=ROOT)
        self.service.post(event)
        self.n_warmed += (await event.reply).reuse.processed

    async def jump(self, offset: int) -> None:
        """Go there, and ask."""
        self.cursor = offset
        self.jumps.append(await self.ask())
        self.bounds.append(self._n_window() + self.interval)

    async def ask(self) -> Completion:
        """A completion at the cursor."""
        request = CompletionRequest(URI, self._position(self.cursor), "utf-32", sampling=Sampling(N_STRAY), rules=False)
        event = Complete(request)
        self.service.post(event)
        return await event.reply

    @property
    def interval(self) -> int:
        """The I of the promise."""
        return self.service.supervisor.info.interval if self.service.supervisor.info else 0

    def _n_window(self) -> int:
        """Tokens of the current file in the last prompt."""
        prompt = self.service.dispatcher.residency.of(ROOT).prompt
        spans = prompt.segments if prompt else ()
        return sum(span.end - span.start for span in spans if span.kind in ("prefix", "suffix", "middle"))

    def _position(self, offset: int) -> Position:
        return Position(self.text.count("\n", 0, offset), offset - (self.text.rfind("\n", 0, offset) + 1))

    async def _replace(self, start: int, end: int, new: str) -> None:
        self.version += 1
        event = ChangeDocument(URI, self.version, (Change(new, self._position(start), self._position(end)),), "utf-32")
        self.service.post(event)
        await event.reply
        self.text = self.text[:start] + new + self.text[end:]
        self.cursor = start + len(new)


def keys_of(line: str, indent: int, mistakes: dict[str, str]) -> Iterator[str]:
    """The keys for `line` where the editor has indented by `indent`; each of `mistakes` is made once, and taken out."""
    wanted = len(line) - len(line.lstrip(" "))
    yield from ["\b"] * ((indent - wanted) // 4)
    rest = line[min(indent, wanted) :]
    for word in [word for word in mistakes if word in rest]:
        before, _, rest = rest.partition(word)
        yield from before
        yield from mistakes.pop(word)
        yield from "\b" * len(word)
        rest = word + rest
    yield from rest


async def type_lines(typist: Typist, lines: list[str], mistakes: dict[str, str]) -> None:
    """Each line begins with the newline that ends the one before it, and ends with a pause."""
    for line in lines:
        above = typist.text[typist.text.rfind("\n", 0, typist.cursor) + 1 : typist.cursor]
        indent = len(above) - len(above.lstrip(" ")) + 4 * above.endswith(":") if line.strip() else 0
        await typist.key("\n" + " " * indent)
        for key in keys_of(line, indent, mistakes):
            await typist.key(key)
        await typist.pause()


async def type_function(typist: Typist, n_lines: int) -> None:
    """The function, with a jump in its middle. It stands after the other one, which is jumped to."""
    lines = FUNCTION.splitlines()[:n_lines]
    mistakes, half = dict(MISTAKES), len(lines) // 2
    await type_lines(typist, lines[:half], mistakes)
    n_behind = len(typist.text) - typist.cursor
    await typist.jump(typist.text.index("\n", typist.text.index(OTHER_FUNCTION)))
    await type_lines(typist, ["        # as str.expandtabs does", "        (and translate)"], mistakes)
    await typist.jump(len(typist.text) - n_behind)
    await type_lines(typist, lines[half:], mistakes)
    if "\n".join(lines) not in typist.text:
        raise RuntimeError("the function was not typed as it is: the trace is wrong")


async def measure(
    model: Path, layout: LayoutName, n_lines: int, others: Mapping[str, str] = OTHERS, n_ctx: int = N_CTX
) -> Typist:
    """A typist that has typed `n_lines` lines of the function; `others` are the project's other files by name."""
    # The least latency budget makes the least window.
    engine = EngineSettings(str(model), n_ctx=n_ctx, n_threads=1, eager_load=True)
    service = Service(ServiceSettings(engine, warm=False, layout=layout, latency_budget_ms=1, watch=False))
    service.start()
    try:
        text = inspect.getsource(textwrap).replace(FUNCTION, "")
        typist = Typist(service, text, text.index("\n\n\n", text.index("def shorten")) + 1)
        for uri, content in {**{f"file://{ROOT}/{name}": other for name, other in others.items()}, URI: text}.items():
            event = OpenDocument(uri, content, "python", 1, ROOT)
            service.post(event)
            await event.reply
        await typist.ask()
        await type_function(typist, n_lines)
        return typist
    finally:
        await service.close()


@contextmanager
def light_model() -> Iterator[Path]:
    """A gated-delta-net hybrid with few weights, but a vocabulary in which words are tokens."""
    shape = replace(TINY["deltanet"], n_vocab=N_VOCAB, n_layer=3, attention=(1,), n_head=2, n_head_kv=1)
    with tempfile.TemporaryDirectory() as folder:
        yield write_model("deltanet", Path(folder) / "deltanet.gguf", shape=shape)


def rows(found: Mapping[LayoutName, Typist]) -> Iterator[str]:
    """The table in Markdown."""
    yield from ROWS
    for layout, typist in found.items():
        costs = [key.reuse.processed for key in typist.keys]
        away, back = (jump.reuse.processed for jump in typist.jumps)
        percentiles = [f"{np.percentile(costs, share):.0f}" for share in (50, 95, 100)]
        numbers = (
            len(costs),
            typist.keys[-1].reuse.prompt,
            *percentiles,
            away,
            back,
            max(typist.bounds),
            typist.n_warmed,
        )
        yield f"| {layout} | {' | '.join(map(str, numbers))} |"


def report(n_lines: int, model: Path | None = None) -> str:
    """The table and what it is about; `model` as in the command."""
    layouts: tuple[LayoutName, ...] = ("anchored", "plain")
    with light_model() as light:
        found = {layout: asyncio.run(measure(model or light, layout, n_lines)) for layout in layouts}
    table = "\n".join(rows(found))
    return f"## Tokens processed for each key, typing a function of {n_lines} lines\n\n{table}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a GGUF file, instead of the one with few weights")
    parser.add_argument("--lines", type=int, default=N_LINES, help="of the function to type")
    flags = parser.parse_args()
    print(report(flags.lines, flags.model), flush=True)


if __name__ == "__main__":
    main()
