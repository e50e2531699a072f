"""Windows that slide over a text: where in what is known of the text a window begins. Pure.

known    |-----------------------------------| the text before the cursor, as far as it was ever seen
window             |----------------------------| what the client shows of it now
aligned  |---------|----------------------------| what is known now
"""

from collections.abc import Iterator

N_HEAD_LINES = 3
N_HEAD_CHARACTERS = 16
"""A shorter beginning of a window is found everywhere."""
MAX_CANDIDATES = 256
MAX_KNOWN = 1 << 19
"""Characters; of a longer text the beginning is forgotten."""


def align_window(known: str, window: str) -> str | None:
    """The text that ends with `window` and begins as `known` does; None if the two are not of one text."""
    text = _same_start(known, window) or _slid(known, window) or _slid(known, _behind_first_line(window))
    return _end_of(text) if text else None


def agreement(known: str, text: str) -> int:
    """How many leading characters the two share."""
    low, high = 0, min(len(known), len(text))
    while low < high:
        middle = (low + high + 1) // 2
        if known[low:middle] == text[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _same_start(known: str, window: str) -> str | None:
    """`window` itself, if it begins where `known` does."""
    return window if 2 * agreement(known, window) >= min(len(known), len(window)) else None


def _slid(known: str, window: str) -> str | None:
    head = _head(window)
    places = [(agreement(known[at : at + len(window)], window), at) for at in _places(known, head)] if head else []
    if not places:
        return None
    # Where several places agree equally well, the last one leaves the most of what is known before it.
    return known[: max(places)[1]] + window


def _head(window: str) -> str:
    """The first lines of a window: enough of them to be found in one place only, mostly."""
    end = -1
    for n_lines in range(1, 16):
        end = window.find("\n", end + 1)
        if end < 0:
            return ""
        if n_lines >= N_HEAD_LINES and len(window[:end].strip()) >= N_HEAD_CHARACTERS:
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
        end = at + len(head) - 1


def _behind_first_line(window: str) -> str:
    return window[window.find("\n") + 1 :]


def _end_of(text: str) -> str:
    if len(text) <= MAX_KNOWN:
        return text
    cut = text.find("\n", len(text) - MAX_KNOWN // 2)
    return text[cut + 1 :]
