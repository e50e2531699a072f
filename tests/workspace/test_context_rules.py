"""`.scrubjay.toml`: what the user wants to be shown, and that a mistake in it is one sentence and nothing worse."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.workspace.context_rules import FILE_NAME, MAX_CHARACTERS, NO_CONTEXT_RULES, read_context_rules
from scrubjay.workspace.document import Document
from scrubjay.workspace.file_tree import MAX_CANDIDATES, FileBudget
from scrubjay.workspace.project import Project
from tests.workspace.test_file_tree import names, scanned, write

RULES = '[context]\nalways = ["types.py", "docs/"]\nnever = ["*.sql", "vendor/"]\n'


def test_patterns_mean_files_and_folders() -> None:
    rules = read_context_rules(RULES)
    labels = ("a.sql", "b/a.sql", "vendor/x/y.py", "vendors.py", "vendor")
    assert [rules.may_show(label, is_open=True) for label in labels] == [False, False, False, True, True]
    assert [rules.insists_on(label) for label in ("types.py", "docs/a/b.md", "doc.md")] == [True, True, False]


@pytest.mark.parametrize(
    ("only", "shown"),
    [
        ("", ["open", "disk", "always"]),
        ('only = "open"', ["open", "always"]),
        ('only = "file"', []),
    ],
)
def test_what_is_only_shown(only: str, shown: list[str]) -> None:
    rules = read_context_rules(f'[context]\nalways = ["always", "never"]\nnever = ["never*"]\n{only}\n')
    files = {"open": True, "disk": False, "always": False, "never": True, "never2": False}
    assert [name for name, is_open in files.items() if rules.may_show(name, is_open)] == shown


def test_a_cell_is_a_part_of_its_notebook() -> None:
    project = Project("/jay", rules=read_context_rules('[context]\nnever = ["*.ipynb"]\n'))
    cell = Document("vscode-notebook-cell:/jay/a.ipynb#W0", "python", 1, "x = 1\n")
    assert project.label(cell) != "a.ipynb"
    assert not project.may_show(cell)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[context", "Expected"),
        ("x = " + "[" * 3_000, "recursion"),
        ("[contexts]\n", "'contexts'"),
        ("context = 1\n", "one table"),
        ("[context]\nnevr = []\n", "'nevr'"),
        ('[context]\nonly = "all"\n', "'all'"),
        ('[context]\nnever = "a"\n', "never is a list"),
        ("[context]\nalways = [1]\n", "always is a list"),
        ("#" * (MAX_CHARACTERS + 1), "longer"),
    ],
)
def test_a_mistake_is_one_sentence_and_the_rules_from_before_hold(text: str, words: str) -> None:
    before = read_context_rules(RULES)
    rules = read_context_rules(text, before)
    assert rules.problem.startswith(f"{FILE_NAME} is not followed: ")
    assert words in rules.problem
    assert rules.problem.endswith(".") and "\n" not in rules.problem
    assert not rules.may_show("a.sql", is_open=True)
    assert read_context_rules("", rules) is NO_CONTEXT_RULES
    assert not read_context_rules(RULES, rules).problem


@settings(deadline=None)
@given(st.text(max_size=200) | st.text("[]context=never\"'*!/, \n", max_size=60))
def test_whatever_it_says_there_are_rules_and_the_same_text_has_the_same(text: str) -> None:
    rules = read_context_rules(text)
    assert read_context_rules(text, rules) is rules
    assert rules.text == text
    assert rules.may_show("a/b.py", is_open=True) in (True, False)


def test_what_is_always_to_be_shown_is_known_however_old_it_is(tmp_path: Path) -> None:
    write(tmp_path, {"types.py": "T = int\n", "secret.sql": "x\n", **{f"{n}.py": "x = 1\n" for n in range(9)}})
    assert "types.py" not in names(scanned(tmp_path, FileBudget(4, 4_096)).recent_files())
    write(tmp_path, {FILE_NAME: '[context]\nalways = ["types.py"]\nnever = ["8.py"]\n'}, 50)
    tree = scanned(tmp_path, FileBudget(4, 4_096))
    found = names(tree.recent_files())
    assert found[0] == "types.py", "it is the oldest one all the same"
    assert "8.py" not in found and "7.py" in found
    (tmp_path / "8.py").write_text("x = 2\n")
    tree.update([str(tmp_path / "8.py")])
    assert names(tree.recent_files()) == found
    (tmp_path / FILE_NAME).write_text('[context]\nonly = "open"\n')
    tree.update([str(tmp_path / FILE_NAME)])
    assert tree.recent_files() == ()
    (tmp_path / FILE_NAME).unlink()
    tree.update([str(tmp_path / FILE_NAME)])
    assert "8.py" in names(tree.recent_files())


def test_what_is_never_shown_takes_no_place_among_many_and_what_always_is_has_one(tmp_path: Path) -> None:
    write(tmp_path, {"types.py": "T = int\n", "old.py": "old = 1\n"})
    write(tmp_path, {f"vendor/{number}.py": f"{number}" for number in range(MAX_CANDIDATES + 10)}, 10)
    write(tmp_path, {FILE_NAME: '[context]\nnever = ["vendor/"]\n'}, 5)
    assert "old.py" in names(scanned(tmp_path).recent_files())
    write(tmp_path, {FILE_NAME: '[context]\nalways = ["types.py"]\n'}, 5)
    tree = scanned(tmp_path)
    assert "types.py" in names(tree.recent_files()) and "old.py" not in names(tree.recent_files())
    (tmp_path / "new.py").write_text("new = 1\n")
    tree.update([str(tmp_path / "new.py")])
    assert {"types.py", "new.py"} <= {*names(tree.recent_files())}
