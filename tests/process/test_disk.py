"""Files on disk, branch switches and several projects, with a daemon as users have it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from scrubjay.workspace.file_tree import MAX_FILE_BYTES
from tests.support.api import Api, next_event
from tests.support.daemon_process import OPTIONS, running_daemon
from tests.support.gguf_models import tiny_model
from tests.support.service import source

WARMING = (*(option for option in OPTIONS if option != "--no-warm"), "--warm-delay-ms=1", "--warm-on-battery")
N_FILES = 2000
Events = AsyncIterator[dict[str, Any]]
Shown = dict[str, int]


def write(root: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run_program(root: Path, code: str) -> None:
    """Let another program do something in `root`."""
    subprocess.run([sys.executable, "-c", f"import os, pathlib, shutil\n{code}"], cwd=root, check=True)


async def shown(api: Api, root: Path) -> Shown:
    """How many tokens the prompt of the project has of each file that is not the current one."""
    _, context = await api.get(f"/api/context?root={root}")
    return {span["label"]: span["end"] - span["start"] for span in context["segments"] if span["kind"] == "file"}


async def until_shown(api: Api, events: Events, root: Path, matches: Callable[[Shown], bool]) -> Shown:
    """What the prompt shows as soon as that matches; looked at whenever a prompt was processed."""
    while not matches(files := await shown(api, root)):
        await next_event(events, "edit", root=str(root))
    return files


@pytest.mark.slow
async def test_what_other_programs_write_reaches_the_prompt(tmp_path: Path) -> None:
    root, other, outside = (tmp_path / name for name in ("root", "other", "outside"))
    write(outside, {"secret.py": "secret = 1\n"})
    write(root, {"kept.py": source(2), "moved.py": source(2, 1), "deleted.py": source(2, 2), "open.py": "old = 1\n"})
    write(other, {"theirs.py": source(2, 3)})
    async with (
        running_daemon(tiny_model("deltanet"), tmp_path / "s", more=WARMING) as daemon,
        daemon.api.events() as events,
    ):
        api = daemon.api
        await api.open((root / "open.py").as_uri(), source(20), str(root))
        await api.open((root / "main.py").as_uri(), source(4, 4), str(root))
        before = await until_shown(api, events, root, lambda files: len(files) == 4)
        # Everything in one batch: a change, an atomic replacement, a move, a deletion, and what is not to be shown.
        texts = {
            ".gitignore": "*.log\n/build/*\n!/build/kept.py\n",
            "sub/.gitignore": "!important.log\n/private.py\n",
            ".scrubjayignore": "generated_*\n",
            **dict.fromkeys(["a.log", "build/b.py", "build/kept.py", "sub/important.log", "sub/private.py"], "x = 1\n"),
            **dict.fromkeys(["generated_c.py", "node_modules/d.js", "sub/new.py"], "x = 1\n"),
        }
        code = f"""
(root := pathlib.Path(".")).joinpath("link.py").symlink_to({str(outside / "secret.py")!r})
root.joinpath("folder").symlink_to({str(outside)!r})
for name, text in {texts!r}.items():
    root.joinpath(name).parent.mkdir(exist_ok=True)
    root.joinpath(name).write_text(text)
root.joinpath("big.py").write_text("x = 1\\n" * {MAX_FILE_BYTES})
root.joinpath("picture.py").write_bytes(b"x\\0" * 99)
root.joinpath("replacement~").write_text("kept = 1\\n" * 200)
os.replace("replacement~", "kept.py")
os.replace("moved.py", "sub/moved.py")
os.remove("deleted.py")
root.joinpath("open.py").write_text("new = 1\\n")
"""
        run_program(root, code)
        names = {"kept.py", "sub/moved.py", "open.py", "build/kept.py", "sub/important.log", "sub/new.py"}
        after = await until_shown(api, events, root, lambda files: files.keys() == names)
        assert after["kept.py"] > before["kept.py"] + 200
        assert after["open.py"] == before["open.py"], "what an editor has open wins over the disk"
        # Now what is on disk counts.
        assert (await api.post("/api/documents/close", {"uri": (root / "open.py").as_uri()}))[0] == 200
        await until_shown(api, events, root, lambda files: 0 < files.get("open.py", 0) < after["open.py"])
        # Another root in the same daemon; neither sees the other's files.
        await api.open((other / "main.py").as_uri(), source(4, 5), str(other))
        await until_shown(api, events, other, lambda files: files.keys() == {"theirs.py"})
        run_program(tmp_path, "shutil.move('root/sub', 'other/sub')")
        moved = {"sub/important.log", "sub/moved.py", "sub/new.py"}
        await until_shown(api, events, other, lambda files: files.keys() == {"theirs.py", *moved})
        await until_shown(api, events, root, lambda files: files.keys() == {"kept.py", "open.py", "build/kept.py"})


# --- branches --------------------------------------------------------------------------------------------------------


async def git(root: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@localhost", "-c", "core.autocrlf=false", "-c", "gc.auto=0")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull}
    running = await asyncio.create_subprocess_exec("git", *who, *arguments, cwd=root, env=environment)
    assert await running.wait() == 0


async def commit_all(root: Path, branch: str) -> None:
    await git(root, "checkout", "-q", "-b", branch)
    write(root, {f"file_{number}.py": f"{branch}_{number} = {number}\n" * 3 for number in range(N_FILES)})
    await git(root, "add", ".")
    await git(root, "commit", "-q", "-m", branch)


@pytest.mark.slow
async def test_a_branch_switch_is_one_batch_and_completions_go_on(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    await git(root, "init", "-q")
    for branch in ("one", "two"):
        await commit_all(root, branch)
    uri = (root / "open.py").as_uri()
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s") as daemon, daemon.api.events() as events:
        await daemon.ready()
        await daemon.api.open(uri, source(20), str(root))
        n_known = (await next_event(events, "files"))["n_files"]
        assert 0 < n_known < 20
        assert (await daemon.api.complete(uri, 3))[0] == 200
        _, before = await daemon.api.get("/api/status")
        batch = asyncio.create_task(next_event(events, "files"))
        switch = asyncio.create_task(git(root, "checkout", "-q", "one"))
        n_meanwhile = 0
        while not batch.done():
            status, answer = await daemon.api.complete(uri, 3 + n_meanwhile % 9)
            assert (status, answer["reuse"]["state"]) == (200, "ready")
            n_meanwhile += 1
        await switch
        assert n_meanwhile > 1
        assert batch.result()["n_files"] == n_known, "no more are known than before"
        _, after = await daemon.api.get("/api/status")
        assert after["rss"]["daemon"] - before["rss"]["daemon"] < 32 << 20
        # What else the switch had told would come before what this file does.
        write(root, {"last.py": "last = 1\n"})
        assert (await next_event(events, "files"))["n_files"] == n_known + 1


# --- several projects ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dense", "deltanet"])
async def test_a_switch_back_to_a_project_costs_nothing(kind: str, tmp_path: Path) -> None:
    async with running_daemon(tiny_model(kind), tmp_path / "s") as daemon:
        uris = [f"file:///project{number}/a.py" for number in range(3)]
        for number, uri in enumerate(uris):
            await daemon.api.open(uri, source(60, seed=number), f"/project{number}")
            assert (await daemon.api.complete(uri, 20))[1]["reuse"]["reason"] == "cold"
        for uri in (*uris, *reversed(uris)):
            _, answer = await daemon.api.complete(uri, 20)
            assert answer["reuse"]["processed"] == 1
        keys = [context["key"] for context in (await daemon.api.get("/api/status"))[1]["contexts"]]
        assert keys[:3] == ["/project0", "/project1", "/project2"], "the most recently used first"
