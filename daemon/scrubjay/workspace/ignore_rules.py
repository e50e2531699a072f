"""Which files rules leave out: those of `.scrubjayignore`, and where git cannot be asked also those of `.gitignore`.

They are nested and negated as git has them.
"""

import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

from scrubjay.workspace.ignore_pattern import IgnorePattern, UnreadableError, read_pattern

logger = logging.getLogger(__name__)

REPOSITORY_RULES = ".git/info/exclude"
"""Rules of the whole repository, weaker than all others."""


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The rules that hold in one folder: its own and those of the folders above it, up to the top.

    Args:
        patterns: folders, relative to the top and ending with a slash unless it is the top itself, and what their ignore
            files say, the last line first; the nearest folder last.
        root: where the paths that are asked about begin, relative to the top: "", or a folder that ends with a slash.
    """

    patterns: tuple[tuple[str, tuple[IgnorePattern, ...]], ...] = ()
    root: str = ""

    def below(self, folder: str, text: str) -> "IgnoreRules":
        """The rules in `folder`, whose ignore files say `text`; these ones if that is nothing.

        Args:
            folder: relative to the root, with forward slashes; "" for the root.
            text: decoded as names of files are.
        """
        patterns = tuple(_patterns(text, folder))[::-1]
        where = f"{self.root}{folder}/" if folder else self.root
        return replace(self, patterns=(*self.patterns, (where, patterns))) if patterns else self

    def rooted(self, folder: str) -> "IgnoreRules":
        """The same rules for paths that are relative to `folder`, which is relative to the top."""
        return replace(self, root=f"{folder}/")

    def verdict(self, path: str, is_folder: bool = False) -> bool | None:
        """Whether `path`, which is directly in the folder of these rules, is left out; None if no rule means it.

        A walk downwards has asked about the folders above before; to git, letting one in lets in nothing within it.

        Args:
            path: relative to the root, with forward slashes.
        """
        asked = f"{self.root}{path}"
        for folder, patterns in reversed(self.patterns):
            name = os.fsencode(asked[len(folder) :])
            for pattern in patterns:
                if pattern.means(name, is_folder):
                    return pattern.leaves_out
        return None

    def ignores(self, path: str, is_folder: bool = False) -> bool:
        """Whether a rule leaves `path` out; see `verdict`."""
        return self.verdict(path, is_folder) is True

    @property
    def lets_in(self) -> bool:
        """Whether some rule may let in what another one leaves out."""
        return any(not pattern.leaves_out for _, patterns in self.patterns for pattern in patterns)


NO_RULES = IgnoreRules()


def _patterns(text: str, folder: str) -> Iterator[IgnorePattern]:
    """What the lines of an ignore file say. Like git, it passes over those that cannot be read."""
    for line in os.fsencode(text).split(b"\n"):
        try:
            pattern = read_pattern(line)
        except UnreadableError as error:
            logger.warning("The ignore pattern %r of %s is passed over: %s.", line, folder or "the root", error)
        else:
            if pattern is not None:
                yield pattern
