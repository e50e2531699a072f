"""The way of one key through the daemon's own files: an edit and a completion of 8 tokens, in a project that is warm.

    python -m tests.benchmarks.walk [--keys N] [--rows N] [--calls]

A whole daemon runs in this process, with a tiny model in an engine process, and an editor in a thread of its own talks to
it over the WebSocket. Python's profiling hook counts, in all threads of the daemon, the calls of functions of the package
`scrubjay` and the moves between its files: a move is a call into another file, or a return into one. Methods that
dataclasses generate have no file and are not counted. The key shown is the one with the median number of moves.
"""

import argparse
import asyncio
import inspect
import os
import signal
import sys
import tempfile
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

import scrubjay
from scrubjay.config import read_config
from scrubjay.process.run import run_daemon
from tests.support.api import BASE
from tests.support.gguf_models import tiny_model
from tests.support.service import source

PACKAGE = f"{Path(scrubjay.__file__).parent}{os.sep}"
URI = "file:///project/file_{}.py"
N_FILES = 5
LINE = 60
N_TOKENS = 8
N_FIRST = 2
"""Keys that do not count: they process the prompt."""
FLAGS = {"threads": "1", "interval": "64", "ctx": "8192", "eager_load": "false", "warm": "false"}
Json = dict[str, Any]


@dataclass(slots=True)
class Walk:
    """What one key has passed through."""

    n_calls: int = 0
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each pair of files followed on each other."""
    functions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Calls by file and qualified name."""

    @property
    def n_moves(self) -> int:
        return self.moves.total()

    @property
    def files(self) -> set[str]:
        return {file for file, _ in self.functions}


class Counting:
    """Counts while it is on. It is installed in every thread before that does anything."""

    def __init__(self) -> None:
        self.walk: Walk | None = None
        self._stacks: defaultdict[int, list[str]] = defaultdict(list)
        self._last: dict[int, str] = {}
        self._names: dict[CodeType, str | None] = {}

    @contextmanager
    def on(self) -> Iterator[Walk]:
        """Count a key."""
        self._stacks.clear()
        self._last.clear()
        self.walk = walk = Walk()
        yield walk
        self.walk = None

    def hook(self, frame: FrameType, event: str, _: object) -> None:
        """What `sys.setprofile` calls."""
        if self.walk is None or event not in ("call", "return"):
            return
        if (file := self._file(frame.f_code)) is None:
            return
        thread = threading.get_ident()
        stack = self._stacks[thread]
        if event == "call":
            stack.append(file)
            self.walk.n_calls += 1
            self.walk.functions[file, frame.f_code.co_qualname] += 1
            self._go(thread, file)
        elif stack:
            stack.pop()
            if stack:
                self._go(thread, stack[-1])

    def _go(self, thread: int, file: str) -> None:
        last = self._last.get(thread)
        self._last[thread] = file
        if self.walk and last not in (None, file):
            self.walk.moves[str(last), file] += 1

    def _file(self, code: CodeType) -> str | None:
        if code not in self._names:
            path = code.co_filename
            self._names[code] = path.removeprefix(PACKAGE) if path.startswith(PACKAGE) else None
        return self._names[code]


class Editor:
    """An editor's session."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)

    async def send(self, method: str, **params: object) -> int:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        return number

    async def answer(self, number: int) -> Json:
        """The result of that request. What comes before is passed over."""
        async for message in self._socket:
            answer: Json = message.json()
            if answer.get("id") == number:
                result: Json = answer["result"]
                return result
        raise ConnectionError("the daemon has ended the session")


async def press_keys(socket: Path, counting: Counting, n_keys: int) -> list[tuple[Walk, Json]]:
    """Type at the end of a line; each key with its completion, the last thing that the editor waits for."""
    found = []
    connector = aiohttp.UnixConnector(path=str(socket))
    async with aiohttp.ClientSession(connector=connector) as http, http.ws_connect(f"{BASE}/api/session") as session:
        editor = Editor(session)
        for number in range(N_FILES):
            document = {"uri": URI.format(number), "text": source(seed=number), "version": 1, "language": "python"}
            await editor.answer(await editor.send("documents/open", root="/project", **document))
        for key in range(n_keys + N_FIRST):
            with counting.on() as walk:
                await press(editor, "abcdefgh"[key % 8], key)
                answer = await editor.answer(await complete(editor, key))
            found.append((walk, answer))
    return found[N_FIRST:]


async def press(editor: Editor, key: str, column: int) -> None:
    place = {"line": LINE, "character": column}
    change = {"text": key, "range": {"start": place, "end": place}}
    await editor.send("documents/change", uri=URI.format(0), version=column + 2, changes=[change])


async def complete(editor: Editor, column: int) -> int:
    place = {"line": LINE, "character": column + 1}
    return await editor.send("complete", uri=URI.format(0), position=place, version=column + 2, max_tokens=N_TOKENS)


def measure(n_keys: int) -> list[tuple[Walk, Json]]:
    """The walks and the answers of that many keys."""
    counting, found = Counting(), []
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "s"
        flags = {"model": str(tiny_model("deltanet")), "socket": str(socket), "data_dir": folder, **FLAGS}

        def type_keys() -> None:
            try:
                found.extend(asyncio.run(press_keys(socket, counting, n_keys)))
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        # It is hooked as well, but runs nothing of the package.
        editor = threading.Thread(target=type_keys)
        threading.setprofile(counting.hook)
        sys.setprofile(counting.hook)
        asyncio.run(run_daemon(read_config(flags), editor.start))
        sys.setprofile(None)
        editor.join()
    return found


def show(walk: Walk, n_rows: int, with_calls: bool, console: Console) -> None:
    entries: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for (_, file), n in walk.moves.items():
        entries[file] += n
    for (file, _), n in walk.functions.items():
        calls[file] += n
    table = Table("file", "entered", "calls", title="files, most often entered or returned to first")
    for file, n in sorted(calls.items(), key=lambda item: -entries[item[0]]):
        table.add_row(file, str(entries[file]), str(n))
    console.print(table)
    both: Counter[tuple[str, str]] = Counter()
    for pair, n in walk.moves.items():
        both[min(pair), max(pair)] += n
    table = Table("between", "and", "moves", title="pairs of files with the most moves, both ways")
    for (one, other), n in both.most_common(n_rows):
        table.add_row(one, other, str(n))
    console.print(table)
    if with_calls:
        table = Table("file", "function", "calls", title="functions, most often called first")
        for (file, name), n in walk.functions.most_common():
            table.add_row(file, name, str(n))
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--keys", type=int, default=9, help="how many keys to press")
    parser.add_argument("--rows", type=int, default=30, help="how many pairs of files to show")
    parser.add_argument("--calls", action="store_true", help="also show the functions called")
    flags = parser.parse_args()
    found = sorted(measure(flags.keys), key=lambda item: item[0].n_moves)
    walk, answer = found[len(found) // 2]
    console = Console(width=120)
    show(walk, flags.rows, flags.calls, console)
    moves = [item[0].n_moves for item in found]
    console.print(f"One key: {len(walk.files)} files, {walk.n_calls} calls, {walk.n_moves} moves.")
    console.print(f"All keys: moves {moves}, files {[len(item[0].files) for item in found]}.")
    console.print(f"Of its answer: {answer['reuse']}")


if __name__ == "__main__":
    main()
