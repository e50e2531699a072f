"""The texts that clients edit through windows, as far as they were seen."""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import count

from scrubjay.prompt.anchored import Anchor
from scrubjay.prompt.text_alignment import align_window

MAX_CLIENTS = 32
MAX_OUTDATED = 64
"""Prompts that show other texts than their clients sent, while those are read; then they are shown, read or not."""


@dataclass(frozen=True, slots=True)
class Extra:
    """Another text that the model should see."""

    filename: str
    text: str


Extras = tuple[Extra, ...]


@dataclass(eq=False, slots=True)
class InfillClient:
    """One text that somebody edits.

    Args:
        before: the text before the cursor, as far as it is known.
        anchor: how it was laid out last.
        window: what the client sent last: the text before the cursor and after it.
        extras: the other texts that its prompts show.
        coming: those that are being read, to be shown when they are.
        n_outdated: how many prompts have shown `extras` since.
    """

    key: str
    before: str = ""
    anchor: Anchor | None = None
    window: tuple[str, str] | None = None
    extras: Extras = ()
    coming: Extras | None = None
    n_outdated: int = 0

    def shown(self, extras: Extras) -> Extras:
        """Which other texts to show to a client that sent `extras`: until these have been read, those from before."""
        if extras == self.coming and self.n_outdated < MAX_OUTDATED:
            self.n_outdated += 1
            return self.extras
        self.extras, self.coming, self.n_outdated = extras, None, 0
        return extras

    def announce(self, extras: Extras) -> None:
        """`extras` are being read, with this client's window."""
        if extras != self.extras:
            self.coming, self.n_outdated = extras, 0

    def adopt(self, extras: Extras, old: Anchor | None, new: Anchor) -> None:
        """`extras` have been read, with the anchor `new` in the place of `old`."""
        if self.coming == extras:
            self.extras, self.coming = extras, None
            self.anchor = new if self.anchor is old else self.anchor


class InfillHistory:
    """The texts that are being edited through windows; those not touched for longest are forgotten.

    It changes with each prompt, so only one thread may use it at a time.

    Args:
        group: whose texts they are; no other group's are looked at.
    """

    def __init__(self, group: str = "") -> None:
        self._group = group
        self._numbers = count(1)
        self._clients: OrderedDict[str, InfillClient] = OrderedDict()

    def __len__(self) -> int:
        return len(self._clients)

    @property
    def last(self) -> InfillClient | None:
        """The one that was used last."""
        return next(reversed(self._clients.values()), None)

    def extend(self, window: str) -> InfillClient:
        """The client whose text `window`, everything up to the cursor, is the end of; `before` is that text now."""
        for client in reversed(self._clients.values()):
            if (before := align_window(client.before, window)) is not None:
                client.before = before
                self._clients.move_to_end(client.key)
                return client
        client = InfillClient(f"infill:{next(self._numbers)}@{self._group}", window)
        self._clients[client.key] = client
        if len(self._clients) > MAX_CLIENTS:
            self._clients.popitem(last=False)
        return client
