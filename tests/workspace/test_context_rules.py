"""`.scrubjay.toml`: what the user wants to be shown, and that a mistake in it is one sentence and nothing worse."""

from pathlib import Path

import pytest

from scrubjay.workspace.context_rules import FILE_NAME, NO_CONTEXT_RULES, read_context_rules
from scrubjay.workspace.file_tree import FileBudget
from scrubjay.workspace.project import File, Project
from scrubjay.workspace.projects import Projects
from tests.workspace.test_file_tree import names, scanned, write

ROOT = "/projects/jay"
RULES = '[context]\nalways = ["types.py", "docs/"]\nnever = ["*.sql", "vendor/"]\n'


def project() -> tuple[Projects, Project]:
    projects = Projects()
    for name in ("now.py", "open.py"):
        projects.open(f"file://{ROOT}/{name}", "python", 1, "x = 1\n", ROOT, str)
    return projects, projects.by_root(ROOT)


def shown(rules: str) -> set[str]:
    projects, jay = project()
    files = [File(f"{ROOT}/{name}", "y = 2\n") for name in ("disk.py", "a.sql", "vendor/lib/b.py")]
    projects.set_files(ROOT, files, True, read_context_rules(rules))
    return {jay.label(document) for document in jay.snapshot().documents.values()}


def test_patterns_mean_files_and_folders() -> None:
    rules = read_context_rules(RULES)
    assert [rules.may_show(label, is_open=True) for label in ("a.sql", "b/a.sql", "vendor/x/y.py", "vendors.py")] == [
        False,
        False,
        False,
        True,
    ]
    assert [rules.insists_on(label) for label in ("types.py", "docs/a/b.md", "doc.md")] == [True, True, False]


def test_only_what_may_be_shown_is_seen_by_prompts() -> None:
    assert shown("") == {"now.py", "open.py", "disk.py", "a.sql", "vendor/lib/b.py"}
    assert shown(RULES) == {"now.py", "open.py", "disk.py"}
    assert shown('[context]\nonly = "open"\n') == {"now.py", "open.py"}
    assert shown('[context]\nonly = "file"\n') == set(), "the file that is edited is added by the view"
    assert shown('[context]\nnever = ["open.py"]\n') == {"now.py", "disk.py", "a.sql", "vendor/lib/b.py"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[context", "Expected"),
        ("[contexts]\n", "'contexts'"),
        ("context = 1\n", "one table"),
        ("[context]\nnevr = []\n", "'nevr'"),
        ('[context]\nonly = "all"\n', "'all'"),
        ('[context]\nnever = "a"\n', "never is a list"),
        ("[context]\nalways = [1]\n", "always is a list"),
    ],
)
def test_a_mistake_is_one_sentence_and_the_rules_from_before_hold(text: str, words: str) -> None:
    before = read_context_rules(RULES)
    rules = read_context_rules(text, before)
    assert rules.problem.startswith(f"{FILE_NAME} is not followed: ")
    assert words in rules.problem
    assert rules.problem.endswith(".")
    assert not rules.may_show("a.sql", is_open=True)
    assert read_context_rules("", rules) is NO_CONTEXT_RULES


def test_what_is_always_to_be_shown_is_known_however_old_it_is(tmp_path: Path) -> None:
    write(tmp_path, {"types.py": "T = int\n", "secret.sql": "x\n", **{f"{n}.py": "x = 1\n" for n in range(9)}})
    tree = scanned(tmp_path, FileBudget(4, 4_096))
    assert "types.py" not in names(tree.recent_files())
    (tmp_path / FILE_NAME).write_text('[context]\nalways = ["types.py"]\nnever = ["8.py"]\n')
    found = names(tree.recent_files(tree.context_rules()))
    assert "types.py" in found
    assert "8.py" not in found
    (tmp_path / FILE_NAME).write_text('[context]\nonly = "open"\n')
    assert tree.recent_files(tree.context_rules()) == ()
