"""The files of a folder: the texts edited last are known, whatever else is there or happens to it."""

import os
from pathlib import Path

import pytest

from scrubjay.workspace.file_tree import MAX_CANDIDATES, MAX_EDITS, MAX_FILE_BYTES, FileBudget, FileTree
from scrubjay.workspace.project import File


def scanned(root: Path, share: FileBudget | None = None) -> FileTree:
    tree = FileTree(str(root), share or FileBudget())
    tree.scan()
    return tree


def names(files: tuple[File, ...]) -> list[str]:
    return [Path(file.path).name for file in files]


def write(root: Path, texts: dict[str, str], first_second: int = 1) -> None:
    """Write files, each a second newer than the one before, long ago."""
    for second, (name, text) in enumerate(texts.items(), first_second):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8", newline="")
        os.utime(path, (second, second))


def test_the_texts_edited_last_that_fit_are_known(tmp_path: Path) -> None:
    write(tmp_path, {"0": "old", "1": "middle", "2": "x" * 100, "3": "bin\0ary", "4": "new", "5": "", "6": "last"})
    assert [file.text for file in scanned(tmp_path, FileBudget(3, 50)).recent_files()] == ["middle", "new", "last"]
    assert [file.text for file in scanned(tmp_path, FileBudget(9, 16)).recent_files()] == ["old", "new", "last"]


def test_what_is_no_text_of_the_project_is_not_known(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    write(outside, {"secret.py": "outside"})
    write(root, {"a.py": "a", "big.py": "y" * (MAX_FILE_BYTES + 1), "lib/b.py": "b", "cr.py": "a\r\nb\r\n"})
    (root / "latin.py").write_bytes(b"gr\xf6\xdfe")
    (root / "picture.png").write_bytes(b"\x89PNG\0\0")
    (root / "link.py").symlink_to(outside / "secret.py")
    (root / "folder").symlink_to(outside)
    (root / "inside.py").symlink_to(root / "a.py")
    os.mkfifo(root / "pipe.py")
    assert [file.text for file in scanned(root).recent_files()] == ["a", "b", "a\r\nb\r\n"]


def test_rules_are_nested_and_negated(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "*.log\n/build/\nlib/*\n!lib/kept.py\n", "lib/.gitignore": "*.py\n!kept.py\n"})
    write(
        tmp_path, {"a.log": "1", "build/b.py": "2", "lib/gone.py": "3", "lib/kept.py": "4", "sub/build/c.py": "5"}, 10
    )
    write(tmp_path, {".git/config": "6", "node_modules/d.js": "7", ".git/info/exclude": "local.py\n", "local.py": "8"})
    write(tmp_path, {".scrubjayignore": "!/a.log\nprivate/\n", "private/e.py": "9"})
    assert [file.text for file in scanned(tmp_path).recent_files()] == ["1", "4", "5"]


def test_the_rules_of_the_repository_count_in_a_folder_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    repository = tmp_path / "home" / "repository"
    rules = {".": "*.log\n/lib/app/build/\n/build/\n", "lib": "!kept.log\n/app/.env\n/own.py\n", "lib/app": "/own.py\n"}
    write(repository, {f"{folder}/.gitignore": text for folder, text in rules.items()})
    write(repository, {".git/info/exclude": "local.py\n", "lib/outside.py": "outside"})
    root = repository / "lib" / "app"
    left_out = [".env", "a.log", "build/b.py", "own.py", "deep/local.py"]
    shown = {"deep/build/c.py": "1", "deep/kept.log": "2", "deep/own.py": "3"}
    write(root, dict.fromkeys(left_out, "left out") | shown, 10)
    assert [file.text for file in scanned(root).recent_files()] == ["1", "2", "3"]
    # A repository of the home folder's settings does not mean the projects there.
    write(tmp_path / "home", {".git/HEAD": "", ".gitignore": "*\n"})
    (repository / ".git").rename(tmp_path / "no_repository_any_more")
    assert "a.log" in names(scanned(root).recent_files())


def test_a_changed_rule_counts_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "a", "lib/b.py": "b"})
    tree = scanned(tmp_path)
    (tmp_path / "lib" / ".scrubjayignore").write_text("*\n")
    tree.update([str(tmp_path / "lib" / ".scrubjayignore")])
    assert names(tree.recent_files()) == ["a.py"]


def test_what_belongs_to_another_root_is_left_to_it(tmp_path: Path) -> None:
    write(tmp_path, {"lib/a.py": "a", "lib/deep/b.py": "b", "library/c.py": "c", "d.py": "d"})
    tree = FileTree(str(tmp_path), nested_roots=frozenset({"lib"}))
    tree.scan()
    assert names(tree.recent_files()) == ["c.py", "d.py"]
    paths = [tmp_path / "lib" / "a.py", tmp_path / "lib" / "new" / "e.py"]
    write(tmp_path, {str(path.relative_to(tmp_path)): "edited" for path in paths}, 10)
    assert not tree.needs_scan(map(str, paths)), "else all files would be looked at because of others'"
    tree.update([str(path) for path in paths])
    assert names(tree.recent_files()) == ["c.py", "d.py"]
    tree.nested_roots = frozenset()
    tree.scan()
    assert set(names(tree.recent_files())) == {"a.py", "b.py", "c.py", "d.py", "e.py"}


def test_moved_folders_are_looked_into(tmp_path: Path) -> None:
    write(tmp_path, {"lib/deep/a.py": "a"})
    tree = scanned(tmp_path)
    (tmp_path / "lib").rename(tmp_path / "moved")
    tree.update([str(tmp_path / "lib"), str(tmp_path / "moved")])
    assert [file.path for file in tree.recent_files()] == [str(tmp_path / "moved" / "deep" / "a.py")]


def test_when_one_has_to_go_room_is_made_for_several(tmp_path: Path) -> None:
    write(tmp_path, {f"old{number}.py": "text" for number in range(10)})
    tree = scanned(tmp_path, FileBudget(n_files=8))
    assert len(tree.recent_files()) == 6
    sizes = []
    for number in range(6):
        (path := tmp_path / f"new{number}.py").write_text("text")
        tree.update([str(path)])
        sizes.append(len(tree.recent_files()))
        assert names(tree.recent_files())[-1] == path.name
    assert sizes == [7, 8, 6, 7, 8, 6]


@pytest.mark.parametrize("is_told", [True, False])
def test_files_that_a_branch_switch_changes_do_not_push_out_those_that_were_edited(
    tmp_path: Path, is_told: bool
) -> None:
    write(tmp_path, {f"other{number}.py": "one" for number in range(60)} | {"edited.py": "one", "last.py": "one"}, 10)
    tree = scanned(tmp_path)
    before = names(tree.recent_files())
    for path in (switched := [*tmp_path.glob("other*.py"), tmp_path / "edited.py"]):
        path.write_text("two")
    for number in range(MAX_EDITS):
        switched.append(tmp_path / f"came{number}.py")
        switched[-1].write_text("two")
    if is_told:
        tree.update([str(path) for path in switched])
    else:
        tree.scan()
    assert names(tree.recent_files()) == before
    assert {file.text for file in tree.recent_files()[:-1]} == {"two"}
    (tmp_path / "came0.py").write_text("edited")
    tree.update([str(tmp_path / "came0.py")])
    assert names(tree.recent_files())[-1] == "came0.py"


def test_many_files_are_not_all_remembered(tmp_path: Path) -> None:
    write(tmp_path, {f"{number}.py": f"{number}" for number in range(MAX_CANDIDATES + 100)})
    tree = scanned(tmp_path)
    newest = tree.recent_files()
    assert [file.text for file in newest][-1] == f"{MAX_CANDIDATES + 99}"
    for file in newest:
        Path(file.path).unlink()
    tree.update([file.path for file in newest])
    assert tree.recent_files() == scanned(tmp_path).recent_files()


def test_a_fast_model_is_shown_more() -> None:
    sizes = [FileBudget.for_model(speed, 40_960).n_bytes for speed in (50, 500, 5e6)]
    assert sizes == sorted(set(sizes))
    assert FileBudget.for_model(0, 40_960) == FileBudget(), "nothing is known of its speed"
    assert FileBudget.for_model(5e6, 100).n_bytes == 300
