"""How the demonstration looks: on a terminal in colours, through a pipe still readable."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from scrubjay.process.client import Json

if TYPE_CHECKING:
    from scrubjay.cli.demo.outcome import Outcome


WIDTH = 100
MARGIN = 16
"""Columns left of the strips."""
MAX_GHOST_LINES = 3
LETTERS = {"repo": "r", "path": "n", "prefix": "<", "suffix": ">", "middle": "m", "tail": "t"}
COLOURS = {"file": "blue", "prefix": "green", "suffix": "magenta", "tail": "cyan"}
LEGEND = "Strips: f and F are files, n the name of the current one, < and > its text before and after the cursor, m the middle."


class View:
    """Prints what happens as it happens."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
        self._width = min(self._console.width, WIDTH)

    def loading(self, states: Iterator[Json]) -> None:
        """Wait for the model."""
        self._say("A daemon starts, with the starter model.")
        with Progress(console=self._console, transient=True, disable=not self._console.is_terminal) as progress:
            bar = progress.add_task("Loading the model", total=1.0)
            for state in states:
                progress.update(bar, completed=state["load"]["fraction"] if state["load"] else 0.0)

    def project(self, model: Json, texts: Mapping[Path, str]) -> None:
        """What it works with."""
        self._say(
            f"Model: {model['name']}, {model['architecture']}, {model['n_params'] / 1e6:.1f} million parameters, memory "
            f"class {model['memory_class']}; a checkpoint at least every {model['interval']} tokens."
        )
        names = ", ".join(path.name for path in texts)
        self._say(f"Project: a copy of {len(texts)} files of Python's own package email: {names}.")
        self._say(LEGEND)

    def warmed(self, path: Path, n_tokens: int, seconds: float) -> None:
        """The prompt of the first file is there."""
        self._say(
            f"Warmed for {path.name}: {n_tokens} tokens in {seconds:.1f} s. Now the edits, in the middle of files."
        )

    def outcome(self, number: int, outcome: "Outcome") -> None:
        """The completion in its place, what it cost, and where in the prompt that was."""
        edit, reuse = outcome.edit, outcome.warm["reuse"]
        self._line(Text(f"\n{number:>3}  {edit.path.name}: ", style="bold").append(edit.what, style="not bold"))
        self._code(outcome)
        names = ("prompt", "common", "restored", "processed", "needed", "excess")
        cost = ", ".join(f"{name} {reuse[name]}" for name in names)
        self._say(f"     warm: {cost}; {_ms(outcome.warm):.0f} ms")
        cold = f"processed {outcome.cold['reuse']['processed']}; {_ms(outcome.cold):.0f} ms"
        self._say(f"     cold: {cold}; answer {_verdict(outcome)}")
        self._strips(outcome.context, reuse["prompt"], reuse["processed"])

    def summary(self, outcomes: Sequence["Outcome"]) -> None:
        """A line for each edit, the sums, and whether everything held."""
        self._console.print(_table(outcomes))
        warm, cold = _total([o.warm for o in outcomes]), _total([o.cold for o in outcomes])
        needed = sum(outcome.warm["reuse"]["needed"] for outcome in outcomes)
        self._say(f"With Scrubjay:     {warm[0]:>7} tokens processed {warm[1]:>8.2f} s   ({needed} tokens were needed)")
        self._say(f"Without Scrubjay:  {cold[0]:>7} tokens processed {cold[1]:>8.2f} s")
        worst = max(outcome.excess for outcome in outcomes)
        most = max(outcome.interval for outcome in outcomes)
        noise = max(outcome.noise for outcome in outcomes)
        self._say(
            f"Largest excess: {worst} tokens, at most {most} are allowed: {_yes(all(o.is_cheap for o in outcomes))}."
        )
        lawful = _yes(all(outcome.is_lawful for outcome in outcomes))
        self._say(
            f"Every warm answer equals the cold one: {lawful}. Their tokens' margins differ by at most {noise:.3f}."
        )

    def _code(self, outcome: "Outcome") -> None:
        """The lines around the cursor; the completion stands between « and »."""
        edit = outcome.edit
        ghost = "".join(item["text"] for item in outcome.shown["items"]).split("\n")
        more = " ..." if len(ghost) > MAX_GHOST_LINES else ""
        shown = "\n".join(ghost[:MAX_GHOST_LINES]) + more
        code = Text("\n".join((*edit.above, edit.typed)))
        code.append("«" + shown + "»", style="bold green")
        if reasons := outcome.shown.get("discarded"):
            code.append("  nothing is shown: " + ", ".join(reasons), style="dim")
        code.append("\n".join(("", *edit.below)))
        for line in code.split("\n", allow_blank=True):
            self._line(Text("     | ", style="dim").append(line))

    def _strips(self, context: Json, n_prompt: int, n_processed: int) -> None:
        """Three rows over the same tokens: what they are, where checkpoints stand, and which were processed."""
        total, width = max(context["n_resident"], n_prompt), self._width - MARGIN
        letters = [_letter(context["segments"], column * total // width) for column in range(width)]
        row = Text("     segments  ")
        for letter, colour in letters:
            row.append(letter, style=colour)
        self._line(row)
        marks = {min(n * width // total, width - 1) for n in context["checkpoints"]}
        self._line(Text("     saved     " + _row(width, lambda column: "^" if column in marks else " ")))
        first, last = (n_prompt - n_processed) * width // total, n_prompt * width // total
        self._line(Text("     processed " + _row(width, lambda column: "#" if first <= column <= last else ".")))

    def _say(self, text: str) -> None:
        self._console.print(Text(text))

    def _line(self, text: Text) -> None:
        self._console.print(text, no_wrap=True, overflow="ellipsis")


def _table(outcomes: Sequence["Outcome"]) -> Table:
    table = Table(title="\nTokens of each edit's prompt, and milliseconds for it", title_justify="left", box=box.SIMPLE)
    names = ("prompt", "common", "restored", "processed", "needed", "excess")
    for name in ("edit", *names, "ms", "cold", "cold ms", "answer"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, outcome in enumerate(outcomes, 1):
        tokens = [str(outcome.warm["reuse"][name]) for name in names]
        cold = str(outcome.cold["reuse"]["processed"])
        table.add_row(
            str(number), *tokens, f"{_ms(outcome.warm):.0f}", cold, f"{_ms(outcome.cold):.0f}", _verdict(outcome)
        )
    return table


def _verdict(outcome: "Outcome") -> str:
    if outcome.is_same:
        return "equal"
    return "a tie" if outcome.is_lawful else "DIFFERENT"


def _letter(segments: Sequence[Json], position: int) -> tuple[str, str]:
    """The letter and the colour of the segment at `position`; files take turns in small and capital letters."""
    for number, segment in enumerate(segments):
        if segment["start"] <= position < segment["end"]:
            kind = segment["kind"]
            return LETTERS.get(kind, "fF"[number % 2]), COLOURS.get(kind, "")
    return "g", "dim"


def _row(width: int, character: Callable[[int], str]) -> str:
    return "".join(map(character, range(width)))


def _total(answers: Sequence[Json]) -> tuple[int, float]:
    """Tokens processed for all the prompts, and seconds."""
    return sum(answer["reuse"]["processed"] for answer in answers), sum(map(_ms, answers)) / 1e3


def _ms(answer: Json) -> float:
    """Milliseconds that the prompt has cost."""
    ms: float = answer["timings"]["prompt_ms"]
    return ms


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"
