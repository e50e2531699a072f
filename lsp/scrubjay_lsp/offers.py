"""Completions that were offered to the user, and what became of them."""

from collections import OrderedDict
from dataclasses import dataclass, field

from scrubjay_lsp.text import Place

N_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Offer:
    """`text`, to be inserted at `place` of version `version` of the document `uri`; `detail` says what it cost.

    It takes the place of the `n_replaced` units of the position encoding that follow on the line.
    """

    number: str
    uri: str
    version: int
    place: Place
    text: str
    detail: str
    n_replaced: int = 0


@dataclass(slots=True)
class Counts:
    """What became of the offers; characters are UTF-16 units, as clients count what they accepted of one."""

    offered: int = 0
    shown: int = 0
    accepted: int = 0
    accepted_in_part: int = 0
    accepted_characters: int = 0
    rejected: int = 0


@dataclass(slots=True)
class Offers:
    """The last offers by their numbers; older ones are forgotten, whatever is said about them later."""

    counts: Counts = field(default_factory=Counts)
    _offers: OrderedDict[str, Offer] = field(default_factory=OrderedDict)
    _taken: dict[str, int] = field(default_factory=dict)

    def make(self, uri: str, version: int, place: Place, text: str, detail: str, n_replaced: int = 0) -> Offer:
        """A new offer, remembered."""
        self.counts.offered += 1
        offer = Offer(str(self.counts.offered), uri, version, place, text, detail, n_replaced)
        self._offers[offer.number] = offer
        if len(self._offers) > N_REMEMBERED:
            self._forget(next(iter(self._offers)))
        return offer

    def shown(self, number: object) -> None:
        """The editor showed it."""
        self.counts.shown += self._find(number) is not None

    def accepted(self, number: object) -> Offer | None:
        """The user took it; the offer, if it is remembered and had not been taken or rejected before."""
        if offer := self._find(number):
            self._take(offer, _n_utf16(offer.text))
            self._forget(offer.number)
            self.counts.accepted += 1
        return offer

    def accepted_in_part(self, number: object, n_characters: int) -> None:
        """The user has taken its first `n_characters` UTF-16 units by now."""
        if offer := self._find(number):
            self.counts.accepted_in_part += 1
            self._take(offer, n_characters)

    def rejected(self, number: object) -> None:
        """The user did not want it."""
        if offer := self._find(number):
            self._forget(offer.number)
            self.counts.rejected += 1

    def _take(self, offer: Offer, n_characters: int) -> None:
        before = self._taken.get(offer.number, 0)
        self._taken[offer.number] = max(before, n_characters)
        self.counts.accepted_characters += self._taken[offer.number] - before

    def _forget(self, number: str) -> None:
        del self._offers[number]
        self._taken.pop(number, None)

    def _find(self, number: object) -> Offer | None:
        return self._offers.get(number) if isinstance(number, str) else None


def _n_utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
