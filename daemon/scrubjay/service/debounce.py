"""How fast the user types and how fast answers come, and what that means for clients that could wait with asking."""

from collections import deque
from collections.abc import Sequence

MOST_DEBOUNCE_MS = 75
LONGEST_MS = 1000.0
"""A longer time between two edits is a pause, not typing."""


class TypingPace:
    """The last keys and answers. One for all clients: the user types in one of them at a time."""

    def __init__(self) -> None:
        self._last_key_ms = float("-inf")
        self._intervals_ms: deque[float] = deque(maxlen=16)
        self._latencies_ms: deque[float] = deque(maxlen=8)

    def typed(self, now_ms: float) -> None:
        """A document was changed at `now_ms`, by whatever clock."""
        if now_ms - self._last_key_ms < LONGEST_MS:
            self._intervals_ms.append(now_ms - self._last_key_ms)
        self._last_key_ms = now_ms

    def answered(self, latency_ms: float) -> None:
        """A completion took so long."""
        self._latencies_ms.append(latency_ms)

    @property
    def debounce_ms(self) -> int:
        """What clients are advised; see `advise_debounce`."""
        latency_ms = sum(self._latencies_ms) / max(len(self._latencies_ms), 1)
        return advise_debounce(self._intervals_ms, latency_ms)


def advise_debounce(typing_intervals_ms: Sequence[float], latency_ms: float) -> int:
    """Milliseconds that a client should wait after a key before it asks, so that fewer answers come too late.

    None at all while answers come faster than keys; otherwise about as long as the next key would take, less the wait
    for the answer itself.
    """
    if not typing_intervals_ms or latency_ms < min(typing_intervals_ms):
        return 0
    between_keys = min(max(sum(typing_intervals_ms) / len(typing_intervals_ms), 100.0), 400.0)
    return round(min(max(between_keys - latency_ms, 0.0), MOST_DEBOUNCE_MS))
