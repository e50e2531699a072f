"""What is measured in which order, how long that takes, and what fits into the minutes that there are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.benchmarks.work import POSITIONS

Work = Literal["edit", "trace", "typing", "switch", "cancel", "speed"]
PAIR = ("deltanet", "swa")
"""The classes in which most is at stake: gated delta net, and sliding window."""
SPEEDS = {"dense": 180, "swa": 500, "shortconv": 270, "deltanet": 115, "mamba2_hybrid": 250, "recurrent": 400}
"""Tokens per second in prefills on 2 cores; what they really are is found out on the way."""
N_FOR_ALL = 1
"""Later rounds of edits are for those that may have learned from the earlier ones where edits are."""
NEAR_THE_END = 95
"""From this place on, in per cent, what is learned from earlier edits shows most; before it, few rounds say enough."""
CUT_ANYWHERE = ("dense", "swa")
"""Here nothing is learned."""
N_REPEATS = 3
"""Rounds of edits are repeated from a new beginning, and the best times compared: the same work takes up to twice as long now
and then, where others have the rest of the machine."""
WITHOUT_FLASH = ("shortconv", "deltanet", "mamba2_hybrid", "dense")
"""Scrubjay runs these without flash attention on CPUs: so the strongest llama-server is perhaps one that does, too."""
START_S = 12.0
"""All contestants of a cell have to load the model."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of the measuring that is done as a whole; `position` in per cent, 0 where there is none."""

    kind: str
    work: Work
    n_tokens: int
    position: int = 0
    n_rounds: int = 3
    n_repeats: int = 1

    @property
    def key(self) -> str:
        """Names it in the results."""
        again = f"x{self.n_repeats}" if self.n_repeats > 1 else ""
        return f"{self.kind}/{self.work}/{self.n_tokens}/{self.position}x{self.n_rounds}{again}"

    @property
    def seconds(self) -> float:
        """An estimate."""
        whole = self.n_tokens / SPEEDS[self.kind]
        return START_S + self._prefills() * whole

    def _prefills(self) -> float:
        """How many prompts' worth of tokens are processed, by all contestants together."""
        rest = 1 - self.position / 100
        n_starts = 5.0
        match self.work:
            case "edit":  # ours, the limit and the tuned servers do the rest, the others all; and the cold answer
                return n_starts + self.n_repeats * (self.n_rounds * (4 * rest + 1) + 3) + 2 * N_FOR_ALL
            case "trace" | "typing":  # ours little, the default server and the cold answer all
                return n_starts + self.n_rounds * 2.6
            case "switch":
                return n_starts + 2 * self.n_rounds * 2.2
            case "cancel":
                return 2.0 + 2.0 * self.n_rounds
            case "speed":  # most of it generates, which takes some six times as long for a token
                return 4.0 + 8.2 * self.n_rounds


def quick_cells() -> list[Cell]:
    """One of each sort, for tiny models."""
    works: tuple[Work, ...] = ("edit", "trace", "typing", "switch", "cancel", "speed")
    return [Cell("deltanet", work, 512, 50 if work == "edit" else 0, 2) for work in works]


def cells(kinds: Sequence[str], lengths: Sequence[int]) -> list[Cell]:
    """All of them, the most telling first: whoever stops early has the best of it."""
    return sorted(_all(kinds, lengths), key=_importance)


def fitting(some: Sequence[Cell], seconds: float) -> list[Cell]:
    """Those that can be done in that time, in their order; an expensive one is passed over for cheaper ones after it."""
    kept, left = [], seconds
    for cell in some:
        if cell.seconds <= left:
            kept.append(cell)
            left -= cell.seconds
    return kept


def _all(kinds: Sequence[str], lengths: Sequence[int]) -> Iterator[Cell]:
    for kind in kinds:
        for n_tokens in lengths:
            for position in POSITIONS:
                n_rounds = 3 if position >= NEAR_THE_END else 2
                yield Cell(kind, "edit", n_tokens, position, n_rounds, N_REPEATS if n_tokens <= 2048 else 1)
            for work, rounds in (("typing", 3), ("trace", 6), ("switch", 2), ("cancel", 2), ("speed", 3)):
                yield Cell(kind, work, n_tokens, 0, rounds if n_tokens <= 2048 else max(1, rounds // 2))  # type: ignore[arg-type]


def _importance(cell: Cell) -> tuple[int, float]:
    is_short = cell.n_tokens <= 2048
    first = is_short and (cell.work, cell.position) in (("edit", 50), ("edit", 99), ("typing", 0), ("speed", 0))
    second = (is_short and cell.work == "edit") or (cell.work, cell.position) == ("edit", 99)
    return (0 if first else 1 if second else 2), cell.seconds
