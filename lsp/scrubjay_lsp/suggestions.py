"""Completions that were offered to the user, and what became of them."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from scrubjay.positions import Position

N_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`text`, to be inserted at `place` of version `version` of the document `uri`; `detail` says what it cost.

    It takes the place of the `n_replaced` units of the position encoding that follow on the line. `request` is the daemon's
    number of the request that it answers, 0 if that is not known.
    """

    number: str
    uri: str
    version: int
    position: Position
    text: str
    detail: str
    n_replaced: int = 0
    request: int = 0


@dataclass(slots=True)
class Counts:
    """What became of the suggestions; characters are UTF-16 units, as clients count what they accepted of one."""

    offered: int = 0
    shown: int = 0
    accepted: int = 0
    accepted_in_part: int = 0
    accepted_characters: int = 0
    rejected: int = 0


@dataclass(slots=True)
class Suggestions:
    """The last suggestions by their numbers; older ones are forgotten, whatever is said about them later.

    Args:
        tell: called with the daemon's number of a request, and what has become of its answer.
        are_told: the editor says which it shows.
    """

    counts: Counts = field(default_factory=Counts)
    tell: Callable[[int, str], None] = lambda _request, _outcome: None
    are_told: bool = False
    _suggestions: OrderedDict[str, Suggestion] = field(default_factory=OrderedDict)
    _taken: dict[str, int] = field(default_factory=dict)

    def make(
        self, uri: str, version: int, position: Position, text: str, detail: str, n_replaced: int = 0, request: int = 0
    ) -> Suggestion:
        """A new suggestion, remembered."""
        self.counts.offered += 1
        suggestion = Suggestion(str(self.counts.offered), uri, version, position, text, detail, n_replaced, request)
        self._suggestions[suggestion.number] = suggestion
        if len(self._suggestions) > N_REMEMBERED:
            self._forget(next(iter(self._suggestions)))
        return suggestion

    def given(self, suggestions: Sequence[Suggestion]) -> None:
        """The editor has them, and shows the first one, if it does not tell what it shows."""
        if suggestions and not self.are_told:
            self._shown(suggestions[0])

    def shown(self, number: object) -> None:
        """The editor says that it shows it."""
        self.are_told = True
        if suggestion := self._find(number):
            self._shown(suggestion)

    def accepted(self, number: object) -> Suggestion | None:
        """The user took it; the suggestion, if it is remembered and had not been taken or rejected before."""
        if suggestion := self._find(number):
            self._take(suggestion, _n_utf16(suggestion.text))
            self._forget(suggestion.number)
            self.counts.accepted += 1
            self._tell(suggestion, "accepted")
        return suggestion

    def accepted_in_part(self, number: object, n_characters: int) -> None:
        """The user has taken its first `n_characters` UTF-16 units by now."""
        if suggestion := self._find(number):
            self.counts.accepted_in_part += 1
            self._take(suggestion, n_characters)
            self._tell(suggestion, "accepted_in_part")

    def rejected(self, number: object) -> None:
        """The user did not want it."""
        if suggestion := self._find(number):
            self._forget(suggestion.number)
            self.counts.rejected += 1
            self._tell(suggestion, "rejected")

    def forget_requests(self) -> None:
        """Nothing is told any more of what has been suggested so far."""
        for number, suggestion in self._suggestions.items():
            self._suggestions[number] = replace(suggestion, request=0)

    def _shown(self, suggestion: Suggestion) -> None:
        self.counts.shown += 1
        self._tell(suggestion, "shown")

    def _tell(self, suggestion: Suggestion, outcome: str) -> None:
        if suggestion.request:
            self.tell(suggestion.request, outcome)

    def _take(self, suggestion: Suggestion, n_characters: int) -> None:
        before = self._taken.get(suggestion.number, 0)
        self._taken[suggestion.number] = max(before, n_characters)
        self.counts.accepted_characters += self._taken[suggestion.number] - before

    def _forget(self, number: str) -> None:
        del self._suggestions[number]
        self._taken.pop(number, None)

    def _find(self, number: object) -> Suggestion | None:
        return self._suggestions.get(number) if isinstance(number, str) else None


def _n_utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
