"""What every project's prompt has around the text of the current file, whichever layout makes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from scrubjay.code_text import without_file
from scrubjay.errors import PromptRefused
from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.parts import FileParts
from scrubjay.prompt.segments import Segment, count_tokens, part_tokens
from scrubjay.prompt.similar import Windows
from scrubjay.prompt.windows import rounded_up
from scrubjay.tokenizer.token_cache import TokenCache, TokenizedText
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project, Tail

FIM_TOKENS = 3
"""The special tokens around prefix, suffix and middle."""
MIN_ROOM_TOKENS = 16
"""With less room for the current file than this no completion is worth asking for."""
DIFF_STEPS = 4
MAX_TAILS_SHARE = 4
"""Tails together have at most one in this many of the tokens that are left beside the frame."""


@dataclass(frozen=True, slots=True)
class LayoutInput:
    """What a layout makes a prompt of: a place in a project, how the model is asked, and how long the prompt may be.

    Args:
        offset: where the model is to go on; see `resume_at`.
        is_idle: nobody waits for the prompt, so this is the time for what typing should not have to pay.
        shows_rest: the suffix begins at the cursor, even if nothing but closers follows in the line.
        n_typed: how many characters after `offset` the cursor is.
        parts: those of files that are too large to be shown whole, by key; see `KnownParts`.
        windows: where to look for lines like those around the cursor, by key; see `KnownWindows`.
    """

    project: Project
    document: Document
    offset: int
    template: FimTemplate
    token_cache: TokenCache
    limits: Limits
    is_idle: bool = False
    shows_rest: bool = False
    n_typed: int = 0
    parts: Mapping[str, FileParts] = field(default_factory=dict)
    windows: Mapping[str, Windows] = field(default_factory=dict)

    @property
    def cursor(self) -> int:
        """Where the text after the cursor begins."""
        return self.offset + self.n_typed

    @property
    def text(self) -> TokenizedText:
        """The text of the current file with its tokens."""
        return self.tokenized(self.document)

    def tokenized(self, document: Document) -> TokenizedText:
        """The text of `document` with its tokens."""
        return self.token_cache.document(document.key, document.text)

    def shown(self) -> list[Document]:
        """The current document and the others that may be shown whole, least recently edited first."""
        documents, may_show = self.project.by_recency(), self.project.may_show
        return [
            one
            for one in documents
            if one.key == self.document.key or (may_show(one) and not self.tokenized(one).has_long_chunk)
        ]

    def file_segment(self, document: Document) -> Segment:
        """The whole of `document`, or its parts, after its path."""
        label, known = self.project.label(document), self.parts.get(document.key)
        reason = "another file of the project; the most recently edited come last"
        if known:
            tokens, text = known.tokens, known.shown[-1] if known.shown else ""
            reason = "parts of another file of the project: what was edited, and the beginnings of definitions"
        else:
            tokens, text = self.tokenized(document).tokens, document.text
        parts = (*self.template.header(label), tokens)
        if self.template.separator is None and not text.endswith("\n"):
            parts = (*parts, "\n")
        return Segment("file", label, parts, reason=reason)


@dataclass(frozen=True, slots=True)
class PromptFrame:
    """What every prompt for a file has, and how many tokens are left for the rest.

    `tails` come after all other files, so that they cost what they and the current file have when they come and go.
    `made_for` is all that the frame depends on, but for the vocabulary, and `shown` are the tails as they came.
    """

    start: Segment
    path: Segment
    room: int
    tails: tuple[Segment, ...] = ()
    made_for: tuple[object, ...] = ()
    shown: tuple[Tail, ...] = ()


def prompt_frame(layout: LayoutInput, last: PromptFrame | None = None) -> PromptFrame:
    """The frame of a prompt; `last`, which is the frame of an earlier one, if it is still the same.

    Raises:
        PromptRefused: there is no room for even a few tokens of the document.
    """
    template, limits, project = layout.template, layout.limits, layout.project
    name, label = project.name, project.label(layout.document)
    shown = _shown_tails(layout, last)
    made_for = (template, limits, name, label, shown)
    if last is not None and last.made_for == made_for:
        return last
    start_tokens = part_tokens(template.start(name), layout.token_cache)
    path_tokens = part_tokens(template.header(label), layout.token_cache)
    start = Segment("repo", name, (start_tokens,), reason="the start of every prompt of this project")
    path = Segment("path", label, (path_tokens,), reason="the path of the file that is being edited")
    n_fixed = len(start_tokens) + len(path_tokens) + max(FIM_TOKENS, sum(map(len, template.marks)))
    room = min(limits.n_ctx - limits.reserve, limits.context_budget or limits.n_ctx) - n_fixed
    if room < MIN_ROOM_TOKENS:
        raise PromptRefused(
            f"A context of {limits.n_ctx} tokens has no room for a prompt beside {limits.reserve} tokens of completion; "
            "use a larger --ctx or --context-budget."
        )
    tails = _tail_segments(shown, layout, label, room // MAX_TAILS_SHARE)
    room -= sum(n_tokens for _, n_tokens in tails)
    return PromptFrame(start, path, room, tuple(tail for tail, _ in tails), made_for, shown)


def _shown_tails(layout: LayoutInput, last: PromptFrame | None) -> tuple[Tail, ...]:
    """The tails of this prompt, diffs last; while somebody types, diffs are those of the `last` one."""
    own = [tail for tail in layout.project.tails.values() if tail.key in ("", layout.document.key)]
    diffs = own if layout.is_idle or last is None else last.shown
    return (*(tail for tail in own if not tail.is_diff), *(tail for tail in diffs if tail.is_diff))


def _tail_segments(tails: Sequence[Tail], layout: LayoutInput, label: str, room: int) -> list[tuple[Segment, int]]:
    """The ends of `tails`, each with an equal share of `room` tokens, and how many of these it takes."""
    made = []
    for tail in tails:
        n_most, header = room // len(tails), layout.template.header(tail.name)
        segment = Segment("tail", tail.name, header, reason=_reason_of(tail))
        n_text = n_most - count_tokens(segment, layout.token_cache) - 1
        text = without_file(tail.text, label) if tail.is_diff else tail.text
        if n_text > 0 and text:
            text_tokens = layout.token_cache.last_tokens(text, n_text)
            segment = replace(segment, parts=(*header, text_tokens, "\n"))
            n_tokens = count_tokens(segment, layout.token_cache)
            # A diff grows while somebody works: in steps, so that what stands before it can stay.
            made.append((segment, rounded_up(n_tokens, n_most // DIFF_STEPS + 1, n_most) if tail.is_diff else n_tokens))
    return made


def _reason_of(tail: Tail) -> str:
    if tail.is_diff:
        return "what the branch has changed in other files"
    return "what is about to be committed" if tail.key else "sent by a client for this prompt"


def fitting(files: Sequence[Segment], room: int, token_cache: TokenCache) -> list[Segment]:
    """Those of `files` that fit into `room` tokens together, the last ones first; the order stays."""
    kept: list[Segment] = []
    for file in reversed(files):
        n_tokens = count_tokens(file, token_cache)
        if n_tokens <= room:
            kept.append(file)
            room -= n_tokens
    return kept[::-1]


def fim_segments(template: FimTemplate, prefix: Segment, suffix: Segment, middle: Segment) -> list[Segment]:
    """Prefix, suffix and the beginning of the middle after their special tokens, in the order that the model knows."""
    prefix, suffix, middle = map(_after_mark, template.marks, (prefix, suffix, middle))
    by_order = {"psm": [prefix, suffix, middle], "spm": [suffix, prefix, middle], "plain": [prefix, middle]}
    return by_order[template.order]


def _after_mark(mark: tuple[int, ...], segment: Segment) -> Segment:
    hot = tuple(n + len(mark) for n in segment.hot)
    return Segment(segment.kind, segment.label, (*mark, *segment.parts), hot, segment.reason)
