"""Which files of a folder are left out: the rules of `.gitignore` and `.scrubjayignore`, nested and negated as git has them."""

from collections.abc import Sequence
from dataclasses import dataclass

from pathspec import GitIgnoreSpec

IGNORE_FILES = (".gitignore", ".scrubjayignore")
"""In a folder they count as one file, the second after the first."""
REPOSITORY_RULES = ".git/info/exclude"
"""Rules of the whole repository, weaker than all others."""
NEVER = frozenset({".git", ".hg", ".svn", ".jj", "node_modules", "__pycache__", ".venv"})
"""Folders that nobody edits by hand, whether or not a rule says so."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules that hold in one folder: its own and those of the folders above it, up to the root.

    Args:
        specs: folders, relative to the root and ending with a slash unless it is the root itself, and what their ignore
            files say; the nearest last.
    """

    specs: tuple[tuple[str, GitIgnoreSpec], ...] = ()

    def below(self, folder: str, text: str) -> "Rules":
        """The rules in `folder`, whose ignore files say `text`; these ones if that is nothing.

        Args:
            folder: relative to the root, with forward slashes; "" for the root.
        """
        spec = GitIgnoreSpec.from_lines(_understood(text.splitlines()))
        return Rules((*self.specs, (f"{folder}/" if folder else "", spec))) if spec.patterns else self

    def leave_out(self, path: str, is_folder: bool = False) -> bool:
        """Whether `path`, which lies directly in the folder of these rules, is left out.

        Args:
            path: relative to the root, with forward slashes.
        """
        if is_folder and path.rpartition("/")[2] in NEVER:
            return True
        asked = f"{path}/" if is_folder else path
        verdicts = (spec.check_file(asked.removeprefix(folder)).include for folder, spec in reversed(self.specs))
        return next((verdict for verdict in verdicts if verdict is not None), False)


NO_RULES = Rules()


def _understood(lines: Sequence[str]) -> list[str]:
    """Those of `lines` that are patterns at all; git passes over the others in silence, too."""
    # To pathspec `lib/**` also means the folder itself; to git only what is in it, some of which may be let in again.
    return [f"{line}/*" if line.endswith("/**") else line for line in lines if _is_pattern(line)]


def _is_pattern(line: str) -> bool:
    try:
        GitIgnoreSpec.from_lines([line])
    except ValueError:
        return False
    return True
