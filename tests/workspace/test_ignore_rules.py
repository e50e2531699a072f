"""Ignore rules, compared with what git itself says."""

import os
import subprocess
from pathlib import Path
from time import thread_time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scrubjay.workspace.ignore_rules import NO_RULES, IgnoreRules

NAMES = ("a", "b.o", "lib", "x")
PATTERNS = st.sampled_from(
    [
        "a",
        "b.o",
        "*.o",
        "!b.o",
        "/a",
        "lib/",
        "!lib/",
        "lib/a",
        "/lib/*",
        "!lib/x",
        "**/x",
        "lib/**",
        "!a",
        "#a",
        "",
        "x/a",
        "*",
        "*/",
        "!*/",
        "**",
        "/**",
        "!**/*",
        "lib/**/a",
        "x ",
    ]
)
PIECES = st.sampled_from(
    [
        *(
            "*",
            "**",
            "**/",
            "/**",
            "?",
            "[a-c]",
            "[!a]",
            "[^b/]",
            "[]a]",
            "[a-]",
            "[[:alpha:]]",
            "[[:foo:]]",
            "[a",
            "\\",
        ),
        *(
            "\\*",
            "\\/",
            "/",
            "a",
            "b",
            ".o",
            "lib",
            " ",
            "\\ ",
            "é",
            "[c-a]",
            "[\\]]",
            "[--0]",
            "#",
            "***",
            "[[:digit:]x]",
        ),
    ]
)
ODD_NAMES = [
    *(
        "a",
        "b.o",
        "lib",
        "é",
        "a b",
        "*",
        "[a",
        "abc",
        "-",
        "]",
        "0",
        "a/b",
        "lib/a",
        "lib/x/b.o",
        "a/lib/x",
        "x/a/b/c",
    ),
    *("lib/a b", "aab", "ab/a", " a", "a ", "lib/é"),
]
IGNORE_FILES = st.dictionaries(st.sampled_from(["", "lib", "lib/x"]), st.lists(PATTERNS, max_size=4), max_size=3)
PATHS = [f"{folder}{name}" for folder in ("", "lib/", "lib/x/", "a/") for name in ("b.o", "c", "e.py")] + ["x", "lib/a"]


def is_left_out(path: str, ignore_files: dict[str, list[str]]) -> bool:
    """Whether the file at `path` is never reached by somebody who walks down from the root."""
    rules: IgnoreRules = NO_RULES.below("", "\n".join(ignore_files.get("", [])))
    parts = path.split("/")
    for n in range(1, len(parts)):
        folder = "/".join(parts[:n])
        if rules.ignores(folder, is_folder=True):
            return True
        rules = rules.below(folder, "\n".join(ignore_files.get(folder, [])))
    return rules.ignores(path)


def git_ignores(root: Path, ignore_files: dict[str, list[str]]) -> set[str]:
    for folder in ("", "lib", "lib/x"):
        (root / folder / ".gitignore").write_text("\n".join(ignore_files.get(folder, [])) + "\n")
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        cwd=root,
        input="\n".join(PATHS),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "XDG_CONFIG_HOME": str(root)},
    )
    assert done.returncode in (0, 1), done.stderr
    return set(done.stdout.split())


@pytest.mark.slow
def test_git_says_the_same(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for path in PATHS:
        if path not in ("x", "lib/a"):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()

    @given(IGNORE_FILES)
    @example({"": ["/lib/*", "!lib/"]})  # a folder let in lets in nothing within it
    @settings(max_examples=150, deadline=None)
    def compared(ignore_files: dict[str, list[str]]) -> None:
        ignored = git_ignores(tmp_path, ignore_files)
        assert {path for path in PATHS if is_left_out(path, ignore_files)} == ignored

    compared()


@pytest.mark.slow
def test_git_understands_a_pattern_the_same_way(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)

    @given(st.lists(PIECES, min_size=1, max_size=5).map("".join))
    @example("a**\\/*")  # what is before the first star is compared apart
    @settings(max_examples=300, deadline=None)
    def compared(line: str) -> None:
        (tmp_path / ".gitignore").write_text(f"{line}\n", "utf-8")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), "check-ignore", "--no-index", "-z", "--stdin"],
            input="\0".join(ODD_NAMES).encode(),
            capture_output=True,
            check=False,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "XDG_CONFIG_HOME": str(tmp_path)},
        )
        rules = {"": [line]}
        ignored = set(done.stdout.decode().split("\0")) - {""}
        assert {name for name in ODD_NAMES if is_left_out(name, rules)} == ignored

    compared()


@pytest.mark.parametrize("pattern", ["*a" * 60 + "b", "**/*a*/" * 20 + "b", "a*/" * 40 + "**", "?*" * 60 + "b"])
def test_no_pattern_takes_long(pattern: str) -> None:
    rules = NO_RULES.below("", pattern)
    name, path = "a" * 250, "/".join(["a" * 20] * 150)
    begun = thread_time()
    for asked in (name, path, f"{path}/{name}"):
        rules.ignores(asked)
    assert thread_time() - begun < 1, "one that goes back to try again would not end"


def test_a_line_that_is_no_pattern_is_passed_over() -> None:
    rules = NO_RULES.below("", "!\n*.o\n")
    assert rules.ignores("b.o")
    assert not rules.ignores("b.py")
