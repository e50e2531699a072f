"""The WebSocket that editors keep open, on a real Unix socket."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scrubjay.http.params import AT_ONCE, MAX_BODY
from scrubjay.service.service import Service
from tests.support.api import BASE, Api, connected, running_api
from tests.support.gguf_models import tiny_model
from tests.support.service import source

Json = dict[str, Any]
URI = "file:///project/a.py"
AT_START = {"line": 0, "character": 0}


class Editor:
    """One session."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._answers: dict[object, Json] = {}
        self.events: list[Json] = []

    async def send(self, method: str, **params: object) -> int:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        return number

    async def notify(self, method: str, **params: object) -> None:
        await self._socket.send_json({"method": method, "params": params})

    async def send_text(self, text: str) -> None:
        await self._socket.send_str(text)

    async def answer(self, number: object) -> Json:
        while number not in self._answers:
            await self._receive()
        return self._answers.pop(number)

    async def call(self, method: str, **params: object) -> Json:
        """The result of a request that is served."""
        answer = await self.answer(await self.send(method, **params))
        result: Json = answer["result"]
        return result

    async def until_prefill(self) -> None:
        """Until some prompt is being processed."""
        self.events.clear()
        while not any(event["type"] == "progress" and event["done"] < event["total"] for event in self.events):
            await self._receive()

    async def open(self, uri: str, text: str, version: int = 1) -> None:
        await self.call("documents/open", uri=uri, text=text, root="/project", version=version, language="python")

    async def open_long_project(self) -> str:
        for number in range(5):
            uri = f"file:///project/file_{number}.py"
            await self.open(uri, source(100, seed=number))
        return uri

    async def _receive(self) -> None:
        message = await self._socket.receive_json()
        if "event" in message:
            self.events.append(message["event"])
        else:
            self._answers[message["id"]] = message


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Service, Api]]:
    async with running_api(tiny_model("deltanet"), tmp_path / "s", n_ctx=16384) as running:
        yield running


@pytest.fixture
async def editor(served: tuple[Service, Api]) -> AsyncIterator[Editor]:
    async with served[1].http.ws_connect(BASE + "/api/session", max_msg_size=0) as socket:
        yield Editor(socket)


async def test_a_session_begins_with_the_state(editor: Editor) -> None:
    assert (await editor.call("status"))["state"] == "ready"
    assert editor.events[0]["type"] == "state"


async def test_messages_take_effect_in_the_order_sent(editor: Editor) -> None:
    await editor.open(URI, source())
    numbers = []
    for version in range(2, 12):
        change = {"text": f"x{version} = 1\n", "range": {"start": AT_START, "end": AT_START}}
        await editor.send("documents/change", uri=URI, version=version, changes=[change])
        numbers.append(await editor.send("complete", uri=URI, position=AT_START, version=version, max_tokens=2))
    answers = [await editor.answer(number) for number in numbers]
    assert answers[-1]["result"]["version"] == 11
    assert all(answer["error"]["type"] == "superseded" for answer in answers[:-1] if "error" in answer)


@pytest.mark.slow
async def test_cancel_ends_a_request_and_keeps_its_work(editor: Editor) -> None:
    uri = await editor.open_long_project()
    number = await editor.send("complete", uri=uri, position=AT_START, max_tokens=4)
    await editor.until_prefill()
    await editor.notify("cancel", id=number)
    assert (await editor.answer(number))["error"]["type"] == "cancelled"
    answer = await editor.call("complete", uri=uri, position=AT_START, max_tokens=4)
    assert answer["reuse"]["common"] > 0
    assert answer["reuse"]["processed"] == answer["reuse"]["prompt"] - answer["reuse"]["common"]
    await editor.notify("cancel", id=number)
    await editor.notify("cancel", id="never")
    assert (await editor.call("status"))["counters"]["n_cancelled"] == 1


@pytest.mark.slow
async def test_two_editors_do_not_supersede_each_other(editor: Editor, served: tuple[Service, Api]) -> None:
    uri = await editor.open_long_project()
    async with served[1].http.ws_connect(BASE + "/api/session") as socket:
        other = Editor(socket)
        await other.open(uri, source(100, seed=9))
        first = await editor.send("complete", uri=uri, position=AT_START, max_tokens=4)
        await editor.until_prefill()
        second = await other.send("complete", uri=uri, position=AT_START, max_tokens=4)
        third = await editor.send("complete", uri=uri, position=AT_START, max_tokens=4)
        assert (await editor.answer(first))["error"]["type"] == "superseded"
        assert (await other.answer(second))["result"]["items"]
        assert (await editor.answer(third))["result"]["items"]


async def test_closing_a_session_closes_what_it_opened_and_ends_what_it_asked(
    served: tuple[Service, Api], tmp_path: Path
) -> None:
    service, api = served
    await api.open("file:///project/kept.py", source())
    async with connected(tmp_path / "s") as client:
        socket = await client.http.ws_connect(BASE + "/api/session")
        editor = Editor(socket)
        uri = await editor.open_long_project()
        await editor.send("complete", uri=uri, position=AT_START, max_tokens=4)
        await editor.until_prefill()
        await socket.close()
    assert (await api.complete("file:///project/kept.py"))[0] == 200
    assert (await api.complete(uri))[0] == 404
    _, report = await api.get("/api/status")
    assert report["counters"]["n_cancelled"] == 1
    assert [project["n_documents"] for project in report["projects"]] == [1]
    assert service.dispatcher.is_idle


BAD: list[tuple[str, int, str]] = [
    ("what", 400, "not JSON"),
    ("[]", 400, "must be a JSON object"),
    ('{"id":1}', 400, "`method` is missing"),
    ('{"id":[],"method":"status"}', 400, "`id` must be an integer or a string"),
    ('{"method":"status"}', 400, "needs an `id`"),
    ('{"id":1,"method":"nothing"}', 404, "there are documents/open"),
    ('{"id":1,"method":"complete","params":[]}', 400, "`params` must be a JSON object"),
    ('{"id":1,"method":"complete","params":{"uri":1}}', 400, "`params.uri` must be a string"),
    ('{"id":1,"method":"documents/close","params":{"uri":"file:///x"}}', 404, "is not open"),
    ('{"id":1,"method":"cancel"}', 400, "`id` is missing"),
]


async def test_bad_messages_are_answered_with_a_sentence(editor: Editor) -> None:
    for text, code, sentence in BAD:
        await editor.send_text(text)
        answer = await editor.answer(1 if '"id":1' in text else None)
        assert answer["error"]["code"] == code, text
        assert sentence in answer["error"]["message"], text
    await editor.open(URI, source())


async def test_a_message_that_is_too_large_is_refused_and_the_session_goes_on(editor: Editor) -> None:
    number = await editor.send("documents/open", uri=URI, text="x" * MAX_BODY)
    assert (await editor.answer(number))["error"]["code"] == 413
    # One that goes to a thread comes before what is sent after it.
    large = await editor.send("documents/open", uri=URI, text="x = 1\n" * (AT_ONCE // 3), version=1)
    change = {"text": "y", "range": {"start": AT_START, "end": AT_START}}
    small = await editor.send("documents/change", uri=URI, base_version=1, version=2, changes=[change])
    assert (await editor.answer(small)) == {"id": small, "result": {"version": 2}}
    assert (await editor.answer(large))["result"] == {"version": 1}


async def test_a_lone_surrogate_is_no_mistake(editor: Editor) -> None:
    await editor.send_text(
        '{"id":"s","method":"documents/open","params":{"uri":"file:///project/s.py","text":"a\\ud800b","root":"/project"}}'
    )
    assert (await editor.answer("s"))["result"] == {"version": 0}
    answer = await editor.call("complete", uri="file:///project/s.py", position=AT_START, max_tokens=2)
    assert answer["items"]


async def test_sessions_end_with_the_daemon(tmp_path: Path) -> None:
    async with connected(tmp_path / "s") as api:
        async with running_api(tiny_model("dense"), tmp_path / "s"):
            socket = await api.http.ws_connect(BASE + "/api/session")
            editor = Editor(socket)
            await editor.call("status")
        message = await socket.receive()
        while message.type is aiohttp.WSMsgType.TEXT:
            message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
