"""Layout, anchored form: typing only ever adds tokens at the end.

    [repo] [files, see file_order] [tails] [current path] [FIM: prefix up to the anchor, suffix from the next line on, middle]
                                                                        what was typed after the anchor stands here: ^^^^^^

The FIM prefix ends at an *anchor*, the start of a line a little above the cursor. What is between anchor and cursor comes
after the middle token, as the beginning of what the model is to write. The suffix begins with the line after the
cursor's; a rest of the cursor's line belongs to it only if it is more than closers, which editors insert by themselves.
Closers at the beginning of a rest are not shown either, so that a bracket typed there costs no more than a letter.

Pure: what has to be known of earlier prompts is a value, `LayoutState`, that goes in and comes out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from scrubjay.code_text import has_words
from scrubjay.prompt.file_order import FileSlot, admit, reorder
from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.frame import LayoutInput, PromptFrame, fim_segments, prompt_frame
from scrubjay.prompt.segments import Prompt, Segment, assemble, part_tokens
from scrubjay.prompt.windows import Window, prefix_limit, prefix_window, rest_window, rounded_up, suffix_window
from scrubjay.tokens import common_length
from scrubjay.workspace.document import Document

MAX_SUFFIX_TOKENS = 512
MAX_MIDDLE_TOKENS = 512
ANCHOR_LINES_BACK = 4
"""Lines above the cursor's at which the anchor is set: the model writes better when it goes on with whole lines."""
MAX_TOKEN_BYTES = 64
MAX_CLOSERS_CHARACTERS = 1_024
"""A longer rest of a line is shown, whatever it is."""
_CLOSERS = re.compile(r"[)\]}]{1,16}")
_CLOSERS_AND_QUOTES = re.compile(r"[)\]}\"'`]{1,16}")


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where the prefix of a document ends, and what the prompt shows around it.

    Args:
        offset: the anchor.
        before: the text before it.
        prefix: the window on `before`.
        suffix: the window on the text after the cursor's line.
        reason: why the anchor was set here.
    """

    offset: int
    before: str
    prefix: Window
    suffix: Window
    reason: str


@dataclass(frozen=True, slots=True)
class LayoutState:
    """How a project was laid out last: its files in their order, an anchor for each document that was edited, and the frame."""

    slots: tuple[FileSlot, ...] = ()
    anchors: Mapping[str, Anchor] = field(default_factory=dict)
    current: str = ""
    frame: PromptFrame | None = None


EMPTY_LAYOUT = LayoutState()


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """How many tokens each part may have; `share` is what prefix and other files have together."""

    prefix: int
    suffix: int
    middle: int
    share: int

    def for_files(self, n_prefix: int) -> int:
        """What a prefix of `n_prefix` tokens leaves to other files."""
        # In steps, so that a prefix that grows does not push out a file at once.
        return self.share - rounded_up(n_prefix, max(self.share // 16, 64), self.share)


def anchored_prompt(old: LayoutState, layout: LayoutInput) -> tuple[Prompt, LayoutState]:
    """The prompt for a completion, and how the project is laid out now; `old` is what came out of its last prompt.

    Raises:
        PromptRefused: there is no room for even a few tokens of the document.
    """
    frame, key = prompt_frame(layout, old.frame), layout.document.key
    budget = token_budget(frame, layout.template, layout.limits.window, _n_other_tokens(layout))
    anchor = keep_or_reanchor(old.anchors.get(key), layout, budget)
    # To put files in order costs tokens, so a key does not do it: only a switch to another file, or time to spare.
    slots = _ordered(old, layout) if layout.is_idle or old.current != key else old.slots
    recent = [other.key for other in layout.project.by_recency()]
    slots = admit(slots, recent, budget.for_files(len(anchor.prefix.tokens)), {slot.key for slot in old.slots})
    segments = [frame.start, *map(_file_segment, slots), *frame.tails, frame.path]
    prompt = assemble([*segments, *current_segments(anchor, frame.path.label, layout)], layout.token_cache)
    anchors = {key: old for key, old in old.anchors.items() if key in layout.project.documents}
    return prompt, LayoutState(slots, anchors | {key: anchor}, key, frame)


def token_budget(frame: PromptFrame, template: FimTemplate, window_limit: int, n_others: int) -> TokenBudget:
    """How the room that `frame` leaves is shared out.

    Args:
        window_limit: the most tokens of the prefix; 0 for as many as fit.
        n_others: how many tokens other files have.
    """
    quarter = frame.room // 4
    suffix = 0 if template.order == "plain" else min(MAX_SUFFIX_TOKENS, quarter)
    middle = min(MAX_MIDDLE_TOKENS, quarter)
    share = frame.room - suffix - middle
    prefix = prefix_limit(share, n_others)
    return TokenBudget(min(prefix, window_limit or prefix), suffix, middle, share)


def _n_other_tokens(layout: LayoutInput) -> int:
    others = [
        (other.key, other.text) for other in layout.project.documents.values() if other.key != layout.document.key
    ]
    return layout.token_cache.count(others)


def _ordered(old: LayoutState, layout: LayoutInput) -> tuple[FileSlot, ...]:
    def make(other: Document) -> FileSlot:
        segment = layout.file_segment(other)
        return FileSlot(other.key, segment.label, other.text, part_tokens(segment.parts, layout.token_cache))

    return reorder(old.slots, layout.shown(), layout.document.key, make)


def _file_segment(slot: FileSlot) -> Segment:
    return Segment("file", slot.label, (slot.tokens,), reason=slot.reason)


def current_segments(anchor: Anchor, label: str, layout: LayoutInput) -> list[Segment]:
    """What of the current file the prompt shows: the end of every anchored prompt."""
    text, offset = layout.text, layout.offset
    line = text.text.rfind("\n", 0, offset) + 1
    typed = text.between(anchor.offset, offset)
    hot = common_length(text.between(anchor.offset, line), typed) if line > anchor.offset else 0
    return fim_segments(
        layout.template,
        Segment("prefix", label, (anchor.prefix.tokens,), reason=anchor.reason),
        Segment("suffix", label, (anchor.suffix.tokens,), reason=anchor.suffix.reason("text after the cursor")),
        Segment(
            "middle", label, (typed,), (hot,), reason="text from the anchor to the cursor; the model goes on from here"
        ),
    )


# --- the anchor ------------------------------------------------------------------------------------------------------


def keep_or_reanchor(anchor: Anchor | None, layout: LayoutInput, budget: TokenBudget) -> Anchor:
    """`anchor` if it may stay, else a new one for the place of `layout`."""
    reason = _reason_to_reanchor(anchor, layout, budget)
    if anchor is not None and not reason:
        return anchor
    document, cache = layout.document, layout.token_cache
    at = _anchor_offset(layout, budget.middle)
    prefix = prefix_window(layout.text, at, budget.prefix, cache)
    window = rest_window if layout.shows_rest else suffix_window
    suffix = window(document, _suffix_start(layout), budget.suffix, cache)
    what = f"text before the anchor, which was set {reason}"
    return Anchor(at, document.text[:at], prefix, suffix, prefix.reason(what))


def _reason_to_reanchor(anchor: Anchor | None, layout: LayoutInput, budget: TokenBudget) -> str:
    """Why the anchor must be set again, "" if it may stay."""
    document, offset = layout.document, layout.offset
    if anchor is None:
        return "when the file was first edited"
    if not document.text.startswith(anchor.before):
        return "because text before it changed"
    if offset < anchor.offset or not _shows(anchor.suffix, layout):
        return "because the cursor moved, or text after it changed"
    if len(anchor.prefix.tokens) > budget.prefix or len(anchor.suffix.tokens) > budget.suffix:
        return "because there is less room than before"
    # In idle time it moves before it must, so that it does not have to while someone types.
    if _is_longer(layout, anchor.offset, budget.middle // 2 if layout.is_idle else budget.middle):
        return "because much was typed after the one before"
    return ""


def _is_longer(layout: LayoutInput, start: int, limit: int) -> bool:
    """Whether the text from `start` to the cursor has more than `limit` tokens."""
    # No text has more tokens than bytes (but for a space that some vocabularies put before it), and bytes are cheap.
    n_bytes = len(layout.document.text[start : layout.offset].encode(errors="surrogatepass"))
    if n_bytes > limit * MAX_TOKEN_BYTES:
        return True  # at least nearly so: to count its tokens would cost more than to set the anchor again
    return n_bytes >= limit and len(layout.text.between(start, layout.offset)) > limit


def _shows(suffix: Window, layout: LayoutInput) -> bool:
    """Whether the text after the cursor still begins as the suffix does."""
    document, offset = layout.document, layout.offset
    if layout.shows_rest or _begins_with(document, _suffix_start(layout), suffix):
        return _begins_with(document, _suffix_start(layout), suffix)
    # Quotes are shown (see `_suffix_start`), but for those that an editor has inserted since the anchor was set.
    closers = _CLOSERS_AND_QUOTES.match(document.text, offset)
    return closers is not None and any(_begins_with(document, at, suffix) for at in range(offset, closers.end() + 1))


def _begins_with(document: Document, start: int, suffix: Window) -> bool:
    is_end = not suffix.is_whole or len(document.text) - start == len(suffix.text)
    return is_end and document.text.startswith(suffix.text, start)


def _suffix_start(layout: LayoutInput) -> int:
    """Where the text after the cursor begins that the prompt shows."""
    document, offset = layout.document, layout.offset
    if layout.shows_rest:
        return offset
    _, end, next_start = document.content.line_around(offset)
    # Whatever a long rest is, it is more than editors insert.
    if end - offset <= MAX_CLOSERS_CHARACTERS and not has_words(document.text[offset:end]):
        return next_start
    # A closing bracket begins nothing that the model would have to know; a quote may open a string.
    closers = _CLOSERS.match(document.text, offset)
    return closers.end() if closers else offset


def _anchor_offset(layout: LayoutInput, limit: int) -> int:
    """Where to set the anchor, so that the text from there to the cursor has at most `limit` tokens."""
    content, offset = layout.document.content, layout.offset
    line = content.line_at(offset)
    # Lines above only as long as they leave half of the room for what is going to be typed.
    for n_back, most in ((ANCHOR_LINES_BACK, limit // 2), (0, limit)):
        at = content.line_start(max(line - n_back, 0))
        if offset - at <= 8 * most and len(layout.text.between(at, offset)) <= most:
            return at
    # Somewhere in a line that is too long, at a place that does not move with every key.
    step = limit // 4
    while len(layout.text.between(at := offset // step * step, offset)) > limit:
        step //= 2
    return at
