"""Windows that slide over a text: where in what is known of the text a window begins. Pure.

known    |-----------------------------------| the text before the cursor, as far as it was ever seen
window             |----------------------------| what the client shows of it now
aligned  |---------|----------------------------| what is known now
"""

from collections.abc import Iterator

from scrubjay.code_text import common_prefix_length

MIN_HEAD_LINES = 3
MIN_HEAD_CHARACTERS = 16
"""A shorter beginning of a window is found everywhere."""
MAX_HEAD_LINES = 15
MAX_CANDIDATES = 64
MAX_COMPARED_CHARACTERS = 16_384
"""At each of so many places: in a text of equal lines a window might begin at any of them."""
MAX_KNOWN_CHARACTERS = 1 << 19
"""Of a longer text the beginning is forgotten."""


def align_window(known: str, window: str) -> str | None:
    """The text that ends with `window` and begins as `known` does; None if the two are not of one text."""
    text = _same_start(known, window) or _slid(known, window) or _slid(known, _after_first_line(window))
    return _bounded(text) if text else None


def _same_start(known: str, window: str) -> str | None:
    """`window` itself, if it begins where `known` does."""
    return window if 2 * common_prefix_length(known, window) >= min(len(known), len(window)) else None


def _slid(known: str, window: str) -> str | None:
    """What is known now, if `window` begins with lines that are in `known`."""
    head = _head(window)
    if not head:
        return None
    # Where several places agree equally well, the last one leaves the most of what is known before it.
    start = window[:MAX_COMPARED_CHARACTERS]
    agreements = ((common_prefix_length(known[at : at + len(start)], start), at) for at in _places(known, head))
    best = max(agreements, default=None)
    return known[: best[1]] + window if best else None


def _head(window: str) -> str:
    """The first lines of a window: enough of them to be found in one place only, mostly."""
    end = -1
    for n_lines in range(1, MAX_HEAD_LINES + 1):
        end = window.find("\n", end + 1)
        if end < 0:
            return ""
        if n_lines >= MIN_HEAD_LINES and len(window[:end].strip()) >= MIN_HEAD_CHARACTERS:
            return window[: end + 1]
    return ""


def _places(known: str, head: str) -> Iterator[int]:
    """Where lines of `known` begin with `head`, the last ones first."""
    end = len(known)
    for _ in range(MAX_CANDIDATES):
        at = known.rfind(head, 0, end)
        if at < 0:
            return
        if at == 0 or known[at - 1] == "\n":
            yield at
        # The next one may overlap with this one, but not begin where it begins.
        end = at + len(head) - 1


def _after_first_line(window: str) -> str:
    return window[window.find("\n") + 1 :]


def _bounded(text: str) -> str:
    """The end of `text`, from the start of a line on, if it is too long to be remembered whole."""
    if len(text) <= MAX_KNOWN_CHARACTERS:
        return text
    # Half of it goes at once: each time the beginning moves, the whole prompt is another one.
    cut = text.find("\n", len(text) - MAX_KNOWN_CHARACTERS // 2)
    return text[cut + 1 :]
