"""Layout, first form: which texts, in which order, make a project's prompt.

    [repo name] [other open files, least recently edited first] [current path] [FIM: prefix, suffix, middle]

Pure: the same project, place and limits make the same prompt. What is left out when not all fits is chosen in coarse
steps, so that a typed character moves no window and drops no file.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scrubjay.documents import Document
from scrubjay.errors import PromptRefused
from scrubjay.fim import FimTemplate
from scrubjay.projects import Project
from scrubjay.prompt import Prompt, Segment, assemble, count_tokens
from scrubjay.token_cache import TokenCache, TokenizedText
from scrubjay.tokens import Tokens, common_length

N_SUFFIX_TOKENS = 256
N_SUFFIX_LINES = 32
N_OTHERS_STEP = 1024
"""Room for other files is taken in such steps, so that no window moves when one of them is edited a little."""
N_LINE_TOKENS = 128
"""As long as the cursor's line is no longer than that, typing in it moves no window."""
N_LONG = 32_768
"""A stretch of so many characters without a place to cut is not looked at as a whole."""
N_FIM_TOKENS = 3
N_LEAST_ROOM = 16
"""With less room for the current file than this no completion is worth asking for."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What of a text the prompt shows: its tokens, where the cursor's line starts in them, and whether it is all."""

    tokens: Tokens
    hot: tuple[int, ...] = ()
    is_whole: bool = True


def completion_prompt(
    project: Project,
    document: Document,
    offset: int,
    template: FimTemplate,
    tokenize: TokenCache,
    n_ctx: int,
    reserve: int,
    context_budget: int = 0,
) -> Prompt:
    """The prompt for a completion at `offset` of `document`.

    Args:
        n_ctx: tokens of the model's context.
        reserve: how many of them generation needs.
        context_budget: how many tokens the prompt may have at most; 0 for as many as the context has room for.

    Raises:
        PromptRefused: there is no room for even a few tokens of the document.
    """
    start = Segment("repo", project.name, template.start(project.name), reason="start of every prompt")
    path = Segment("path", project.label(document), template.header(project.label(document)), reason="current file")
    fixed = sum(count_tokens(segment, tokenize) for segment in (start, path)) + N_FIM_TOKENS
    room = min(n_ctx - reserve, context_budget or n_ctx) - fixed
    if room < N_LEAST_ROOM:
        raise PromptRefused(
            f"A context of {n_ctx} tokens has no room for a prompt beside {reserve} tokens of completion; "
            "use a larger --ctx or --context-budget."
        )
    n_suffix = 0 if template.order == "plain" else min(N_SUFFIX_TOKENS, room // 4)
    suffix = suffix_cut(document, offset, n_suffix, tokenize)
    others = other_files(project, document, template, tokenize)
    # The suffix may grow up to its limit, and the prefix by a step, without taking room from anything else.
    share = room - n_suffix
    n_others = sum(count_tokens(other, tokenize) for other in fitting(others, share // 2, tokenize))
    text = tokenize.document(document.key, document.text)
    prefix = prefix_cut(text, offset, _prefix_limit(share, n_others), tokenize)
    files = fitting(others, share - _rounded_up(len(prefix.tokens), max(share // 16, 64), share), tokenize)
    current = fim_segments(
        template,
        Segment("prefix", path.label, (prefix.tokens,), prefix.hot, _reason(prefix, "text before the cursor")),
        Segment("suffix", path.label, (suffix.tokens,), reason=_reason(suffix, "text after the cursor")),
    )
    return assemble([start, *files, path, *current], tokenize)


def warm_prompt(
    project: Project,
    template: FimTemplate,
    tokenize: TokenCache,
    n_ctx: int,
    reserve: int,
    context_budget: int = 0,
) -> Prompt | None:
    """The prompt for the place where the user is or last was in `project`; None while nothing is open there."""
    if (focus := project.focus) is None:
        return None
    return completion_prompt(project, focus.document, focus.offset, template, tokenize, n_ctx, reserve, context_budget)


def fim_segments(template: FimTemplate, prefix: Segment, suffix: Segment) -> list[Segment]:
    """Prefix and suffix behind their special tokens, in the order that the model knows."""
    prefix = _behind(template.prefix, prefix)
    if template.order == "plain":
        return [prefix]
    suffix = _behind(template.suffix, suffix)
    middle = Segment("middle", prefix.label, _special(template.middle), reason="what the model is to write")
    return [prefix, suffix, middle] if template.order == "psm" else [suffix, prefix, middle]


def prefix_cut(text: TokenizedText, offset: int, limit: int, tokenize: TokenCache) -> Cut:
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


def suffix_cut(document: Document, offset: int, limit: int, tokenize: TokenCache) -> Cut:
    """The start of the text after `offset`: whole lines if they fit, at most `limit` tokens."""
    content, text = document.content, document.text
    line = content.line_at(offset)
    for n_lines in (N_SUFFIX_LINES, 16, 8, 4, 2, 1, 0):
        end = min(content.line_start(line + 1 + n_lines), offset + N_LONG)
        tokens = tokenize(text[offset:end])
        if len(tokens) <= limit:
            return Cut(tokens, is_whole=end == len(text))
    return Cut(tokens[:limit], is_whole=False)


def other_files(project: Project, document: Document, template: FimTemplate, tokenize: TokenCache) -> list[Segment]:
    """The other open documents of the project, least recently edited first."""
    others = [other for other in project.by_recency() if other.key != document.key and other.text]
    return [_file(other, project.label(other), template, tokenize) for other in others]


def fitting(files: Sequence[Segment], room: int, tokenize: TokenCache) -> list[Segment]:
    """Those of `files` that fit into `room` tokens together, the last ones first; the order stays."""
    kept: list[Segment] = []
    for file in reversed(files):
        n_tokens = count_tokens(file, tokenize)
        if n_tokens <= room:
            kept.append(file)
            room -= n_tokens
    return kept[::-1]


def _file(document: Document, label: str, template: FimTemplate, tokenize: TokenCache) -> Segment:
    parts = (*template.header(label), tokenize.document(document.key, document.text).tokens)
    if template.separator is None and not document.text.endswith("\n"):
        parts = (*parts, "\n")
    return Segment("file", label, parts, reason="open; the less recently edited come first")


def _n_left_out(n_tokens: int, n_to_line: int, limit: int) -> int:
    """How many of `n_tokens` leading tokens go, so that at most `limit` stay."""
    # Typing a character may also take tokens away. So the cursor's line has no say, unless it is a long one.
    step = max(limit // 4, 1)
    n_out = _rounded_up(n_to_line - limit + min(step, N_LINE_TOKENS), step, n_tokens)
    return n_out if n_tokens - n_out <= limit else _rounded_up(n_tokens - limit, step, n_tokens)


def _cut_from(tokens: Tokens, n_out: int, hot: tuple[int, ...]) -> Cut:
    return Cut(tokens[n_out:], tuple(n - n_out for n in hot if n > n_out), is_whole=n_out == 0)


def _rounded_up(n: int, step: int, most: int) -> int:
    return min(-(-n // step) * step, most) if n > 0 else 0


def _prefix_limit(share: int, n_others: int) -> int:
    """The tokens of the prefix: half of what there is, and whatever other files surely do not need."""
    return max(share // 2, share - _rounded_up(n_others, N_OTHERS_STEP, share))


def _behind(token: int | None, segment: Segment) -> Segment:
    if token is None:
        return segment
    return replace(segment, parts=(token, *segment.parts), hot=tuple(n + 1 for n in segment.hot))


def _special(token: int | None) -> tuple[int, ...]:
    return () if token is None else (token,)


def _reason(cut: Cut, what: str) -> str:
    return what if cut.is_whole else f"{what}, as much as fits"
