"""`scrubjay config`, and the writing of one option into the file."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scrubjay.cli.configuration import write_option
from scrubjay.config import build_config, options
from scrubjay.errors import UsageError


def config(home: Path, *arguments: str, **variables: str) -> str:
    usual = {key: value for key, value in os.environ.items() if not key.startswith(("SCRUBJAY_", "XDG_"))}
    environment = {**usual, "XDG_CONFIG_HOME": str(home), "HOME": str(home), **variables}
    command = [sys.executable, "-m", "scrubjay", "config", *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_each_value_has_its_source(tmp_path: Path) -> None:
    file = tmp_path / "scrubjay" / "config.toml"
    assert "not there yet" in config(tmp_path)
    file.parent.mkdir()
    file.write_text('ctx = 2048\nhttp = "127.0.0.1:8012"\napi-key = "geheim"\n')
    report = json.loads(config(tmp_path, "--json", SCRUBJAY_THREADS="3"))
    assert report["file"] == str(file)
    shown = report["options"]
    assert shown["ctx"] == {"value": "2048", "source": f"{file}: ctx"}
    assert shown["http"]["value"] == "127.0.0.1:8012"
    assert shown["threads"] == {"value": "3", "source": "SCRUBJAY_THREADS"}
    assert shown["gpu_layers"] == {"value": "all", "source": "default"}
    assert "geheim" not in config(tmp_path) + config(tmp_path, "--json")


@pytest.mark.slow
def test_the_example_is_the_defaults_as_comments(tmp_path: Path) -> None:
    example = config(tmp_path, "--example")
    assert tomllib.loads(example) == {}
    uncommented = "\n".join(line.removeprefix("# ") for line in example.splitlines() if " = " in line)
    values = tomllib.loads(uncommented)
    assert set(values) == {option.name.replace("_", "-") for option in options()}
    home = {"XDG_RUNTIME_DIR": "/run/me", "XDG_DATA_HOME": "/data"}
    placed = {key: value for key, value in values.items() if value not in ("", "/a/path")}
    toml = "\n".join(f"{key} = {json.dumps(value)}" for key, value in placed.items())
    assert build_config(toml, "x", home, {}) == build_config("", "", home, {})


def test_one_option_is_written_and_all_else_kept(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.toml"
    write_option(file, "model", "hf:me/it")
    assert tomllib.loads(file.read_text()) == {"model": "hf:me/it"}
    file.write_text('# mine\nctx = 2048\nmodel = "old" # why\n')
    write_option(file, "model", 'a "quoted" \\ größe.gguf')
    assert tomllib.loads(file.read_text()) == {"ctx": 2048, "model": 'a "quoted" \\ größe.gguf'}
    assert file.read_text().startswith("# mine\n")
    write_option(file, "warm_delay_ms", "5")
    assert tomllib.loads(file.read_text())["warm-delay-ms"] == "5"


def test_a_file_that_is_not_toml_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("ctx = \n")
    with pytest.raises(UsageError, match="not TOML"):
        write_option(file, "model", "starter")
    assert file.read_text() == "ctx = \n"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles.toml", tmp_path / "config.toml"
    real.write_text("ctx = 64\n")
    link.symlink_to(real)
    write_option(link, "model", "starter")
    assert link.is_symlink()
    assert "starter" in real.read_text()
