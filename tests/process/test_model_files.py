"""Which file a model's name means."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scrubjay.errors import ModelRefused
from scrubjay.process.model_files import find_model
from tests.support.gguf_models import tiny_model


def test_the_starter_model_is_there() -> None:
    assert find_model("starter").name == "starter.gguf"


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("dense")
    monkeypatch.chdir(model.parent)
    assert find_model(str(model)) == find_model(model.name) == model
    (tmp_path / "no.gguf").write_text("no model")
    for path, reason in (
        (tmp_path / "none.gguf", "no model file"),
        (tmp_path, "no file"),
        (tmp_path / "no.gguf", "not"),
    ):
        with pytest.raises(ModelRefused, match=reason) as caught:
            find_model(str(path))
        assert str(path) in str(caught.value)


def find_offline(name: str, cache: Path) -> subprocess.CompletedProcess[str]:
    """What `scrubjay model path` says without a network, with that cache of the hub's client."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}
    command = [sys.executable, "-m", "scrubjay", "model", "path", name]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_without_a_network_one_sentence_says_so(tmp_path: Path) -> None:
    said = find_offline("hf:me/it:Q8_0", tmp_path)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == (
        "scrubjay: hf:me/it is not on this machine, and HF_HUB_OFFLINE forbids fetching it; unset that.\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hf:me/it", "hf:me/it:Q8_0", "hf:me/it:it-Q8_0.gguf"])
def test_without_a_network_the_cache_serves(name: str, tmp_path: Path) -> None:
    repo, commit = tmp_path / "models--me--it", "0123456789" * 4
    file = repo / "snapshots" / commit / "it-Q8_0.gguf"
    for folder in (file.parent, repo / "blobs", repo / "refs"):
        folder.mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    (repo / "blobs" / "one").write_bytes(b"GGUF\x03")
    file.symlink_to(repo / "blobs" / "one")
    said = find_offline(name, tmp_path)
    assert (said.returncode, said.stdout) == (0, f"{file}\n")


@pytest.mark.slow
def test_a_model_that_is_here_in_part_is_not_here(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--me--it" / "snapshots" / ("0123456789" * 4)
    (snapshot / "big").mkdir(parents=True)
    (snapshot / "big/it-Q6_K-00001-of-00003.gguf").write_bytes(b"GGUF\x03")
    assert find_offline("hf:me/it:Q6_K", tmp_path).returncode == 1
