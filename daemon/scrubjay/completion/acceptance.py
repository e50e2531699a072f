"""What became of the completions that were shown: counts for each project and language, as values that a file can hold. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Json = dict[str, Any]
Outcome = Literal["accepted", "accepted_in_part", "typed_out", "rejected", "pending"]
"""`typed_out`: the user wrote by hand what was proposed; `pending`: neither that, nor anything else so far."""

MAX_COUNT = 1e15
MAX_ROWS = 256
"""Projects and languages; of more, those in which nothing was shown for longest are forgotten."""


@dataclass(slots=True)
class Kept:
    """Of that many characters that were accepted, so many were still there when it was looked; white space is not counted."""

    characters: int = 0
    kept: int = 0


@dataclass(slots=True)
class Counts:
    """How many completions were shown, and how many of them had which outcome; all others are `pending`.

    Args:
        n_answers: how many requests were answered; `latency_ms` is the sum of what these took.
        tokens_saved: tokens of their prompts that did not have to be processed.
        after_5_min, at_save: what was left of accepted texts five minutes later, and when the document was saved next.
    """

    shown: int = 0
    accepted: int = 0
    accepted_in_part: int = 0
    typed_out: int = 0
    rejected: int = 0
    pending: int = 0
    n_answers: int = 0
    latency_ms: float = 0.0
    tokens_saved: int = 0
    after_5_min: Kept = field(default_factory=Kept)
    at_save: Kept = field(default_factory=Kept)

    def show(self) -> None:
        """One more was shown."""
        self.shown += 1
        self.pending += 1

    def move(self, old: Outcome, new: Outcome) -> None:
        """One of them has another outcome than before."""
        setattr(self, old, getattr(self, old) - 1)
        setattr(self, new, getattr(self, new) + 1)

    def answered(self, latency_ms: float, tokens_saved: int) -> None:
        """A request was answered."""
        self.n_answers += 1
        self.latency_ms += latency_ms
        self.tokens_saved += tokens_saved

    def settled(self) -> "Counts":
        """The same without what is pending: what a file holds, because nobody will ever know about these."""
        return Counts(**{**self._values(), "shown": self.shown - self.pending, "pending": 0})

    def add_to(self, stored: "Counts", before: "Counts") -> None:
        """Have what is `stored` by now, and what was counted here since it was `before`."""
        outcomes = ("accepted", "accepted_in_part", "typed_out", "rejected")
        for name in (*outcomes, "n_answers", "latency_ms", "tokens_saved"):
            _add(self, name, stored, before)
        for look in ("after_5_min", "at_save"):
            for name in ("characters", "kept"):
                _add(getattr(self, look), name, getattr(stored, look), getattr(before, look))
        self.shown = self.pending + sum(getattr(self, name) for name in outcomes)

    def _values(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


def _add(counts: object, name: str, stored: object, before: object) -> None:
    # What was counted before may be stored no more, because it was forgotten: less than nothing is left of nothing.
    setattr(counts, name, max(0, getattr(stored, name) + getattr(counts, name) - getattr(before, name)))


class AcceptanceTable:
    """The counts of each project and language."""

    def __init__(self) -> None:
        # By root and language; the one in which something was counted last is at the end.
        self._rows: dict[tuple[str, str], Counts] = {}

    def __iter__(self) -> Iterator[tuple[str, str, Counts]]:
        return ((root, language, counts) for (root, language), counts in self._rows.items())

    def at(self, root: str, language: str) -> Counts:
        """The counts of one language in one project."""
        counts = self._rows.pop((root, language), None) or Counts()
        self._rows[root, language] = counts
        if len(self._rows) > MAX_ROWS:
            del self._rows[next(iter(self._rows))]
        return counts

    def of(self, root: str) -> list[Counts]:
        """The counts of the project at `root` and of those inside of it; with "" of all."""
        return [counts for (project, _), counts in self._rows.items() if _is_inside(project, root)]

    def forget(self, root: str) -> None:
        """Count nothing any more of the project at `root` and of those inside of it, or with "" of any."""
        self._rows = {name: counts for name, counts in self._rows.items() if not _is_inside(name[0], root)}

    def add_to(self, stored: "AcceptanceTable", before: "AcceptanceTable") -> None:
        """Have what is `stored` by now, and what was counted here since it was `before`: others count as well, and forget."""
        here, nothing = self._rows, Counts()
        others = [name for name in stored._rows if name not in here]
        self._rows = {name: here.get(name) or Counts() for name in (*others, *here)}
        for name, counts in list(self._rows.items()):
            counts.add_to(stored._rows.get(name, nothing), before._rows.get(name, nothing))
            if counts == nothing:
                del self._rows[name]
        for name in list(self._rows)[:-MAX_ROWS]:
            del self._rows[name]

    def as_json(self) -> list[Json]:
        """What a file holds."""
        rows = ((root, language, counts.settled()) for root, language, counts in self)
        return [{"root": root, "language": language, **asdict(row)} for root, language, row in rows if row != Counts()]

    @classmethod
    def of_json(cls, rows: object) -> "AcceptanceTable":
        """What a file held; what in it is no row is left out."""
        table = cls()
        for row in rows if isinstance(rows, list) else []:
            if counts := _counts_of(row):
                table._rows[row["root"], row["language"]] = counts
        return table


def _is_inside(project: str, root: str) -> bool:
    return not root or project == root or project.startswith(f"{root.rstrip('/')}/")


def _counts_of(row: object) -> Counts | None:
    """The counts in a row of a file; None if it is not one that `AcceptanceTable.as_json` makes."""
    if not isinstance(row, Mapping) or not all(isinstance(row.get(name), str) for name in ("root", "language")):
        return None
    values: Json = {name: value for name, value in row.items() if name not in ("root", "language")}
    kept: Json = {name: _kept_of(values.pop(name, None)) for name in ("after_5_min", "at_save")}
    known = {each.name for each in fields(Counts)} - kept.keys()
    if values.keys() != known or not all(_is_count(value) for value in values.values()) or None in kept.values():
        return None
    counts = Counts(**values, **kept)
    outcomes = counts.accepted + counts.accepted_in_part + counts.typed_out + counts.rejected
    return counts if counts.shown == outcomes and not counts.pending else None


def _kept_of(value: object) -> Kept | None:
    is_whole = isinstance(value, Mapping) and value.keys() == {"characters", "kept"}
    return Kept(**value) if is_whole and all(_is_count(each) for each in value.values()) else None  # type: ignore[attr-defined,arg-type]


def _is_count(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < MAX_COUNT  # type: ignore[operator]
