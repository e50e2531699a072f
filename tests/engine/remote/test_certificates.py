"""Who answers under `https://` has to show a certificate that this machine trusts, before anything is sent to him."""

import asyncio
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import unused_port

from scrubjay.engine.remote.address import parse_remote
from scrubjay.engine.remote.wire import Wire
from scrubjay.errors import RemoteFailed

KEY = "sk-0123456789"
ASK = """
import asyncio, sys
from scrubjay.engine.remote.address import parse_remote
from scrubjay.engine.remote.wire import Wire

async def main():
    wire = Wire(parse_remote(sys.argv[1]), sys.argv[2])
    print(await wire.get("/props"))
    await wire.close()

asyncio.run(main())
"""


@dataclass
class Box:
    """A server whose certificate is its own, in the file `certificate`; the keys that it was sent."""

    name: str
    certificate: Path
    keys: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers["Authorization"])
        return web.json_response({"is": "here"})


def certificate(folder: Path) -> Path:
    """A key, and a certificate of it that it has signed itself, in one file."""
    made, key = folder / "certificate.pem", folder / "key.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    whose = ["-subj", "/CN=box", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", *kind, *whose, "-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    return made


@pytest_asyncio.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not here, which makes certificates")
    port, made = unused_port(), certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(made, tmp_path / "key.pem")
    box, app = Box(f"remote+llama:https://127.0.0.1:{port}", made), web.Application()
    app.router.add_get("/{path:.*}", box.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        yield box
    finally:
        await runner.cleanup()


async def test_a_certificate_that_nobody_vouches_for_is_refused_before_the_key_is_sent(box: Box) -> None:
    wire = Wire(parse_remote(box.name), KEY)
    try:
        with pytest.raises(RemoteFailed, match="is not trusted") as failed:
            await wire.get("/props")
    finally:
        await wire.close()
    assert failed.value.kind == "down"
    assert KEY not in str(failed.value)
    assert not box.keys


async def test_an_authority_of_one_s_own_is_named_by_the_environment(box: Box) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ASK, box.name, KEY),
        env={**os.environ, "SSL_CERT_FILE": str(box.certificate)},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert out.decode().strip() == "{'is': 'here'}"
    assert box.keys == [f"Bearer {KEY}"]
