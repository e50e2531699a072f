"""Frames from the editor, however they are cut and whatever headers they carry."""

import asyncio

import pytest

from scrubjay_lsp.stdio import frames


async def bodies(data: bytes) -> list[bytes]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return [body async for body in frames(reader)]


async def test_frames_end_where_their_lengths_say() -> None:
    assert await bodies(b"Content-Length: 2\r\n\r\n{}Content-Length: 4\r\n\r\n[\r\n]") == [b"{}", b"[\r\n]"]


@pytest.mark.parametrize(
    "header",
    [
        b"content-length:2\r\n\r\n",
        b"Content-Type: x; charset=utf-8\r\nContent-Length: 2\r\n\r\n",
        b"Content-Length: 2\n\n",
        b"Content-Length: x\r\n\r\nContent-Length: 2\r\n\r\n",
    ],
)
async def test_headers_are_read_as_they_come(header: bytes) -> None:
    assert await bodies(header + b"{}") == [b"{}"]


async def test_the_end_inside_a_frame_is_an_end() -> None:
    assert await bodies(b"Content-Length: 9\r\n\r\n{}") == []
    assert await bodies(b"Content-Le") == []


async def test_what_a_frame_sets_going_runs_before_the_next_is_seen() -> None:
    seen: list[str] = []

    async def handle(body: bytes) -> None:
        seen.append(f"handled {body.decode()}")

    reader = asyncio.StreamReader()
    reader.feed_data(b"Content-Length: 1\r\n\r\n1Content-Length: 1\r\n\r\n2")
    reader.feed_eof()
    tasks = []
    async for body in frames(reader):
        seen.append(f"came {body.decode()}")
        tasks.append(asyncio.create_task(handle(body)))
    assert seen == ["came 1", "handled 1", "came 2", "handled 2"]
