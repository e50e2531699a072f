"""Prompts that Zed has made for Zeta 2 and 2.1, shown so that the next one shares its beginning.

What follows the region comes first in them, and the region goes along with the cursor: each new line would have everything
processed again. So as long as the cursor is well above the place where the region ended in the prompt before, it ends there
again, and the answer is made into one for the region that Zed has sent:

sent     |-- above --|------------- region -------------|-- below --|
shown    |-- above --|-------- region --------|-- below, as before --|      the answer gets the lines between
"""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise

from scrubjay.nextedit.formats import ended, unended
from scrubjay.nextedit.region import BYTES_PER_TOKEN, n_bytes
from scrubjay.nextedit.zeta import (
    BETWEEN,
    CURSOR,
    FILE,
    MARKER,
    MIDDLE,
    NEW,
    OLD,
    PREFIX,
    REGION_TOKENS,
    SUFFIX,
    marked,
)

MARGIN = 4
"""Lines of the region that stay below the cursor."""
MIN_SAME = 24
"""Characters of what follows the region by which its end is found again."""
MAX_BYTES = REGION_TOKENS * BYTES_PER_TOKEN * 3 // 2
"""Of a region that ends further down than Zed's."""
MAX_CHARACTERS = 1 << 16
"""A longer prompt is none of Zed's."""
MAX_FILES = 32


@dataclass(frozen=True, slots=True)
class ZedPrompt:
    """The parts of a prompt.

    Args:
        below: what follows the region, as sent; `after` is that from the line on that comes after the region.
        head: other files and the history, up to the path of this file.
        path: of this file.
        blocks: of the region, with the cursor in one of them; in Zeta 2 there is one.
        is_marked: whether blocks have markers, as in Zeta 2.1.
    """

    below: str
    head: str
    path: str
    above: str
    blocks: tuple[str, ...]
    is_marked: bool

    @property
    def region(self) -> str:
        """The lines of the region, without the cursor."""
        return ended("".join(self.blocks).replace(CURSOR, "", 1))

    @property
    def after(self) -> str:
        return self.below.removeprefix("\n")

    @property
    def text(self) -> str:
        start = f"{SUFFIX}{self.below}\n{PREFIX}{self.head}{self.above}"
        if not self.is_marked:
            return f"{start}{OLD}{ended(self.blocks[0])}{BETWEEN}{MIDDLE}"
        return f"{start}{marked(self.blocks)}{MIDDLE}"


def read_prompt(text: str) -> ZedPrompt | None:
    """The parts of `text`; None if it is no prompt of Zed's for Zeta 2 or 2.1."""
    if len(text) > MAX_CHARACTERS or not text.startswith(SUFFIX) or not text.endswith(MIDDLE):
        return None
    if any(text.count(mark) != 1 for mark in (SUFFIX, PREFIX, MIDDLE, CURSOR)):
        return None
    below, _, rest = text[len(SUFFIX) : -len(MIDDLE)].partition(f"\n{PREFIX}")
    at = rest.rfind(FILE)
    path, line_end, excerpt = rest[at + len(FILE) :].partition("\n")
    if at < 0 or not line_end:
        return None
    parts = _by_markers(excerpt) or _between_marks(excerpt)
    if parts is None or not any(CURSOR in block for block in parts[1]):
        return None
    found = ZedPrompt(
        below,
        rest[: len(rest) - len(excerpt)],
        path,
        parts[0],
        parts[1],
        MARKER.match(excerpt, len(parts[0])) is not None,
    )
    return found if found.text == text else None


def _by_markers(excerpt: str) -> tuple[str, tuple[str, ...]] | None:
    found = [*MARKER.finditer(excerpt)]
    if len(found) < 2 or [int(match[1]) for match in found] != [*range(1, len(found) + 1)]:
        return None
    blocks = tuple(excerpt[one.end() : other.start()] for one, other in pairwise(found))
    return excerpt[: found[0].start()], blocks


def _between_marks(excerpt: str) -> tuple[str, tuple[str, ...]] | None:
    above, mark, rest = excerpt.partition(OLD)
    return (above, (rest.removesuffix(BETWEEN),)) if mark and rest.endswith(f"\n{BETWEEN}") else None


@dataclass(frozen=True, slots=True)
class Anchored:
    """A prompt that was sent, and as it is shown."""

    sent: ZedPrompt
    shown: ZedPrompt

    @property
    def n_more(self) -> int:
        """How many characters longer its answer is."""
        return max(len(self.shown.region) - len(self.sent.region), 0)

    def answer(self, written: str) -> str:
        """What answers the prompt that was sent; `written` is the whole answer to the one that is shown."""
        if self.shown.below == self.sent.below:
            return written
        return (_marked_answer if self.sent.is_marked else _whole_answer)(written, self.sent, self.shown)


class ZedRegions:
    """Where the regions of Zed's last prompts ended."""

    def __init__(self) -> None:
        self._below: OrderedDict[tuple[str, str], str] = OrderedDict()

    def anchored(self, sent: ZedPrompt, group: str) -> Anchored:
        """`sent` as it is to be shown.

        Args:
            group: whose file it is; no other group's is looked at.
        """
        key = group, sent.path
        shown = _ending_at(sent, self._below.get(key))
        self._below[key] = shown.below
        self._below.move_to_end(key)
        if len(self._below) > MAX_FILES:
            self._below.popitem(last=False)
        return Anchored(sent, shown)


def _ending_at(sent: ZedPrompt, below: str | None) -> ZedPrompt:
    """`sent` with its region up to where `below` begins; as it is, if that is not found, or not a good place any more."""
    if below is None or below == sent.below or below.startswith("\n") != sent.below.startswith("\n"):
        return sent
    after, text = below.removeprefix("\n"), sent.region + sent.after
    cursor = "".join(sent.blocks).index(CURSOR)
    end = _place_of(after, text, cursor)
    if (
        end is None
        or text.count("\n", cursor, end) <= MARGIN
        or n_bytes(text[:end]) > max(MAX_BYTES, n_bytes(sent.region))
    ):
        return sent
    return ZedPrompt(below, sent.head, sent.path, sent.above, _blocks_to(end, sent), sent.is_marked)


def _place_of(after: str, text: str, start: int) -> int | None:
    """The line of `text` from which on it goes on as `after`, as far as both are known."""
    at = text.find("\n", start) + 1
    while at:
        n_known = min(len(after), len(text) - at)
        if n_known < MIN_SAME:
            return None
        if text.startswith(after[:n_known], at):
            return at
        at = text.find("\n", at) + 1
    return None


def _blocks_to(end: int, sent: ZedPrompt) -> tuple[str, ...]:
    """The blocks of the region if it ends at `end`, counted without the cursor, which is before that."""
    if end >= len(sent.region):
        *blocks, last = sent.blocks
        return *blocks, ended(last) + sent.after[: end - len(sent.region)]
    kept, left = [], end + len(CURSOR)
    for block in sent.blocks:
        if left > 0:
            kept.append(block[:left])
        left -= len(block)
    return tuple(kept)


def _whole_answer(answer: str, sent: ZedPrompt, shown: ZedPrompt) -> str:
    new, mark, rest = answer.partition(NEW)
    made = _for_sent(new, sent.region, shown.region)
    return (sent.region if made is None else made) + mark + rest


def _marked_answer(answer: str, sent: ZedPrompt, shown: ZedPrompt) -> str:
    found = [*MARKER.finditer(answer)]
    last = len(shown.blocks) + 1
    if len(found) != 2 or int(found[1][1]) < last or found[0][1] == found[1][1]:
        return answer  # nothing is changed where the two regions differ
    block, was = (blocks[last - 2].replace(CURSOR, "") for blocks in (sent.blocks, shown.blocks))
    made = _for_sent(answer[found[0].end() : found[1].start()], block, was)
    if made is None or int(found[1][1]) > last:
        return "<|marker_1|><|marker_1|>" + answer[found[1].end() :]
    return answer[: found[0].end()] + made + answer[found[1].start() :]


def _for_sent(new: str, sent: str, shown: str) -> str | None:
    """`new`, which is for `shown`, as it would be for `sent`, if one of them begins with the other; None if nobody can say."""
    if sent.startswith(shown):
        return (ended(new) if new else "") + sent[len(shown) :]
    more = unended(shown)[len(unended(sent)) :]
    return unended(new).removesuffix(more) + sent[len(unended(sent)) :] if unended(new).endswith(more) else None
