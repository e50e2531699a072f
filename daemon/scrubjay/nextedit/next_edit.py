"""What every source of next edits is asked with, and what it answers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from scrubjay.nextedit.lexing import line_bounds
from scrubjay.workspace.edit_history import Edit


@dataclass(frozen=True, slots=True)
class OpenText:
    """An open document: `key` is the document's, `path` says its type."""

    key: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Moment:
    """What has been edited, and what is open.

    Args:
        edits: oldest first; the last is the one just made.
        texts: the document of the user first, then the others, the most recently edited first.
        offset: where the user is in the first of the texts.
        taken_back: edits that were undone.
        now_s: by the clock of the edits.
    """

    edits: Sequence[Edit]
    texts: Sequence[OpenText]
    offset: int = 0
    taken_back: Sequence[Edit] = ()
    now_s: float = float("inf")

    def text_of(self, key: str) -> str:
        """The text of the open document `key`."""
        return next(text.text for text in self.texts if text.key == key)


@dataclass(frozen=True, slots=True)
class NextEdit:
    """`new` is proposed in the place of `old`, which is [start, end) of the document `key`.

    `kind` names what it was concluded from: "definition", a definition was renamed; "renamed", a name was replaced by
    another one twice; "twice", two edits were alike; "line", an equal line was changed; "model", a model made it.
    """

    key: str
    start: int
    end: int
    old: str
    new: str
    kind: str

    def lines(self, text: str) -> tuple[str, str]:
        """The whole lines that it touches in `text`, as they are and as they would be."""
        first, last = line_bounds(text, self.start)[0], line_bounds(text, self.end)[1]
        return text[first:last], text[first : self.start] + self.new + text[self.end : last]


Proposer = Callable[[Moment], Iterable[NextEdit]]
"""A source of next edits, the surest first."""
