"""The texts that clients edit through windows, as far as they were seen."""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import count

from scrubjay.prompt.anchored import Anchor
from scrubjay.prompt.text_alignment import align_window

MAX_CLIENTS = 32


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
    """The texts that are being edited through windows; those not touched for longest are forgotten.

    It changes with each prompt, so only one thread may use it at a time.
    """

    def __init__(self) -> None:
        self._numbers = count(1)
        self._clients: OrderedDict[str, InfillClient] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clients)

    def extend(self, window: str) -> InfillClient:
        """The client whose text `window`, everything up to the cursor, is the end of; `before` is that text now."""
        for client in reversed(self._clients.values()):
            if (before := align_window(client.before, window)) is not None:
                client.before = before
                self._clients.move_to_end(client.key)
                return client
        client = InfillClient(f"infill:{next(self._numbers)}", window)
        self._clients[client.key] = client
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        return client
