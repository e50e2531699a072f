"""Windows on a text: what of it a prompt shows when not all fits, so that typing moves them rarely, in big steps."""

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np

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
MIN_KEPT_SHARE = 2
"""Where not all fits, a window has at least one in this many of the tokens that it may have."""
HEAD_TOKENS = 32
"""So many tokens find the start of a window in a text that has changed."""
MAX_PLACES = 64
"""In a text that repeats itself no more places are looked at."""
LEAD_CHARACTERS = 2
"""So many characters before a cut have a say in whether it is one."""
MAX_UNCUT_CHARACTERS = 8_192
"""A run of this many characters without a place to cut is not looked at as a whole."""

MAX_TOKEN_CHARACTERS = 64
"""What is longer is no token."""
_LAST_TOKEN = re.compile(r"[^\S\r\n]*(?:(?:[^\s\w]|_)*[^\W\d_]*|\d+)$")


@dataclass(frozen=True, slots=True)
class Window:
    """What of a text the prompt shows.

    Args:
        hot: where the cursor's line starts in the tokens.
        is_whole: nothing of the text is left out.
        text: what is shown, perhaps a little more: nothing else has a say in `tokens`.
        start: where `text` begins, if there is the only place where it has these tokens.
    """

    tokens: Tokens
    hot: tuple[int, ...] = ()
    is_whole: bool = True
    text: str = ""
    start: int | None = None

    def reason(self, what: str) -> str:
        """Why the prompt shows this, where the whole is called `what`."""
        return what if self.is_whole else f"{what}, as much as fits"


def resume_at(document: Document, offset: int, is_healed: bool = True) -> int:
    """Where a model is to go on so that it writes what comes at `offset`: where a token may begin.

    In most vocabularies a word has the space before it in its token, so a prompt that ends in a space makes the model
    write what is unlikely. So does one that ends in a part of a word. On a line of its own, it goes on before the indentation.

    Args:
        is_healed: go on before the beginning of a word, too; see `token_border`.
    """
    start, end, _ = document.content.line_around(offset)
    if offset - start > MAX_UNCUT_CHARACTERS:
        return offset
    if document.text[start:offset].strip(" \t"):
        return token_border(document.text, start, offset) if is_healed else offset
    return offset if end - offset > MAX_UNCUT_CHARACTERS or has_words(document.text[offset:end]) else start


def token_border(text: str, start: int, offset: int) -> int:
    """Where the token begins that the text between the line's `start` and `offset` ends in, as far as any vocabulary has it.

    It is a run of spaces, or a word, a number or a run of symbols with the symbols and spaces before it. After what opens a
    block the border is `offset`: asked for the opener once more, a model writes it, and ends there as at the end of any line.
    """
    first = max(start, offset - MAX_TOKEN_CHARACTERS)
    last = _LAST_TOKEN.search(text, first, offset)
    if last is None or start < first == last.start() or text[offset - 1] in ":{":
        return offset
    return last.start()


def prefix_window(
    text: TokenizedText, offset: int, limit: int, token_cache: TokenCache, last: Window | None = None
) -> Window:
    """The end of the text before `offset`, at most `limit` tokens.

    It begins where `last` begins, which was shown before, if that leaves it long enough. Otherwise what does not fit is left
    out in steps of a quarter of `limit`, counted from the start of the text, so that the window's start stays where it
    is for many keys.
    """
    cut = text.chunk_start(offset)
    if offset - cut > MAX_UNCUT_CHARACTERS:
        return _uncut_prefix_window(text, offset, limit, token_cache)
    start = text.readable_start(cut)
    line = max(text.text.rfind("\n", start, offset) + 1, start)
    tokens = text.between(start, offset)
    n_hot = common_length(text.between(start, line), tokens)
    counts = text.counts(offset, start)
    n_out = _start_of(last.tokens, tokens, limit) if last else None
    if n_out is None:
        n_out = _n_left_out(len(tokens), n_hot, limit)
        # Where a chunk of the text begins soon after that place, the window begins with it: then an edit above the
        # window leaves its tokens alone.
        at = bisect_left(counts, n_out)
        is_near = at < len(counts) and counts[at] <= len(tokens) - limit // MIN_KEPT_SHARE
        n_out = counts[at] if n_out and is_near else n_out
    begin = text.cut_at(start, bisect_right(counts, n_out) - 1)
    shown = max(begin - LEAD_CHARACTERS, 0)
    hot = (n_hot - n_out,) if n_hot > n_out else ()
    return Window(
        tokens[n_out:], hot, n_out == 0 and start == 0, text.text[shown:offset], shown if begin == start else None
    )


def _start_of(shown: Tokens, tokens: Tokens, limit: int) -> int | None:
    """How many of `tokens` go, so that the rest begins as a window does that was `shown` before; None if that is no window."""
    head = shown[:HEAD_TOKENS]
    first = max(len(tokens) - limit, 0)
    end = len(tokens) - max(min(limit // MIN_KEPT_SHARE, len(tokens)), HEAD_TOKENS)
    if len(head) < HEAD_TOKENS or first > end:
        return None
    starts = first + np.flatnonzero(tokens[first : end + 1] == head[0])[:MAX_PLACES]
    # Where several places begin alike, the one that goes on like the window for longest.
    shared = [(common_length(tokens[at:], shown), -int(at)) for at in starts]
    n_shared, at = max(shared, default=(0, 0))
    return -at if n_shared >= HEAD_TOKENS else None


def _uncut_prefix_window(text: TokenizedText, offset: int, limit: int, token_cache: TokenCache) -> Window:
    """The same in a long stretch without a place to cut, of which only the end is tokenised."""
    # It begins at a multiple of the step: else each key would move it.
    start = (offset // MAX_UNCUT_CHARACTERS - 1) * MAX_UNCUT_CHARACTERS
    tokens = token_cache(text.text[start:offset])
    n_out = _n_left_out(len(tokens), len(tokens), limit)
    return Window(tokens[n_out:], is_whole=False, text=text.text[start:offset], start=start)


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
