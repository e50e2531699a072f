"""Which folder is the project of a file, when no editor says it."""

from pathlib import Path

REPOSITORY = (".git", ".hg", ".svn", ".jj")
MANIFEST = (
    "pyproject.toml",
    "package.json",
    "Cargo.toml",
    "go.mod",
    "CMakeLists.txt",
    "Makefile",
    "setup.py",
    "pom.xml",
)


def find_root(path: str) -> str:
    """The nearest folder above `path` that is a repository, else one that has a manifest, else the file's own."""
    folder = Path(path).parent
    folders = [folder, *folder.parents]
    for markers in (REPOSITORY, MANIFEST):
        for candidate in folders:
            if any((candidate / marker).exists() for marker in markers):
                return str(candidate)
    return str(folder)


def is_project(root: str) -> bool:
    """Whether `root` is a folder in which somebody works on something: a repository, or one that has a manifest."""
    return any((Path(root) / marker).exists() for marker in (*REPOSITORY, *MANIFEST))


def is_home_or_above(root: str) -> bool:
    """Whether the user's home folder lies in `root`, so that it is no one project, whatever it is called."""
    home = Path.home().resolve()
    return Path(root) in (home, *home.parents)
