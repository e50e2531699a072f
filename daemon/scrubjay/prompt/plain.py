"""Layout, first form: which texts, in which order, make a project's prompt.

    [repo name] [other open files, least recently edited first] [tails] [current path] [FIM: prefix, suffix, middle]

Pure: the same project, place and limits make the same prompt. What is left out when not all fits is chosen in coarse
steps, so that a typed character moves no window and drops no file.
"""

from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.segments import Prompt, Segment, assemble, count_tokens
from scrubjay.prompt.windows import (
    cut_reason,
    file_segment,
    fim_segments,
    fitting,
    frame,
    prefix_limit,
    prefix_window,
    rounded_up,
    suffix_window,
)
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project

N_SUFFIX_TOKENS = 256


def completion_prompt(
    project: Project,
    document: Document,
    offset: int,
    template: FimTemplate,
    tokenize: TokenCache,
    limits: Limits,
) -> Prompt:
    """The prompt for a completion at `offset` of `document`.

    Raises:
        PromptRefused: there is no room for even a few tokens of the document.
    """
    framed = frame(project, document, template, tokenize, limits)
    n_suffix = 0 if template.order == "plain" else min(N_SUFFIX_TOKENS, framed.room // 4)
    suffix = suffix_window(document, offset, n_suffix, tokenize)
    others = other_files(project, document, template, tokenize)
    # The suffix may grow up to its limit, and the prefix by a step, without taking room from anything else.
    share = framed.room - n_suffix
    n_others = sum(count_tokens(other, tokenize) for other in fitting(others, share // 2, tokenize))
    text = tokenize.document(document.key, document.text)
    limit = prefix_limit(share, n_others)
    prefix = prefix_window(text, offset, min(limit, limits.window or limit), tokenize)
    files = fitting(others, share - rounded_up(len(prefix.tokens), max(share // 16, 64), share), tokenize)
    label = framed.path.label
    current = fim_segments(
        template,
        Segment("prefix", label, (prefix.tokens,), prefix.hot, cut_reason(prefix, "text before the cursor")),
        Segment("suffix", label, (suffix.tokens,), reason=cut_reason(suffix, "text after the cursor")),
        Segment("middle", label, (), reason="what the model is to write"),
    )
    return assemble([framed.start, *files, *framed.tails, framed.path, *current], tokenize)


def other_files(project: Project, document: Document, template: FimTemplate, tokenize: TokenCache) -> list[Segment]:
    """The other open documents of the project, least recently edited first."""
    others = [other for other in project.by_recency() if other.key != document.key and other.text]
    return [file_segment(other, project.label(other), template, tokenize) for other in others]
