"""What is about to be committed, and what a branch has changed: all of it that prompts may show, and nothing else."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.code_text import fair_parts, without_file
from scrubjay.workspace.context_rules import FILE_NAME, read_context_rules
from scrubjay.workspace.diffs import MESSAGE, staged_diff, working_diff
from scrubjay.workspace.listing import Listing
from tests.workspace.test_file_tree import write

LONG = 100_000


def git(root: Path, *command: str, **more: str) -> str:
    author = ("-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "gc.auto=0")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **more}
    arguments = ["git", "-C", str(root), *author, *command]
    return subprocess.run(arguments, check=True, capture_output=True, text=True, env=environment).stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    write(root, {"a.py": "a = 1\n", "b.py": "b = 1\n", "lib/c.py": "c = 1\n"})
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    return root


def diff(root: Path, **more: object) -> str:
    return staged_diff(str(root / ".git" / MESSAGE), LONG, **more)  # type: ignore[arg-type]


def test_it_is_what_git_says_without_what_is_not_shown(root: Path) -> None:
    assert diff(root) == ""
    write(root, {"a.py": "a = 2\n", "lib/new é.py": "new = '🙂'\n"}, 100)
    (root / "b.py").unlink()
    git(root, "add", "-A")
    assert diff(root) == git(root, "diff", "--cached", "--no-renames")
    write(root, {".env": "KEY=secret\n", "id_rsa": "secret\n", ".aws/x": "secret\n", "uv.lock": "locked\n"})
    write(root, {".scrubjayignore": "private/\n", "private/p.py": "private\n", "lib/.scrubjayignore": "d.py\n"})
    write(root, {"lib/d.py": "private\n", "big.py": "big\n" * 100_000})
    git(root, "add", "-A")
    write(root, {"lib/c.py": "not staged\n"}, 100)
    found = diff(root)
    for word in ("secret", "locked", "private/", "d.py", "not staged", "+big"):
        assert word not in found, word
    assert "+a = 2\n" in found and "-b = 1\n" in found and "big.py" in found
    assert "+KEY=secret\n" in diff(root, shows_secrets=True)


def test_the_projects_own_rules_count(root: Path) -> None:
    write(root, {"a.py": "a = 2\n", "b.py": "b = 2\n"}, 100)
    git(root, "add", "-A")
    (root / FILE_NAME).write_text('[context]\nnever = ["a.py"]\n')
    assert "b = 2" in diff(root) and "a = 2" not in diff(root)
    (root / FILE_NAME).write_text('[context]\nonly = "open"\n')
    assert diff(root) == ""
    assert "a = 2" in (found := diff(root, open_paths={str(root / "a.py")})) and "b = 2" not in found
    (root / FILE_NAME).write_text('[context]\nonly = "file"\n')
    assert diff(root, open_paths={str(root / "a.py")}) == ""


@pytest.mark.parametrize("command", [(), ("--all",), ("b.py",)])
def test_it_is_that_of_the_commit_being_made(root: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Looked at where git has the message written: by the editor."""
    write(root, {"a.py": "a = 2\n", "b.py": "b = 2\n", "lib/c.py": "c = 2\n"}, 100)
    git(root, "add", "a.py")
    copy = tmp_path / "copy"
    editor = tmp_path / "editor"
    editor.write_text(f'#!/bin/sh\ncp -r "{root}/.git" "{copy}"\necho done > "$1"\n')
    editor.chmod(0o755)
    git(root, "commit", "-q", *command, GIT_EDITOR=str(editor))
    (root / ".git").rename(tmp_path / "later")
    copy.rename(root / ".git")  # as it was then
    names = {(): {"a.py"}, ("--all",): {"a.py", "b.py", "lib/c.py"}, ("b.py",): {"b.py"}}[command]
    assert {name for name in ("a.py", "b.py", "lib/c.py") if f"+++ b/{name}" in diff(root)} == names


def test_a_linked_worktree_has_its_own(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    git(root, "worktree", "add", "-q", str(other))
    write(other, {"a.py": "a = 3\n"}, 100)
    git(other, "add", "a.py")
    message = f"{git(other, 'rev-parse', '--absolute-git-dir').strip()}/{MESSAGE}"
    assert "+a = 3" in staged_diff(message, LONG)
    assert diff(root) == ""


def test_where_there_is_no_repository_there_is_none(tmp_path: Path) -> None:
    assert diff(tmp_path) == ""
    assert staged_diff(f"{tmp_path}/{MESSAGE}", LONG) == ""


NAMES = st.sampled_from(["a.py", ".env", "uv.lock", "lib/b.py", "lib/deep/c.py", "lib/deep/id_rsa", ".ssh/x", "é.md"])
RULES = st.sampled_from(["", "*.py\n", "lib/\n", "deep\n!c.py\n", "*\n!b.py\n"])


@settings(max_examples=30, deadline=None)
@given(st.sets(NAMES, min_size=1), st.dictionaries(st.sampled_from(["", "lib/", "lib/deep/"]), RULES))
def test_what_is_let_in_is_what_a_scan_finds(
    tmp_path_factory: pytest.TempPathFactory, names: set[str], rules: dict[str, str]
) -> None:
    root = tmp_path_factory.mktemp("root")
    write(root, dict.fromkeys(sorted(names), "x\n"))
    write(root, {f"{folder}.scrubjayignore": text for folder, text in rules.items()})
    git(root, "init", "-q")
    git(root, "add", "-A")
    scan = {path for path, _ in Listing(str(root)).scan()}
    listing = Listing(str(root))
    assert {name for name in names if listing.lets_in(name)} == scan & names


FILES = st.lists(st.lists(st.text("ab+- é", max_size=9), max_size=9), max_size=5)


@given(FILES, st.integers(0, 400))
def test_each_file_has_a_part_of_the_room(files: list[list[str]], n_characters: int) -> None:
    parts = ["".join(f"{line}\n" for line in (f"diff --git {number}", *lines)) for number, lines in enumerate(files)]
    found = fair_parts("".join(parts), n_characters)
    assert len(found) <= n_characters
    if sum(map(len, parts)) <= n_characters:
        assert found == "".join(parts)
    kept = found.split("diff --git ")[1:]
    for part in kept:
        whole = parts[int(part.partition("\n")[0])].removeprefix("diff --git ")
        assert part == whole or (part.endswith("...\n") and whole.startswith(part.removesuffix("...\n")))
    fair = n_characters // max(len(parts), 1)
    assert all(part.removeprefix("diff --git ") in kept for part in parts if len(part) <= fair)


def working(root: Path, rules: str = "", **more: object) -> str:
    return working_diff(Listing(str(root), **more), read_context_rules(rules), LONG)  # type: ignore[arg-type]


def test_a_branch_is_compared_with_where_it_left_the_trunk(root: Path) -> None:
    git(root, "branch", "-M", "main")
    assert working(root) == ""
    git(root, "checkout", "-q", "-b", "feature")
    write(root, {"a.py": "a = 2\n"}, 100)
    git(root, "commit", "-q", "-a", "-m", "second")
    write(root, {"lib/c.py": "c = 'é🙂'\n", "lib/new.py": "not known to git\n"}, 200)
    git(root, "checkout", "-q", "main")
    git(root, "commit", "-q", "--allow-empty", "-m", "trunk")
    git(root, "checkout", "-q", "feature")
    assert working(root) == git(root, "diff", "main...feature", "--", "a.py") + git(root, "diff")
    assert "+a = 2\n" in working(root) and "+c = " in working(root)
    below = working(root / "lib")
    assert below.startswith("diff --git a/c.py b/c.py\n") and "a = 2" not in below
    assert without_file(working(root), "lib/c.py") == git(root, "diff", "main...feature")
    assert without_file(below, "c.py") == without_file("", "c.py") == ""


def test_a_branch_without_a_trunk_is_compared_with_its_last_commit(root: Path, tmp_path: Path) -> None:
    git(root, "branch", "-M", "work")
    write(root, {"a.py": "a = 2\n"}, 100)
    assert working(root) == git(root, "diff")
    (tmp_path / "none").mkdir()
    assert working(tmp_path / "none") == ""
    git(tmp_path / "none", "init", "-q")
    assert working(tmp_path / "none") == "", "nothing was committed yet"


def test_a_branchs_diff_has_nothing_that_prompts_do_not_show(root: Path) -> None:
    write(root, {".env": "KEY=1\n", "uv.lock": "locked 1\n", "private.py": "mine 1\n", "nested/d.py": "d = 1\n"}, 100)
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "second")
    write(root, {".env": "KEY=2\n", "uv.lock": "locked 2\n", "private.py": "mine 2\n", "nested/d.py": "d = 2\n"}, 200)
    write(root, {"a.py": "a = 2\n", ".scrubjayignore": "private.py\n"}, 200)
    found = working(root, nested_roots={"nested"})
    assert "+a = 2" in found and not any(word in found for word in ("KEY", "locked", "mine", "d = 2"))
    assert "+KEY=2" in working(root, shows_secrets=True)
    assert "a = 2" not in working(root, '[context]\nnever = ["a.py"]\n')
    assert working(root, '[context]\nonly = "file"\n') == ""


def test_no_filter_of_the_repository_runs(root: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for key in ("clean", "process", "smudge"):
        git(root, "config", f"filter.a=b.{key}", f"touch '{ran}'; cat")
    git(root, "config", "filter.a=b.required", "true")
    git(root, "config", "diff.external", f"touch '{ran}'")
    write(root, {".gitattributes": "*.py filter=a=b\n", "a.py": "a = 2\n"}, 100)
    assert "+a = 2" in working(root)
    assert not ran.exists()
