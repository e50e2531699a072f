"""Which files of a folder are left out: the rules of `.gitignore` and `.scrubjayignore`, nested and negated as git has them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pathspec import GitIgnoreSpec, RegexPattern

IGNORE_FILES = (".gitignore", ".scrubjayignore")
"""In a folder they count as one file, the second after the first."""
REPOSITORY_RULES = ".git/info/exclude"
"""Rules of the whole repository, weaker than all others."""
NEVER = frozenset({".git", ".hg", ".svn", ".jj", "node_modules", "__pycache__", ".venv"})
"""Folders that nobody edits by hand, whether or not a rule says so."""
NEVER_FILES = frozenset(
    {*IGNORE_FILES, "package-lock.json", "pnpm-lock.yaml", "yarn.lock", "poetry.lock", "uv.lock", "Cargo.lock"}
)
"""Files that tell a model nothing: these rules themselves, and long lists that programs write whenever something is installed."""
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
        spec = GitIgnoreSpec.from_lines(_understood(text.splitlines()))
        where = f"{self.root}{folder}/" if folder else self.root
        return replace(self, specs=(*self.specs, (where, spec))) if spec.patterns else self

    def rooted(self, folder: str) -> "IgnoreRules":
        """The same rules for paths that are relative to `folder`, which is relative to the top."""
        return replace(self, root=f"{folder}/")

    def ignores(self, path: str, is_folder: bool = False) -> bool:
        """Whether `path`, which lies directly in the folder of these rules, is left out.

        Args:
            path: relative to the root, with forward slashes.
        """
        if path.rpartition("/")[2] in (NEVER if is_folder else NEVER_FILES):
            return True
        asked = f"{self.root}{path}/" if is_folder else f"{self.root}{path}"
        verdicts = (_verdict(spec, asked.removeprefix(folder)) for folder, spec in reversed(self.specs))
        return next((verdict for verdict in verdicts if verdict is not None), False)


NO_RULES = IgnoreRules()


def _verdict(spec: GitIgnoreSpec, path: str) -> bool | None:
    """Whether the last pattern that means `path` leaves it out; None if none does.

    pathspec's own answer also counts patterns that mean a folder above. Whoever walks down has asked about that one before,
    and to git letting a folder in lets in nothing that is left out within.
    """
    meant = (p for p in reversed(spec.patterns) if isinstance(p, RegexPattern) and p.regex and p.regex.fullmatch(path))
    return next((pattern.include for pattern in meant), None)


def _understood(lines: Sequence[str]) -> list[str]:
    """Those of `lines` that are patterns at all; git passes over the others in silence, too."""
    return [_of_one_path(line) for line in lines if _is_pattern(line)]


def _of_one_path(line: str) -> str:
    """`line` so that pathspec makes an expression of it that matches whole paths.

    To pathspec `lib/**` also means the folder itself; to git only what is in it, some of which may be let in again. Of `*`
    and the like, which mean everything, or every folder, it makes something that matches a part.
    """
    line = line.rstrip(" ")
    sign = "!" if line.startswith("!") else ""
    pattern = line.removeprefix("!")
    pattern = f"{pattern}/*" if pattern.endswith("/**") else pattern
    everything = _EVERYTHING.fullmatch(pattern)
    return f"{sign}?*{everything[1]}" if everything else f"{sign}{pattern}"


def _is_pattern(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
