"""The pipe to the editor: frames of the language server protocol on standard input and output, without threads."""

import asyncio
import logging
import sys
import types
from collections.abc import AsyncIterator, Generator
from typing import Protocol

from pygls.io_ import StdinAsyncReader, StdoutWriter

logger = logging.getLogger(__name__)


class Reader(Protocol):
    """What frames are read from; both methods return less than asked for at the end."""

    async def readline(self) -> bytes: ...

    async def readexactly(self, n: int, /) -> bytes: ...


class Writer(Protocol):
    """What answers are written to; `write` does not block."""

    def write(self, data: bytes, /) -> None: ...

    def close(self) -> None: ...


async def open_stdio() -> tuple[Reader, Writer]:
    """Standard input and output; where they are no pipes or sockets, a thread reads and writes block."""
    return await _open_stdin(), await _open_stdout()


async def _open_stdin() -> Reader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    except ValueError:
        return StdinAsyncReader(sys.stdin.buffer)  # type: ignore[return-value]
    return reader


async def _open_stdout() -> Writer:
    loop = asyncio.get_running_loop()
    try:
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
    except ValueError:
        return StdoutWriter(sys.stdout.buffer)
    return asyncio.StreamWriter(transport, protocol, None, loop)


async def frames(reader: Reader) -> AsyncIterator[bytes]:
    """The bodies of the frames that `reader` brings, until it ends, even inside a frame.

    After each body, whatever it set going runs up to its first wait, so that a request sees the documents as they were
    when it came.
    """
    length = 0
    while line := await reader.readline():
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value) if value.strip().isdigit() else 0
        elif not line.strip() and length:
            try:
                body = await reader.readexactly(length)
            except asyncio.IncompleteReadError:
                return
            length = 0
            yield body
            await _next_turn()


@types.coroutine
def _next_turn() -> Generator[None, None, None]:
    yield
