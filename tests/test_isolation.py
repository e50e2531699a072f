"""Nothing of the working folder is run, whatever its files are called and however a process of Scrubjay is started."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from scrubjay.isolation import safe_environment
from scrubjay.process.client import Client
from scrubjay.process.lifecycle import stop_daemon
from tests.support.gguf_models import tiny_model
from tests.support.lsp_pipe import Pipe

MODULES = (
    *("argparse", "asyncio", "json", "logging", "numpy", "platformdirs", "secrets", "signal", "socket", "sqlite3"),
    *("aiohttp", "llama_cpp", "rich", "subprocess", "tempfile", "token", "typing", "usercustomize", "xxhash"),
)
SCRIPT = f"#!{sys.executable}\nimport sys\nfrom scrubjay.__main__ import main\nsys.exit(main())\n"
"""What an installer writes for a console script."""
ENDS = {"bench": ("bench", "--help"), "model": ("model", "list"), "lsp": ("lsp", "--help")}
"""Commands that need no daemon."""
PATHS = {"no path": None, "an empty entry": f":{os.devnull}", "relative entries": f".:../project:{os.devnull}"}


class Place:
    """A project whose modules tell when they are run, and a user with a daemon of their own."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.socket = folder / "run" / "s"
        self.ran = folder / "ran"
        self.script = folder / "bin" / "scrubjay"
        self.project.mkdir()
        self.script.parent.mkdir()
        self.script.write_text(SCRIPT)
        self.script.chmod(0o755)
        for name in MODULES:
            code = f"open({str(self.ran)!r}, 'a').write('{name} ')\nraise SystemExit('the project was run')\n"
            (self.project / f"{name}.py").write_text(code)
        (self.project / "main.py").write_text("def f(x):\n    return ")
        usual = {key: value for key, value in os.environ.items() if not key.startswith(("SCRUBJAY_", "XDG_", "PYTHON"))}
        settings = {"MODEL": str(tiny_model("dense")), "SOCKET": str(self.socket), "CTX": "1024", "THREADS": "1"}
        folders = {"XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")}
        self.environment = usual | folders | {f"SCRUBJAY_{key}": value for key, value in settings.items()}

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment | variables
        return subprocess.run(
            command, cwd=self.project, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    def assert_not_run(self) -> None:
        assert not self.ran.exists(), self.ran.read_text()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    stop_daemon(place.socket)


def commands(place: Place) -> dict[str, list[str]]:
    """The ways to call the command line."""
    return {"script": [str(place.script)], "module": [sys.executable, "-m", "scrubjay"]}


def test_the_project_would_be_run_without_it(place: Place) -> None:
    done = place.run(sys.executable, "-c", "import token, numpy")
    assert "the project was run" in done.stderr
    assert place.ran.exists()


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("way", ["script", "module"])
def test_a_daemon_that_is_started(place: Place, way: str, path: str) -> None:
    variables = {"PYTHONPATH": value} if (value := PATHS[path]) else {}
    done = place.run(*commands(place)[way], "start", **variables)
    assert done.returncode == 0, done.stderr
    daemon = psutil.Process(Client(place.socket).get("status")["pid"])
    assert {process.cwd() for process in (daemon, *daemon.children())} == {"/"}
    done = place.run(*commands(place)[way], "complete", "main.py:2:12", "--max-tokens", "1", **variables)
    assert done.returncode == 0, done.stderr
    place.assert_not_run()


@pytest.mark.slow
def test_a_daemon_that_a_completion_starts(place: Place) -> None:
    done = place.run(*commands(place)["script"], "complete", "main.py:2:12", "--max-tokens", "1")
    assert done.returncode == 0, done.stderr
    place.assert_not_run()


@pytest.mark.slow
async def test_a_daemon_in_the_foreground(place: Place) -> None:
    command = (*commands(place)["module"], "serve")
    pipe = asyncio.subprocess.PIPE
    running = await asyncio.create_subprocess_exec(*command, cwd=place.project, env=place.environment, stderr=pipe)
    assert running.stderr
    while b"Listening" not in (line := await running.stderr.readline()):
        assert line, "it ended"
    for _ in await asyncio.to_thread(lambda: list(Client(place.socket).wait_until_ready())):
        pass
    daemon = psutil.Process(running.pid)
    assert {process.cwd() for process in (daemon, *daemon.children())} == {"/"}
    running.terminate()
    assert await running.wait() == 0
    place.assert_not_run()


@pytest.mark.slow
@pytest.mark.parametrize("module", ["scrubjay_lsp", "scrubjay"])
async def test_a_language_server_and_its_daemon(place: Place, module: str) -> None:
    arguments = () if module == "scrubjay_lsp" else ("lsp",)
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", module, *arguments)
    running = await asyncio.create_subprocess_exec(
        *command, cwd=place.project, env=place.environment, stdin=pipe, stdout=pipe
    )
    editor = Pipe(running)
    uri = (place.project / "main.py").as_uri()
    await editor.ask("initialize", {"processId": None, "rootUri": place.project.as_uri(), "capabilities": {}})
    editor.send("initialized", {})
    document = {"uri": uri, "languageId": "python", "version": 1, "text": "def f(x):\n    return "}
    editor.send("textDocument/didOpen", {"textDocument": document})
    here = {"textDocument": {"uri": uri}, "position": {"line": 1, "character": 11}, "context": {"triggerKind": 1}}
    answer = await editor.ask("textDocument/inlineCompletion", here, 2)
    assert "error" not in answer
    assert await editor.leave() == 0
    place.assert_not_run()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demonstration(place: Place) -> None:
    done = place.run(*commands(place)["module"], "demo", "--edits", "1")
    assert done.returncode == 0, done.stderr
    place.assert_not_run()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["script", "module"])
@pytest.mark.parametrize("command", ENDS)
def test_commands_without_a_daemon(place: Place, way: str, command: str) -> None:
    done = place.run(*commands(place)[way], *ENDS[command], PYTHONPATH=".")
    assert done.returncode == 0, done.stderr
    place.assert_not_run()


def test_children_get_only_what_is_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = str(tmp_path / "kept")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", ".", "src", "../other", str(tmp_path), kept]))
    assert safe_environment()["PYTHONPATH"] == kept
    assert safe_environment()["PYTHONSAFEPATH"] == "1"
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    assert "PYTHONPATH" not in safe_environment()


def test_a_working_folder_that_is_deleted(place: Place) -> None:
    code = (
        "import os, sys; os.rmdir(os.getcwd()); from scrubjay.__main__ import main; sys.exit(main(['model', 'list']))"
    )
    empty = place.project / "empty"
    empty.mkdir()
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=empty, env=place.environment, check=False)
    assert done.returncode == 0
