"""What clients leave in a daemon that has to do with thousands of them, and with some that behave badly: nothing."""

import asyncio
import json
from pathlib import Path

import psutil
import pytest

from scrubjay.workspace.projects import MAX_PROJECTS
from tests.support.api import BASE
from tests.support.daemon_process import Daemon, running_daemon
from tests.support.gguf_models import tiny_model
from tests.support.service import source

N_CONNECTIONS = 2_000
N_PROJECTS = 500
N_UNREAD = 50
MAX_GROWTH_BYTES = 16 << 20
"""Of the daemon's memory, in a second round: the first one fills what is kept for good."""
KEY_URI = "file:///mine/a.py"


async def many_connections(daemon: Daemon) -> None:
    """Some are idle, some have sent half a request."""
    writers = []
    for number in range(N_CONNECTIONS):
        _, writer = await asyncio.open_unix_connection(daemon.socket)
        if number % 2:
            writer.write(b"POST /completion HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        writers.append(writer)
    await press_key(daemon)
    for writer in writers:
        writer.transport.abort()


async def a_client_that_never_reads(daemon: Daemon) -> None:
    """It asks for long answers, one after the other on one connection, and leaves them there."""
    reader, writer = await asyncio.open_unix_connection(daemon.socket, limit=1)
    body = json.dumps({"content": "x " * 50_000, "with_pieces": True}).encode()
    request = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    sending = asyncio.create_task(send(writer, request * N_UNREAD))
    assert await reader.read(1), "the first answer has begun"
    await press_key(daemon)
    sending.cancel()
    writer.transport.abort()


async def send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def many_projects(daemon: Daemon) -> None:
    """Each is opened, completed in, and closed; half of them by a session that ends."""
    async with daemon.api.http.ws_connect(f"{BASE}/api/session") as session:
        for number in range(N_PROJECTS):
            uri, root = f"file:///project_{number}/a.py", f"/project_{number}"
            document = {"uri": uri, "text": source(8, seed=number), "version": 1, "root": root}
            if number % 2:
                await session.send_json({"id": number, "method": "documents/open", "params": document})
            else:
                await daemon.api.post("/api/documents/open", document)
                assert (await daemon.api.complete(uri, max_tokens=1))[0] == 200
                await daemon.api.post("/api/documents/close", {"uri": uri})
        await session.send_json({"id": "end", "method": "status", "params": {}})
        async for message in session:
            if message.json().get("id") == "end":
                break


async def press_key(daemon: Daemon) -> None:
    assert (await daemon.api.complete(KEY_URI, max_tokens=1))[0] == 200


def held(process: psutil.Process) -> tuple[int, int, int]:
    """Descriptors, threads, and bytes of memory."""
    return process.num_fds(), process.num_threads(), process.memory_info().rss


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_badly_behaved_clients_leave_nothing(tmp_path: Path) -> None:
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s", n_ctx=2048) as daemon:
        await daemon.ready()
        await daemon.api.open(KEY_URI, source(8), root="/mine")
        process, rounds = psutil.Process(daemon.process.pid), []
        for _ in range(2):
            for do in (many_connections, a_client_that_never_reads, many_projects):
                await do(daemon)
            # Connections are closed by the daemon, too, before it reads the next message on another one.
            status = (await daemon.api.get("/api/status"))[1]
            rounds.append(held(process))
        (n_fds, n_threads, n_bytes), (more_fds, more_threads, more_bytes) = rounds
        assert len(status["projects"]) <= MAX_PROJECTS, "some are kept warm for a while"
        assert more_fds <= n_fds + 2
        assert more_threads <= n_threads + 2
        assert more_bytes - n_bytes < MAX_GROWTH_BYTES
        lines: list[str] = []
        while not daemon.log.empty():
            lines.append(daemon.log.get_nowait())
        assert not any("Traceback" in line for line in lines), "".join(lines)
