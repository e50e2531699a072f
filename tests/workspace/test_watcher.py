"""Watched folders: whatever is done to the files, the watcher ends up with what a fresh look at the disk finds."""

import asyncio
import errno
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.workspace.context_rules import FILE_NAME
from scrubjay.workspace.events import FilesChanged
from scrubjay.workspace.file_tree import FileBudget, FileTree
from scrubjay.workspace.folder_watches import Notifier, TreeNotifier
from scrubjay.workspace.project import File
from scrubjay.workspace.watcher import Watcher

QUIET_S = 0.05
Events = asyncio.Queue[FilesChanged]


@asynccontextmanager
async def watching(root: Path, n_diff: int = 0, **more: object) -> AsyncIterator[tuple[Watcher, Events]]:
    events: Events = asyncio.Queue()
    watcher = Watcher(events.put_nowait, QUIET_S, **more)  # type: ignore[arg-type]
    watcher.watch(str(root), FileBudget(n_diff=n_diff), is_named=True)
    try:
        yield watcher, events
    finally:
        await watcher.close()


def fresh(root: Path) -> set[File]:
    tree = FileTree(str(root))
    tree.scan()
    return set(tree.recent_files())


async def until_equal(events: Events, root: Path) -> None:
    while set((await events.get()).files) != fresh(root):
        pass


def names(files: tuple[File, ...]) -> list[str]:
    return [Path(file.path).name for file in files]


async def test_changes_come_in_one_batch(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a")
    async with watching(tmp_path) as (_, events):
        first = await events.get()
        assert (first.is_first, names(first.files)) == (True, ["a.py"])
        (tmp_path / "new.tmp").write_text("b")
        (tmp_path / "new.tmp").rename(tmp_path / "a.py")
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib" / "c.py").write_text("c")
        batch = await events.get()
        assert not batch.is_first
        assert {(Path(file.path).name, file.text) for file in batch.files} == {("a.py", "b"), ("c.py", "c")}
        assert events.empty()


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "replace", "delete", "move", "folder", "move_folder", "ignore", "rules"]),
        st.sampled_from(["a.py", "b.py", "lib/a.py", "lib/deep/c.py"]),
        st.sampled_from(["a.py", "lib/b.py", "other/c.py"]),
    ),
    min_size=1,
    max_size=12,
)


def operate(root: Path, number: int, what: str, source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    match what:
        case "write":
            target.write_text(f"text {number}")
        case "replace":
            (root / "tmp~").write_text(f"replaced {number}")
            (root / "tmp~").replace(target)
        case "delete":
            source.unlink(missing_ok=True)
        case "move" if source.exists():
            source.replace(target)
        case "folder":
            shutil.rmtree(root / "lib", ignore_errors=True)
        case "move_folder" if (root / "lib").exists() and not (root / "moved").exists():
            (root / "lib").rename(root / "moved")
        case "ignore":
            (root / ".gitignore").write_text(f"{source.name}\n")
        case "rules":
            (root / FILE_NAME).write_text(f'[context]\nnever = ["{source.name}"]\nalways = ["{target.name}"]\n')


@pytest.mark.filterwarnings("ignore:Callback with id:RuntimeWarning")  # watchdog's, of folders that were moved
@given(operations=OPERATIONS)
@settings(max_examples=12, deadline=None)
async def test_the_view_is_what_a_fresh_look_finds(
    tmp_path_factory: pytest.TempPathFactory, operations: list[tuple[str, str, str]]
) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "first.py").write_text("there is something to know from the beginning")
    async with watching(root) as (_, events):
        await events.get()
        for number, (what, source, target) in enumerate(operations):
            operate(root, number, what, root / source, root / target)
        (root / "last.py").write_text("the end")
        await until_equal(events, root)
        # Folders that were moved or made again are still watched, under the names that they have now.
        for path in root.rglob("*.py"):
            path.write_text(f"{path.name} once more")
        await until_equal(events, root)


async def test_without_watches_it_looks_again_and_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> Notifier:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    (tmp_path / "a.py").write_text("a")
    async with watching(tmp_path, make_notifier=refuse) as (_, events):
        assert names((await events.get()).files) == ["a.py"]
        (tmp_path / "b.py").write_text("b")
        assert names((await events.get()).files) == ["a.py", "b.py"]
    (message,) = [record.message for record in caplog.records if "watch limit reached" in record.message]
    if sys.platform == "linux":
        assert "sysctl fs.inotify.max_user_watches=" in message


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.skipif(sys.platform != "linux", reason="only there each folder costs a watch")
async def test_folders_that_are_never_looked_into_take_no_watches(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".gitignore").write_text("/build/\n")
    for folder in ("node_modules", "build", ".venv"):
        for number in range(100):
            (tmp_path / folder / str(number)).mkdir(parents=True)
            (tmp_path / folder / str(number) / "a.js").write_text("1")
    for folder in ("src", "empty"):
        (tmp_path / folder).mkdir()
    (tmp_path / "src" / "a.py").write_text("a")
    before = n_inotify_watches()
    async with watching(tmp_path) as (watcher, events):
        assert names((await events.get()).files) == ["a.py"]
        assert n_inotify_watches() - before == 4, "the root, src, empty, and .git/info"
        (tmp_path / "empty" / "b.py").write_text("b")
        assert names((await events.get()).files) == ["a.py", "b.py"]
        (tmp_path / "build" / "0" / "c.py").write_text("c")
        (tmp_path / "src" / "deep").mkdir()
        (tmp_path / "src" / "deep" / "d.py").write_text("d")
        assert names((await events.get()).files) == ["a.py", "b.py", "d.py"]
        watcher.unwatch(str(tmp_path))
        watcher.watch(str(tmp_path / "src"), FileBudget(), is_named=True)
        await events.get()
        assert n_inotify_watches() - before == 2, "src, deep"


def n_inotify_watches() -> int:
    """How many folders this process watches."""
    texts = []
    for path in Path("/proc/self/fdinfo").iterdir():
        with suppress(OSError):
            texts.append(path.read_text())
    return sum(text.count("inotify wd:") for text in texts)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is what is always done")
async def test_whole_trees_can_be_watched_instead(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a")
    async with watching(tmp_path, make_notifier=TreeNotifier) as (watcher, events):
        await events.get()
        (tmp_path / "lib" / "deep").mkdir(parents=True)
        (tmp_path / "lib" / "deep" / "b.py").write_text("b")
        while names((await events.get()).files) != ["a.py", "b.py"]:
            pass
        watcher.unwatch(str(tmp_path))


async def test_a_root_that_has_gone_can_come_again(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.py").write_text("a")
    async with watching(root) as (watcher, events):
        await events.get()
        shutil.rmtree(root)
        assert (await events.get()).files == ()
        root.mkdir()
        (root / "b.py").write_text("b")
        watcher.watch(str(root), FileBudget(), is_named=True)
        again = await events.get()
        assert (again.is_first, names(again.files)) == (True, ["b.py"])
        (root / "c.py").write_text("c")
        assert names((await events.get()).files) == ["b.py", "c.py"]


async def test_folders_that_are_no_projects_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, project = tmp_path / "home", tmp_path / "home" / "project"
    project.mkdir(parents=True)
    (home / "private.txt").write_text("private")
    (project / "a.py").write_text("a")
    (project / "Makefile").write_text("all:")
    monkeypatch.setenv("HOME", str(home))
    async with watching(home) as (watcher, events):
        watcher.watch(str(tmp_path), FileBudget(), is_named=True)
        watcher.watch("untitled:Untitled-1", FileBudget(), is_named=False)
        watcher.watch(str(tmp_path / "nowhere"), FileBudget(), is_named=True)
        (home / "loose").mkdir()
        (home / "loose" / "b.py").write_text("b")
        watcher.watch(str(home / "loose"), FileBudget(), is_named=False)
        watcher.watch(str(project), FileBudget(), is_named=False)
        assert (await events.get()).root == str(project)
        assert events.empty()


async def test_a_root_within_another_has_its_files_for_itself_while_it_claims_them(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "a.py").write_text("a")
    (inner / "b.py").write_text("b")
    async with watching(tmp_path) as (watcher, events):
        assert names((await events.get()).files) == ["a.py", "b.py"]
        watcher.claim([str(tmp_path), str(inner), str(tmp_path / "never watched")])
        assert events.empty(), "nobody else shows them yet"
        watcher.watch(str(inner), FileBudget(), is_named=True)
        found = [await events.get() for _ in range(2)]
        assert [(Path(event.root).name, names(event.files)) for event in found] == [
            ("inner", ["b.py"]),
            (tmp_path.name, ["a.py"]),
        ]
        (inner / "b.py").write_text("edited")
        assert (await events.get()).root == str(inner)
        watcher.claim([str(tmp_path)])
        again = await events.get()
        assert (again.root, set(names(again.files))) == (str(tmp_path), {"a.py", "b.py"})
        watcher.claim([str(inner)])
        await events.get()
        watcher.unwatch(str(inner))
        assert set(names((await events.get()).files)) == {"a.py", "b.py"}
        assert events.empty()


async def test_what_the_branch_has_changed_comes_with_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("a = 1\n")
    author = ("-c", "user.name=a", "-c", "user.email=a@localhost")
    for command in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    async with watching(tmp_path, n_diff=1000) as (_, events):
        assert (await events.get()).diff == ""
        (tmp_path / "a.py").write_text("a = 2\n")
        while "+a = 2\n" not in (await events.get()).diff:
            pass
        (tmp_path / "a.py").write_text("a = 1\n")
        while (await events.get()).diff:
            pass
