"""Which folder is the project of a file, when no editor says it. What the disk refuses to show counts as not there."""

import os
from pathlib import Path

from scrubjay.uris import exists

REPOSITORY = (".git", ".hg", ".svn", ".jj")
MANIFEST = (
    *("pyproject.toml", "setup.py", "setup.cfg", "package.json", "deno.json", "Cargo.toml", "go.mod", "pom.xml"),
    *("build.gradle", "build.gradle.kts", "settings.gradle", "composer.json", "Gemfile", "mix.exs", "pubspec.yaml"),
    *("Package.swift", "stack.yaml", "build.zig", "dune-project", "meson.build", "flake.nix"),
)
NESTED_MANIFEST = ("CMakeLists.txt", "Makefile")
"""Found in subfolders of a project, too, so the nearest one says nothing if there is another marker further up."""


def find_root(path: str) -> str:
    """The nearest folder above the file at `path` that has a project's marker, else the file's own folder.

    The home folder and those above it are no project, whatever is kept in them: a file there is one of its own.
    """
    folders = _folders_above(path)
    for markers in ((*REPOSITORY, *MANIFEST), NESTED_MANIFEST):
        for folder in folders:
            if _has(folder, markers):
                return folder
    return folders[0] if folders else path


def is_project(root: str) -> bool:
    """Whether `root` is a folder in which somebody works on something: a repository, or one that has a manifest."""
    return _has(root, (*REPOSITORY, *MANIFEST, *NESTED_MANIFEST))


def is_home_or_above(root: str) -> bool:
    """Whether `root` is the user's home folder or holds it, so that it is no one project."""
    home = _home()
    return root in ("/", home) or home.startswith(f"{root.rstrip('/')}/")


def _folders_above(path: str) -> list[str]:
    """The folders that hold `path`, the nearest first, without the home folder and those above it."""
    home = _home()
    folders = [str(folder) for folder in Path(path).parents]
    return [folder for folder in folders if folder != "/" and not f"{home}/".startswith(f"{folder}/")]


def _has(folder: str, markers: tuple[str, ...]) -> bool:
    return any(exists(f"{folder}/{marker}") for marker in markers)


def _home() -> str:
    """The canonical home folder; "" for a user without one."""
    try:
        return os.path.realpath(Path.home())
    except (RuntimeError, OSError, ValueError):
        return ""
