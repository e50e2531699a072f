"""The command line as users have it: processes, exit statuses, and what is on the screen."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scrubjay import __version__
from scrubjay.errors import RequestError
from scrubjay.process.client import Client
from scrubjay.process.lifecycle import stop_daemon
from tests.support.gguf_models import corrupt_model, tiny_model

PROGRAM = '"""Shapes."""\n\n\ndef größe(width: int, height: int) -> int:\n    return width * \n\n\nprint(größe(2, 3))\n'


class Shell:
    """A user with a home of their own, whose daemon shares few cores with other tests."""

    def __init__(self, home: Path, model: str) -> None:
        self.home = home
        self.socket = home / "run" / "daemon.sock"
        usual = {key: value for key, value in os.environ.items() if not key.startswith(("SCRUBJAY_", "XDG_"))}
        folders = {"XDG_CONFIG_HOME": str(home), "XDG_DATA_HOME": str(home), "HF_HOME": str(home / "hub")}
        settings = {"MODEL": model, "SOCKET": str(self.socket), "CTX": "2048", "THREADS": "1", "EAGER_LOAD": "no"}
        self.environment = usual | folders | {f"SCRUBJAY_{key}": value for key, value in settings.items()}

    def run(self, *arguments: str, status: int = 0, **variables: str) -> str:
        """What the command writes to standard output, or, if it is to fail, to standard error."""
        done = subprocess.run(
            [sys.executable, "-m", "scrubjay", *arguments],
            capture_output=True,
            text=True,
            cwd=self.home,
            env=self.environment | variables,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done.stderr if status else done.stdout

    def cold(self, name: str, line: int, column: int, max_tokens: int) -> str:
        """The completion that the daemon makes without any reuse, asked over HTTP."""
        client, path = Client(self.socket), self.home / name
        document = {"uri": path.as_uri(), "owner": "test"}
        client.post("documents/open", {**document, "text": path.read_text(), "version": 1})
        place = {"position": {"line": line - 1, "character": column - 1}, "position_encoding": "utf-32"}
        request = {**document, **place, "max_tokens": max_tokens, "trigger": "invoked", "cold": True}
        answer = client.post("complete", request)
        client.post("documents/close", document)
        text: str = answer["items"][0]["text"]
        return text

    def complaint(self, *arguments: str, status: int, **variables: str) -> str:
        """The one sentence that the command fails with."""
        [sentence] = self.run(*arguments, status=status, **variables).splitlines()
        assert sentence.startswith("scrubjay: ")
        return sentence.removeprefix("scrubjay: ")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("home"), "starter")
    (shell.home / "shapes.py").write_text(PROGRAM)
    yield shell
    if shell.socket.parent.exists():
        stop_daemon(shell.socket)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path, str(tiny_model("dense")))
    yield shell
    if shell.socket.parent.exists():
        stop_daemon(shell.socket)


@pytest.mark.slow
def test_a_first_use(shell: Shell) -> None:
    assert "No daemon answers" in shell.complaint("status", status=1)
    written = shell.run("complete", "shapes.py:5:20", "--max-tokens", "12")
    assert written.strip(), "the daemon was started for it, and wrote something"
    assert shell.cold("shapes.py", 5, 20, max_tokens=12) == written[:-1], "what is streamed is the whole answer"
    answer = json.loads(shell.run("complete", "shapes.py:5:20", "--max-tokens", "12", "--json"))
    assert answer["items"][0]["text"] == written[:-1]
    assert answer["reuse"]["reason"] == "cached", "the same was asked before"
    longer = json.loads(shell.run("complete", "shapes.py:5:20", "--max-tokens", "13", "--json"))
    assert longer["reuse"]["processed"] < longer["reuse"]["prompt"], "the daemon remembers the prompt"
    report = json.loads(shell.run("status", "--json"))
    assert (report["state"], report["model"]["name"]) == ("ready", "Scrubjay starter")
    assert all(project["n_documents"] == 0 for project in report["projects"]), "it has closed what it opened"
    assert "starter (lfm2, hybrid)" in shell.run("status")
    assert "listens already" in shell.run("start")
    assert re.search(r": processed \d+ of \d+ prompt tokens \(\d+ reused\)\n$", shell.run("warm", "shapes.py"))
    assert "def " in shell.run("context", "shapes.py:5")
    shown = json.loads(shell.run("context", "shapes.py:5", "--json"))
    assert shown["tokens"] == sum(part["n_tokens"] for part in shown["parts"]) > 0
    report = json.loads(shell.run("status", "--json"))
    assert all(project["n_documents"] == 0 for project in report["projects"]), "nor has it left these open"
    assert shell.run("stop") == "Scrubjay has stopped.\n"
    assert "No daemon runs" in shell.complaint("stop", status=1)


@pytest.mark.slow
def test_the_reasons_of_requests(tiny: Shell) -> None:
    (tiny.home / "shapes.py").write_text(PROGRAM)
    for place in ("shapes.py:5:20", "shapes.py:8:1"):
        tiny.run("complete", place, "--max-tokens", "1")
    first, _ = [line for line in tiny.run("why", "2").splitlines() if line.startswith("#")]
    assert "completion shapes.py: " in first
    reasons = [request["why"] for request in json.loads(tiny.run("why", "2", "--json"))["requests"]]
    assert all(reason in tiny.run("why", "2") for reason in reasons)
    assert reasons[1] == "This is the project's first prompt since the daemon started."
    assert "shapes.py" in reasons[0]


def test_what_is_no_text_is_shown_all_the_same(shell: Shell) -> None:
    shell.run("start")
    root = str(shell.home / "caf\udce9")
    document = {"uri": f"{shell.home.as_uri()}/caf%e9/a.py", "text": "x", "version": 1, "root": root, "owner": "test"}
    Client(shell.socket).post("documents/open", document)
    assert "caf\\udce9" in shell.run("status")
    Client(shell.socket).post("documents/close", {"uri": document["uri"], "owner": "test"})


@pytest.mark.slow
def test_what_was_warmed_is_read_from_the_disk_later(tiny: Shell) -> None:
    file = tiny.home / "a.py"
    (tiny.home / "pyproject.toml").touch()
    file.write_text("old_name = 1\n" * 5)
    tiny.run("warm", "a.py")
    file.write_text("new_name = 1\n" * 5)
    with pytest.raises(RequestError, match="not open"):
        Client(tiny.socket).get("documents", uri=file.as_uri())
    tiny.run("warm", "a.py", status=0)


@pytest.mark.slow
def test_what_is_kept_is_forgotten_with_a_daemon_and_without(tiny: Shell) -> None:
    records = tiny.home / "scrubjay" / "records"
    for name in ("one", "other"):
        project = tiny.home / name
        (project / ".git").mkdir(parents=True)
        (project / "long.py").write_text("".join(f"value_{n} = {n}\n" for n in range(200)))
        tiny.run("warm", f"{name}/long.py")
    tiny.run("stop")
    n = len(list(records.glob("*.record")))
    assert n > 1
    said = tiny.run("forget", "one")
    assert said.startswith(f"Removed, of {tiny.home / 'one'}: ")
    assert f"in {records}, and the counts of completions in {records.with_name('acceptance.json')}." in said
    assert 0 < len(list(records.glob("*.record"))) < n
    tiny.run("start")
    assert re.search(r"On disk +\d+ records", tiny.run("status"))
    assert "all projects" in (said := tiny.run("forget"))
    assert ", and what the engine held, and the counts" in said
    assert list(records.glob("*.record")) == []
    assert "of all projects: 0 records" in tiny.run("forget")


@pytest.mark.slow
def test_options_of_a_running_daemon(tiny: Shell) -> None:
    tiny.run("start", "--no-warm", "--ctx", "1024")
    assert "listens already" in tiny.run("start")
    assert "listens already" in tiny.run("start", "--ctx", "1024", "--model", str(tiny_model("dense")))
    (tiny.home / "a.py").write_text("a = 1\n")
    for command in (["start"], ["complete", "a.py:1:1"], ["warm", "a.py"]):
        said = tiny.complaint(*command, "--ctx", "512", "--warm", status=1)
        assert said == (
            "A daemon runs already, with --ctx 1024 and --warm false; "
            "`scrubjay restart --ctx 512 --warm` starts it again with yours."
        )
    first = json.loads(tiny.run("status", "--json"))
    assert first["config"]["flags"] == {"ctx": "1024", "warm": "false"}
    assert "listens again" in tiny.run("restart", "--ctx", "512")
    second = json.loads(tiny.run("status", "--json"))
    assert second["pid"] != first["pid"]
    assert second["config"]["options"]["ctx"] == 512
    assert second["config"]["options"]["warm"] is False, "it had this before"
    assert "no model file" in tiny.complaint("restart", "--model", "none.gguf", status=1)
    assert json.loads(tiny.run("status", "--json"))["pid"] == second["pid"], "what is wrong is found before it ends"


@pytest.mark.slow
def test_a_changed_configuration_is_noticed(tiny: Shell) -> None:
    tiny.run("start")
    done = subprocess.run(
        [sys.executable, "-m", "scrubjay", "start"],
        capture_output=True,
        text=True,
        env=tiny.environment | {"SCRUBJAY_CTX": "1024"},
        check=True,
    )
    assert "has changed" in done.stderr


@pytest.mark.slow
def test_using_another_model(tiny: Shell) -> None:
    del tiny.environment["SCRUBJAY_MODEL"]
    dense, other = str(tiny_model("dense")), str(tiny_model("swa"))
    assert f"model = {dense}" in tiny.run("model", "use", dense)
    tiny.run("start", "--model", other)
    assert "restarted" in tiny.run("model", "use", dense)
    status = json.loads(tiny.run("status", "--json"))
    assert (status["state"], status["model"]["path"]) == ("ready", dense), "the flag of before no longer counts"


@pytest.mark.slow
def test_a_model_is_shown(tiny: Shell) -> None:
    shown = tiny.run("model", "show", str(tiny_model("dense")))
    assert "dense" in shown
    assert "Context    trained with" in shown
    assert "fills in the middle" in tiny.run("model", "show", "starter")
    assert "scrubjay model pull" in tiny.complaint("model", "show", "nobody/nothing", status=1)


def test_columns_count_characters(tiny: Shell) -> None:
    (tiny.home / "a.py").write_text("größe = '𝒳'\n")
    tiny.run("complete", "a.py:1:12", "--max-tokens", "1")
    (tiny.home / "latin.py").write_bytes(b"gr\xf6\xdfe")
    assert "not text in UTF-8" in tiny.complaint("complete", "latin.py:1:1", status=1)
    assert tiny.run("complete", "a.py:9:1", "--max-tokens", "1"), "a place beyond the end is the end"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "COMMAND"),
        ("bogus", "bogus"),
        ("strat", "there is no 'strat' here; did you mean 'start'?"),
        ("model lst", "there is no 'lst' here; did you mean 'list'?"),
        ("serve --modle x", "unknown option '--modle'; did you mean '--model'?"),
        ("status --watch", "unknown option '--watch'; see `scrubjay status --help`."),
        ("stop now", "unknown argument 'now'; see `scrubjay stop --help`."),
        ("serve --ctx much", "--ctx"),
        ("serve --kv-type f64", "--kv-type"),
        ("serve --http nowhere", "--http"),
        ("serve --config none.toml", "none.toml"),
        ("start --socket other/s --model hf:nobody", "hf:OWNER/REPO"),
        ("complete shapes.py", "FILE:LINE:COL"),
        ("complete shapes.py:0:1", "FILE:LINE:COL"),
        ("context shapes.py", "FILE:LINE, such as"),
        ("context shapes.py:0", "FILE:LINE, such as"),
        ("complete none.py:1:1", "none.py"),
        ("complete shapes.py:1:1 --max-tokens 0", "--max-tokens"),
        ("warm none.py", "none.py"),
        ("warm .", "name a file in it"),
        ("model push x", "push"),
        ("lsp --bogus", "--bogus"),
    ],
)
def test_what_is_wrong_is_said(shell: Shell, line: str, words: str) -> None:
    assert words in shell.run(*line.split(), status=2)


def test_a_command_waits_for_nothing_that_it_does_not_need() -> None:
    heavy = "{'aiohttp', 'huggingface_hub', 'llama_cpp', 'rich', 'pygls'}"
    code = f"import sys, scrubjay.cli.commands; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.slow
def test_wrong_settings_name_their_source(shell: Shell) -> None:
    assert "SCRUBJAY_CTX" in shell.complaint("status", status=2, SCRUBJAY_CTX="much")
    elsewhere = {"SCRUBJAY_SOCKET": str(shell.home / "elsewhere"), "SCRUBJAY_CTXX": "1"}
    warning, complaint = shell.run("stop", status=1, **elsewhere).splitlines()
    assert "did you mean 'ctx'" in warning
    assert "No daemon runs" in complaint, "the command was not refused for the variable"
    (shell.home / "own.toml").write_text("modle = 'x'")
    sentence = shell.complaint("status", "--config", "own.toml", status=2)
    assert sentence == "own.toml: modle is no option of Scrubjay; did you mean 'model'?"


@pytest.mark.slow
def test_help_and_version(shell: Shell) -> None:
    assert shell.run("--version") == f"scrubjay {__version__}\n"
    for command in (
        "serve",
        "start",
        "stop",
        "restart",
        "status",
        "config",
        "complete",
        "warm",
        "demo",
        "lsp",
        "model",
    ):
        assert command in shell.run("--help")
        assert "usage" in shell.run(command, "--help")


@pytest.mark.slow
def test_models(shell: Shell) -> None:
    starter = shell.run("model", "path", "starter").strip()
    assert Path(starter).is_file()
    assert starter in shell.run("model", "list")
    sentence = shell.complaint("model", "pull", "hf:someone/something-GGUF", status=1, HF_HUB_OFFLINE="1")
    assert "hf:someone/something-GGUF is not on this machine" in sentence


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["magic", "architecture"])
def test_a_model_that_cannot_be_loaded(tiny: Shell, damage: str) -> None:
    broken = corrupt_model(tiny_model("dense"), damage, tiny.home / "broken.gguf")  # type: ignore[arg-type]
    assert "broken.gguf" in tiny.complaint("start", "--model", str(broken), status=1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serving_in_the_foreground(tiny: Shell, number: signal.Signals) -> None:
    command = (sys.executable, "-m", "scrubjay", "serve")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=tiny.environment, cwd=tiny.home, stderr=pipe)
    assert process.stderr
    while b"Listening" not in (line := await process.stderr.readline()):
        assert line, "it ended"
    sentence = await asyncio.to_thread(tiny.complaint, "serve", status=1)
    assert "already listens" in sentence
    process.send_signal(number)
    assert await process.wait() == 0
    assert not tiny.socket.exists()


def test_a_reader_that_has_had_enough(shell: Shell) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "scrubjay", "model", "list"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, env=shell.environment, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")
