"""Windows on a text: what of it a prompt shows when not all fits, so that typing moves them rarely, in big steps."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scrubjay.code_text import has_words
from scrubjay.errors import PromptRefused
from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.segments import Segment, count_tokens
from scrubjay.tokenizer.token_cache import TokenCache, TokenizedText
from scrubjay.tokens import Tokens, common_length
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project

N_FIM_TOKENS = 3
N_LEAST_ROOM = 16
"""With less room for the current file than this no completion is worth asking for."""
N_TOKENS_A_LINE = 8
"""A window on the suffix is tried with so many lines first that each may have so many tokens."""
N_OTHERS_STEP = 1024
"""Room for other files is taken in such steps, so that no window moves when one of them is edited a little."""
N_LINE_TOKENS = 128
"""As long as the cursor's line is no longer than that, typing in it moves no window."""
N_LONG = 32_768
"""A stretch of so many characters without a place to cut is not looked at as a whole."""


@dataclass(frozen=True, slots=True)
class PromptFrame:
    """What every prompt for a file has, and how many tokens are left for the rest.

    `tails` stand behind all other files, so that they cost what they and the current file have when they come and go.
    """

    start: Segment
    path: Segment
    room: int
    tails: tuple[Segment, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """What of a text the prompt shows.

    Args:
        hot: where the cursor's line starts in the tokens.
        is_whole: nothing of the text is left out.
        text: what is shown, perhaps a little more; only for a suffix.
    """

    tokens: Tokens
    hot: tuple[int, ...] = ()
    is_whole: bool = True
    text: str = ""


def frame(
    project: Project,
    document: Document,
    template: FimTemplate,
    tokenize: TokenCache,
    limits: Limits,
) -> PromptFrame:
    """The frame of a prompt for `document`.

    Raises:
        PromptRefused: there is no room for even a few tokens of the document.
    """
    label = project.label(document)
    start = Segment("repo", project.name, template.start(project.name), reason="start of every prompt")
    path = Segment("path", label, template.header(label), reason="current file")
    n_marks = max(N_FIM_TOKENS, sum(map(len, template.marks)))
    fixed = count_tokens(start, tokenize) + count_tokens(path, tokenize) + n_marks
    room = min(limits.n_ctx - limits.reserve, limits.context_budget or limits.n_ctx) - fixed
    if room < N_LEAST_ROOM:
        raise PromptRefused(
            f"A context of {limits.n_ctx} tokens has no room for a prompt beside {limits.reserve} tokens of completion; "
            "use a larger --ctx or --context-budget."
        )
    tails = _tail_segments(project, template, tokenize, room // 4)
    return PromptFrame(start, path, room - sum(count_tokens(tail, tokenize) for tail in tails), tails)


def _tail_segments(project: Project, template: FimTemplate, tokenize: TokenCache, room: int) -> tuple[Segment, ...]:
    """The ends of the project's tails, each with an equal share of `room` tokens."""
    made = []
    for tail in project.tails.values():
        header = Segment("tail", tail.name, template.header(tail.name))
        n_most = room // len(project.tails) - count_tokens(header, tokenize) - 1
        if n_most > 0:
            text = tokenize(tail.text)[-n_most:]
            made.append(replace(header, parts=(*header.parts, text, "\n"), reason="shown as it was sent"))
    return tuple(made)


def resume_at(document: Document, offset: int) -> int:
    """Where a model is to go on so that it writes what comes at `offset`: before the indentation, on a line of its own.

    In most vocabularies a word has the blank before it in its token, so that behind blanks models write what is unlikely.
    """
    content = document.content
    line = content.line_at(offset)
    start, before = content.line_start(line), document.text[content.line_start(line) : offset]
    is_alone = not has_words(document.text[offset : content.line_end(line)])
    return start if is_alone and not before.strip(" \t") else offset


def prefix_window(text: TokenizedText, offset: int, limit: int, tokenize: TokenCache) -> Window:
    """The end of the text before `offset`, at most `limit` tokens.

    What does not fit is left out in steps of a quarter of `limit`, counted from the start of the text.
    """
    if offset - text.last_cut(offset) > N_LONG:
        long = tokenize(text.text[(offset // N_LONG - 1) * N_LONG : offset])
        return _cut_from(long, _n_left_out(len(long), len(long), limit), ())
    line = text.text.rfind("\n", 0, offset) + 1
    tokens = text.between(0, offset)
    n_hot = common_length(text.between(0, line), tokens)
    n_out = _n_left_out(len(tokens), n_hot, limit)
    starts = text.counts(offset)
    at = bisect_left(starts, n_out)
    whole_pieces = at < len(starts) and starts[at] <= len(tokens) - limit // 4
    return _cut_from(tokens, starts[at] if n_out and whole_pieces else n_out, (n_hot,))


def suffix_window(document: Document, offset: int, limit: int, tokenize: TokenCache) -> Window:
    """The start of the text after `offset`: whole lines if they fit, at most `limit` tokens."""
    content, text = document.content, document.text
    line, n_lines = content.line_at(offset), limit // N_TOKENS_A_LINE
    while True:
        end = min(content.line_start(line + 1 + n_lines), offset + N_LONG)
        tokens = tokenize(text[offset:end])
        if len(tokens) <= limit:
            return Window(tokens, is_whole=end == len(text), text=text[offset:end])
        if n_lines == 0:
            return Window(tokens[:limit], is_whole=False, text=text[offset:end])
        n_lines //= 2


def fitting(files: Sequence[Segment], room: int, tokenize: TokenCache) -> list[Segment]:
    """Those of `files` that fit into `room` tokens together, the last ones first; the order stays."""
    kept: list[Segment] = []
    for file in reversed(files):
        n_tokens = count_tokens(file, tokenize)
        if n_tokens <= room:
            kept.append(file)
            room -= n_tokens
    return kept[::-1]


def file_segment(document: Document, label: str, template: FimTemplate, tokenize: TokenCache) -> Segment:
    """A whole file behind its path."""
    parts = (*template.header(label), tokenize.document(document.key, document.text).tokens)
    if template.separator is None and not document.text.endswith("\n"):
        parts = (*parts, "\n")
    return Segment("file", label, parts, reason="open; the less recently edited come first")


def rounded_up(n: int, step: int, most: int) -> int:
    """`n` rounded up to a multiple of `step`, at most `most`, and 0 for anything below."""
    return min(-(-n // step) * step, most) if n > 0 else 0


def prefix_limit(share: int, n_others: int) -> int:
    """The tokens of the prefix: half of what there is, and whatever other files surely do not need."""
    return max(share // 2, share - rounded_up(n_others, N_OTHERS_STEP, share))


def fim_segments(template: FimTemplate, prefix: Segment, suffix: Segment, middle: Segment) -> list[Segment]:
    """Prefix, suffix, and the beginning of the middle behind their special tokens, in the order that the model knows."""
    prefix, suffix, middle = map(_behind, template.marks, (prefix, suffix, middle))
    by_order = {"psm": [prefix, suffix, middle], "spm": [suffix, prefix, middle], "plain": [prefix, middle]}
    return by_order[template.order]


def cut_reason(cut: Window, what: str) -> str:
    """Why a window is as it is."""
    return what if cut.is_whole else f"{what}, as much as fits"


def _n_left_out(n_tokens: int, n_to_line: int, limit: int) -> int:
    """How many of `n_tokens` leading tokens go, so that at most `limit` stay."""
    # Typing a character may also take tokens away. So the cursor's line has no say, unless it is a long one.
    step = max(limit // 4, 1)
    n_out = rounded_up(n_to_line - limit + min(step, N_LINE_TOKENS), step, n_tokens)
    return n_out if n_tokens - n_out <= limit else rounded_up(n_tokens - limit, step, n_tokens)


def _cut_from(tokens: Tokens, n_out: int, hot: tuple[int, ...]) -> Window:
    return Window(tokens[n_out:], tuple(n - n_out for n in hot if n > n_out), is_whole=n_out == 0)


def _behind(mark: tuple[int, ...], segment: Segment) -> Segment:
    hot = tuple(n + len(mark) for n in segment.hot)
    return Segment(segment.kind, segment.label, (*mark, *segment.parts), hot, segment.reason)
