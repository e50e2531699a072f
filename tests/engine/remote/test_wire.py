"""Whatever a server may send or do: one clear sentence, and nothing is taken for whole that is not."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from scrubjay.engine.remote.address import parse_remote
from scrubjay.engine.remote.dialects import DIALECTS, Sender, Served
from scrubjay.engine.remote.job import RemoteJob
from scrubjay.engine.remote.wire import Wire
from scrubjay.errors import RemoteFailed
from scrubjay.protocol.messages import Done, FromEngine, Piece, PrefillDone, Run, Sampling
from tests.support.remote import Answer, ScriptedServer, events_of, scripted, tokens_of

SERVED = Served("tiny", "llama.cpp", 2048)
RUN = Run(7, "/project", tokens_of(1, 2, 3), sampling=Sampling(max_tokens=8))
TEXT = b'{"content":"a","tokens":[5],"stop":false}'
LAST = b'{"content":"","stop":true,"stop_type":"eos","tokens_predicted":1,"timings":{"cache_n":2}}'
NOWHERE = Path("/nowhere.gguf")
KEY = "sk-0123456789"


async def asked(
    server: ScriptedServer | str, run: Run = RUN, key: str = "", served: Served = SERVED
) -> tuple[Done, list[FromEngine]]:
    address = parse_remote(server if isinstance(server, str) else server.address)
    wire, seen = Wire(address, key), list[FromEngine]()
    try:
        job = RemoteJob(run, 0, "/project", seen.append)
        return await job.do(wire, DIALECTS[address.dialect], served, Sender("s1")), seen
    finally:
        await wire.close()


async def failing(server: ScriptedServer | str, key: str = "") -> RemoteFailed:
    with pytest.raises(RemoteFailed) as failed:
        await asked(server, key=key)
    text = str(failed.value)
    assert "\n" not in text
    assert "http://127.0.0.1" in text
    assert not key or key not in text
    return failed.value


def sending(*lines: bytes) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await events_of(request, *lines)

    return answer


def responding(make: Callable[[], web.Response]) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return make()

    return answer


async def test_a_whole_answer_is_handed_on() -> None:
    async with scripted(NOWHERE, sending(TEXT, LAST)) as server:
        done, seen = await asked(server)
    assert [type(event) for event in seen] == [PrefillDone, Piece]
    assert (done.stop_reason, done.n_generated) == ("end", 1)
    assert done.cost is not None
    assert (done.cost.prompt, done.cost.processed, done.cost.reason) == (3, 1, "append")
    assert server.bodies[0]["prompt"] == [1, 2, 3]
    assert server.headers[0]["X-Session-ID"] == "s1"


@pytest.mark.parametrize(
    "lines",
    [
        (b"<html>",),
        (TEXT, b"]["),
        (TEXT, b"[1]"),
        (TEXT, b"null"),
        (b'{"text":"no content"}',),
        (b'{"content":5,"stop":false}',),
        (b'{"content":"a","tokens":"b","stop":false}',),
        (b'{"content":"a","tokens":[5],"stop":false,"timings":{"cache_n":"many"}}',),
        (TEXT, b'{"content":"' + b"x" * (3 << 20) + b'","stop":false}'),
        (b"[" * 100_000,),
    ],
    ids=range(10),
)
async def test_garbage_is_refused(lines: tuple[bytes, ...]) -> None:
    async with scripted(NOWHERE, sending(*lines, LAST)) as server:
        failed = await failing(server)
    assert failed.kind == "down"
    assert "no completion" in str(failed)


async def test_another_kind_of_answer_is_refused() -> None:
    for make in (
        lambda: web.Response(text="<html>It works!</html>", content_type="text/html"),
        lambda: web.json_response({"content": "a", "stop": True}),
        lambda: web.Response(status=204),
    ):
        async with scripted(NOWHERE, responding(make)) as server:
            assert (await failing(server)).kind == "down"


@pytest.mark.parametrize("lines", [(), (TEXT,), (TEXT, TEXT)])
async def test_an_answer_that_is_cut_off_is_not_taken_for_whole(lines: tuple[bytes, ...]) -> None:
    async with scripted(NOWHERE, sending(*lines)) as server:
        failed = await failing(server)
    assert "in the middle" in str(failed)


async def test_a_connection_that_is_reset_is_told() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await events_of(request, TEXT)
        assert request.transport
        request.transport.abort()
        return response

    async with scripted(NOWHERE, answer) as server:
        assert "in the middle" in str(await failing(server))


async def test_an_error_in_a_stream_is_told_in_its_words() -> None:
    async with scripted(NOWHERE, sending(TEXT, b'{"error":{"code":500,"message":"out of\\nmemory"}}')) as server:
        assert "out of memory" in str(await failing(server))


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, "request", "the prompt is too long"),
        (401, "down", "SCRUBJAY_REMOTE_KEY"),
        (403, "down", "SCRUBJAY_REMOTE_KEY"),
        (404, "missing", "/completion"),
        (429, "", "ask again in 7 s"),
        (500, "", "the prompt is too long"),
        (503, "down", "the prompt is too long"),
        (302, "", "302"),
    ],
)
async def test_a_status_is_explained_without_the_key(status: int, kind: str, words: str) -> None:
    body: dict[str, Any] = {"error": {"message": f"the prompt is too long for {KEY}"}}
    headers = {"Retry-After": "7", "Location": "http://127.0.0.1:1/elsewhere"}
    async with scripted(NOWHERE, responding(lambda: web.json_response(body, status=status, headers=headers))) as server:
        failed = await failing(server, KEY)
    assert failed.kind == kind
    assert words in str(failed)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_nobody_there_is_told() -> None:
    failed = await failing(f"remote+llama:http://127.0.0.1:{unused_port()}")
    assert failed.kind == "down"
    assert "cannot be reached" in str(failed)


async def test_a_server_that_never_says_anything_is_given_up() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        failed = await failing(f"remote+llama:http://127.0.0.1:{silent.getsockname()[1]}")
    assert failed.kind == "down"
    assert "has not answered" in str(failed)


async def test_a_server_that_thinks_for_long_but_is_alive_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scrubjay.engine.remote.wire.SILENT_S", 0.01)
    asked_again = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        await asked_again.wait()
        return await events_of(request, TEXT, LAST)

    async def health(_: web.Request) -> web.Response:
        asked_again.set()
        return web.Response(status=404)

    server = ScriptedServer(NOWHERE, answer)
    server.more = (web.get("/health", health),)
    await server.start()
    try:
        done, _ = await asked(server)
    finally:
        await server.stop()
    assert done.stop_reason == "end"


async def test_leaving_closes_the_connection() -> None:
    begun = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await events_of(request, TEXT)
        begun.set()
        await asyncio.Event().wait()
        return response

    async with scripted(NOWHERE, answer) as server:
        task = asyncio.create_task(asked(server))
        await begun.wait()
        task.cancel()
        await server.left.wait()


async def test_a_server_that_writes_for_ever_is_left() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await events_of(request)
        while True:
            await response.write(b"data: " + TEXT + b"\n\n")

    async with scripted(NOWHERE, answer) as server:
        done, seen = await asked(server)
        await server.left.wait()
    assert done.stop_reason == "length"
    assert len(seen) < 100


async def test_what_was_typed_is_left_out_and_must_be_there() -> None:
    run = Run(1, "/project", tokens_of(1), sampling=Sampling(max_tokens=8, typed="ret"))
    lines = [b'{"content":"re","stop":false}', b'{"content":"turn x","stop":false}']
    async with scripted(NOWHERE, sending(*lines, LAST)) as server:
        _, seen = await asked(server, run)
        assert [event.text for event in seen if isinstance(event, Piece)] == ["urn x"]
        assert 'root ::= "ret" .*' in server.bodies[0]["grammar"]
    async with scripted(NOWHERE, sending(b'{"content":"no","stop":false}', LAST)) as server:
        with pytest.raises(RemoteFailed):
            await asked(server, run)


async def test_a_token_that_ends_the_text_ends_it() -> None:
    run = Run(1, "/project", tokens_of(1), sampling=Sampling(max_tokens=8, stop_tokens=(9,)))
    async with scripted(NOWHERE, sending(TEXT, b'{"content":"x","tokens":[9],"stop":false}', TEXT, LAST)) as server:
        done, seen = await asked(server, run)
    assert done.stop_reason == "end"
    assert [event.text for event in seen if isinstance(event, Piece)] == ["a"]


async def test_comments_and_other_fields_of_events_are_passed_over() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = await events_of(request, TEXT)
        await response.write(b": ping\n\nevent: x\nid: 5\n\ndata: " + LAST + b"\n\ndata: [DONE]\n\n")
        return response

    async with scripted(NOWHERE, answer) as server:
        assert (await asked(server))[0].stop_reason == "end"


async def test_an_idle_connection_that_the_server_closed_is_no_failure() -> None:
    """The first answer keeps the connection open; the server is another one by the time of the second."""
    async with scripted(NOWHERE, sending(TEXT, LAST)) as server:
        address = parse_remote(server.address)
        wire = Wire(address)
        try:
            await wire.get("/props")
            await server.stop()
            await server.start()
            await wire.get("/props")
        finally:
            await wire.close()
