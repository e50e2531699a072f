"""docs/http.md as a list of requests that can be sent, and of what is said to come back.

`python -m tests.support.http_page SOCKET` writes the answers of the daemon there into the page.
"""

import asyncio
import json
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.api import BASE

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
_HEADING = re.compile(r"^### (.+)$", re.MULTILINE)
_ROUTE = re.compile(r"`(GET|POST) ([^`]+)`")
_EXAMPLE = re.compile(r"```sh\n(?P<command>.*?)```\n```(?P<form>\w+) ?(?P<status>\d*)\n(?P<answer>.*?)```", re.DOTALL)
_SESSION = re.compile(r"```session\n(.*?)```", re.DOTALL)
WIDTH = 120
MAX_LINES = 60


@dataclass(frozen=True, slots=True)
class Example:
    """A request, and the status, form and text of its answer."""

    method: str
    path: str
    body: str | None
    status: int
    form: str
    answer: str

    @property
    def id(self) -> str:
        return f"{self.method} {self.path}"


def documented_routes() -> set[tuple[str, str]]:
    """The routes that have a heading."""
    page = PAGE.read_text("utf-8")
    return {(method, path) for heading in _HEADING.findall(page) for method, path in _ROUTE.findall(heading)}


def examples() -> Iterator[Example]:
    """All examples, in the order of the page."""
    for found in _EXAMPLE.finditer(PAGE.read_text("utf-8")):
        yield _example(found)


def session() -> list[tuple[str, Any]]:
    """The messages of the session's example: ">" for those that are sent, "<" for those that come."""
    [block] = _SESSION.findall(PAGE.read_text("utf-8"))
    return [(line[0], json.loads(line[2:])) for line in block.splitlines()]


def _example(found: re.Match[str]) -> Example:
    words = shlex.split(found["command"])
    assert words[:4] == ["curl", "-s", "--unix-socket", "$SOCKET"], words
    path = words[4].removeprefix("http://localhost")
    body = words[6] if words[5:6] == ["-d"] else None
    method = "GET" if body is None else "POST"
    return Example(method, path, body, int(found["status"] or 200), found["form"], found["answer"])


async def send(http: aiohttp.ClientSession, example: Example) -> tuple[int, str]:
    """The status and the text of the answer; of events that never end, the first."""
    data = None if example.body is None else example.body.encode()
    async with http.request(example.method, BASE + example.path, data=data) as response:
        if example.path == "/api/events":
            return response.status, (await response.content.readline()).decode()
        return response.status, await response.text()


def values(form: str, text: str) -> list[Any]:
    """The JSON values of an answer of that form."""
    match form:
        case "json":
            return [json.loads(text)]
        case "jsonl":
            return [json.loads(line) for line in text.splitlines()]
        case "sse":
            lines = [line.removeprefix("data: ") for line in text.splitlines() if line]
            return [line if line == "[DONE]" else json.loads(line) for line in lines]
        case _:
            return [re.sub(r"[-+.e\d]+$", "0", line) for line in text.splitlines() if not line.startswith("#")]


# --- writing the answers ---------------------------------------------------------------------------------------------


def pretty(value: Any, indent: int = 0) -> str:
    """JSON in which what is short stays on a line."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= WIDTH or not isinstance(value, dict | list):
        return flat
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        parts = [f"{pad}{json.dumps(key)}: {pretty(item, indent + 2)}" for key, item in value.items()]
        return "{\n" + ",\n".join(parts) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(pad + pretty(item, indent + 2) for item in value) + "\n" + " " * indent + "]"


async def fill(socket: str) -> None:
    """Write what the daemon on `socket` answers into the page."""
    connector = aiohttp.UnixConnector(path=socket)
    async with aiohttp.ClientSession(connector=connector) as http:
        page = PAGE.read_text("utf-8")
        written, end = [], 0
        for found in _EXAMPLE.finditer(page):
            for block in _SESSION.finditer(page, end, found.start()):
                written += [page[end : block.start(1)], await _talk(http, block[1])]
                end = block.end(1)
            example = _example(found)
            status, text = await send(http, example)
            assert status == example.status, (example.id, status, text)
            written += [page[end : found.start("answer")], _shown(example.form, text)]
            end = found.end("answer")
        PAGE.write_text("".join(written) + page[end:], "utf-8")


def _shown(form: str, text: str) -> str:
    if form == "json":
        return pretty(json.loads(text)) + "\n"
    lines = [line for line in text.strip().splitlines() if form != "sse" or line]
    return "\n".join(lines[:MAX_LINES]) + "\n"


async def _talk(http: aiohttp.ClientSession, block: str) -> str:
    """The messages that are sent, each with what comes back."""
    lines = []
    async with http.ws_connect(BASE + "/api/session") as channel:
        lines.append("< " + json.dumps(await channel.receive_json()))
        for line in block.splitlines():
            if line.startswith("> "):
                lines.append(line)
                await channel.send_json(json.loads(line[2:]))
                while "event" in (message := await channel.receive_json()):
                    pass
                lines.append("< " + json.dumps(message))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    asyncio.run(fill(sys.argv[1]))
