"""Which clients are let in over TCP, and how long an idle connection is kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import openai
import pytest
from aiohttp.test_utils import unused_port
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.errors import UsageError
from scrubjay.http import app, connections
from scrubjay.http.guard import Address, is_loopback
from tests.support.daemon_process import OPTIONS, running_daemon
from tests.support.gguf_models import tiny_model
from tests.support.service import running_service, until_state

KEY = "a secret ü"


@asynccontextmanager
async def listening(tmp_path: Path) -> AsyncIterator[int]:
    """A service on TCP that is ready, and needs no key."""
    port = unused_port()
    async with (
        running_service(tiny_model("deltanet"), 1024) as service,
        app.serving(service, tmp_path / "s", Address("127.0.0.1", port)),
    ):
        await until_state(service, "ready")
        yield port


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("0.0.0.0", False),
        ("192.168.1.2", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_this_machine_is_told_from_others(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@given(st.text())
def test_no_name_but_its_own_is_this_machine(name: str) -> None:
    assert not is_loopback(name + ".example")


def test_other_machines_need_a_key() -> None:
    Address("0.0.0.0", 8012, "secret").require_safe()
    with pytest.raises(UsageError, match="--api-key"):
        Address("0.0.0.0", 8012).require_safe()


@pytest.mark.slow
async def test_without_its_key_nobody_gets_a_completion(tmp_path: Path) -> None:
    """A daemon as users start it."""
    port = unused_port()
    options = (*OPTIONS, f"--http=127.0.0.1:{port}", f"--api-key={KEY}")
    url = f"http://127.0.0.1:{port}"
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s", 1024, options) as daemon, _session() as http:
        await daemon.ready()
        for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer wrong"}, {"X-Api-Key": KEY[:-1]}):
            async with http.post(f"{url}/completion", json={"prompt": "a"}, headers=headers) as response:
                assert response.status == 401
                assert (await response.json())["error"]["type"] == "authentication_error"
        async with http.get(f"{url}/health") as response:
            assert response.status == 200
        body = {"prompt": "def f(", "n_predict": 1}
        async with http.post(f"{url}/completion", json=body, headers={"X-Api-Key": KEY}) as response:
            assert response.status == 200
        for scheme in ("bearer", "BEARER ", "Bearer  "):
            headers = {"Authorization": f"{scheme} {KEY}"}
            async with http.post(f"{url}/completion", json=body, headers=headers) as response:
                assert response.status == 200
        # On the socket, which is this user's alone, nobody asks for it.
        assert (await daemon.api.post("/completion", body))[0] == 200


@pytest.mark.slow
async def test_openais_package_sends_the_key(tmp_path: Path) -> None:
    port = unused_port()
    options = (*OPTIONS, f"--http=127.0.0.1:{port}", "--api-key=secret")
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s", 1024, options) as daemon:
        await daemon.ready()
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="secret") as client:
            assert (await client.completions.create(model="any", prompt="a", max_tokens=1)).choices
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="wrong") as client:
            with pytest.raises(openai.AuthenticationError, match="API key"):
                await client.completions.create(model="any", prompt="a", max_tokens=1)


async def test_who_never_finishes_the_headers_is_shown_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_S", 0.2)
    async with listening(tmp_path) as port, _session() as http:
        async with http.get(f"http://127.0.0.1:{port}/health") as response:
            assert response.status == 200
        slow, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        silent, other = await asyncio.open_connection("127.0.0.1", port)
        for reader in (slow, silent):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        for each in (writer, other):
            each.close()
        # A connection that has made a request is not idle: the first one is still good.
        async with http.get(f"http://127.0.0.1:{port}/health") as response:
            assert response.status == 200


@pytest.mark.parametrize("header", [{"X-Long": "x" * 20_000}, {f"X-{number}": "x" for number in range(500)}])
async def test_headers_without_measure_are_refused(tmp_path: Path, header: dict[str, str]) -> None:
    async with listening(tmp_path) as port, _session() as http:
        async with http.get(f"http://127.0.0.1:{port}/health", headers=header) as response:
            assert response.status == 400
        async with http.get(f"http://127.0.0.1:{port}/health") as response:
            assert response.status == 200


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()
