"""Models of the hub: what is said without a network and before a download, and what is removed."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from scrubjay.errors import ModelRefused
from scrubjay.process.hub import GIB, announcement, require_room
from scrubjay.process.model_names import HubName
from tests.support.hub_cache import fill

NAME = HubName("me/it")
CLIENT = ("huggingface_hub.utils", "huggingface_hub.hf_api", "huggingface_hub.file_download")
"""The parts of the hub's client that take a moment to import."""
RUN = f"""
import sys
from scrubjay.cli.main import main
status = main(sys.argv[1:])
print(status, sorted(set({CLIENT}) & set(sys.modules)))
"""


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


class WithoutModels(BaseHTTPRequestHandler):
    """A hub that has none."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of a hub without any model; what is asked through it as a proxy it answers itself."""
    with ThreadingHTTPServer(("127.0.0.1", 0), WithoutModels) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def pull(name: str, endpoint: str, cache: Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scrubjay", "model", "pull", name]
    return subprocess.run(command, env=asking(endpoint, cache) | more, capture_output=True, text=True, check=False)


def asking(endpoint: str, cache: Path) -> dict[str, str]:
    """The environment of a command that asks the hub at `endpoint`, and no proxy."""
    usual = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**usual, "HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache)}


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_is_one_sentence(silent: str, nobody: str, tmp_path: Path) -> None:
    for endpoint in (silent, silent.replace("http:", "https:"), nobody, "http://none:x", "http://a..b"):
        said = pull("me/it", endpoint, tmp_path)
        assert (said.returncode, said.stdout) == (1, "")
        [sentence] = said.stderr.splitlines()
        assert sentence.startswith("scrubjay: hf:me/it is not on this machine and cannot be fetched (")


@pytest.mark.slow
@pytest.mark.parametrize("command", [["model", "pull", "me/it"], ["start", "--model", "hf:me/it"]])
@pytest.mark.parametrize("is_begun", [False, True])
def test_the_hubs_client_is_not_waited_for_where_it_has_nobody_to_talk_to(
    command: list[str], is_begun: bool, nobody: str, tmp_path: Path
) -> None:
    """On a busy machine its import takes longer than the look for the hub; nor does a download that was broken off need it."""
    if is_begun:
        fill(tmp_path, "me/it", {"it-Q8_0-00001-of-00002.gguf": 30})
    environment = {**asking(nobody, tmp_path), "SCRUBJAY_SOCKET": str(tmp_path / "s"), "HOME": str(tmp_path)}
    run = [sys.executable, "-c", RUN, *command]
    said = subprocess.run(run, env=environment, capture_output=True, text=True, check=False)
    assert "cannot be fetched" in said.stderr
    assert said.stdout == "1 []\n"


@pytest.mark.slow
@pytest.mark.parametrize("is_proxy", [False, True])
def test_a_hub_that_answers_is_asked_by_its_client(is_proxy: bool, hub: str, tmp_path: Path) -> None:
    """The look for it must not refuse what the client can reach: through a proxy, names need mean nothing here."""
    said = pull("me/it", "http://hub.invalid", tmp_path, HTTP_PROXY=hub) if is_proxy else pull("me/it", hub, tmp_path)
    assert said.stderr == (
        "scrubjay: There is no repository hf:me/it, or only for those who log in with `hf auth login`.\n"
    )


@pytest.mark.slow
def test_a_hub_whose_encryption_is_wrong_is_told_by_its_client(hub: str, tmp_path: Path) -> None:
    said = pull("me/it", hub.replace("http:", "https:"), tmp_path)
    assert said.returncode == 1
    assert "SSL" in said.stderr


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
