"""Models of the hub: what is said without a network and before a download, and what is removed."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scrubjay.errors import ModelRefused
from scrubjay.process.hub import GIB, announcement, require_room
from scrubjay.process.model_names import HubName
from tests.support.hub_cache import fill

NAME = HubName("me/it")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def pull(name: str, endpoint: str, cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache)}
    command = [sys.executable, "-m", "scrubjay", "model", "pull", name]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_is_one_sentence(silent: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for endpoint in (silent, nobody):
        said = pull("me/it", endpoint, tmp_path)
        assert (said.returncode, said.stdout) == (1, "")
        [sentence] = said.stderr.splitlines()
        assert sentence.startswith("scrubjay: hf:me/it is not on this machine and cannot be fetched (")


def test_a_download_is_announced_with_its_size() -> None:
    assert announcement(NAME, "it-Q4_K_M.gguf", GIB, 16 * GIB) == (
        "Fetching it-Q4_K_M.gguf of hf:me/it, 1.0 GiB; this machine has 16 GiB of memory."
    )
    assert "too large for this machine" in announcement(NAME, "it-Q4_K_M.gguf", 14 * GIB, 16 * GIB)


def test_a_download_needs_room() -> None:
    require_room(NAME, 1)
    with pytest.raises(ModelRefused, match="GiB free; choose a smaller one"):
        require_room(NAME, 1 << 60)


@pytest.mark.slow
def test_a_model_is_removed(tmp_path: Path) -> None:
    def run(*arguments: str, status: int = 0) -> str:
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
        command = [sys.executable, "-m", "scrubjay", "model", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    fill(tmp_path, "me/it", {"it-Q4_K_M.gguf": 30, "it-Q8_0.gguf": 50})
    assert "hf:me/it:it-Q8_0.gguf" in run("list")
    assert "hf:me/it:Q8_0 is gone" in run("remove", "me/it:Q8_0")
    assert not [
        path for path in (tmp_path / "models--me--it").rglob("*") if path.is_file() and path.stat().st_size == 50
    ]
    listed = run("list")
    assert "it-Q4_K_M.gguf" in listed
    assert "it-Q8_0.gguf" not in listed
    run("remove", "hf:me/it")
    assert "me/it" not in run("list")
    assert not (tmp_path / "models--me--it").exists()
    assert "not on this machine" in run("remove", "hf:me/it", status=1)
    assert "comes with Scrubjay" in run("remove", "starter", status=1)
    assert "delete the file" in run("remove", "/some/where.gguf", status=1)
