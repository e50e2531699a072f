"""A session is opened only with a daemon of this user."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from scrubjay.errors import DaemonError
from scrubjay_lsp.session import Session

OTHER = """
import asyncio, os, socket, sys
from aiohttp import web

async def session(request):
    channel = web.WebSocketResponse()
    await channel.prepare(request)
    print([message.data async for message in channel], flush=True)
    return channel

async def main():
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    os.setuid(65534)
    app = web.Application()
    app.add_routes([web.get("/api/session", session)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    print("listens", flush=True)
    await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


async def test_a_folder_that_others_may_write_to_is_not_looked_into(tmp_path: Path) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(DaemonError, match="Other users may write"):
        await Session.open(str(folder / "s"), lambda _: None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a program of another user's")
async def test_a_listener_of_another_user_is_told_nothing(tmp_path: Path) -> None:
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-c", OTHER, str(tmp_path / "s"))
    other = await asyncio.create_subprocess_exec(*command, stdout=pipe)
    assert other.stdout
    assert await other.stdout.readline() == b"listens\n"
    with pytest.raises(DaemonError, match=r"another user \(id 65534\)"):
        await Session.open(str(tmp_path / "s"), lambda _: None)
    assert await other.stdout.readline() == b"[]\n", "nothing was sent"
    other.kill()
    await other.wait()
