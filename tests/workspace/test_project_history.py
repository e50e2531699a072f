"""What a project takes for an edit, among all that happens to its documents."""

from scrubjay.workspace.project import File, Project
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.text import Change, Position

ROOT = "/projects/jay"
URI = f"file://{ROOT}/a.py"
LINES = "one\ntwo\nthree\n"


class Folder:
    """A project with one open document, its file on disk, and a clock that the test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.projects = Projects(clock=lambda: self.now_s)
        self.open(LINES)
        self.version = 1

    @property
    def project(self) -> Project:
        return self.projects.by_root(ROOT)

    def open(self, text: str, owner: str = "") -> None:
        self.projects.open(URI, "python", 1, text, ROOT, lambda _: ROOT, owner)

    def change(self, line: int, text: str, owner: str = "") -> None:
        """Replace the first three characters of a line."""
        self.version += 1
        change = Change(text, Position(line, 0), Position(line, 3))
        self.projects.change(URI, self.version, [change], owner=owner)

    def on_disk(self, text: str) -> None:
        self.projects.set_files(ROOT, [File(f"{ROOT}/a.py", text)], is_first=False)

    def edits(self) -> list[tuple[str, str]]:
        return [(edit.old, edit.new) for edit in self.project.history]


def test_pauses_are_told_by_the_clock() -> None:
    folder = Folder()
    folder.change(0, "1st")
    folder.now_s = 60.0
    folder.change(0, "2nd")
    assert folder.edits() == [("one\n", "1st\n"), ("1st\n", "2nd\n")]


def test_a_checkout_that_the_editor_reads_first_is_no_edit() -> None:
    folder = Folder()
    folder.change(1, "2nd")
    folder.now_s = 60.0
    folder.change(0, "1st")
    folder.on_disk("1st\n2nd\nthree\n")
    assert folder.edits() == [("two\n", "2nd\n")]
    assert folder.project.history.of(f"{ROOT}/a.py") == []


def test_a_checkout_that_is_seen_on_disk_first_is_no_edit() -> None:
    folder = Folder()
    folder.on_disk("1st\ntwo\nthree\n")
    folder.change(0, "1st")
    assert folder.edits() == []
    folder.change(1, "2nd")
    assert folder.edits() == [("two\n", "2nd\n")]


def test_what_is_typed_and_saved_is_an_edit() -> None:
    folder = Folder()
    folder.change(0, "1st")
    folder.projects.saved(URI)
    folder.on_disk("1st\ntwo\nthree\n")
    assert folder.edits() == [("one\n", "1st\n")]


def test_edits_of_two_copies_do_not_follow_each_other() -> None:
    folder = Folder()
    folder.open("another text\n", "code")
    folder.change(0, "1st")
    folder.change(0, "ANO", "code")
    assert folder.edits() == [("one\n", "1st\n"), ("another text\n", "ANOther text\n")]
    assert [edit.new for edit in folder.project.history.of(f"{ROOT}/a.py")] == ["ANOther text\n"]


def test_a_document_that_is_opened_again_begins_again() -> None:
    folder = Folder()
    folder.change(0, "1st")
    folder.open("one of another branch\n")
    assert folder.edits() == [("one\n", "1st\n")]
    assert folder.project.history.of(f"{ROOT}/a.py") == []
