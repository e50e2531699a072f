"""`scrubjay doctor` finds what is broken, says what to do, and tells nobody's name."""

import json
from pathlib import Path

import pytest

from scrubjay.cli import doctor
from scrubjay.cli.doctor import Finding, examine, private, speed
from scrubjay.config import Config
from scrubjay.errors import UsageError
from scrubjay.llama.devices import gpus
from scrubjay.process.client import Client
from scrubjay.process.lifecycle import stop_daemon
from tests.cli.test_main import Shell
from tests.support.gguf_models import corrupt_model, tiny_model

FAST = {
    "n_params": 1_000_000_000,
    "size": 1_000_000_000,
    "prefill_speed": 100.0,
    "generation_speed": 20.0,
    "n_threads": 4,
    "device": "cpu",
}


def of(lines: str, about: str) -> list[str]:
    """Those lines, without the columns before them."""
    split = (line.split(maxsplit=2) for line in lines.splitlines())
    return [f"{level} {says}" for level, what, says in split if what == about]


def test_a_machine_without_a_daemon_is_not_broken(tmp_path: Path) -> None:
    lines = Shell(tmp_path, str(tiny_model("dense"))).run("doctor")
    assert {line.split()[0] for line in lines.splitlines()} <= {"ok", "hint"}
    assert of(lines, "daemon") == ["hint does not run -> `scrubjay start`, or just use an editor"]
    assert of(lines, "exposed") == ["ok nothing but the socket"]
    assert "llama-cpp-python" in of(lines, "llama.cpp")[0]
    named = [says for says in of(lines, "gpu") if says.startswith("ok")]
    assert len(named) == len(found := gpus())
    assert all(gpu.description in says and gpu.kind in says for gpu, says in zip(found, named, strict=True))


@pytest.mark.slow
def test_a_daemon_is_asked_and_a_report_names_nobody(tmp_path: Path) -> None:
    shell = Shell(tmp_path, str(tiny_model("dense")))
    shell.run("start")
    try:
        report = json.loads(shell.run("doctor", "--json"))
        found = {finding["about"]: finding for finding in report["findings"]}
        assert report["ok"]
        assert str(Client(shell.socket).get("status")["pid"]) in found["daemon"]["says"]
        assert {"prompts", "speed", "memory", "socket"} <= found.keys()
        text = shell.run("doctor", "--report", HOME=str(tmp_path), LOGNAME="somebody")
        assert str(tmp_path) not in text
        assert "~/run/daemon.sock" in text
    finally:
        stop_daemon(shell.socket)


def test_what_is_broken_has_a_line_and_a_status(tmp_path: Path) -> None:
    broken = corrupt_model(tiny_model("dense"), "magic", tmp_path / "broken.gguf")
    shell = Shell(tmp_path, str(broken))
    assert shell.run("doctor", "--json", status=1) == ""  # nothing on standard error
    findings = list(examine(lambda: Config(socket=tmp_path / "s", data_dir=tmp_path / "none", model=str(broken))))
    assert [finding.about for finding in findings if finding.level == "broken"] == ["model"]


def test_wrong_options_are_broken() -> None:
    def read() -> Config:
        raise UsageError("SCRUBJAY_CTX: 'x' is not a whole number.")

    assert Finding("options", "broken", str(UsageError("SCRUBJAY_CTX: 'x' is not a whole number.")), DO) in examine(
        read
    )


DO = "`scrubjay config` shows where each value comes from"


def test_a_socket_folder_that_others_may_write_to_is_broken(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    findings = examine(lambda: Config(socket=folder / "s", data_dir=tmp_path, model=str(tiny_model("dense"))))
    broken = [finding for finding in findings if finding.level == "broken"]
    assert {finding.about for finding in broken} >= {"socket"}
    assert str(folder) in broken[0].says


@pytest.mark.parametrize(
    ("model", "level"),
    [
        (FAST, "ok"),
        ({**FAST, "prefill_speed": 1.0}, "hint"),
        ({**FAST, "generation_speed": 0.5}, "hint"),
        ({**FAST, "n_params": 1_000_000, "prefill_speed": 1.0}, "ok"),
    ],
    ids=["fast", "slow to read", "slow to write", "too small to tell"],
)
def test_a_machine_that_is_too_slow(model: dict[str, object], level: str) -> None:
    assert speed(model).level == level


@pytest.mark.parametrize(
    ("addresses", "has_key", "level"),
    [
        ([], False, "ok"),
        (["http://127.0.0.1:8012", "http://[::1]:8012"], False, "ok"),
        (["http://0.0.0.0:8012"], True, "hint"),
        (["http://192.168.0.7:8012"], False, "broken"),
    ],
)
def test_who_can_reach_it(addresses: list[str], has_key: bool, level: str) -> None:
    assert doctor.exposure(addresses, has_key).level == level


def test_editors_and_which_of_them_are_connected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init = tmp_path / ".emacs"
    init.write_text("(require 'scrubjay)")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    for level in ("ok", "hint"):
        findings = examine(lambda: Config(socket=tmp_path / "s", data_dir=tmp_path, model=str(tiny_model("dense"))))
        [editor] = [finding for finding in findings if finding.about == "editor"]
        assert (editor.level, "Emacs" in editor.says) == (level, True)
        init.write_text("")


def test_names_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    monkeypatch.setenv("LOGNAME", "jane")
    assert private("/home/jane/.config and /run/jane/x, but janet") == "~/.config and /run/USER/x, but janet"
