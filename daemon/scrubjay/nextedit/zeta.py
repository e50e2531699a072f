"""The formats of Zed's models of next edits: Zeta 2, which rewrites a region, and Zeta 2.1, which rewrites blocks of it.

What follows the region comes first. As the region stays where it is while the user is inside, so does what follows it.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from scrubjay.nextedit.formats import EditPrompt, Scene, ended, excerpts, max_tokens, unended
from scrubjay.nextedit.region import BYTES_PER_TOKEN, Size, Window, n_bytes

SUFFIX, PREFIX, MIDDLE = "<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>"
FILE = "<filename>"
CURSOR = "<|user_cursor|>"
OLD, BETWEEN, NEW = "<<<<<<< CURRENT\n", "=======\n", ">>>>>>> UPDATED"
END = "<[end\N{LOWER ONE EIGHTH BLOCK}of\N{LOWER ONE EIGHTH BLOCK}sentence]>"
N_CHANGES = 6
REGION_TOKENS = 350
CONTEXT_TOKENS = 150
"""Above and below the region together."""
MIN_BLOCK, MAX_BLOCK = 6, 16
REST = "...\n"
"""After an excerpt that is not all of its file."""

MARKER = re.compile(r"<\|marker_(\d+)\|>")
"""Between blocks; its group is the number."""


class Zeta2:
    """The model writes the whole region again."""

    size = Size(200, 200, REGION_TOKENS * BYTES_PER_TOKEN)
    markers = (SUFFIX, PREFIX, MIDDLE, FILE, CURSOR, OLD.strip(), NEW, END)
    stop = (NEW, END)

    def prompt(self, scene: Scene) -> EditPrompt:
        return _prompt(scene, f"{OLD}{ended(scene.window.marked(CURSOR))}{BETWEEN}")

    def new_text(self, answer: str, window: Window) -> str | None:
        text = answer.replace(CURSOR, "")
        return text if window.inside.endswith("\n") else unended(text)


class Zeta21:
    """The model names two of the markers between blocks, and writes what is to be between them."""

    size = Zeta2.size
    markers = (SUFFIX, PREFIX, MIDDLE, FILE, CURSOR, "<|marker_", END)
    stop = (END,)

    def prompt(self, scene: Scene) -> EditPrompt:
        return _prompt(scene, _with_markers(scene.window))

    def new_text(self, answer: str, window: Window) -> str | None:
        found = [*MARKER.finditer(answer)]
        if len(found) != 2 or answer[: found[0].start()].strip():
            return None
        starts, lines = block_starts(window.lines), window.lines
        first, last = (int(match[1]) - 1 for match in found)
        if not 0 <= first <= last < len(starts):
            return None
        if first == last:
            return window.inside
        text = answer[found[0].end() : found[1].start()].replace(CURSOR, "")
        if text and starts[last] < len(lines):
            text = ended(text)
        return "".join((*lines[: starts[first]], text, *lines[starts[last] :]))


def _prompt(scene: Scene, region: str) -> EditPrompt:
    window = scene.window
    below = "".join(_near(window.below))
    above = "".join(reversed([*_near(window.above[::-1])]))
    edits = "".join(edit.unified_diff(scene.label(edit.key)) for edit in scene.moment.edits[-N_CHANGES:])
    history = f"{FILE}edit_history\n{edits}\n" if edits else ""
    end = f"{history}{FILE}{scene.path}\n{above}{region}{MIDDLE}"
    start = f"{SUFFIX}{unended(below)}\n{PREFIX}"
    found = excerpts(scene, start + end)
    files = "".join(f"{FILE}{label}\n{ended(text)}{'' if is_all else REST}\n" for label, text, is_all in found)
    return EditPrompt(start + files + end, "", max_tokens(window))


def _with_markers(window: Window) -> str:
    """The region with the marker of each block before it, one after the last, and the user's cursor."""
    starts = block_starts(window.lines)
    blocks, left = [], window.offset
    for first, end in pairwise(starts):
        block = "".join(window.lines[first:end])
        has_cursor = 0 <= left < len(block) or (left == len(block) and end == len(window.lines))
        blocks.append(block[:left] + CURSOR + block[left:] if has_cursor else block)
        left -= len(block)
    return marked(blocks)


def marked(blocks: Sequence[str]) -> str:
    """The blocks of a region, each after its marker, and one marker after the last."""
    parts = (f"<|marker_{number}|>{block}" for number, block in enumerate(blocks, 1))
    return f"{''.join(parts)}<|marker_{len(blocks) + 1}|>"


def block_starts(lines: Sequence[str]) -> list[int]:
    """Where blocks begin, and where the last one ends: after a blank line if there is one at a good distance, else at most."""
    starts = [0]
    while len(lines) - starts[-1] > MAX_BLOCK:
        first = starts[-1]
        ends = range(first + MIN_BLOCK, min(first + MAX_BLOCK, len(lines) - 1) + 1)
        blank = next((end for end in reversed(ends) if not lines[end - 1].strip()), None)
        starts.append(blank or ends[-1])
    return [*starts, len(lines)]


def _near(lines: Sequence[str]) -> Iterator[str]:
    """Of the lines beside the region those that the model is to see."""
    left = CONTEXT_TOKENS * BYTES_PER_TOKEN // 2
    for line in lines:
        left -= n_bytes(line)
        if left < 0:
            return
        yield line
