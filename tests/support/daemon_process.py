"""A daemon as users have it: a process of its own, with an engine process below it, on a real socket."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.api import Api, connected

OPTIONS = ("--threads=1", "--interval=64", "--no-eager-load", "--no-warm", "--no-rules")


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running daemon: its process, its socket, a client, and the lines of its log that nobody has taken yet."""

    process: asyncio.subprocess.Process
    socket: Path
    api: Api
    log: asyncio.Queue[str]

    async def line_with(self, words: str) -> str:
        """The next line of the log that has these words."""
        while words not in (line := await self.log.get()):
            pass
        return line

    def engine(self) -> psutil.Process:
        """The engine process; projects in repositories have children of their own."""
        children = psutil.Process(self.process.pid).children()
        [engine] = [child for child in children if "scrubjay.worker" in child.cmdline()]
        return engine

    async def ready(self) -> None:
        """Wait until the model is loaded."""
        await self.api.until("state", state="ready")


@asynccontextmanager
async def running_daemon(
    model: Path | str, socket: Path, n_ctx: int = 16384, more: tuple[str, ...] = OPTIONS
) -> AsyncIterator[Daemon]:
    """A daemon that listens; its model is loading. Whatever is left of it afterwards is killed."""
    options = (f"--model={model}", f"--socket={socket}", f"--data-dir={socket.parent}", f"--ctx={n_ctx}", *more)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "scrubjay", "serve", *options),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "XDG_CONFIG_HOME": str(socket.parent)},
    )
    assert process.stderr
    try:
        log = b""
        while b"Listening" not in log:
            line = await process.stderr.readline()
            assert line, f"the daemon ended: {log.decode()}"
            log += line
        lines: asyncio.Queue[str] = asyncio.Queue()
        reader = asyncio.create_task(_read_all(process.stderr, lines))
        async with connected(socket) as api:
            yield Daemon(process, socket, api, lines)
        reader.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _read_all(stream: asyncio.StreamReader, lines: "asyncio.Queue[str]") -> None:
    """Keep the pipe from filling up."""
    while line := await stream.readline():
        lines.put_nowait(line.decode(errors="replace"))
