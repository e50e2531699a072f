"""What the files of a project say of each other, so that one that is edited finds those that have to do with it.

For threads: reading files waits for the disk. Nothing is done while nothing changes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from scrubjay.outline.relevance import FileFacts, facts_of, relevance

MAX_STEP_BYTES = 256 << 10
"""So much is read before others have their turn: a fifth of a second."""
MAX_FOCUSES = 3
"""For so many files, those looked at last, what has to do with them is wanted."""
MIN_RELEVANCE = 1.0


class Stamp(NamedTuple):
    """When a file was changed, in ns since 1970, and how long it is: another stamp means another content."""

    mtime_ns: int
    n_bytes: int
    inode: int


@dataclass(slots=True)
class FileIndex:
    """Facts of files, by path below the root of a project.

    Args:
        read: the text of the file at a path; "" if it is none.
        together: by path, how often other files were committed with the one at a path.
        is_behind: there may be files to be read.
    """

    read: Callable[[str], str]
    together: Callable[[str], Mapping[str, float]]
    _facts: dict[str, tuple[Stamp, FileFacts]] = field(default_factory=dict)
    is_behind: bool = False
    # The files that were looked at last, the last one at the end, with what was committed together with each.
    _focuses: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def look_from(self, path: str) -> bool:
        """The user is in the file at `path`; whether that is news."""
        if next(reversed(self._focuses), None) == path:
            return False
        together = self._focuses.pop(path, None)
        self._focuses[path] = self.together(path) if together is None else together
        for old in [*self._focuses][:-MAX_FOCUSES]:
            del self._focuses[old]
        self.is_behind = True
        return True

    def note_change(self) -> None:
        """Files may be others than before."""
        self.is_behind = bool(self._focuses)

    def step(self, files: Mapping[str, Stamp]) -> bool:
        """Read some of those files that are new or changed, as long as somebody asks; whether there are more of them."""
        self.is_behind = False
        if not self._focuses:
            return False
        self._facts = {path: known for path, known in self._facts.items() if path in files}
        n_bytes = 0
        for path, stamp in files.items():
            known = self._facts.get(path)
            if known and known[0] == stamp:
                continue
            if n_bytes and n_bytes + stamp.n_bytes > MAX_STEP_BYTES:
                self.is_behind = True
                return True
            n_bytes += stamp.n_bytes
            self._facts[path] = (stamp, facts_of(path, self.read(path)))
        return False

    def is_worthless(self, path: str) -> bool:
        """Whether it is known that nobody needs to see the file at `path`."""
        return path in self._facts and self._facts[path][1].is_worthless

    def related(self, n_most: int) -> list[str]:
        """Paths of files that have to do with those that were looked at last, at most `n_most` for each, the best first."""
        found: dict[str, None] = {}
        for path, together in reversed(self._focuses.items()):
            if path not in self._facts:
                continue
            current = self._facts[path][1]
            others = [(other, facts) for other, (_, facts) in self._facts.items() if other != path]
            scores = relevance(current, current.names, [facts for _, facts in others], together)
            ranked = sorted(zip(scores, (other for other, _ in others), strict=True), key=lambda one: (-one[0], one[1]))
            found |= dict.fromkeys(other for score, other in ranked[:n_most] if score >= MIN_RELEVANCE)
        return [*found]
