"""What drafts are worth: edits with a prediction, and plain completions, against the same engine without drafts.

    python -m tests.benchmarks.drafts MODEL... [--tasks N] [--plain N] [--minutes M] [--peer]
    python -m tests.benchmarks.drafts --shapes

The edits are made from this repository's own files: rename, add a parameter, reformat, change a string, move a block; the model
is asked in its chat format for the changed code, and the prediction is the code as it was. A task is done by both engines in
turn, in alternating order and with greedy sampling, until there are enough answers that copy most of the code. What counts is
tokens in a second of generation; beside other programs compare processor time, with `--threads 1`. `--shapes` prints what
decodes of each length cost, and how likely the tokens of a draft must be right to pay, for random weights in true shapes.
`--peer` has llama-server do the same tasks, with drafts of its own (`ngram-mod`), after what `make bench-peer` has built.
"""

import argparse
import ast
import asyncio
import inspect
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from random import Random
from time import monotonic

import numpy as np
from rich.console import Console
from rich.table import Table

from scrubjay.contexts.naive import redoes_tries
from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.prompt.chat import ChatPrompt
from scrubjay.protocol.messages import DraftCounts, EngineSettings, Sampling
from scrubjay.tokens import Tokens
from scrubjay.worker.drafters import expected
from scrubjay.worker.lengths import DecodeLengths, draft_lengths
from scrubjay.worker.load import open_model
from scrubjay.worker.warmup import WarmUp
from tests.benchmarks.contestants import Ours, Server, n_cores
from tests.benchmarks.speeds import cpu_ms
from tests.support.gguf_models import TRUE, true_shape

CODE = Path(__file__).parents[2] / "daemon" / "scrubjay"
N_CTX = 4096
N_LINES = range(14, 50)
"""Of a function that is edited."""
MIN_WRITTEN = 32
"""Tokens: an answer that is shorter says nothing about speed."""
MIN_COPIED = 0.7
"""How similar an answer without drafts must be to the code before to be an edit: small models often write something else."""
NO_EDIT = "something else"
N_COMPLETED = 48
"""Tokens of a plain completion."""
N_BEFORE = 6000
"""Characters before the cursor of one."""
CHANCES = np.linspace(0.02, 1.0, 50)


@dataclass(frozen=True, slots=True)
class Task:
    """Something to generate; `prediction` is "" for a plain completion."""

    kind: str
    prompt: Tokens
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Outcome:
    """How both engines did it: tokens in a second on the clock, and of processor time, and whether their texts are the same."""

    kind: str
    drafted: float
    plain: float
    cpu_ratio: float
    is_same: bool
    n_written: int
    drafts: DraftCounts
    peer: float = 0.0
    """llama-server's tokens in a second, 0 if it was not asked."""

    @property
    def ratio(self) -> float:
        return self.drafted / self.plain


# --- tasks -----------------------------------------------------------------------------------------------------------


def functions(random: Random) -> Iterator[str]:
    """Functions of this repository, in a random order."""
    found = []
    for path in sorted(CODE.rglob("*.py")):
        text = path.read_text("utf-8")
        lines = text.splitlines(keepends=True)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.end_lineno:
                code = "".join(lines[node.lineno - 1 : node.end_lineno])
                if len(code.splitlines()) in N_LINES:
                    found.append(code)
    return iter(random.sample(found, len(found)))


def instruction(kind: str, code: str) -> str | None:
    """What is to be done with `code`; None where there is nothing like that to do."""
    names = Counter(re.findall(r"\b[a-z]\w{3,}\b", code))
    defined = re.findall(r"^\s*(?:async )?def (\w+)", code, re.MULTILINE)
    strings = re.findall(r'"([^"\n{}]{4,40})"', code)
    match kind:
        case "rename" if names:
            name = names.most_common(1)[0][0]
            return f"Rename `{name}` to `{name}_item` everywhere in this code."
        case "parameter" if defined:
            return f"Add a parameter `verbose: bool = False` to the function `{defined[0]}`."
        case "reformat":
            return "Indent this code by two spaces instead of four."
        case "string" if strings:
            return f'Change the string "{strings[0]}" to "{strings[0].upper()}".'
        case "move" if len(defined) > 1:
            return f"Move the function `{defined[0]}` to the end."
    return None


EXAMPLE = """\
# Rename `count` to `total` everywhere in this code.

Before:
```python
def add(self, count: int) -> int:
    if count < 0:
        raise ValueError("negative")
    self.sum += count
    return count
```

After:
```python
def add(self, total: int) -> int:
    if total < 0:
        raise ValueError("negative")
    self.sum += total
    return total
```

"""
KINDS = ("rename", "parameter", "reformat", "string", "move")


def asking(vocabulary: Vocabulary, asked: str, code: str) -> str:
    """The prompt for an edit: in the model's chat format, or for one that has none after an example."""
    if not vocabulary.chat_template:
        return f"{EXAMPLE}# {asked}\n\nBefore:\n```python\n{code}```\n\nAfter:\n```python\n"
    content = f"{asked} Answer with the whole changed code and nothing else.\n\n```python\n{code}```"
    return ChatPrompt(({"role": "user", "content": content},), prefill="```python\n").text(vocabulary)


def edits(vocabulary: Vocabulary, n: int) -> Iterator[Task]:
    """`n` edits, of each kind as many."""
    random = Random(26)
    code = {kind: functions(random) for kind in KINDS}
    for number in range(n):
        kind = KINDS[number % len(KINDS)]
        text, asked = next((text, asked) for text in code[kind] if (asked := instruction(kind, text)))
        prompt = asking(vocabulary, asked, text)
        n_tokens = len(vocabulary.tokenize(text))
        sampling = Sampling(max_tokens=n_tokens + n_tokens // 4, stop=("```",), prediction=text)
        yield Task(kind, vocabulary.tokenize(prompt, special=True), sampling)


def completions(vocabulary: Vocabulary, n: int) -> Iterator[Task]:
    """`n` plain completions at cursors in the same files."""
    random = Random(62)
    paths = [path for path in sorted(CODE.rglob("*.py")) if path.stat().st_size > N_BEFORE]
    for _ in range(n):
        text = random.choice(paths).read_text("utf-8")
        at = random.randrange(N_BEFORE // 2, len(text))
        prompt = vocabulary.tokenize(text[max(0, at - N_BEFORE) : at])
        yield Task("completion", prompt, Sampling(max_tokens=N_COMPLETED, ignore_end=True))


# --- both engines ----------------------------------------------------------------------------------------------------


async def outcome(task: Task, engines: Sequence[Ours], number: int, peer: Server | None) -> Outcome:
    """What both make of `task`, and the `peer`; the first of the engines drafts."""
    order = engines if number % 2 else engines[::-1]
    done = {}
    for engine in order:
        # Twice: the first one has the prompt brought in, and both begin from the same.
        await engine.generate(task.prompt, Sampling(max_tokens=1), "/drafts")
        before = cpu_ms(engine.pid)
        _, end, pieces = await engine.generate(task.prompt, task.sampling, "/drafts")
        cpu = cpu_ms(engine.pid) - before
        n = max(end.n_generated, 1)
        done[engine] = end, "".join(text for text, _ in pieces), n / end.generate_ms * 1e3, n / max(cpu, 1.0)
    drafted, plain = (done[engine] for engine in engines)
    before_and_after = task.sampling.prediction.split(), plain[1].split()
    is_edit = not task.sampling.prediction or SequenceMatcher(None, *before_and_after).ratio() >= MIN_COPIED
    return Outcome(
        task.kind if is_edit else NO_EDIT,
        drafted[2],
        plain[2],
        drafted[3] / plain[3],
        drafted[1] == plain[1],
        plain[0].n_generated,
        drafted[0].drafts,
        await peer_speed(task, peer) if peer else 0.0,
    )


async def peer_speed(task: Task, peer: Server) -> float:
    """Tokens in a second that llama-server writes of `task`."""
    wanted: dict[str, object] = {
        "prompt": task.prompt.tolist(),
        "temperature": 0,
        "stop": list(task.sampling.stop),
        "ignore_eos": task.sampling.ignore_end,
    }
    await peer.timings({**wanted, "n_predict": 1})
    timings = await peer.timings({**wanted, "n_predict": task.sampling.max_tokens})
    return float(timings["predicted_n"] / timings["predicted_ms"] * 1e3)


def table_of(name: str, outcomes: Sequence[Outcome]) -> Table:
    columns = ("what", "n", "tokens/s", "drafted", "ratio", "least", "by cpu", "accepted", "same text", "llama-server")
    table = Table(*columns, title=name)
    kinds = list(dict.fromkeys(each.kind for each in outcomes))
    for kind in (*kinds, *(["all edits"] if len(kinds) > 2 else [])):
        rows = [each for each in outcomes if each.kind == kind or (kind == "all edits" and each.kind in KINDS)]
        ratios = [each.ratio for each in rows]
        n_drafted = sum(each.drafts.n_drafted for each in rows)
        n_accepted = sum(each.drafts.n_accepted for each in rows)
        table.add_row(
            kind,
            str(len(rows)),
            f"{np.median([each.plain for each in rows]):.1f}",
            f"{np.median([each.drafted for each in rows]):.1f}",
            f"{np.median(ratios):.2f}",
            f"{min(ratios):.2f}",
            f"{np.median([each.cpu_ratio for each in rows]):.2f}",
            f"{n_accepted} of {n_drafted}",
            f"{sum(each.is_same for each in rows)}",
            f"{np.median([each.peer for each in rows]):.1f}" if all(each.peer for each in rows) else "",
        )
    return table


def by_kind(outcome: Outcome) -> int:
    return (*KINDS, NO_EDIT, "completion").index(outcome.kind)


async def measure(path: Path, flags: argparse.Namespace, until: float, console: Console) -> None:
    """Compare both engines on the model at `path` until `until`, on the clock of `monotonic`."""
    n_tasks, n_plain, n_threads = flags.tasks, flags.plain, flags.threads
    vocabulary = Vocabulary.open(path)
    # In an order in which any beginning has some of all; more edits than are wanted, for some will be none.
    tasks = [*edits(vocabulary, 4 * n_tasks), *completions(vocabulary, 4 * n_plain)]
    tasks = Random(0).sample(tasks, len(tasks))
    n_left = {True: n_tasks, False: n_plain}
    outcomes: list[Outcome] = []
    async with AsyncExitStack() as stack:
        engines = []
        for draft in (-1, 0):
            engines.append(await Ours.start(EngineSettings(str(path), N_CTX, n_threads, draft=draft)))
            stack.push_async_callback(engines[-1].close)
        peer = None
        if flags.peer:
            options = ("-c", str(N_CTX), "-np", "1", "-t", str(n_threads or n_cores()), "--spec-type", "ngram-mod")
            peer = Server("ngram-mod", path, options, {})
            stack.push_async_callback(peer.close)
            await peer.ready()
        for number, task in enumerate(tasks):
            if monotonic() > until:
                break
            is_edit = bool(task.sampling.prediction)
            if n_left[is_edit] > 0 and len(task.prompt) + task.sampling.max_tokens < N_CTX:
                outcomes.append(await outcome(task, engines, number, peer))
                n_left[is_edit] -= outcomes[-1].kind != NO_EDIT
    vocabulary.close()
    outcomes = [each for each in outcomes if each.n_written >= MIN_WRITTEN]
    console.print(table_of(path.name, sorted(outcomes, key=by_kind)))


# --- what decodes cost -----------------------------------------------------------------------------------------------


def break_even(lengths: DecodeLengths, single: float) -> str:
    """From which chance of a token on decodes with a draft give more tokens in a second than those of one token."""

    def speed(chance: float) -> float:
        return max((1 + expected(chance, length - 1)) / took for length, took in lengths.seconds.items())

    paying = (chance for chance in CHANCES if lengths.longest > 1 and speed(float(chance)) * single > 1)
    return f"{chance:.2f}" if (chance := next(paying, None)) is not None else "never"


def costs(name: str, path: Path) -> list[str]:
    """A row about one model: the lengths that are alike, and what they cost in decodes of one token."""
    settings = EngineSettings(str(path), N_CTX)
    loaded = open_model(settings, 0, lambda *_: None)
    warm_up = WarmUp(loaded.model, loaded.llama, loaded.threads, lambda *_: None)
    warm_up.speeds = {1: loaded.info.prefill_speed}
    measured = warm_up.measure_lengths(loaded.memory_class, loaded.settings)
    free, paired = draft_lengths(measured, -1, redoes_tries(loaded.memory_class, loaded.llama.n_rollback))
    single = measured[1][0]
    row = [
        name,
        loaded.memory_class,
        " ".join(f"{length}: {measured[length][0] / single:.2f}" for length in sorted(measured)),
        " ".join(map(str, sorted(free.seconds))),
        " ".join(map(str, sorted(paired.seconds))),
        break_even(paired, single),
    ]
    loaded.llama.close()
    loaded.model.close()
    return row


def shapes(paths: Sequence[tuple[str, Path]], console: Console) -> None:
    columns = ("model", "class", "cost of a decode", "for any request", "with a prediction", "pays from")
    table = Table(*columns, title="decodes with all logits, in decodes of one token")
    for name, path in paths:
        table.add_row(*costs(name, path))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("models", type=Path, nargs="*", metavar="MODEL", help="GGUF files of chat models")
    parser.add_argument("--tasks", type=int, default=60, help="edits")
    parser.add_argument("--plain", type=int, default=40, help="plain completions")
    parser.add_argument("--minutes", type=float, default=60.0, help="at most, for each model")
    parser.add_argument("--threads", type=int, default=0, help="of each engine (default: its own choice)")
    parser.add_argument("--peer", action="store_true", help="also llama-server with drafts of its own")
    parser.add_argument("--shapes", action="store_true", help="what decodes cost, also in true shapes")
    flags = parser.parse_args()
    console = Console(width=160)
    if flags.shapes:
        made = [(kind, true_shape(kind)) for kind in TRUE]
        shapes([*made, *((path.stem, path) for path in flags.models)], console)
        return
    for path in flags.models:
        asyncio.run(measure(path, flags, monotonic() + 60 * flags.minutes, console))


if __name__ == "__main__":
    main()
