"""The current file in a prompt, anchored: typing only ever adds tokens at the end.

    [FIM: prefix up to the anchor, suffix from the next line on, middle]
                                   what was typed after the anchor: ^^^^^^

The FIM prefix ends at an *anchor*, the start of a line a little above the cursor. What is between anchor and cursor comes
after the middle token, as the beginning of what the model is to write. The suffix begins with the line after the
cursor's; a rest of the cursor's line belongs to it only if it is more than closers, which editors insert by themselves.
Closers at the beginning of a rest are not shown either, so that a bracket typed there costs no more than a letter.

An anchor is a value, and belongs to what is shown around it, not to a place in the text: it stays where that is, also when text
above it comes and goes.
"""

import re
from dataclasses import dataclass, replace

from scrubjay.code_text import has_words
from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.frame import LayoutInput, PromptFrame, fim_segments
from scrubjay.prompt.segments import Segment
from scrubjay.prompt.windows import (
    MIN_KEPT_SHARE,
    Window,
    prefix_limit,
    prefix_window,
    rest_window,
    rounded_up,
    suffix_window,
)
from scrubjay.tokenizer.token_cache import MAX_CHARACTERS_PER_TOKEN
from scrubjay.tokens import common_length
from scrubjay.workspace.document import Document

MAX_SUFFIX_TOKENS = 512
MAX_MIDDLE_TOKENS = 512
ANCHOR_LINES_BACK = 4
"""Lines above the cursor's at which the anchor is set: the model writes better when it goes on with whole lines."""
MAX_TOKEN_BYTES = 64
NEEDLE_CHARACTERS = 64
"""So many before an anchor find it in a text in which it has moved."""
MAX_FOUND = 8
"""Places that are looked at then."""
MAX_CLOSERS_CHARACTERS = 1_024
"""A longer rest of a line is shown, whatever it is."""
_CLOSERS = re.compile(r"[)\]}]{1,16}")
_CLOSERS_AND_QUOTES = re.compile(r"[)\]}\"'`]{1,16}")


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where the prefix of a document ends, and what the prompt shows around it.

    Args:
        offset: the anchor.
        prefix: the window on the text before it.
        suffix: the window on the text after the cursor's line.
        reason: why the anchor was set here.
    """

    offset: int
    prefix: Window
    suffix: Window
    reason: str


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """How many tokens each part may have.

    Args:
        prefix: of a window that is made now; one that was shown before may have `kept`.
        share: what prefix and other files have together.
    """

    prefix: int
    suffix: int
    middle: int
    share: int
    kept: int

    def for_files(self, n_prefix: int) -> int:
        """What a prefix of `n_prefix` tokens leaves to other files."""
        # In steps, so that a prefix that grows does not push out a file at once.
        return self.share - rounded_up(n_prefix, max(self.share // 16, 64), self.share)


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
    prefix = min(prefix, window_limit or prefix)
    return TokenBudget(prefix, suffix, middle, share, prefix)


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
    kept, reason = keep(anchor, layout, budget)
    return kept or new_anchor(layout, budget, reason, anchor)


def keep(anchor: Anchor | None, layout: LayoutInput, budget: TokenBudget) -> tuple[Anchor | None, str]:
    """`anchor` where it is now, if it may serve the place of `layout`; else None, and why not."""
    if anchor is None:
        return None, "when the file was first edited"
    kept = _found(anchor, layout, budget.middle * MAX_CHARACTERS_PER_TOKEN)
    if kept is None and not _ends_with(layout.document.text, anchor.offset, anchor.prefix):
        return None, "because text before it changed"
    if kept is None or not _shows(anchor.suffix, layout):
        return None, "because the cursor moved, or text after it changed"
    if reason := _change_of_room(anchor, layout, budget):
        return None, reason
    # In idle time it moves before it must, so that it does not have to while someone types.
    if _is_longer(layout, kept.offset, budget.middle // 2 if layout.is_idle else budget.middle):
        return None, "because much was typed after the one before"
    return kept, ""


def _change_of_room(anchor: Anchor, layout: LayoutInput, budget: TokenBudget) -> str:
    """Why the windows must be made again, "" if they fit."""
    n_prefix = len(anchor.prefix.tokens)
    if n_prefix > budget.kept or len(anchor.suffix.tokens) > budget.suffix:
        return "because there is less room than before"
    is_short = not anchor.prefix.is_whole and n_prefix < budget.prefix // MIN_KEPT_SHARE
    return "because there is more room than before" if layout.is_idle and is_short else ""


def new_anchor(layout: LayoutInput, budget: TokenBudget, reason: str, last: Anchor | None = None) -> Anchor:
    """An anchor for the place of `layout`, whose window begins where that of `last` does, if it may."""
    document, cache = layout.document, layout.token_cache
    at = _anchor_offset(layout, budget.middle)
    prefix = prefix_window(layout.text, at, budget.prefix, cache, last.prefix if last else None)
    window = rest_window if layout.shows_rest else suffix_window
    suffix = window(document, _suffix_start(layout), budget.suffix, cache)
    return Anchor(at, prefix, suffix, prefix.reason(f"text before the anchor, which was set {reason}"))


def _found(anchor: Anchor, layout: LayoutInput, n_back: int) -> Anchor | None:
    """`anchor` where the text before it is now, if that is at most `n_back` characters before the cursor."""
    offset, shown = layout.offset, anchor.prefix.text
    if anchor.offset <= offset and _ends_with(layout.document.text, anchor.offset, anchor.prefix):
        return anchor
    needle, end = shown[-NEEDLE_CHARACTERS:], offset
    for _ in range(MAX_FOUND if anchor.prefix.start is None else 0):
        at = layout.document.text.rfind(needle, max(offset - n_back - len(needle), 0), end)
        if at < 0:
            return None
        if _ends_with(layout.document.text, at + len(needle), anchor.prefix):
            return replace(anchor, offset=at + len(needle))
        end = at + len(needle) - 1
    return None


def _ends_with(text: str, end: int, window: Window) -> bool:
    """Whether `text` up to `end` ends with what `window` shows."""
    start = end - len(window.text)
    return start >= 0 and window.start in (None, start) and text.startswith(window.text, start)


def _is_longer(layout: LayoutInput, start: int, limit: int) -> bool:
    """Whether the text from `start` to the cursor has more than `limit` tokens."""
    # No text has more tokens than bytes (but for a space that some vocabularies put before it), and bytes are cheap.
    n_bytes = len(layout.document.text[start : layout.offset].encode(errors="surrogatepass"))
    if n_bytes > limit * MAX_TOKEN_BYTES:
        return True  # at least nearly so: to count its tokens would cost more than to set the anchor again
    return n_bytes >= limit and len(layout.text.between(start, layout.offset)) > limit


def _shows(suffix: Window, layout: LayoutInput) -> bool:
    """Whether the text after the cursor still begins as the suffix does."""
    document, offset = layout.document, layout.cursor
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
    document, offset = layout.document, layout.cursor
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
