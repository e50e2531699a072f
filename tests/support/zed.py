"""Prompts as Zed makes them for Zeta 2 and 2.1: the region is around the cursor, and goes along with it."""

from itertools import pairwise

from scrubjay.nextedit.zeta import BETWEEN, CURSOR, FILE, MIDDLE, OLD, PREFIX, SUFFIX, block_starts

REGION_BYTES, BELOW_BYTES = 350 * 3, 75 * 3


def zed_prompt(text: str, offset: int, head: str = "", is_marked: bool = False) -> str:
    """What Zed sends with the cursor at `offset` of `text`; regions end before their last line end."""
    lines = text.splitlines(keepends=True)
    line = text.count("\n", 0, offset)
    first, end = line, line + 1
    while end - first < len(lines) and len("".join(lines[first:end])) < REGION_BYTES:
        first, end = max(first - 1, 0), min(end + 1, len(lines))
    start = len("".join(lines[:first]))
    region = "".join(lines[first:end])
    below = "\n" + "".join(lines[end:])[:BELOW_BYTES] if end < len(lines) else ""
    region = region.removesuffix("\n") if below else region
    at = offset - start
    marked = region[:at] + CURSOR + region[at:]
    if is_marked:
        starts = block_starts(region.splitlines(keepends=True))
        ends = [sum(map(len, region.splitlines(keepends=True)[:n])) for n in starts]
        ends = [end + len(CURSOR) * (end > at) for end in ends[:-1]] + [len(marked)]
        blocks = [marked[a:b] for a, b in pairwise(ends)]
        marked = (
            "".join(f"<|marker_{n}|>{block}" for n, block in enumerate(blocks, 1)) + f"<|marker_{len(blocks) + 1}|>"
        )
        body = marked
    else:
        body = f"{OLD}{marked}\n{BETWEEN}" if not marked.endswith("\n") else f"{OLD}{marked}{BETWEEN}"
    above = "".join(lines[:first])[-BELOW_BYTES:]
    return f"{SUFFIX}{below}\n{PREFIX}{head}{FILE}src/shapes.py\n{above}{body}{MIDDLE}"
