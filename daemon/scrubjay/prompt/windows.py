"""Windows on a text: what of it a prompt shows when not all fits, so that typing moves them rarely, in big steps."""

from bisect import bisect_left
from dataclasses import dataclass, replace

from scrubjay.code_text import has_words
from scrubjay.tokenizer.token_cache import MAX_CHARACTERS_PER_TOKEN, TokenCache, TokenizedText
from scrubjay.tokens import Tokens, common_length
from scrubjay.workspace.document import Document

TOKENS_PER_LINE = 8
"""A window on the suffix is first tried with as many lines as fit if each has this many tokens."""
OTHER_FILES_STEP_TOKENS = 1024
"""Room for other files is taken in such steps, so that no window moves when one of them is edited a little."""
MAX_LINE_TOKENS = 128
"""As long as the cursor's line is no longer than that, typing in it moves no window."""
MAX_UNCUT_CHARACTERS = 8_192
"""A run of this many characters without a place to cut is not looked at as a whole."""


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

    def reason(self, what: str) -> str:
        """Why the prompt shows this, where the whole is called `what`."""
        return what if self.is_whole else f"{what}, as much as fits"


def resume_at(document: Document, offset: int) -> int:
    """Where a model is to go on so that it writes what comes at `offset`: before the indentation, on a line of its own.

    In most vocabularies a word has the space before it in its token, so a prompt that ends in a space makes the model
    write what is unlikely.
    """
    start, end, _ = document.content.line_around(offset)
    if offset - start > MAX_UNCUT_CHARACTERS or document.text[start:offset].strip(" \t"):
        return offset
    return offset if end - offset > MAX_UNCUT_CHARACTERS or has_words(document.text[offset:end]) else start


def prefix_window(text: TokenizedText, offset: int, limit: int, token_cache: TokenCache) -> Window:
    """The end of the text before `offset`, at most `limit` tokens.

    What does not fit is left out in steps of a quarter of `limit`, counted from the start of the text, so that the
    window's start stays where it is for many keys.
    """
    cut = text.chunk_start(offset)
    if offset - cut > MAX_UNCUT_CHARACTERS:
        return _uncut_prefix_window(text, offset, limit, token_cache)
    start = text.readable_start(cut)
    line = max(text.text.rfind("\n", start, offset) + 1, start)
    tokens = text.between(start, offset)
    n_hot = common_length(text.between(start, line), tokens)
    n_out = _n_left_out(len(tokens), n_hot, limit)
    # Where a chunk of the text begins soon after that place, the window begins with it: then an edit above the window
    # leaves its tokens alone.
    starts = text.counts(offset, start)
    at = bisect_left(starts, n_out)
    is_near = at < len(starts) and starts[at] <= len(tokens) - limit // 4
    window = _without_start(tokens, starts[at] if n_out and is_near else n_out, (n_hot,))
    return replace(window, is_whole=window.is_whole and start == 0)


def _uncut_prefix_window(text: TokenizedText, offset: int, limit: int, token_cache: TokenCache) -> Window:
    """The same in a long stretch without a place to cut, of which only the end is tokenised."""
    # It begins at a multiple of the step: else each key would move it.
    start = (offset // MAX_UNCUT_CHARACTERS - 1) * MAX_UNCUT_CHARACTERS
    tokens = token_cache(text.text[start:offset])
    return replace(_without_start(tokens, _n_left_out(len(tokens), len(tokens), limit), ()), is_whole=False)


def suffix_window(document: Document, offset: int, limit: int, token_cache: TokenCache) -> Window:
    """The start of the text after `offset`: whole lines if they fit, at most `limit` tokens."""
    content, text = document.content, document.text
    line, n_lines = content.line_at(offset), limit // TOKENS_PER_LINE
    while True:
        # No more than surely has that many tokens: the lines may be of any length.
        end = min(content.line_start(line + 1 + n_lines), offset + limit * MAX_CHARACTERS_PER_TOKEN)
        tokens = token_cache(text[offset:end])
        if len(tokens) <= limit:
            return Window(tokens, is_whole=end == len(text), text=text[offset:end])
        if n_lines == 0:
            return Window(tokens[:limit], is_whole=False, text=text[offset:end])
        n_lines //= 2


def rest_window(document: Document, offset: int, limit: int, token_cache: TokenCache) -> Window:
    """All of the text after `offset`, but for what is more than `limit` tokens; for texts that clients have cut already."""
    rest = document.text[offset:]
    tokens = token_cache(rest)
    return Window(tokens[:limit], is_whole=len(tokens) <= limit, text=rest)


def rounded_up(n: int, step: int, most: int) -> int:
    """`n` rounded up to a multiple of `step`, at most `most`, and 0 for anything below."""
    return min(-(-n // step) * step, most) if n > 0 else 0


def prefix_limit(share: int, n_others: int) -> int:
    """The tokens of the prefix: half of `share`, and whatever other files of `n_others` tokens surely do not need."""
    return max(share // 2, share - rounded_up(n_others, OTHER_FILES_STEP_TOKENS, share))


def _n_left_out(n_tokens: int, n_to_line: int, limit: int) -> int:
    """How many of `n_tokens` leading tokens go, so that at most `limit` stay."""
    # Typing a character may also take tokens away. So the cursor's line has no say, unless it is a long one.
    step = max(limit // 4, 1)
    n_out = rounded_up(n_to_line - limit + min(step, MAX_LINE_TOKENS), step, n_tokens)
    return n_out if n_tokens - n_out <= limit else rounded_up(n_tokens - limit, step, n_tokens)


def _without_start(tokens: Tokens, n_out: int, hot: tuple[int, ...]) -> Window:
    return Window(tokens[n_out:], tuple(n - n_out for n in hot if n > n_out), is_whole=n_out == 0)
