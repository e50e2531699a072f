"""Files on disk join a project's open documents, once it is known how much a model can take in."""

import asyncio
import shutil
import subprocess
from pathlib import Path
from time import thread_time

import pytest

from scrubjay.notifications import Notification
from scrubjay.workspace.context_rules import FILE_NAME
from scrubjay.workspace.events import (
    ChangeDocument,
    CloseDocument,
    FilesChanged,
    OpenDocument,
    SaveDocument,
    StagedFound,
    WorkspaceEvent,
)
from scrubjay.workspace.project import File
from scrubjay.workspace.projects import MAX_PROJECTS, Projects
from scrubjay.workspace.text import Change
from scrubjay.workspace.workspace import Workspace


class Told:
    """A workspace of real folders, and what it tells."""

    def __init__(self, folder: Path, n_roots: int, is_watching: bool = True) -> None:
        self.roots = [folder / f"root{number}" for number in range(n_roots)]
        for root in self.roots:
            root.mkdir()
            (root / "on_disk.py").write_text("x = 1\n")
        self.projects = Projects()
        self.posted: asyncio.Queue[FilesChanged | StagedFound] = asyncio.Queue()
        self.touched: list[str] = []
        self.forgotten: list[str] = []
        self.news: list[Notification] = []
        self.workspace = Workspace(self.projects, self.posted.put_nowait, self.news.append, is_watching)

    def absorb(self, event: WorkspaceEvent) -> None:
        absorbed = self.workspace.absorb(event)
        self.touched += [project.root for project in absorbed.touched]
        self.forgotten += absorbed.forgotten

    def open(self, root: Path) -> None:
        self.absorb(OpenDocument((root / "open.py").as_uri(), "", root=str(root)))

    async def look(self) -> str:
        """Let the next batch of files be absorbed; returns its root."""
        event = await self.posted.get()
        self.absorb(event)
        return event.root

    def files(self, root: Path) -> list[str]:
        return [Path(path).name for path in self.projects.by_root(str(root)).files]


async def test_files_are_known_once_the_model_is_ready(tmp_path: Path) -> None:
    told = Told(tmp_path, 1)
    (root,) = told.roots
    told.open(root)
    told.workspace.model_is_ready(100.0, 8192)
    told.touched.clear()
    assert await told.look() == str(root)
    assert told.files(root) == ["on_disk.py"]
    assert told.touched == [str(root)]
    assert told.news[-1] == {"type": "files", "root": str(root), "n_files": 1}
    await told.workspace.close()


async def test_files_that_are_not_open_may_be_left_out(tmp_path: Path) -> None:
    told = Told(tmp_path, 1, is_watching=False)
    told.workspace.model_is_ready(100.0, 8192)
    told.open(told.roots[0])
    await told.workspace.close()
    assert told.posted.empty()
    assert told.files(told.roots[0]) == []


async def test_a_document_belongs_to_the_innermost_project_in_use(tmp_path: Path) -> None:
    told = Told(tmp_path, 1)
    (outer,) = told.roots
    inner = outer / "inner"
    (inner / "deep").mkdir(parents=True)
    (inner / "on_disk.py").write_text("x = 1\n")
    told.workspace.model_is_ready(100.0, 8192)
    told.open(outer)
    assert await told.look() == str(outer)
    assert told.files(outer) == ["on_disk.py", "on_disk.py"]
    told.open(inner)
    assert [await told.look(), await told.look()] == [str(inner), str(outer)]
    assert (told.files(inner), told.files(outer)) == (["on_disk.py"], ["on_disk.py"]), "no file stands in both"
    roots = {"inner/deep/a.py": inner, "inner.py": outer, "../other.py": tmp_path}
    uris = {(outer / name).resolve().as_uri(): root for name, root in roots.items()}
    for uri in uris:
        told.absorb(OpenDocument(uri, ""))
    assert {uri: told.projects.project_of(uri).root for uri in uris} == {uri: str(root) for uri, root in uris.items()}
    for uri in ((inner / "open.py").as_uri(), (inner / "deep" / "a.py").as_uri()):
        told.absorb(CloseDocument(uri))
    assert await told.look() == str(outer)
    assert told.files(outer) == ["on_disk.py", "on_disk.py"], "nobody uses the inner one any more"
    await told.workspace.close()


async def test_a_linked_worktree_within_is_a_project_of_its_own(tmp_path: Path) -> None:
    told = Told(tmp_path, 1)
    (outer,) = told.roots
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "one"], ["worktree", "add", "-q", "w/x"]):
        author = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
        subprocess.run(["git", "-C", str(outer), *author, *command], check=True, capture_output=True)
    told.open(outer)
    for root in (None, str(outer)):
        uri = (outer / "w" / "x" / "deep" / "a.py").as_uri()
        told.absorb(OpenDocument(uri, "", root=root))
        assert told.projects.project_of(uri).root == str(outer / "w" / "x")
    await told.workspace.close()


async def test_a_root_that_has_come_again_is_watched_when_something_is_saved_there(tmp_path: Path) -> None:
    told = Told(tmp_path, 1)
    (root,) = told.roots
    told.workspace.model_is_ready(100.0, 8192)
    told.open(root)
    await told.look()
    shutil.rmtree(root)
    await told.look()
    assert told.files(root) == []
    root.mkdir()
    (root / "open.py").write_text("saved\n")
    told.absorb(SaveDocument((root / "open.py").as_uri()))
    await told.look()
    assert told.files(root) == ["open.py"]
    await told.workspace.close()


async def test_of_too_many_projects_those_stay_in_which_something_is_open(tmp_path: Path) -> None:
    told = Told(tmp_path, MAX_PROJECTS + 2)
    told.workspace.model_is_ready(100.0, 8192)
    first, second, *others = told.roots
    for root in (first, second):
        told.open(root)
        await told.look()
    told.absorb(CloseDocument((second / "open.py").as_uri()))
    for root in others:
        told.open(root)
        await told.look()
    assert told.forgotten == [str(second)], "nobody looks at it any more"
    assert all(told.files(root) == ["on_disk.py"] for root in (first, *others))
    told.open(second)
    assert await told.look() == str(second)
    assert told.files(second) == ["on_disk.py"]
    told.absorb(CloseDocument((second / "open.py").as_uri()))
    assert told.forgotten == [str(second)] * 2, "the others are open, and too many already"
    await told.workspace.close()


async def test_what_is_known_of_closed_projects_is_bounded(tmp_path: Path) -> None:
    told = Told(tmp_path, 2 * MAX_PROJECTS)
    told.workspace.model_is_ready(100.0, 8192)
    uris = [f"untitled:Untitled-{number}" for number in range(500)]
    uris += [(root / "open.py").as_uri() for root in told.roots]
    for uri in uris:
        told.absorb(OpenDocument(uri, "x = 1\n", root=None))
        told.absorb(CloseDocument(uri))
        assert len(list(told.projects)) <= MAX_PROJECTS
    kept = {project.root for project in told.projects}
    assert kept == {str(root) for root in told.roots[-MAX_PROJECTS:]}
    assert set(told.forgotten).isdisjoint(kept)
    assert len(told.forgotten) == len(uris) - MAX_PROJECTS, "each of them, once"
    await told.workspace.close()


async def test_what_is_found_on_disk_of_a_forgotten_project_is_passed_over(tmp_path: Path) -> None:
    told = Told(tmp_path, 1)
    told.absorb(FilesChanged(str(tmp_path), (File(str(tmp_path / "a.py"), "a"),), is_first=True))
    assert list(told.projects) == []
    await told.workspace.close()


@pytest.mark.slow
async def test_what_happens_to_one_of_many_documents_and_projects_costs_no_more(tmp_path: Path) -> None:
    def seconds(n_projects: int, n_documents: int) -> float:
        """What it takes to open, change and close a document while that many others are open."""
        told = Told(tmp_path / f"{n_projects}-{n_documents}", n_projects)
        told.workspace.model_is_ready(100.0, 8192)
        for number in range(n_documents):
            root = told.roots[number % n_projects]
            told.absorb(OpenDocument((root / f"{number}.py").as_uri(), "x", root=str(root)))
        begun = thread_time()
        for number in range(100):
            uri = (told.roots[number % n_projects] / "one_more.py").as_uri()
            told.absorb(OpenDocument(uri, "x", root=str(told.roots[number % n_projects])))
            told.absorb(ChangeDocument(uri, 1, (Change("y"),)))
            told.absorb(CloseDocument(uri))
        return thread_time() - begun

    (tmp_path / "50-50").mkdir()
    (tmp_path / "50-2000").mkdir()
    # Forty times as many documents: with a look at all of them it would take many times as long.
    assert seconds(50, 2000) < 5 * seconds(50, 50)


@pytest.mark.parametrize("is_watching", [True, False])
async def test_a_projects_own_rules_hold_from_the_first_document_on(
    tmp_path: Path, is_watching: bool, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told(tmp_path, 1, is_watching)
    (root,) = told.roots
    rules = root / FILE_NAME
    rules.write_text('[context]\nnever = ["open.py"]\n')
    told.open(root)
    project = told.projects.by_root(str(root))
    assert not project.may_show(project.documents[str(root / "open.py")])
    told.absorb(OpenDocument(rules.as_uri(), "", root=str(root)))
    rules.write_text("[contxt]\n")
    told.absorb(SaveDocument(rules.as_uri()))
    assert "'contxt'" in caplog.text
    assert not project.may_show(project.documents[str(root / "open.py")]), "the rules from before hold"
    rules.write_text('[context]\nonly = "open"\n')
    told.absorb(SaveDocument(rules.as_uri()))
    assert project.may_show(project.documents[str(root / "open.py")])
    await told.workspace.close()


async def test_rules_that_another_program_writes_hold_and_count_as_a_change(tmp_path: Path) -> None:
    told = Told(tmp_path, 1)
    (root,) = told.roots
    told.open(root)
    told.workspace.model_is_ready(100.0, 8192)
    await told.look()
    (root / FILE_NAME).write_text('[context]\nnever = ["*"]\n')
    told.touched.clear()
    await told.look()
    project = told.projects.by_root(str(root))
    assert told.touched == [str(root)]
    assert told.files(root) == []
    assert not any(map(project.may_show, project.documents.values()))
    await told.workspace.close()


async def test_what_is_about_to_be_committed_is_shown_while_its_message_is_written(tmp_path: Path) -> None:
    told = Told(tmp_path, 1)
    (root,) = told.roots
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / "id_rsa").write_text("a key\n")
    (root / "not_staged.py").write_text("y = 2\n")
    subprocess.run(["git", "-C", str(root), "add", "on_disk.py", "id_rsa"], check=True)
    message = root / ".git" / "COMMIT_EDITMSG"
    told.absorb(OpenDocument(message.as_uri(), "\n# Please enter the commit message\n"))
    found = await told.posted.get()
    assert isinstance(found, StagedFound)
    told.absorb(found)
    project = told.projects.by_root(str(root))
    (tail,) = project.tails.values()
    assert tail.key == str(message)
    assert "+x = 1" in tail.text
    assert "a key" not in tail.text and "y = 2" not in tail.text
    told.absorb(CloseDocument(message.as_uri()))
    assert project.tails == {}
    told.absorb(found)
    assert project.tails == {}, "it came too late"
    told.absorb(OpenDocument(message.as_uri(), f"\n# ---- >8 ----\n{found.diff}"))
    await told.workspace.close()
    assert told.posted.empty(), "the message has it already"


async def test_what_the_branch_has_changed_is_shown_as_it_is_now(tmp_path: Path) -> None:
    told = Told(tmp_path, 1)
    (root,) = told.roots
    told.open(root)
    project = told.projects.by_root(str(root))
    for diff in ("diff --git a/x.py b/x.py\n", "diff --git a/x.py b/x.py\n+x\n", ""):
        for is_news in (True, False):
            told.touched.clear()
            told.absorb(FilesChanged(str(root), (), is_first=False, diff=diff))
            assert [tail.text for tail in project.tails.values() if tail.is_diff] == ([diff] if diff else [])
            assert bool(told.touched) is is_news
    await told.workspace.close()
