"""Layout, anchored form: typing only ever adds tokens at the end.

    [repo] [files, see file_order] [tails] [current path] [FIM: prefix up to the anchor, suffix from the next line on, middle]
                                                                        what was typed after the anchor stands here: ^^^^^^

The FIM prefix ends at an *anchor*, the start of a line a little above the cursor. What is between anchor and cursor comes
after the middle token, as the beginning of what the model is to write. The suffix begins with the line after the
cursor's; a rest of the cursor's line belongs to it only if it is more than closers, which editors insert by themselves.

Pure: what has to be known of earlier prompts is a value, `LayoutState`, that goes in and comes out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from scrubjay.code_text import has_words
from scrubjay.prompt.file_order import FileSlot, admit, reorder
from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.segments import Prompt, Segment, assemble, part_tokens
from scrubjay.prompt.windows import (
    PromptFrame,
    Window,
    cut_reason,
    file_segment,
    fim_segments,
    frame,
    prefix_limit,
    prefix_window,
    rounded_up,
    suffix_window,
)
from scrubjay.tokenizer.token_cache import TokenCache, TokenizedText
from scrubjay.tokens import common_length
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project

N_SUFFIX_TOKENS = 512
N_MIDDLE_TOKENS = 512
N_LINES_BACK = 4
"""Lines above the cursor's at which the anchor is set: the model writes better when it goes on with whole lines."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where the prefix of a document ends, and what the prompt shows around it.

    Args:
        offset: the anchor.
        before: the text before it.
        prefix: the window on `before`.
        suffix: the window on the text after the cursor's line.
        reason: why the anchor was set anew.
    """

    offset: int
    before: str
    prefix: Window
    suffix: Window
    reason: str


@dataclass(frozen=True, slots=True)
class LayoutState:
    """How a project was laid out last: its files in their order, and an anchor for each document that was edited."""

    slots: tuple[FileSlot, ...] = ()
    anchors: Mapping[str, Anchor] = field(default_factory=dict)
    current: str = ""


NOTHING_LAID = LayoutState()


@dataclass(frozen=True, slots=True)
class TokenBudget:
    """How many tokens each part may have; `share` is what prefix and other files have together."""

    prefix: int
    suffix: int
    middle: int
    share: int


def anchored_prompt(
    laid: LayoutState,
    project: Project,
    document: Document,
    offset: int,
    template: FimTemplate,
    tokenize: TokenCache,
    limits: Limits,
    is_idle: bool = False,
) -> tuple[Prompt, LayoutState]:
    """The prompt for a completion at `offset` of `document`, and how the project is laid out now.

    Args:
        laid: what came out of the last prompt for this project.
        is_idle: nobody waits for it, so this is the time for what typing should not have to pay.

    Raises:
        PromptRefused: there is no room for even a few tokens of the document.
    """
    framed = frame(project, document, template, tokenize, limits)
    text = tokenize.document(document.key, document.text)
    slots = laid.slots
    if is_idle or laid.current != document.key:
        slots = _slots(laid, project, document, template, tokenize)
    room = rooms(framed, template, limits.window, _n_other_tokens(project, document, tokenize))
    anchor = keep_or_reanchor(laid.anchors.get(document.key), document, text, offset, room, tokenize, is_idle)
    n_prefix = rounded_up(len(anchor.prefix.tokens), max(room.share // 16, 64), room.share)
    recent = [other.key for other in project.by_recency()]
    slots = admit(slots, recent, room.share - n_prefix, {slot.key for slot in laid.slots})
    segments = [framed.start, *map(_segment, slots), *framed.tails, framed.path]
    prompt = assemble([*segments, *current_segments(anchor, framed.path.label, text, offset, template)], tokenize)
    anchors = {key: old for key, old in laid.anchors.items() if key in project.documents}
    return prompt, LayoutState(slots, anchors | {document.key: anchor}, document.key)


def _slots(
    laid: LayoutState, project: Project, document: Document, template: FimTemplate, tokenize: TokenCache
) -> tuple[FileSlot, ...]:
    def make(other: Document) -> FileSlot:
        label = project.label(other)
        segment = file_segment(other, label, template, tokenize)
        return FileSlot(other.key, label, other.text, part_tokens(segment.parts, tokenize))

    return reorder(laid.slots, project.by_recency(), document.key, make)


def _n_other_tokens(project: Project, document: Document, tokenize: TokenCache) -> int:
    others = (other for other in project.documents.values() if other.key != document.key)
    return sum(len(tokenize.document(other.key, other.text).tokens) for other in others)


def rooms(framed: PromptFrame, template: FimTemplate, window_limit: int, n_others: int) -> TokenBudget:
    """How the room that `framed` leaves is shared out; arguments as of `anchored_prompt`, other files have `n_others` tokens."""
    quarter = framed.room // 4
    suffix = 0 if template.order == "plain" else min(N_SUFFIX_TOKENS, quarter)
    middle = min(N_MIDDLE_TOKENS, quarter)
    share = framed.room - suffix - middle
    prefix = prefix_limit(share, n_others)
    return TokenBudget(min(prefix, window_limit or prefix), suffix, middle, share)


def _segment(slot: FileSlot) -> Segment:
    return Segment("file", slot.label, (slot.tokens,), reason=slot.reason)


def current_segments(
    anchor: Anchor, label: str, text: TokenizedText, offset: int, template: FimTemplate
) -> list[Segment]:
    """What of the current file the prompt shows: the end of every anchored prompt."""
    line = text.text.rfind("\n", 0, offset) + 1
    typed = text.between(anchor.offset, offset)
    hot = common_length(text.between(anchor.offset, line), typed) if line > anchor.offset else 0
    return fim_segments(
        template,
        Segment("prefix", label, (anchor.prefix.tokens,), reason=anchor.reason),
        Segment("suffix", label, (anchor.suffix.tokens,), reason=cut_reason(anchor.suffix, "lines after the cursor's")),
        Segment("middle", label, (typed,), (hot,), reason="typed after the anchor; the model goes on from here"),
    )


# --- the anchor ------------------------------------------------------------------------------------------------------


def keep_or_reanchor(
    anchor: Anchor | None,
    document: Document,
    text: TokenizedText,
    offset: int,
    room: TokenBudget,
    tokenize: TokenCache,
    is_idle: bool,
) -> Anchor:
    """`anchor` if it may stay, else a new one for `offset`."""
    reason = _why_anew(anchor, document, text, offset, room, is_idle)
    if anchor is not None and not reason:
        return anchor
    at = _place_anchor(document, text, offset, room.middle)
    prefix = prefix_window(text, at, room.prefix, tokenize)
    suffix = suffix_window(document, _suffix_start(document, offset), room.suffix, tokenize)
    return Anchor(at, document.text[:at], prefix, suffix, cut_reason(prefix, f"text before the anchor, set {reason}"))


def _why_anew(
    anchor: Anchor | None, document: Document, text: TokenizedText, offset: int, room: TokenBudget, is_idle: bool
) -> str:
    """Why the anchor must be set anew, "" if it may stay."""
    if anchor is None:
        return "when the file was first edited"
    if not document.text.startswith(anchor.before):
        return "because text before it changed"
    if offset < anchor.offset or not _shows(anchor.suffix, document, _suffix_start(document, offset)):
        return "because the cursor moved, or text after it changed"
    if len(anchor.prefix.tokens) > room.prefix or len(anchor.suffix.tokens) > room.suffix:
        return "because there is less room"
    most = room.middle // 2 if is_idle else room.middle
    # No text has more tokens than bytes, but that some vocabularies begin it with a blank.
    n_bytes = len(document.text[anchor.offset : offset].encode(errors="surrogatepass"))
    if n_bytes >= most and len(text.between(anchor.offset, offset)) > most:
        return "because much was typed after the one before"
    return ""


def _shows(suffix: Window, document: Document, start: int) -> bool:
    """Whether the text from `start` on still begins as the suffix does."""
    ends = len(document.text) - start == len(suffix.text) if suffix.is_whole else True
    return ends and document.text.startswith(suffix.text, start)


def _suffix_start(document: Document, offset: int) -> int:
    content = document.content
    line = content.line_at(offset)
    rest = document.text[offset : content.line_end(line)]
    return offset if has_words(rest) else content.line_start(line + 1)


def _place_anchor(document: Document, text: TokenizedText, offset: int, limit: int) -> int:
    content = document.content
    line = content.line_at(offset)
    for n_back, most in ((N_LINES_BACK, limit // 2), (0, limit)):
        at = content.line_start(max(line - n_back, 0))
        if offset - at <= 8 * most and len(text.between(at, offset)) <= most:
            return at
    # Somewhere in a line that is too long, at a place that does not move with every key.
    step = limit // 4
    while len(text.between(at := offset // step * step, offset)) > limit:
        step //= 2
    return at
