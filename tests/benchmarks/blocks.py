"""What it would spare, and cost, to let segments of prompts end where blocks of a server's cache do.

    python -m tests.benchmarks.blocks [--users N] [--keys N]

The users of `scale` type, pause and jump; of each prompt a server has the whole blocks that an earlier one of the same user
begins with. Were segments filled up to whole blocks, it would have some tokens more of those prompts that part from all earlier
ones exactly at the end of a segment, and every prompt would be longer by half a block for each segment.
"""

import argparse
import asyncio
import inspect
import sys
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from scrubjay.prompt.segments import Prompt
from scrubjay.starter import model_path
from scrubjay.tokens import common_length
from tests.benchmarks.scale import User, scrubjay_prompts

BLOCKS = (1, 16, 128, 528)


@dataclass(frozen=True, slots=True)
class Parting:
    """Where a prompt parts from all before it: after `common` of its `n_tokens`, perhaps where one of its segments ends."""

    common: int
    n_tokens: int
    n_segments: int
    is_end: bool

    def lost(self, block: int) -> int:
        """Tokens that were sent before, in a block that was not."""
        return self.common % block


def partings(prompts: list[Prompt]) -> list[Parting]:
    found = []
    for number, prompt in enumerate(prompts):
        longest = max((common_length(before.tokens, prompt.tokens) for before in prompts[:number]), default=0)
        common = min(longest, len(prompt.tokens) - 1)
        found.append(
            Parting(common, len(prompt.tokens), len(prompt.boundaries), common in prompt.boundaries),
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=inspect.getdoc(sys.modules[__name__]), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=6)
    parser.add_argument("--keys", type=int, default=250, help="that each user presses")
    flags = parser.parse_args()
    found: list[Parting] = []
    for seed in range(flags.users):
        prompts = asyncio.run(scrubjay_prompts(User(seed), flags.keys, model_path()))
        found += partings([prompt for _, prompt in prompts])
    n = len(found)
    title = f"{n:,} prompts of {sum(each.n_tokens for each in found) / n:,.0f} tokens; "
    title += f"{sum(each.is_end for each in found) / n:.1%} part at the end of a segment"
    table = Table("block", "processed", "lost in blocks", "of that at ends of segments", "filling up", title=title)
    for block in BLOCKS:
        lost = sum(each.lost(block) for each in found)
        spared = sum(each.lost(block) for each in found if each.is_end)
        needed, n_segments = (
            sum(each.n_tokens - each.common for each in found),
            sum(each.n_segments for each in found),
        )
        padding = block / 2 * n_segments if block > 1 else 0
        table.add_row(str(block), *(f"{value / n:.2f}" for value in (needed + lost, lost, spared, padding)))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
