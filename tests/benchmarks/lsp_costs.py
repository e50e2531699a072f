"""What the language server costs: `python -m tests.benchmarks.lsp_costs [SECONDS]`.

Time until `initialize` is answered; memory; the server's own part of a keystroke, which is what asking through it takes
longer than asking the daemon itself; and typing 12 keys a second with ghost text asked for at each key.
"""

import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import aiohttp
import psutil

from scrubjay.lifecycle import start_daemon, stop_daemon
from tests.lsp.raw import Json, Pipe

N_STARTS = 10
N_KEYS = 100
KEYS_PER_S = 12
TEXT = Path(json.__file__).read_text("utf-8")
TYPED = "def area(width: float, height: float) -> float:\n    return width * height\n\n"
URI = "file:///bench/{}/a.py"


async def main(seconds: float) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "daemon.sock"
        start_daemon(path, {"data_dir": folder, "ctx": "8192", "threads": "1"})
        try:
            await _measure(path, seconds)
        finally:
            stop_daemon(path)


async def _measure(path: Path, seconds: float) -> None:
    starts = [await _start_ms(path) for _ in range(N_STARTS)]
    _print("ms until initialize is answered", [clock for clock, _ in starts])
    _print("ms of CPU until initialize is answered", [cpu for _, cpu in starts])
    through, direct, cpu = await _compared(path)
    _print("ms from key to answer, through the server", through)
    _print("ms from key to answer, daemon alone", direct)
    _print("ms of it that are the server's own", [a - b for a, b in zip(through, direct, strict=True)])
    sys.stdout.write(f"ms of CPU for a key in the server: {cpu:.2f}\n")
    await _type(path, seconds)


async def _start_ms(path: Path) -> tuple[float, float]:
    began = perf_counter()
    pipe = await _editor(path)
    took = (perf_counter() - began) * 1e3, _cpu_ms(pipe)
    await pipe.leave()
    return took


def _cpu_ms(pipe: Pipe) -> float:
    """Milliseconds of CPU that the server has used, which other load on the machine changes little."""
    times = psutil.Process(pipe.process.pid).cpu_times()
    return (times.user + times.system) * 1e3


async def _editor(path: Path) -> Pipe:
    pipe = await Pipe.open("--socket", str(path))
    options = {"maxTokens": 1}
    await pipe.ask("initialize", {"capabilities": {}, "initializationOptions": options}, "hello")
    return pipe


async def _opened(path: Path, name: str) -> Pipe:
    """A server with a document open, when it is connected and the model is warm."""
    pipe = await _editor(path)
    pipe.send("initialized", {})
    document = {"uri": URI.format(name), "languageId": "python", "version": 0, "text": TEXT}
    pipe.send("textDocument/didOpen", {"textDocument": document})
    await pipe.ask("textDocument/inlineCompletion", _place(name, 0), "first")
    return pipe


async def _compared(path: Path) -> tuple[list[float], list[float], float]:
    """Milliseconds from key to answer through the server and without it, turn by turn, and the server's CPU for a key."""
    pipe = await _opened(path, "through")
    connector = aiohttp.UnixConnector(path=str(path))
    async with aiohttp.ClientSession(connector=connector) as http, http.ws_connect("http://x/api/session") as socket:
        await _call(socket, "open", "documents/open", {"uri": URI.format("direct"), "version": 0, "text": TEXT})
        await _call(socket, "first", "complete", _plain("direct", 0))
        through, direct, cpu = [], [], _cpu_ms(pipe)
        for number in range(N_KEYS):
            through.append(await _ms(_key_through(pipe, number)))
            direct.append(await _ms(_key_direct(socket, number)))
        cpu = (_cpu_ms(pipe) - cpu) / N_KEYS
    await pipe.leave()
    return through, direct, cpu


async def _ms(work: Awaitable[object]) -> float:
    began = perf_counter()
    await work
    return (perf_counter() - began) * 1e3


async def _key_through(pipe: Pipe, number: int) -> None:
    pipe.send("textDocument/didChange", _change("through", number))
    await pipe.ask("textDocument/inlineCompletion", _place("through", number + 1), number)


async def _key_direct(socket: aiohttp.ClientWebSocketResponse, number: int) -> None:
    changes = _change("direct", number)["contentChanges"]
    edit = {"uri": URI.format("direct"), "version": number + 1, "changes": changes}
    await socket.send_json({"id": f"edit {number}", "method": "documents/change", "params": edit})
    await _call(socket, number, "complete", _plain("direct", number + 1))


async def _call(socket: aiohttp.ClientWebSocketResponse, number: int | str, method: str, params: Json) -> None:
    await socket.send_json({"id": number, "method": method, "params": params})
    while (answer := await socket.receive_json()).get("id") != number:
        pass
    if "error" in answer:
        raise RuntimeError(answer["error"]["message"])


@dataclass
class _Typing:
    """What came of typing without waiting."""

    sent: dict[Any, float]
    answered: dict[Any, float]
    most_open: int = 0

    async def listen(self, pipe: Pipe, n_requests: int) -> None:
        while len(self.answered) < n_requests:
            message = await pipe.receive()
            if "method" not in message and message.get("id") in self.sent:
                self.answered[message["id"]] = perf_counter()


async def _type(path: Path, seconds: float) -> None:
    pipe = await _opened(path, "typing")
    n_keys = round(seconds * KEYS_PER_S)
    typing = _Typing({}, {})
    listener = asyncio.create_task(typing.listen(pipe, n_keys))
    for number in range(n_keys):
        pipe.send("textDocument/didChange", _change("typing", number))
        typing.sent[number] = perf_counter()
        pipe.send("textDocument/inlineCompletion", _place("typing", number + 1), number)
        typing.most_open = max(typing.most_open, len(typing.sent) - len(typing.answered))
        await asyncio.wait([listener], timeout=1 / KEYS_PER_S)
    await listener
    answer = await pipe.ask("workspace/executeCommand", {"command": "scrubjay.status"}, "status")
    status = answer["result"]["lsp"]
    _print(f"ms from key to answer at {KEYS_PER_S} keys/s", [
        (typing.answered[number] - sent) * 1e3 for number, sent in typing.sent.items()
    ])  # fmt: skip
    counts = dict(Counter(status["endings"]))
    sys.stdout.write(f"{n_keys} keys: endings {counts}, open at most {typing.most_open}, resent {status['resent']}\n")
    rss = psutil.Process(pipe.process.pid).memory_info().rss
    sys.stdout.write(f"memory after {n_keys} keys: {rss / 1e6:.1f} MB\n")
    await pipe.leave()


def _change(name: str, number: int) -> Json:
    """The `number`-th key: it goes to the end of the text, whose last line is empty."""
    before = TYPED * (number // len(TYPED)) + TYPED[: number % len(TYPED)]
    *above, line = before.split("\n")
    place = {"line": TEXT.count("\n") + len(above), "character": len(line)}
    key = TYPED[number % len(TYPED)]
    identifier = {"uri": URI.format(name), "version": number + 1}
    return {"textDocument": identifier, "contentChanges": [{"range": {"start": place, "end": place}, "text": key}]}


def _place(name: str, n_typed: int) -> Json:
    change = _change(name, n_typed)
    return {"textDocument": {"uri": URI.format(name)}, "position": change["contentChanges"][0]["range"]["start"]}


def _plain(name: str, n_typed: int) -> Json:
    position = _place(name, n_typed)["position"]
    return {"uri": URI.format(name), "position": position, "version": n_typed, "max_tokens": 1}


def _print(what: str, values: list[float]) -> None:
    p95 = quantiles(values, n=20)[-1]
    sys.stdout.write(f"{what}: median {median(values):.1f}, 95th {p95:.1f}, least {min(values):.1f}\n")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0))
