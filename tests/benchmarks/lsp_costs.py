"""What the language server costs: `python -m tests.benchmarks.lsp_costs [SECONDS]`.

Time until `initialize` is answered; memory; the server's own part of a keystroke, which is what asking through it takes
longer than asking the daemon itself; and typing 12 keys a second with ghost text asked for at each key, as Neovim does,
which never cancels, and as VS Code does, which always cancels. It fails if a request does not end, if the server's
account of the endings is not what came over the pipe, if a queue grows, or if an item belongs to an older text.
"""

import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import get_args

import aiohttp
import psutil
from pygls.protocol import default_converter
from pytest_lsp import client_capabilities

from scrubjay.process.client import Client
from scrubjay.process.lifecycle import start_daemon, stop_daemon
from scrubjay_lsp.completions import Ending
from tests.support.lsp_pipe import Json, Pipe

N_STARTS = 10
N_KEYS = 100
MAX_TOKENS = 8
"""For the server's own part: the daemon shows no text of a token or two that nobody asked for."""
KEYS_PER_S = 12
KEYS_PER_LOOK = 3
MAX_QUEUED = 2
"""Questions in the daemon's queue for one document: one that runs, and one that takes its place."""
EDITOR = "visual_studio_code@v1.65.2"
TEXT = Path(json.__file__).read_text("utf-8")
TYPED = "def area(width: float, height: float) -> float:\n    return width * height\n\n"
URI = "file:///bench/{}/a.py"


async def main(seconds: float) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "daemon.sock"
        start_daemon(path, {"data_dir": folder, "ctx": "8192", "threads": "1"})
        try:
            list(Client(path).wait_until_ready())
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
    complaints = [line for cancels in (False, True) for line in await _type(path, seconds, cancels=cancels)]
    if complaints:
        sys.exit("\n".join(complaints))


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


async def _editor(path: Path, max_tokens: int = 0) -> Pipe:
    pipe = await Pipe.open("--socket", str(path))
    capabilities = default_converter().unstructure(client_capabilities(EDITOR))  # type: ignore[no-untyped-call]
    options = {"maxTokens": max_tokens}
    await pipe.ask("initialize", {"capabilities": capabilities, "initializationOptions": options}, "hello")
    return pipe


async def _opened(path: Path, name: str, max_tokens: int = 0) -> Pipe:
    """A server with a document open, when it is connected and the model is warm."""
    pipe = await _editor(path, max_tokens)
    pipe.send("initialized", {})
    document = {"uri": URI.format(name), "languageId": "python", "version": 0, "text": TEXT}
    pipe.send("textDocument/didOpen", {"textDocument": document})
    await pipe.ask("textDocument/inlineCompletion", _place(name, 0), "first")
    return pipe


async def _compared(path: Path) -> tuple[list[float], list[float], float]:
    """Milliseconds from key to answer through the server and without it, turn by turn, and the server's CPU for a key."""
    pipe = await _opened(path, "through", MAX_TOKENS)
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
    """What comes of typing without waiting for answers; requests are numbered as their keys, from 0."""

    name: str
    sent: dict[int, float] = field(default_factory=dict)
    answered: dict[int, float] = field(default_factory=dict)
    came: Counter[str] = field(default_factory=Counter)
    looks: dict[str, int] = field(default_factory=dict)
    queues: list[tuple[int, int, int]] = field(default_factory=list)
    """At each look: requests that the editor waits for, those open in the server, those queued in the daemon."""
    complaints: list[str] = field(default_factory=list)
    n_handled: int = 0
    """How many keys the server is known to have handled: it has answered what was sent after them."""

    async def listen(self, pipe: Pipe, n_requests: int) -> None:
        """Take in what comes until everything is answered."""
        while len(self.answered) < n_requests or len(self.queues) < len(self.looks):
            message = await pipe.receive()
            number = message.get("id")
            if "method" in message:
                continue
            if number in self.looks:
                self._looked(self.looks[number], message["result"])
            elif number in self.sent:
                self.answered[number] = perf_counter()
                self._answered(number, message)

    def _looked(self, n_keys: int, status: Json) -> None:
        n_open, queue = status["lsp"]["open"], status["daemon"]["queue"]
        n_queued = queue["queued"] + (queue["running"] is not None)
        self.queues.append((len(self.sent) - len(self.answered), n_open, n_queued))
        if n_open > 1 or n_queued > MAX_QUEUED:
            self.complaints.append(f"After key {n_keys} there are {n_open} open questions and {n_queued} in the queue.")
        self.n_handled = max(self.n_handled, n_keys)

    def _answered(self, number: int, message: Json) -> None:
        if "error" in message:
            self.came[f"error {message['error']['code']}"] += 1
            return
        items = message["result"]["items"]
        self.came["items" if items else "empty"] += 1
        here = _place(self.name, number + 1)["position"]
        if items and self.n_handled > number + 1:
            self.complaints.append(f"The items for key {number} came when key {self.n_handled - 1} had been handled.")
        if any(item["range"]["start"] != here for item in items):
            self.complaints.append(f"The items for key {number} are for another place.")
        self.n_handled = max(self.n_handled, number + 1)

    def check(self, endings: Counter[str]) -> None:
        """Compare what came with the server's account of it."""
        unknown = endings.keys() - set(get_args(Ending))
        if unknown or endings["failed"]:
            self.complaints.append(f"Requests ended as {dict(endings)}.")
        told = {"items": endings["items"], "error -32800": endings["cancelled"]}
        told["empty"] = endings["nothing"] + endings["stale"] + endings["failed"]
        if endings.total() != len(self.sent) or Counter(told) != self.came:
            self.complaints.append(
                f"{len(self.sent)} requests, {dict(self.came)} came, the server says {dict(endings)}."
            )


async def _type(path: Path, seconds: float, *, cancels: bool) -> list[str]:
    """Type, and print what came of it; what is wrong with that."""
    name = "cancelling" if cancels else "typing"
    pipe = await _opened(path, name)
    before = await _endings(pipe)
    n_keys, typing = round(seconds * KEYS_PER_S), _Typing(name)
    listener = asyncio.create_task(typing.listen(pipe, n_keys))
    for number in range(n_keys):
        if cancels and number and number - 1 not in typing.answered:
            pipe.send("$/cancelRequest", {"id": number - 1})
        _press(pipe, typing, number)
        await asyncio.wait([listener], timeout=1 / KEYS_PER_S)
    await listener
    typing.check(await _endings(pipe) - before)
    rss = psutil.Process(pipe.process.pid).memory_info().rss
    _print(f"ms from key to answer at {KEYS_PER_S} keys/s, {name}", [
        (typing.answered[number] - sent) * 1e3 for number, sent in typing.sent.items()
    ])  # fmt: skip
    sys.stdout.write(f"  {n_keys} keys: {dict(await _endings(pipe) - before)}; the server holds {rss / 1e6:.1f} MB\n")
    for index, what in enumerate(("unanswered", "open in the server", "in the daemon's queue")):
        sys.stdout.write(f"  {what} over time: {''.join(_digit(queue[index]) for queue in typing.queues)}\n")
    await pipe.leave()
    return typing.complaints


def _press(pipe: Pipe, typing: _Typing, number: int) -> None:
    """Send the `number`-th key and what an editor asks after it, now and then also how long the queues are."""
    pipe.send("textDocument/didChange", _change(typing.name, number))
    typing.sent[number] = perf_counter()
    pipe.send("textDocument/inlineCompletion", _place(typing.name, number + 1), number)
    if number % KEYS_PER_LOOK == 0:
        typing.looks[f"look {number}"] = number + 1
        pipe.send("workspace/executeCommand", {"command": "scrubjay.status"}, f"look {number}")


async def _endings(pipe: Pipe) -> Counter[str]:
    answer = await pipe.ask("workspace/executeCommand", {"command": "scrubjay.status"}, "endings")
    return Counter(answer["result"]["lsp"]["endings"])


def _digit(n: int) -> str:
    return str(n) if n < 10 else "+"


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
    return {"uri": URI.format(name), "position": position, "version": n_typed, "max_tokens": MAX_TOKENS}


def _print(what: str, values: list[float]) -> None:
    p95 = quantiles(values, n=20)[-1]
    sys.stdout.write(f"{what}: median {median(values):.1f}, 95th {p95:.1f}, least {min(values):.1f}\n")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0))
