"""How the demonstration looks: on a terminal in colours, through a pipe still readable."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from scrubjay.client import Json

if TYPE_CHECKING:
    from scrubjay.demo import Outcome

WIDTH = 96
STRIP_WIDTH = 80
FILLS = {"repo": "R", "file": "f", "path": "p", "prefix": "<", "suffix": ">", "middle": "m", "tail": "t"}
COLOURS = {"file": "blue", "prefix": "green", "suffix": "magenta", "tail": "cyan"}
CHECKPOINT = "^"


class View:
    """Prints what happens as it happens."""

    def __init__(self) -> None:
        width = None if sys.stdout.isatty() else WIDTH
        self._console = Console(width=width, highlight=False, soft_wrap=not sys.stdout.isatty())

    def loading(self, events: Iterator[Json]) -> None:
        """Wait for the model."""
        self._console.print("A daemon with the starter model is loading...")
        with Progress(console=self._console, transient=True, disable=not sys.stdout.isatty()) as progress:
            bar = progress.add_task("Loading", total=1.0)
            for event in events:
                progress.update(bar, completed=(event["load"] or {"fraction": 0.0})["fraction"])

    def model(self, info: Json, files: Sequence[Path]) -> None:
        """What it works with."""
        self._console.print(
            f"Model {info['name']} ({info['architecture']}, {info['memory_class']}), a checkpoint every "
            f"{info['interval']} tokens. Project: {len(files)} files of Python's own package `email`."
        )

    def visited(self, path: Path, reuse: Json, seconds: float) -> None:
        """What was done ahead of the edits in a file."""
        tokens = f"{reuse['processed']} of {reuse['prompt']} tokens"
        self._console.print(f"\nThe user looks at {path.name}, and its prompt is warmed: {tokens} in {seconds:.1f} s.")

    def outcome(self, number: int, outcome: "Outcome") -> None:
        """The completion in its place, and what stood there."""
        edit, reuse = outcome.edit, outcome.warm["reuse"]
        cost = f"{reuse['processed']} of {reuse['prompt']} tokens processed, {_ms(outcome.warm):.0f} ms"
        self._console.print(Text(f"{number:>2}  {edit.path.name}:{edit.line + 1}", style="bold"), f" {cost}")
        text = "".join(item["text"] for item in outcome.warm["items"])
        first, *rest = text.split("\n")[:2] or [""]
        line = Text("    ").append(edit.typed.strip()).append("|", style="dim").append(first, style="green bold")
        if rest:
            line.append(" ...", style="dim")
        self._console.print(line, soft_wrap=False, overflow="ellipsis", no_wrap=True)
        was = Text(f"    was: {edit.before.strip()}", style="dim")
        self._console.print(was, soft_wrap=False, overflow="ellipsis", no_wrap=True)

    def table(self, outcomes: Sequence["Outcome"]) -> None:
        """What each edit cost, in tokens and in milliseconds for the prompt."""
        table = Table(title="\nWhat each edit cost (tokens, and milliseconds for the prompt)", title_justify="left")
        names = ("edit", "prompt", "common", "restored", "processed", "needed", "excess", "ms", "cold ms", "equal")
        for name in names:
            table.add_column(name, justify="right", no_wrap=True)
        for number, outcome in enumerate(outcomes, 1):
            reuse = outcome.warm["reuse"]
            tokens = [str(reuse[name]) for name in names[1:6]]
            excess = f"{reuse['excess']}" if outcome.is_cheap else f"{reuse['excess']} > {outcome.interval}"
            equal = "yes" if outcome.is_equal else "NO"
            table.add_row(str(number), *tokens, excess, f"{_ms(outcome.warm):.0f}", f"{_ms(outcome.cold):.0f}", equal)
        self._console.print(table)

    def strip(self, context: Json) -> None:
        """The prompt as it stands in the context, and where its checkpoints are."""
        segments, total = context["segments"], max(context["n_resident"], *(s["end"] for s in context["segments"]))
        self._console.print(
            f"\nThe context: {context['n_resident']} tokens, {len(context['checkpoints'])} checkpoints (^)"
        )
        strip = Text("  ")
        for column in range(STRIP_WIDTH):
            kind = _kind_at(segments, column * total // STRIP_WIDTH)
            strip.append(FILLS.get(kind, "g"), style=COLOURS.get(kind, ""))
        self._console.print(strip)
        marks = {min(n * STRIP_WIDTH // total, STRIP_WIDTH - 1) for n in context["checkpoints"]}
        self._console.print("  " + "".join(CHECKPOINT if column in marks else " " for column in range(STRIP_WIDTH)))
        names = [f"{FILLS[segment['kind']]} {segment['kind']}" for segment in segments]
        self._console.print(f"  {', '.join(dict.fromkeys(names))}, g generated")

    def total(self, outcomes: Sequence["Outcome"], n_ahead: int) -> None:
        """With Scrubjay, without it, and whether everything held."""
        warm, cold = (
            (sum(answer["reuse"]["processed"] for answer in answers), sum(map(_ms, answers)) / 1e3)
            for answers in ([outcome.warm for outcome in outcomes], [outcome.cold for outcome in outcomes])
        )
        needed = sum(outcome.warm["reuse"]["needed"] for outcome in outcomes)
        self._console.print(
            f"\nWith Scrubjay     {warm[0]:>7} tokens {warm[1]:8.2f} s   ({needed} needed; {n_ahead} more ahead of need)"
        )
        self._console.print(f"Without           {cold[0]:>7} tokens {cold[1]:8.2f} s")
        if outcomes and warm[1] > 0:
            self._console.print(f"                  {cold[0] / warm[0]:>6.1f}x       {cold[1] / warm[1]:8.1f}x")
        cheap = all(outcome.is_cheap for outcome in outcomes)
        equal = all(outcome.is_equal for outcome in outcomes)
        self._console.print(f"Every excess within the interval: {'yes' if cheap else 'NO'}.")
        self._console.print(f"Every warm answer equal to the cold one: {'yes' if equal else 'NO'}.")


def _ms(answer: Json) -> float:
    """Milliseconds that the prompt has cost."""
    ms: float = answer["timings"]["prompt_ms"]
    return ms


def _kind_at(segments: Sequence[Json], position: int) -> str:
    return next((segment["kind"] for segment in segments if segment["start"] <= position < segment["end"]), "generated")
