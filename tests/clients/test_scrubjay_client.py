"""The example client for scripts, against a real daemon; and what its README shows, run as it stands there."""

import os
import re
import select
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scrubjay import config
from scrubjay_client import Scrubjay, ScrubjayError, default_socket
from tests.support.shared_daemon import Daemon

FOLDER = Path(__file__).parents[2] / "clients" / "python"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", (FOLDER / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
PROGRAM = "def area(width, height):\n    return width * height\n\n\ndef perimeter(width, height):\n    ret"
LINE, COLUMN = 6, 8


@pytest.fixture
def main(tmp_path: Path) -> Path:
    """A file of a project of its own, of which only what is open is shown."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".scrubjayignore").write_text("*\n")
    (tmp_path / "main.py").write_text(PROGRAM)
    (tmp_path / "shapes.py").write_text("class Rectangle:\n    pass\n")
    return tmp_path / "main.py"


def test_a_completion_and_what_it_cost(shared_daemon: Daemon, main: Path) -> None:
    with Scrubjay(shared_daemon.path) as scrubjay:
        completion = scrubjay.complete(main, LINE, COLUMN, n=2, max_tokens=12)
        again = scrubjay.complete(main, LINE, COLUMN, max_tokens=1)
    assert 1 <= len(completion["items"]) <= 2
    assert all(item["text"] and item["n_tokens"] <= 12 for item in completion["items"])
    assert 0 < completion["reuse"]["processed"] <= completion["reuse"]["prompt"]
    assert again["reuse"]["processed"] <= 1 < completion["reuse"]["processed"]


def test_a_stream_brings_the_text_and_then_the_answer(shared_daemon: Daemon, main: Path) -> None:
    pieces = []
    with Scrubjay(shared_daemon.path) as scrubjay:
        stream = scrubjay.stream(main, LINE, COLUMN, max_tokens=12)
        try:
            while True:
                pieces.append(next(stream))
        except StopIteration as end:
            [item] = end.value["items"]
    assert len(pieces) > 1
    assert "".join(pieces) == item["text"]


def test_leaving_a_stream_early_ends_the_request(shared_daemon: Daemon, main: Path) -> None:
    with Scrubjay(shared_daemon.path) as scrubjay:
        stream = scrubjay.stream(main, LINE, COLUMN, max_tokens=2000)
        assert next(stream)
        stream.close()
        while scrubjay.get("status")["queue"]["running"] is not None:
            pass


def test_what_was_warmed_costs_little(shared_daemon: Daemon, main: Path) -> None:
    with Scrubjay(shared_daemon.path) as scrubjay:
        warmed = scrubjay.warm(main, LINE, COLUMN)
        completion = scrubjay.complete(main, LINE, COLUMN, max_tokens=1)
    assert warmed["reuse"]["processed"] > 1
    assert completion["reuse"]["processed"] <= 1
    assert Scrubjay(shared_daemon.path).warm(main)["reuse"]["prompt"] > 0


def test_a_tail_is_shown_until_it_is_taken_away(shared_daemon: Daemon, main: Path) -> None:
    with Scrubjay(shared_daemon.path) as scrubjay:
        scrubjay.open(main)
        sizes = []
        for text in ("", "main.py:6: this function returns nothing\n" * 8, ""):
            scrubjay.tail(main.parent, "mypy", text, once=False)
            sizes.append(scrubjay.warm(main, LINE, COLUMN)["reuse"]["prompt"])
    assert sizes[0] == sizes[2] < sizes[1]


def test_events_begin_with_the_state_and_tell_of_completions(shared_daemon: Daemon, main: Path) -> None:
    events = Scrubjay(shared_daemon.path).events()
    assert next(events)["type"] == "state"
    with Scrubjay(shared_daemon.path) as scrubjay:
        scrubjay.complete(main, LINE, COLUMN, max_tokens=1)
    told = next(event for event in events if event["type"] == "completion")
    assert told["uri"] == main.as_uri()


def test_what_is_open_is_the_scripts_until_it_leaves(shared_daemon: Daemon, main: Path) -> None:
    draft = main.with_name("draft.py")
    with Scrubjay(shared_daemon.path) as scrubjay:
        scrubjay.open(main)
        scrubjay.open(draft, "x = 1\n")
        assert shared_daemon.text(main.as_uri()) == PROGRAM
        scrubjay.open(draft, "x = 2\n")
        assert shared_daemon.text(draft.as_uri()) == "x = 2\n"
    assert shared_daemon.text(main.as_uri()) is shared_daemon.text(draft.as_uri()) is None


def test_errors_are_one_sentence(shared_daemon: Daemon, main: Path) -> None:
    scrubjay = Scrubjay(shared_daemon.path)
    with pytest.raises(ScrubjayError, match=r"^`n` must be between 1 and \d+\.$") as refused:
        scrubjay.complete(main, LINE, COLUMN, n=0)
    assert refused.value.status == 400
    with pytest.raises(ScrubjayError, match=r"^[^\n]*nowhere.py cannot be read: No such file or directory\.$"):
        scrubjay.open(main.with_name("nowhere.py"))
    main.write_bytes(b"\xff")
    with pytest.raises(ScrubjayError, match=r"main.py cannot be read: it is not UTF-8\.$"):
        scrubjay.open(main)


def test_a_daemon_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    nobody = Scrubjay(tmp_path / "none.sock")
    asks: list[Callable[[], object]] = [lambda: nobody.get("status"), lambda: next(nobody.events())]
    for ask in asks:
        with pytest.raises(ScrubjayError, match=r"none\.sock; `scrubjay start` starts one\.$") as gone:
            ask()
        assert gone.value.status == 0


def test_a_daemon_that_says_nothing_is_one_sentence(shared_daemon: Daemon) -> None:
    with pytest.raises(ScrubjayError, match=r"has said nothing for 0\.2 s\.$"):
        list(Scrubjay(shared_daemon.path, timeout_s=0.2).events())


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with pytest.raises(ScrubjayError, match=r"^The folder .* others may write to it; [^\n]*\.$"):
            Scrubjay(tmp_path / "s").get("status")


OTHER = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.setuid(65534)
listener.listen()
print("listens", flush=True)
connection, _ = listener.accept()
print(connection.recv(1000), flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a program of another user's")
def test_a_program_of_another_user_is_told_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OTHER, str(tmp_path / "s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"listens\n"
        with pytest.raises(ScrubjayError, match=r"^A program of another user \(id 65534\) listens on [^\n]*\.$"):
            Scrubjay(tmp_path / "s").get("status")
        assert other.stdout.readline() == b"b''\n"


@pytest.mark.parametrize("variables", [{"SCRUBJAY_SOCKET": "~/a.sock"}, {"XDG_RUNTIME_DIR": "/run/somewhere"}])
def test_the_usual_socket_is_the_daemons(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in ("SCRUBJAY_SOCKET", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert default_socket() == config.default_socket()


def test_the_first_snippets_of_the_readme_run(shared_daemon: Daemon, main: Path) -> None:
    *snippets, _ = SNIPPETS
    completed, streamed, warmed = (run(snippet, shared_daemon, main) for snippet in snippets)
    assert re.fullmatch(r"('.*'\n)+\d+ of \d+ tokens were processed\n", completed)
    assert streamed.strip()
    assert re.fullmatch(r"\d+ tokens were processed\n", warmed)


def run(snippet: str, daemon: Daemon, main: Path) -> str:
    """What it prints."""
    command = [sys.executable, "-c", snippet]
    done = subprocess.run(
        command, env=environment(daemon), cwd=main.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_last_snippet_of_the_readme_tells_of_completions(shared_daemon: Daemon, main: Path) -> None:
    command = [sys.executable, "-u", "-c", SNIPPETS[-1]]
    with subprocess.Popen(command, env=environment(shared_daemon), stdout=subprocess.PIPE) as process:
        assert process.stdout
        with Scrubjay(shared_daemon.path) as scrubjay:
            while not select.select([process.stdout], [], [], 0)[0]:
                scrubjay.complete(main, LINE, COLUMN, max_tokens=1)
        line = process.stdout.readline().decode()
        process.kill()
    assert line.startswith(main.as_uri())


def environment(daemon: Daemon) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(FOLDER), "SCRUBJAY_SOCKET": str(daemon.path)}
