"""The texts that clients edit through windows, as far as they were seen."""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import count

from scrubjay.prompt.anchored import Anchor
from scrubjay.prompt.text_alignment import align_window

MAX_STREAMS = 32


@dataclass(eq=False, slots=True)
class InfillClient:
    """One text that somebody edits.

    Args:
        before: the text before the cursor, as far as it is known.
        anchor: how it was laid out last.
    """

    key: str
    before: str = ""
    anchor: Anchor | None = None


class InfillHistory:
    """The texts that are being edited through windows; those not touched for longest are forgotten."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._streams: OrderedDict[str, InfillClient] = OrderedDict()

    def extended(self, window: str) -> InfillClient:
        """The stream whose text `window`, everything up to the cursor, is the end of; `before` is that text now."""
        for stream in reversed(self._streams.values()):
            if (before := align_window(stream.before, window)) is not None:
                stream.before = before
                self._streams.move_to_end(stream.key)
                return stream
        stream = InfillClient(f"infill:{next(self._numbers)}", window)
        self._streams[stream.key] = stream
        if len(self._streams) > MAX_STREAMS:
            self._streams.popitem(last=False)
        return stream
