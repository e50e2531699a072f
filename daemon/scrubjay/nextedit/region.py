"""The lines around the user that a model of next edits may rewrite.

What a model is shown of a file depends on where these lines are. So they stay where they are as long as the user is well inside:
then most of one prompt is in the next one, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scrubjay.positions import split_lines

BYTES_PER_TOKEN = 3
"""A careful estimate for source text, by which the formats' limits in tokens are kept."""


@dataclass(frozen=True, slots=True)
class Region:
    """All lines but the first `n_above` and the last `n_below`. Edits inside leave both numbers as they are."""

    n_above: int
    n_below: int


@dataclass(frozen=True, slots=True)
class Size:
    """How large a region is: up to `n_above` lines above that of the user and `n_below` below, in `n_bytes` at most."""

    n_above: int
    n_below: int
    n_bytes: int = 1 << 20
    margin: int = 2
    """With fewer lines between the user and its end, a region is chosen again."""


@dataclass(frozen=True, slots=True)
class Window:
    """A text, cut at the ends of a region.

    Args:
        start: where `inside` begins.
        offset: where the user is in `inside`.
    """

    above: Sequence[str]
    lines: Sequence[str]
    below: Sequence[str]
    start: int
    offset: int

    @property
    def inside(self) -> str:
        return "".join(self.lines)

    @property
    def line(self) -> int:
        """The number of the user's line, from 0, of those in the region."""
        return len(split_lines(self.inside[: self.offset])) - 1

    def marked(self, cursor: str) -> str:
        """The region with `cursor` where the user is."""
        return self.inside[: self.offset] + cursor + self.inside[self.offset :]


def window_at(text: str, offset: int, size: Size, last: Region | None) -> tuple[Region, Window]:
    """The region around `offset`, which is `last` if that will still do, and the text cut at it."""
    lines = split_lines(text)
    if not lines[-1]:
        lines.pop()  # what follows the last line end is no line that could be shown
    line = min(len(split_lines(text[:offset])) - 1, max(len(lines) - 1, 0))
    region = last if last and _will_do(last, lines, line, size) else _chosen(lines, line, size)
    above, inside = lines[: region.n_above], lines[region.n_above : len(lines) - region.n_below]
    start = sum(map(len, above))
    end = start + sum(map(len, inside))
    return region, Window(above, inside, lines[len(lines) - region.n_below :], start, min(offset, end) - start)


def n_bytes(text: str) -> int:
    """How long it is in UTF-8; a lone surrogate counts as any other character of its size."""
    return len(text.encode(errors="surrogatepass"))


def _will_do(region: Region, lines: Sequence[str], line: int, size: Size) -> bool:
    end = len(lines) - region.n_below
    has_lines_above = region.n_above == 0 or line - region.n_above >= size.margin
    has_lines_below = region.n_below == 0 or end - line > size.margin
    is_small = end - region.n_above <= 2 * (size.n_above + size.n_below + 1)
    inside = lines[region.n_above : end]
    return has_lines_above and has_lines_below and is_small and n_bytes("".join(inside)) <= 1.5 * size.n_bytes


def _chosen(lines: Sequence[str], line: int, size: Size) -> Region:
    """One line more on either side in turn, as long as they fit."""
    first, end = line, min(line + 1, len(lines))
    left = size.n_bytes - n_bytes("".join(lines[first:end]))
    grows = True
    while grows:
        grows = False
        if first > 0 and line - first < size.n_above and (cost := n_bytes(lines[first - 1])) <= left:
            first, left, grows = first - 1, left - cost, True
        if end < len(lines) and end - line <= size.n_below and (cost := n_bytes(lines[end])) <= left:
            end, left, grows = end + 1, left - cost, True
    return Region(first, len(lines) - end)
