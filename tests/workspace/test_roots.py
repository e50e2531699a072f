"""The project of a file is the nearest folder that is marked as one, and never the home folder."""

from pathlib import Path

import pytest

from scrubjay.workspace.roots import find_root, is_home_or_above, is_project


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "users" / "me"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.mark.parametrize("marker", ["pyproject.toml", "package.json", "Cargo.toml", "go.mod", ".git", ".jj"])
def test_the_nearest_marked_folder_is_the_project(home: Path, marker: str) -> None:
    (project := home / "outer" / "project").mkdir(parents=True)
    (home / "outer" / ".git").mkdir()
    (project / marker).touch()
    assert find_root(str(project / "src" / "deep" / "a.py")) == str(project)
    assert find_root(str(home / "outer" / "a.py")) == str(home / "outer")
    assert is_project(str(project))


def test_makefiles_are_in_subfolders_too(home: Path) -> None:
    for folder in ("c", "c/src"):
        (home / folder).mkdir()
        (home / folder / "Makefile").touch()
    assert find_root(str(home / "c" / "src" / "a.c")) == str(home / "c" / "src")
    (home / "c" / ".git").touch()
    assert find_root(str(home / "c" / "src" / "a.c")) == str(home / "c")


def test_a_home_folder_is_no_project_whatever_is_kept_in_it(home: Path) -> None:
    for folder in (home, home.parent):
        (folder / ".git").mkdir()
        (folder / "package.json").touch()
    assert find_root(str(home / "scripts" / "deep" / "b.py")) == str(home / "scripts" / "deep")
    assert find_root(str(home / ".profile")) == str(home / ".profile"), "a project of its own"
    assert is_home_or_above(str(home))
    assert is_home_or_above(str(home.parent))
    assert is_home_or_above("/")
    assert not is_home_or_above(str(home / "scripts"))
    assert not is_home_or_above(f"{home}2")


def test_without_a_home_folder_all_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    (tmp_path / "go.mod").touch()
    assert find_root(str(tmp_path / "a.go")) == str(tmp_path)
    assert not is_home_or_above(str(tmp_path))


@pytest.mark.parametrize("name", ["a\0b", "n" * 300, "\ud83d", "x/" * 3000])
def test_what_the_disk_refuses_has_no_markers(home: Path, name: str) -> None:
    (home / "p").mkdir()
    (home / "p" / "Cargo.toml").touch()
    assert find_root(f"{home}/p/{name}/a.rs") == str(home / "p")
    assert not is_project(f"{home}/{name}")
