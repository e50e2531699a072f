"""The bare pipe to a language server, for messages that no client library would send."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class Pipe:
    """A language server and the pipe to it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def open(cls, *arguments: str, log: Path | None = None, **environment: str) -> "Pipe":
        """Start a server; its log is kept in the file `log`, if there is one."""
        errors = log.open("wb") if log else asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "scrubjay",
            "lsp",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=os.environ | environment,
            limit=2**26,
        )
        if not isinstance(errors, int):
            errors.close()
        return cls(process)

    @staticmethod
    async def shell(command: str) -> asyncio.subprocess.Process:
        """Start a shell command; its standard error can be read."""
        return await asyncio.create_subprocess_shell(command, stderr=asyncio.subprocess.PIPE)

    def send_bytes(self, body: bytes) -> None:
        """Send one frame."""
        assert self.process.stdin
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    def send(self, method: str, params: Any = None, number: int | str | None = None) -> None:
        """Send a request if it has a number, else a notification."""
        message: Json = {"jsonrpc": "2.0", "method": method, "params": params}
        self.send_bytes(json.dumps(message if number is None else {**message, "id": number}).encode())

    async def receive(self) -> Json:
        """The next message, whatever it is."""
        assert self.process.stdout
        length = 0
        while line := (await self.process.stdout.readline()).strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        message: Json = json.loads(await self.process.stdout.readexactly(length))
        return message

    async def ask(self, method: str, params: Any = None, number: int | str = 1) -> Json:
        """Send a request; its answer, whatever else comes before it."""
        self.send(method, params, number)
        while (message := await self.receive()).get("id") != number or "method" in message:
            pass
        return message

    async def leave(self) -> int:
        """Say goodbye; the exit status."""
        await self.ask("shutdown", None, "bye")
        self.send("exit")
        return await self.process.wait()
