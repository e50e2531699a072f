"""The pipe to the editor: frames of the language server protocol on standard input and output, without threads."""

import asyncio
import logging
import os
import stat
import sys
import types
from collections.abc import AsyncIterator, Generator
from typing import BinaryIO, Protocol

from pygls.io_ import StdoutWriter

from scrubjay.errors import UsageError

logger = logging.getLogger(__name__)

MAX_FRAME = 1 << 30
"""Bytes of the longest message that is read; longer ones are passed over."""
MAX_GARBAGE = 1 << 20
"""Bytes between two messages: an editor that sends more does not speak the protocol."""
_PIECE = 1 << 20
"""Bytes that are passed over at a time."""


class Reader(Protocol):
    """What frames are read from: as `asyncio.StreamReader`, whose `readline` raises ValueError where a line is long."""

    async def readline(self) -> bytes: ...

    async def readexactly(self, n: int, /) -> bytes: ...


class Writer(Protocol):
    """What answers are written to; `write` does not block."""

    def write(self, data: bytes, /) -> None: ...

    def close(self) -> None: ...


async def open_stdio() -> tuple[Reader, Writer]:
    """Standard input and output.

    Raises:
        UsageError: one of them is closed.
    """
    if sys.stdin is None or sys.stdout is None:
        raise UsageError("Standard input or output is closed; editors start `scrubjay lsp` and talk to it there.")
    return await _open_stdin(sys.stdin.buffer), await _open_stdout(sys.stdout.buffer)


async def _open_stdin(file: BinaryIO) -> Reader:
    if not _can_be_waited_for(file):
        return _FileReader(file)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    return reader


async def _open_stdout(file: BinaryIO) -> Writer:
    if not _can_be_waited_for(file):
        return StdoutWriter(file)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, file)
    return asyncio.StreamWriter(transport, protocol, None, loop)


def _can_be_waited_for(file: BinaryIO) -> bool:
    """Whether the event loop can wait for `file`; it cannot for regular files, nor for `/dev/null` and its like."""
    mode = os.fstat(file.fileno()).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or file.isatty()


class _FileReader:
    """Reads what need not be waited for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    async def readline(self) -> bytes:
        return self._file.readline(_PIECE)

    async def readexactly(self, n: int, /) -> bytes:
        if len(data := self._file.read(n)) < n:
            raise asyncio.IncompleteReadError(data, n)
        return data


async def frames(reader: Reader) -> AsyncIterator[bytes]:
    """The bodies of the frames that `reader` brings, until it ends, even inside a frame; without any, the log says why.

    After each body, whatever it set going runs up to its first wait, so that a request sees the documents as they were
    when it came.
    """
    length, n_garbage, has_begun = 0, 0, False
    while n_garbage <= MAX_GARBAGE:
        try:
            line = await reader.readline()
        except ValueError:
            # A line that is longer than the reader's buffer is no header: what was read of it is passed over.
            line, n_garbage = b"?", n_garbage + _PIECE // 16
        if not line:
            if not has_begun:
                logger.warning(
                    "Standard input ended before an editor said anything; "
                    "editors start `scrubjay lsp` and talk to it there."
                )
            return
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = _length(value)
        elif not line.strip() and length:
            try:
                body = await _body(reader, length)
            except asyncio.IncompleteReadError:
                return
            length, n_garbage, has_begun = 0, 0, True
            if body:
                yield body
                await _next_turn()
        else:
            n_garbage += len(line)
    logger.warning(
        "What comes on standard input is not the language server protocol, in which editors talk to `scrubjay lsp`."
    )


async def _body(reader: Reader, length: int) -> bytes:
    """The next `length` bytes; nothing if they are too many for a message."""
    if length <= MAX_FRAME:
        return await reader.readexactly(length)
    logger.warning("A message of %d MiB is passed over; %d MiB is the most.", length >> 20, MAX_FRAME >> 20)
    while length:
        length -= len(await reader.readexactly(min(length, _PIECE)))
    return b""


def _length(value: bytes) -> int:
    """The number in a header; 0, for no frame, if there is none. No frame has a length of 20 digits."""
    digits = value.strip()
    return int(digits) if digits.isdigit() and len(digits) < 20 else 0


@types.coroutine
def _next_turn() -> Generator[None, None, None]:
    yield
