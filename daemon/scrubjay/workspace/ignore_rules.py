"""Which files rules leave out: those of `.scrubjayignore`, and where git cannot be asked also those of `.gitignore`.

They are nested and negated as git has them.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pathspec import GitIgnoreSpec, RegexPattern

logger = logging.getLogger(__name__)

REPOSITORY_RULES = ".git/info/exclude"
"""Rules of the whole repository, weaker than all others."""
_EVERYTHING = re.compile(r"(?:/?\*\*/)*\*\*?(/?)")


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The rules that hold in one folder: its own and those of the folders above it, up to the top.

    Args:
        specs: folders, relative to the top and ending with a slash unless it is the top itself, and what their ignore
            files say; the nearest last.
        root: where the paths that are asked about begin, relative to the top: "", or a folder that ends with a slash.
    """

    specs: tuple[tuple[str, GitIgnoreSpec], ...] = ()
    root: str = ""

    def below(self, folder: str, text: str) -> "IgnoreRules":
        """The rules in `folder`, whose ignore files say `text`; these ones if that is nothing.

        Args:
            folder: relative to the root, with forward slashes; "" for the root.
        """
        spec = GitIgnoreSpec.from_lines(_readable(text.split("\n"), folder))
        where = f"{self.root}{folder}/" if folder else self.root
        return replace(self, specs=(*self.specs, (where, spec))) if spec.patterns else self

    def rooted(self, folder: str) -> "IgnoreRules":
        """The same rules for paths that are relative to `folder`, which is relative to the top."""
        return replace(self, root=f"{folder}/")

    def verdict(self, path: str, is_folder: bool = False) -> bool | None:
        """Whether `path`, which is directly in the folder of these rules, is left out; None if no rule means it.

        Args:
            path: relative to the root, with forward slashes.
        """
        asked = f"{self.root}{path}/" if is_folder else f"{self.root}{path}"
        verdicts = (_verdict(spec, asked.removeprefix(folder)) for folder, spec in reversed(self.specs))
        return next((verdict for verdict in verdicts if verdict is not None), None)

    def ignores(self, path: str, is_folder: bool = False) -> bool:
        """Whether a rule leaves `path` out; see `verdict`."""
        return self.verdict(path, is_folder) is True

    @property
    def lets_in(self) -> bool:
        """Whether some rule may let in what another one leaves out."""
        return any(pattern.include is False for _, spec in self.specs for pattern in spec.patterns)


NO_RULES = IgnoreRules()


def _verdict(spec: GitIgnoreSpec, path: str) -> bool | None:
    """Whether the last pattern that means `path` leaves it out; None if none does.

    pathspec's own answer also counts patterns that mean a folder above. Whoever walks down has asked about that one before,
    and to git letting a folder in lets in nothing that is left out within.
    """
    meant = (p for p in reversed(spec.patterns) if isinstance(p, RegexPattern) and p.regex and p.regex.fullmatch(path))
    return next((pattern.include for pattern in meant), None)


def _readable(lines: Sequence[str], folder: str) -> list[str]:
    """Those of `lines` that can be read, in a form that pathspec reads as git does. Git passes over the others, too."""
    readable = []
    for line in map(_trimmed, lines):
        try:
            GitIgnoreSpec.from_lines([pattern := _of_one_path(line)])
        except (ValueError, re.error) as error:
            if line != "!":
                logger.warning("The ignore pattern %r of %s is passed over: %s", line, folder or "the root", error)
        else:
            readable.append(pattern)
    return readable


def _trimmed(line: str) -> str:
    """`line` without the spaces at its end, but for one that a backslash keeps."""
    line = line.removesuffix("\r")
    trimmed = line.rstrip(" ")
    n_backslashes = len(trimmed) - len(trimmed.rstrip("\\"))
    return f"{trimmed[:-1]}[ ]" if n_backslashes % 2 and trimmed != line else trimmed


def _of_one_path(line: str) -> str:
    """`line` so that pathspec makes an expression of it that matches whole paths.

    To pathspec `lib/**` also means the folder itself; to git only what is in it, some of which may be let in again. Of `*`
    and the like, which mean everything, or every folder, it makes something that matches a part.
    """
    sign = "!" if line.startswith("!") else ""
    pattern = line.removeprefix("!")
    pattern = f"{pattern}/*" if pattern.endswith("/**") else pattern
    everything = _EVERYTHING.fullmatch(pattern)
    return f"{sign}?*{everything[1]}" if everything else f"{sign}{pattern}"
