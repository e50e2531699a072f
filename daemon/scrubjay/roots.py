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
