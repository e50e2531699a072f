"""Projects: which client has what open, in which order it was edited, and what the model is shown of it."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from scrubjay.errors import RequestError
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import File, Project
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.text import Change, Position


def find_root(path: str) -> str:
    return "/projects/jay"


def open_file(projects: Projects, name: str, text: str = "", owner: str = "", version: int = 1) -> Document:
    return projects.open(f"file:///projects/jay/{name}", "python", version, text, None, find_root, owner)


def labels(project: Project) -> list[str]:
    return [project.label(document) for document in project.by_recency()]


def test_an_edit_makes_a_document_the_most_recent() -> None:
    projects = Projects()
    for name in ("a.py", "lib/b.py", "c.py"):
        open_file(projects, name)
    projects.change("file:///projects/jay/a.py", 2, [Change("x")])
    assert labels(projects.by_root("/projects/jay/")) == ["lib/b.py", "c.py", "a.py"]


def test_a_symbolic_link_is_the_file_that_it_means() -> None:
    projects = Projects(lambda path: path.replace("/link", "/jay"))
    first = open_file(projects, "a.py", "one")
    assert projects.document("file:///projects/link/a.py") is first
    second = projects.open("file:///projects/link/a.py", "python", 1, "two", "/projects/link/", find_root)
    project = projects.by_root("/projects/jay")
    assert list(project.documents.values()) == [second]
    assert project.label(second) == "a.py"


def test_a_link_that_is_set_anew_moves_no_open_document() -> None:
    targets = {"/projects/jay/current.py": "/projects/jay/one.py"}
    projects = Projects(lambda path: targets.get(path, path))
    uri = "file:///projects/jay/current.py"
    open_file(projects, "current.py", "one")
    targets["/projects/jay/current.py"] = "/projects/jay/two.py"
    assert open_file(projects, "current.py", "one, seen by another", owner="code").path == "/projects/jay/one.py"
    projects.change(uri, 2, [Change("typed into one")])
    projects.close(uri, "code")
    projects.close(uri)
    assert open_file(projects, "current.py", "two").path == "/projects/jay/two.py"


def test_each_owner_changes_its_own_copy() -> None:
    projects = Projects()
    open_file(projects, "a.py", "emacs", owner="emacs", version=7)
    open_file(projects, "a.py", "code", owner="code")
    uri = "file:///projects/jay/a.py"
    projects.change(uri, 8, [Change("!", Position(0, 5), Position(0, 5))], owner="emacs")
    projects.change(uri, 2, [Change("?", Position(0, 4), Position(0, 4))], owner="code")
    assert projects.document(uri, "emacs").text == "emacs!"
    assert projects.document(uri).text == "code?"
    projects.close(uri, "code")
    assert projects.document(uri).text == "emacs!"
    assert [document.text for document in projects.project_of(uri).by_recency()] == ["emacs!"]


def test_a_document_closes_with_its_last_owner() -> None:
    projects = Projects()
    for owner in ("emacs", "code"):
        open_file(projects, "a.py", owner=owner)
    open_file(projects, "b.py", owner="code")
    projects.close_owner("code")
    assert labels(projects.by_root("/projects/jay")) == ["a.py"]
    projects.close("file:///projects/jay/a.py", "emacs")
    with pytest.raises(RequestError, match=r"is not open; POST it to /api/documents/open first") as refusal:
        projects.document("file:///projects/jay/a.py")
    assert refusal.value.status == 404
    assert projects.by_root("/projects/jay").focus is None


def test_who_has_not_opened_a_document_may_read_but_not_change_it() -> None:
    projects = Projects()
    open_file(projects, "a.py", "text", owner="emacs")
    uri = "file:///projects/jay/a.py"
    assert projects.document(uri, "script").text == "text"
    assert projects.focus(uri, Position(0, 2), owner="script").text == "text"
    for refused in (lambda: projects.change(uri, 2, [], owner="script"), lambda: projects.close(uri, "script")):
        with pytest.raises(RequestError) as refusal:
            refused()
        assert refusal.value.status == 404


def test_opening_again_gives_a_new_text_and_version() -> None:
    projects = Projects()
    open_file(projects, "a.py", "old", version=9)
    open_file(projects, "a.py", "new", version=1)
    assert projects.change("file:///projects/jay/a.py", 2, []).text == "new"


def test_an_unnamed_buffer_is_a_project_of_its_own_or_of_the_given_root() -> None:
    projects = Projects()
    alone = projects.open("untitled:Untitled-1", "python", 1, "x", None, find_root)
    inside = projects.open("untitled:Untitled-2", "python", 1, "y", "/projects/jay", find_root)
    assert projects.project_of("untitled:Untitled-1").documents == {alone.uri: alone}
    assert projects.project_of("untitled:Untitled-2").root == "/projects/jay"
    assert projects.by_root("/projects/jay").label(inside) == "Untitled-2"


def test_a_file_outside_the_root_is_shown_by_its_name_alone() -> None:
    projects = Projects()
    document = projects.open("file:///etc/secret/hosts", "", 1, "", "/projects/jay", find_root)
    assert projects.by_root("/projects/jay").label(document) == "hosts"


def test_focus_follows_the_user_and_the_last_edit() -> None:
    projects = Projects()
    open_file(projects, "a.py", "alpha\nbeta")
    open_file(projects, "b.py", "gamma")
    project = projects.by_root("/projects/jay")
    assert project.focus is not None
    assert project.label(project.focus.document) == "b.py"
    projects.focus("file:///projects/jay/a.py", Position(1, 2))
    assert project.focus is not None
    assert (project.label(project.focus.document), project.focus.offset) == ("a.py", 8)
    projects.change("file:///projects/jay/b.py", 2, [Change("!", Position(0, 1), Position(0, 2))])
    assert (project.label(project.focus.document), project.focus.offset) == ("b.py", 2)


def test_a_position_that_is_none_moves_no_focus() -> None:
    projects = Projects()
    open_file(projects, "a.py", "alpha")
    with pytest.raises(RequestError) as refusal:
        projects.focus("file:///projects/jay/a.py", Position(-1, 0))
    assert refusal.value.status == 400
    assert projects.by_root("/projects/jay").cursor is None


def test_an_unknown_root_is_refused() -> None:
    with pytest.raises(RequestError, match="No project has the root") as refusal:
        Projects().by_root("/nowhere")
    assert refusal.value.status == 404


def on_disk(projects: Projects, texts: dict[str, str], is_first: bool = False) -> bool:
    """Tell of these files below the root, the most recently edited last."""
    files = [File(f"/projects/jay/{name}", text) for name, text in texts.items()]
    return projects.set_files("/projects/jay", files, is_first)


def test_files_on_disk_come_before_all_that_is_open() -> None:
    projects = Projects()
    open_file(projects, "open.py", "open")
    assert on_disk(projects, {"old.py": "1", "new.py": "2"}, is_first=True)
    project = projects.by_root("/projects/jay")
    assert labels(project) == ["old.py", "new.py", "open.py"]
    assert on_disk(projects, {"new.py": "2", "old.py": "edited"})
    assert labels(project) == ["new.py", "old.py", "open.py"]
    assert not on_disk(projects, {"new.py": "2", "old.py": "edited"})
    assert on_disk(projects, {"new.py": "2"})
    assert labels(project) == ["new.py", "open.py"]
    assert project.n_open == 1


def test_what_is_open_wins_over_the_disk_until_it_is_closed() -> None:
    projects = Projects()
    open_file(projects, "a.py", "unsaved")
    assert not on_disk(projects, {"a.py": "saved"}, is_first=True)
    project = projects.by_root("/projects/jay")
    assert [document.text for document in project.by_recency()] == ["unsaved"]
    projects.close("file:///projects/jay/a.py")
    assert [document.text for document in project.by_recency()] == ["saved"]
    assert project.focus is None, "nobody has anything open"
    with pytest.raises(RequestError, match="not open"):
        projects.document("file:///projects/jay/a.py")
    open_file(projects, "a.py", "again")
    assert not on_disk(projects, {})
    projects.close("file:///projects/jay/a.py")
    assert labels(project) == []


OWNERS, NAMES, ROOTS = (
    st.sampled_from(["emacs", "code", ""]),
    st.sampled_from(["a", "b", "c"]),
    ["/projects/jay", "/projects"],
)


class Sessions(RuleBasedStateMachine):
    """Owners open, change and close at random, and files come and go: the project shows what is open, else the disk."""

    def __init__(self) -> None:
        super().__init__()
        self.projects = Projects()
        self.texts: dict[tuple[str, str], str] = {}
        self.on_disk: dict[str, str] = {}
        self.version = 1
        self.projects.open("untitled:1", "", 1, "", "/projects/jay", find_root, "one who stays")

    @rule(owner=OWNERS, name=NAMES, root=st.sampled_from(ROOTS))
    def open(self, owner: str, name: str, root: str) -> None:
        self.projects.open(f"file:///projects/jay/{name}", "", self.version, owner, root, find_root, owner)
        self.texts[owner, name] = owner

    @rule(owner=OWNERS, name=NAMES)
    def change(self, owner: str, name: str) -> None:
        if (owner, name) in self.texts:
            self.version += 1
            self.projects.change(f"file:///projects/jay/{name}", self.version, [Change(f"{self.version}")], owner=owner)
            self.texts[owner, name] = f"{self.version}"

    @rule(owner=OWNERS, name=NAMES)
    def close(self, owner: str, name: str) -> None:
        if self.texts.pop((owner, name), None) is not None:
            self.projects.close(f"file:///projects/jay/{name}", owner)

    @rule(owner=OWNERS)
    def leave(self, owner: str) -> None:
        self.projects.close_owner(owner)
        self.texts = {key: text for key, text in self.texts.items() if key[0] != owner}

    @rule(texts=st.dictionaries(NAMES, st.sampled_from(["disk", "other"])))
    def disk(self, texts: dict[str, str]) -> None:
        on_disk(self.projects, texts)
        self.on_disk = texts

    @invariant()
    def copies_are_those_of_their_owners(self) -> None:
        for (owner, name), text in self.texts.items():
            assert self.projects.document(f"file:///projects/jay/{name}", owner).text == text

    @invariant()
    def projects_show_what_is_open_and_else_the_disk(self) -> None:
        held = {name for _, name in self.texts}
        for project in self.projects:
            shown = {key.rpartition("/")[2]: document for key, document in project.documents.items()}
            is_open = {name for name, document in shown.items() if document.is_open}
            assert project.recency.keys() == project.documents.keys()
            assert (project.focus is None) == (not is_open)
            assert is_open - {"untitled:1"} <= held
            for name in shown.keys() - is_open:
                assert shown[name].text == self.on_disk[name]
        jay = self.projects.by_root("/projects/jay")
        assert self.on_disk.keys() <= {key.rpartition("/")[2] for key in jay.documents}
        n_open = sum(project.n_open for project in self.projects)
        assert len(held) + 1 <= n_open <= len(self.texts) + 1


TestSessions = pytest.mark.slow(Sessions.TestCase)


def test_cells_belong_to_the_project_of_their_notebook() -> None:
    projects = Projects()
    cells = [f"vscode-notebook-cell:/projects/jay/n%20b.ipynb#W{number}" for number in range(3)]
    for cell in cells:
        projects.open(cell, "python", 1, "x", None, find_root)
    open_file(projects, "a.py")
    assert labels(projects.by_root("/projects/jay")) == ["n b.ipynb#W0", "n b.ipynb#W1", "n b.ipynb#W2", "a.py"]


def test_spellings_of_a_uri_are_one_document() -> None:
    projects = Projects()
    for spelling in ("a%2Bb.py", "a+b.py", "%61+b.py"):
        open_file(projects, spelling, spelling)
    assert labels(projects.by_root("/projects/jay")) == ["a+b.py"]
    projects.close("file:///projects/jay/a%2bb.py")
    assert projects.by_root("/projects/jay").n_open == 0


def test_a_home_folder_that_an_editor_names_is_no_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/projects")
    projects = Projects()
    projects.open("file:///projects/jay/a.py", "", 1, "", "/projects", find_root)
    assert [project.root for project in projects] == ["/projects/jay"]


def test_a_label_is_a_text_whatever_the_name_on_disk_is() -> None:
    projects = Projects()
    document = open_file(projects, "caf%e9/x.py")
    assert projects.by_root("/projects/jay").label(document) == "caf\ufffd/x.py"
