"""The native routes on a real Unix socket."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from scrubjay.http.params import MAX_BODY
from scrubjay.service.service import Service
from tests.support.api import BASE, Api, connected, next_event, next_prefill, running_api
from tests.support.gguf_models import corrupt_model, tiny_model
from tests.support.service import source

URI = "file:///project/a.py"
AT_START = {"line": 0, "character": 0}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Service, Api]]:
    """A daemon that is ready, with a long context."""
    async with running_api(tiny_model("deltanet"), tmp_path / "s", n_ctx=16384) as running:
        yield running


async def open_long_project(api: Api, root: str = "/project") -> str:
    """Files enough for thousands of tokens; returns the URI of the last one."""
    for number in range(5):
        uri = f"file://{root}/file_{number}.py"
        await api.open(uri, source(100, seed=number), root)
    return uri


# --- every route -----------------------------------------------------------------------------------------------------


async def test_the_life_of_a_document(served: tuple[Service, Api]) -> None:
    _, api = served
    await api.open(URI, "a = 1\nb = 'é🎉x'\n")
    for number, (encoding, character) in enumerate([("utf-8", 11), ("utf-16", 8), ("utf-32", 7)], start=2):
        place = {"line": 1, "character": character}
        change = {"range": {"start": place, "end": place}, "text": str(number)}
        body = {"uri": URI, "version": number, "changes": [change], "position_encoding": encoding}
        assert await api.post("/api/documents/change", body) == (200, {"version": number})
    service, _ = served
    assert service.projects.document(URI).text == "a = 1\nb = 'é🎉432x'\n"
    assert (await api.post("/api/documents/save", {"uri": URI}))[0] == 200
    assert (await api.post("/api/documents/focus", {"uri": URI, "position": {"line": 1, "character": 0}}))[0] == 200
    status, context = await api.get("/api/context?root=/project")
    assert (status, context["n_resident"]) == (200, 0)
    assert (await api.post("/api/documents/close", {"uri": URI}))[0] == 200
    assert (await api.complete(URI))[0] == 404


async def test_a_completion_in_all_its_parts(served: tuple[Service, Api]) -> None:
    _, api = served
    await api.open(URI, source())
    status, answer = await api.complete(URI, 20, max_tokens=8, version=1, stop=["\n\n\n"], seed=7, top_p=0.9)
    assert status == 200
    assert answer.keys() == {"items", "timings", "reuse", "request", "version", "model"}
    assert answer["items"][0].keys() == {"text", "stop_reason", "n_tokens"}
    assert answer["timings"]["prompt_n"] == answer["reuse"]["processed"] > 0
    assert answer["timings"]["predicted_n"] == 8
    assert min(answer["timings"].values()) >= 0
    assert answer["reuse"]["state"] == "ready"
    assert answer["version"] == 1


@pytest.mark.slow
async def test_warm_and_context_and_status(served: tuple[Service, Api]) -> None:
    _, api = served
    await api.open(URI, source())
    status, warmed = await api.post("/api/warm", {"uri": URI, "position": {"line": 20, "character": 0}})
    assert (status, warmed["reuse"]["reason"]) == (200, "cold")
    status, again = await api.post("/api/warm", {"root": "/project"})
    assert (status, again["reuse"]["processed"]) == (200, 1)
    status, context = await api.get("/api/context?root=/project")
    assert all(segment["reason"] for segment in context["segments"]), "why each of them is there"
    assert status == 200
    assert [segment["start"] for segment in context["segments"][1:]] == context["boundaries"]
    assert context["checkpoints"]
    status, report = await api.get("/api/status")
    assert (status, report["state"], report["fim"]) == (200, "ready", {"order": "psm", "style": "fim"})
    assert report["model"]["memory_class"] == "hybrid"
    assert "/project" in [context["key"] for context in report["contexts"]]
    assert report["rss"]["engine"] > 0
    status, at_once = await api.post("/api/warm", {"root": "/project", "wait": False})
    assert (status, at_once["reuse"]["state"]) == (200, "warming")


async def test_answers_are_one_line_of_compact_json(served: tuple[Service, Api]) -> None:
    _, api = served
    async with api.http.get(BASE + "/api/status") as response:
        body = await response.read()
    assert b"\n" not in body
    assert b": " not in body


async def test_a_stream_is_one_object_a_line(served: tuple[Service, Api]) -> None:
    _, api = served
    await api.open(URI, source())
    body = {"uri": URI, "position": AT_START, "max_tokens": 12, "stream": True, "n": 2}
    async with api.http.post(BASE + "/api/complete", json=body) as response:
        assert response.headers["Content-Type"] == "application/x-ndjson"
        lines = [json.loads(line) async for line in response.content]
    *texts, final = lines
    assert len(texts) > 1
    assert "".join(line["text"] for line in texts) == final["items"][0]["text"]
    assert final["done"] is True
    assert final["timings"]["predicted_n"] == 24


async def test_events_tell_what_goes_on(served: tuple[Service, Api]) -> None:
    _, api = served
    async with api.events() as events:
        assert (await anext(events))["state"] == "ready"
        await api.open(URI, source())
        assert await next_event(events, "project") == {"type": "project", "root": "/project", "n_documents": 1}
        await api.complete(URI)
        assert (await next_event(events, "progress"))["root"] == "/project"
        assert (await next_event(events, "edit"))["uri"] == URI
        assert (await next_event(events, "completion"))["n_items"] == 1


async def test_only_its_user_may_connect(served: tuple[Service, Api], tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o600


# --- bad input -------------------------------------------------------------------------------------------------------

BAD: list[tuple[str, object, int, str]] = [
    ("/api/complete", b"{", 400, "not JSON"),
    ("/api/complete", b"\xff\xfe", 400, "not JSON"),
    ("/api/complete", b"[" * 100_000, 400, "not JSON"),
    ("/api/complete", b"[1]", 400, "must be a JSON object, not an array"),
    ("/api/complete", b"", 400, "`uri` is missing"),
    ("/api/complete", {"uri": 1, "position": AT_START}, 400, "`uri` must be a string, not a number"),
    ("/api/complete", {"uri": URI}, 400, "`position` is missing"),
    ("/api/complete", {"uri": URI, "position": [0, 0]}, 400, "`position` must be a JSON object"),
    ("/api/complete", {"uri": URI, "position": {"line": 0}}, 400, "`position.character` is missing"),
    ("/api/complete", {"uri": URI, "position": {"line": -1, "character": 0}}, 400, "`position.line` must be between"),
    ("/api/complete", {"uri": URI, "position": {"line": 0.5, "character": 0}}, 400, "must be an integer"),
    ("/api/complete", {"uri": URI, "position": {"line": True, "character": 0}}, 400, "must be an integer, not true"),
    ("/api/complete", {"uri": "file:///other.py", "position": AT_START}, 404, "/api/documents/open"),
    ("/api/complete", {"uri": URI, "position": AT_START, "version": 9}, 409, "version 1, not 9"),
    ("/api/complete", {"uri": URI, "position": AT_START, "n": 0}, 400, "`n` must be between 1 and"),
    ("/api/complete", {"uri": URI, "position": AT_START, "n": 10**400}, 400, "`n` must be between 1 and"),
    ("/api/complete", {"uri": URI, "position": AT_START, "max_tokens": "5"}, 400, "`max_tokens` must be an integer"),
    ("/api/complete", b'{"uri":"u","position":{"line":0,"character":0},"temperature":NaN}', 400, "`temperature`"),
    ("/api/complete", b'{"uri":"u","position":{"line":0,"character":0},"top_p":1e999}', 400, "`top_p` must be"),
    ("/api/complete", {"uri": URI, "position": AT_START, "stop": [1]}, 400, "`stop` must be a string or an array"),
    ("/api/complete", {"uri": URI, "position": AT_START, "stream": "yes"}, 400, "`stream` must be true or false"),
    ("/api/complete", {"uri": URI, "position": AT_START, "trigger": "no"}, 400, "`trigger` must be one of automatic"),
    ("/api/complete", {"uri": URI, "position": AT_START, "position_encoding": "latin"}, 400, "must be one of utf-8"),
    ("/api/documents/open", {"uri": URI}, 400, "`text` is missing"),
    ("/api/documents/open", {"uri": URI, "text": None}, 400, "`text` is missing"),
    ("/api/documents/open", {"uri": URI, "text": ""}, 200, ""),
    ("/api/documents/open", {"uri": URI, "text": "", "version": "1"}, 400, "`version` must be an integer"),
    ("/api/documents/change", {"uri": URI, "version": 2}, 400, "`changes` is missing"),
    ("/api/documents/change", {"uri": URI, "version": 2, "changes": {}}, 400, "`changes` must be an array"),
    ("/api/documents/change", {"uri": URI, "version": 2, "changes": [1]}, 400, "`changes[0]` must be a JSON object"),
    ("/api/documents/change", {"uri": URI, "version": 2, "changes": [{}]}, 400, "`changes[0].text` is missing"),
    ("/api/documents/change", {"uri": URI, "version": 1, "changes": []}, 409, "open it again"),
    ("/api/documents/change", {"uri": URI, "version": 3, "base_version": 2, "changes": []}, 409, "open it again"),
    (
        "/api/documents/change",
        {"uri": URI, "version": 2, "changes": [{"text": "", "range": {"start": AT_START}}]},
        400,
        "`changes[0].range.end` is missing",
    ),
    ("/api/documents/close", {"uri": "file:///other.py"}, 404, "is not open"),
    ("/api/documents/save", {"uri": "file:///other.py"}, 404, "is not open"),
    ("/api/documents/focus", {"uri": "file:///other.py"}, 404, "is not open"),
    ("/api/warm", {}, 400, "Say what to warm"),
    ("/api/warm", {"root": "/nowhere"}, 404, "open one of its documents"),
    ("/api/nothing", {}, 404, "There is no /api/nothing here"),
    ("/api/status", {}, 405, "use GET"),
]


@pytest.mark.slow
async def test_bad_input_is_answered_with_a_sentence(served: tuple[Service, Api]) -> None:
    _, api = served
    for path, body, status, sentence in BAD:
        await api.post("/api/documents/close", {"uri": URI})
        await api.open(URI, source())
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        got, answer = await api.post(path, data=data)
        assert got == status, (path, body, answer)
        if status != 200:
            assert answer["error"]["code"] == status
            assert sentence in answer["error"]["message"], (path, body)
            assert answer["error"]["type"]
    assert (await api.get("/api/context"))[0] == 400
    assert (await api.get("/api/context?root=/nowhere"))[0] == 404
    assert (await api.complete(URI))[0] == 200, "after all this the daemon lives"


@pytest.mark.slow
async def test_a_body_over_the_limit_is_refused(served: tuple[Service, Api]) -> None:
    _, api = served
    status, answer = await api.post("/api/documents/open", data=bytes(MAX_BODY + 1))
    assert (status, answer["error"]["type"]) == (413, "too_large")
    assert f"{MAX_BODY >> 20} MiB" in answer["error"]["message"]


@pytest.mark.slow
async def test_a_body_over_the_limit_without_a_length_is_refused(served: tuple[Service, Api]) -> None:
    _, api = served

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range((MAX_BODY >> 20) + 1):
            yield bytes(1 << 20)

    async with api.http.post(BASE + "/api/documents/open", data=chunks()) as response:
        assert response.status == 413
        assert f"{MAX_BODY >> 20} MiB" in (await response.json())["error"]["message"]


async def test_a_refused_change_changes_nothing(served: tuple[Service, Api]) -> None:
    service, api = served
    await api.open(URI, "one\ntwo\n")
    backwards = {"start": {"line": 1, "character": 0}, "end": {"line": 0, "character": 0}}
    changes = [{"text": "three"}, {"text": "x", "range": backwards}]
    status, _ = await api.post("/api/documents/change", {"uri": URI, "version": 2, "changes": changes})
    assert status == 400
    document = service.projects.document(URI)
    assert (document.text, document.version) == ("one\ntwo\n", 1)


# --- while the model is loading, or cannot be loaded -----------------------------------------------------------------


async def test_status_answers_while_the_model_is_loading(tmp_path: Path) -> None:
    async with running_api(tiny_model("deltanet"), tmp_path / "s", ready=False) as (service, api):
        status, report = await api.get("/api/status")
        assert (status, report["state"], report["model"]) == (200, "loading", None)
        await api.open(URI, source())
        asked = asyncio.create_task(api.complete(URI))
        assert (await api.until("state", state="ready"))["load"] is None
        assert (await asked)[0] == 200
        assert service.supervisor.is_ready


async def test_a_broken_model_is_a_503_with_its_sentence(tmp_path: Path) -> None:
    broken = corrupt_model(tiny_model("dense"), "magic", tmp_path / "broken.gguf")
    async with running_api(broken, tmp_path / "s", ready=False) as (_, api):
        await api.until("state", state="failed")
        await api.open(URI, source())
        status, answer = await api.complete(URI)
        assert (status, answer["error"]["type"]) == (503, "unavailable_error")
        assert str(broken) in answer["error"]["message"]
        _, report = await api.get("/api/status")
        assert report["message"] == answer["error"]["message"]


# --- clients that go away --------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_disconnect_ends_the_prefill_and_its_work_is_kept(served: tuple[Service, Api], tmp_path: Path) -> None:
    _, api = served
    uri = await open_long_project(api)
    async with api.events() as events:
        async with connected(tmp_path / "s") as other:
            asked = asyncio.create_task(other.complete(uri, 10))
            await next_prefill(events)
            asked.cancel()
            await asyncio.wait([asked])
        _, answer = await api.complete(uri, 10)
    reuse = answer["reuse"]
    assert reuse["common"] > 0
    assert reuse["processed"] == reuse["prompt"] - reuse["common"]
    _, report = await api.get("/api/status")
    assert (report["counters"]["n_cancelled"], report["counters"]["n_done"]) == (1, 1)


async def test_a_disconnect_ends_a_stream(served: tuple[Service, Api]) -> None:
    _, api = served
    await api.open(URI, source())
    body = {"uri": URI, "position": AT_START, "max_tokens": 8000, "stream": True}
    async with api.http.post(BASE + "/api/complete", json=body) as response:
        await response.content.readline()
        response.close()
    assert (await api.complete(URI))[0] == 200
    _, report = await api.get("/api/status")
    assert report["counters"]["n_cancelled"] == 1


@pytest.mark.slow
async def test_a_newer_request_supersedes_an_older_one_over_http(served: tuple[Service, Api]) -> None:
    _, api = served
    uri = await open_long_project(api)
    async with api.events() as events:
        first = asyncio.create_task(api.complete(uri, 10, client="vim"))
        await next_prefill(events)
        assert (await api.complete(uri, 11, client="vim"))[0] == 200
        status, answer = await first
    assert (status, answer["error"]["type"]) == (409, "superseded")


async def test_half_a_request_harms_nobody(served: tuple[Service, Api], tmp_path: Path) -> None:
    _, api = served
    reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
    writer.write(b"POST /api/complete HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    await writer.drain()
    writer.close()
    assert await reader.read() == b""
    assert (await api.get("/api/status"))[0] == 200


async def test_no_http_at_all_is_answered(served: tuple[Service, Api], tmp_path: Path) -> None:
    _, api = served
    reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
    writer.write(b"\x16\x03\x01 what is this\r\n\r\n")
    assert b"400" in await reader.readline()
    writer.close()
    assert (await api.get("/api/status"))[0] == 200


async def test_event_streams_end_with_the_daemon(tmp_path: Path) -> None:
    async with connected(tmp_path / "s") as api:
        async with running_api(tiny_model("dense"), tmp_path / "s"):
            response = await api.http.get(BASE + "/api/events")
        assert (await response.read()).startswith(b"data: ")
        with pytest.raises(aiohttp.ClientError):
            await api.get("/api/status")
