"""Layout, plain form: which texts, in which order, make a project's prompt.

    [repo name] [other open files, least recently edited first] [tails] [current path] [FIM: prefix, suffix, middle]

Pure: the same project, place and limits make the same prompt. What is left out when not all fits is chosen in coarse
steps, so that a typed character moves no window and drops no file.
"""

from scrubjay.prompt.frame import LayoutInput, PromptFrame, fim_segments, fitting, prompt_frame
from scrubjay.prompt.segments import Prompt, Segment, assemble, count_tokens
from scrubjay.prompt.windows import Window, prefix_limit, prefix_window, rounded_up, suffix_window

MAX_SUFFIX_TOKENS = 256


def plain_prompt(layout: LayoutInput) -> Prompt:
    """The prompt for a completion.

    Raises:
        PromptRefused: there is no room for even a few tokens of the document.
    """
    frame, token_cache = prompt_frame(layout), layout.token_cache
    n_suffix = 0 if layout.template.order == "plain" else min(MAX_SUFFIX_TOKENS, frame.room // 4)
    suffix = suffix_window(layout.document, layout.cursor, n_suffix, token_cache)
    others = _other_files(layout)
    # The suffix may grow up to its limit, and the prefix by a step, without taking room from anything else.
    share = frame.room - n_suffix
    n_others = sum(count_tokens(other, token_cache) for other in fitting(others, share // 2, token_cache))
    limit = prefix_limit(share, n_others)
    prefix = prefix_window(layout.text, layout.offset, min(limit, layout.limits.window or limit), token_cache)
    files = fitting(others, share - rounded_up(len(prefix.tokens), max(share // 16, 64), share), token_cache)
    current = _current_segments(layout, frame, prefix, suffix)
    return assemble([frame.start, *files, *frame.tails, frame.path, *current], token_cache)


def _current_segments(layout: LayoutInput, frame: PromptFrame, prefix: Window, suffix: Window) -> list[Segment]:
    label = frame.path.label
    return fim_segments(
        layout.template,
        Segment("prefix", label, (prefix.tokens,), prefix.hot, prefix.reason("text before the cursor")),
        Segment("suffix", label, (suffix.tokens,), reason=suffix.reason("text after the cursor")),
        Segment("middle", label, (), reason="what the model is to write"),
    )


def _other_files(layout: LayoutInput) -> list[Segment]:
    """The other documents of the project, least recently edited first, but for those that are always shown."""
    others = [other for other in layout.shown() if other.key != layout.document.key and other.text]
    return [layout.file_segment(other) for other in sorted(others, key=layout.project.insists_on)]
