"""The daemon as a process, from its start to its end, with everything that may happen in between."""

import asyncio
import errno
import gc
import signal
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from scrubjay.cli.demo.outcome import agree, pieces_of
from scrubjay.config import REMOTE_KEY_VARIABLE
from scrubjay.process.run import N_YOUNG, collect_garbage, favour_the_loop, log_loop_error
from tests.support.api import BASE, Api, connected, next_event, next_prefill
from tests.support.daemon_process import running_daemon
from tests.support.gguf_models import MODEL_CLASSES, corrupt_model, tiny_model
from tests.support.remote import scripted
from tests.support.service import source

URI = "file:///project/a.py"
AT_START = {"line": 0, "character": 0}
INTERVAL = 64
STOP_WITHIN_S = 60
"""For waits that have no event of their own; far longer than anything takes."""


async def open_long_project(api: Api, root: str = "/project") -> str:
    """Files enough for thousands of tokens; returns the URI of the last one."""
    for number in range(5):
        uri = f"file://{root}/file_{number}.py"
        await api.open(uri, source(100, seed=number), root)
    return uri


@pytest.mark.slow
@pytest.mark.parametrize("kind", MODEL_CLASSES)
async def test_edits_cost_what_comes_after_them(kind: str, tmp_path: Path) -> None:
    async with running_daemon(tiny_model(kind), tmp_path / "s") as daemon:
        await daemon.api.open(URI, source())
        assert (await daemon.api.complete(URI, 40))[1]["reuse"]["reason"] == "cold"
        for version, line in enumerate([40, 40, 30, 41, 10, 40], start=2):
            place = {"line": line, "character": 4}
            change = {"text": f"x{version} ", "range": {"start": place, "end": place}}
            body = {"uri": URI, "version": version, "changes": [change]}
            assert await daemon.api.post("/api/documents/change", body) == (200, {"version": version})
            status, warm = await daemon.api.complete(URI, line, max_tokens=8, version=version, margins=True)
            assert status == 200
            assert 0 <= warm["reuse"]["excess"] <= INTERVAL
            assert warm["reuse"]["processed"] < warm["reuse"]["prompt"]
            _, cold = await daemon.api.complete(URI, line, max_tokens=8, cold=True, margins=True)
            assert cold["reuse"]["processed"] == cold["reuse"]["prompt"] == warm["reuse"]["prompt"]
            # Cuts off the grid make other batches, and these round otherwise (law 4).
            assert agree(pieces_of(warm), pieces_of(cold))


@pytest.mark.slow
async def test_status_is_there_at_once_and_requests_wait_for_the_model(tmp_path: Path) -> None:
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s") as daemon:
        status, report = await daemon.api.get("/api/status")
        assert status == 200
        assert report["pid"] == daemon.process.pid
        assert report["state"] in ("loading", "ready")
        await daemon.api.open(URI, source())
        assert (await daemon.api.complete(URI))[1]["items"]


@pytest.mark.slow
async def test_a_documents_text_is_there_while_the_engine_is_stopped(tmp_path: Path) -> None:
    async with running_daemon(tiny_model("dense"), tmp_path / "s") as daemon:
        await daemon.ready()
        await daemon.api.open(URI, "x = 1\n")
        daemon.engine().suspend()
        assert (await daemon.api.get(f"/api/documents?uri={URI}"))[1]["text"] == "x = 1\n"
        daemon.engine().resume()


async def test_a_completion_preempts_another_clients_warming(tmp_path: Path) -> None:
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s") as daemon, connected(daemon.socket) as other:
        await daemon.ready()
        await open_long_project(daemon.api)
        await other.open("file:///small/a.py", source(4), root="/small")
        async with daemon.api.events() as events:
            warming = asyncio.create_task(daemon.api.post("/api/warm", {"root": "/project"}))
            await next_prefill(events)
            status, answer = await other.complete("file:///small/a.py")
            assert (status, len(answer["items"])) == (200, 1)
            assert not warming.done()
            status, warmed = await warming
        assert (status, warmed["reuse"]["state"]) == (200, "ready")
        undisturbed = await daemon.api.complete("file:///project/file_4.py", line=100, max_tokens=16)
        assert undisturbed[1]["reuse"]["reason"] != "cold"
        cold = await daemon.api.complete("file:///project/file_4.py", line=100, max_tokens=16, cold=True)
        assert cold[1]["items"] == undisturbed[1]["items"], "the interruption has left no trace"


@pytest.mark.slow
async def test_a_client_that_hangs_up_has_its_work_kept(tmp_path: Path) -> None:
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s") as daemon:
        await daemon.ready()
        uri = await open_long_project(daemon.api)
        async with daemon.api.events() as events, connected(daemon.socket) as other:
            asked = asyncio.create_task(other.complete(uri, 10))
            await next_prefill(events)
            asked.cancel()
            await asyncio.wait([asked])
        _, answer = await daemon.api.complete(uri, 10)
        assert answer["reuse"]["common"] > 0
        assert answer["reuse"]["processed"] == answer["reuse"]["prompt"] - answer["reuse"]["common"]


@pytest.mark.slow
async def test_a_request_cancelled_in_a_session_has_its_work_kept(tmp_path: Path) -> None:
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s") as daemon:
        await daemon.ready()
        uri = await open_long_project(daemon.api)
        async with daemon.api.events() as events, daemon.api.http.ws_connect(BASE + "/api/session") as socket:
            params = {"uri": uri, "position": AT_START, "max_tokens": 4}
            await socket.send_json({"id": 1, "method": "complete", "params": params})
            await next_prefill(events)
            await socket.send_json({"method": "cancel", "params": {"id": 1}})
            while (message := await socket.receive_json()).get("id") != 1:
                assert "event" in message
            assert message["error"]["type"] == "cancelled"
        _, answer = await daemon.api.complete(uri)
        assert answer["reuse"]["common"] > 0


@pytest.mark.slow
async def test_an_engine_killed_in_a_prefill(tmp_path: Path) -> None:
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s") as daemon:
        await daemon.ready()
        uri = await open_long_project(daemon.api)
        async with daemon.api.events() as events:
            asked = asyncio.create_task(daemon.api.complete(uri, 10))
            await next_prefill(events)
            engine = daemon.engine()
            engine.kill()
            status, answer = await asked
            assert (status, answer["error"]["type"]) == (503, "unavailable_error")
            assert "SIGKILL" in answer["error"]["message"]
            assert "ask once more" in answer["error"]["message"]
        status, answer = await daemon.api.complete(uri, 10)
        assert (status, answer["reuse"]["reason"]) == (200, "cold")
        assert daemon.engine().pid != engine.pid
        assert (await daemon.api.get("/api/status"))[1]["counters"]["n_restarts"] == 1


@pytest.mark.slow
async def test_an_engine_killed_in_a_generation(tmp_path: Path) -> None:
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s") as daemon:
        await daemon.api.open(URI, source())
        body = {"uri": URI, "position": AT_START, "max_tokens": 8000, "stream": True}
        async with daemon.api.http.post(BASE + "/api/complete", json=body) as response:
            await response.content.readline()
            daemon.engine().kill()
            last = [line async for line in response.content][-1]
        assert b'"done":true' in last
        assert b"SIGKILL" in last
        assert (await daemon.api.complete(URI))[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncated", "truncated_header", "architecture", "huge_counts"])
async def test_a_damaged_model(tmp_path: Path, damage: str) -> None:
    broken = corrupt_model(tiny_model("dense"), damage, tmp_path / "broken.gguf")  # type: ignore[arg-type]
    async with running_daemon(broken, tmp_path / "s") as daemon:
        await daemon.api.until("state", state="failed")
        await daemon.api.open(URI, source())
        status, answer = await daemon.api.complete(URI)
        assert status == 503
        assert "broken.gguf" in answer["error"]["message"]
        _, report = await daemon.api.get("/api/status")
        assert (report["state"], report["message"]) == ("failed", answer["error"]["message"])
        assert report["counters"]["n_restarts"] == 0
        daemon.process.send_signal(signal.SIGTERM)
        assert await daemon.process.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_what_is_in_flight_end(tmp_path: Path, number: signal.Signals) -> None:
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s") as daemon:
        await daemon.ready()
        uri = await open_long_project(daemon.api)
        engine = daemon.engine()
        async with daemon.api.events() as events:
            asked = asyncio.create_task(daemon.api.complete(uri, 10))
            await next_prefill(events)
            daemon.process.send_signal(number)
            status, answer = await asked
            assert (status, len(answer["items"])) == (200, 1)
        assert await daemon.process.wait() == 0
        assert not engine.is_running()
        with pytest.raises(aiohttp.ClientError):
            await daemon.api.get("/api/status")


@pytest.mark.slow
async def test_an_engine_does_not_outlive_its_daemon(tmp_path: Path) -> None:
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s") as daemon:
        await daemon.ready()
        uri = await open_long_project(daemon.api)
        async with daemon.api.events() as events:
            asked = asyncio.create_task(daemon.api.complete(uri, 10))
            await next_prefill(events)
            engine = daemon.engine()
            daemon.process.kill()
            await asyncio.wait([asked])
            assert isinstance(asked.exception(), aiohttp.ClientError)
        _, alive = await asyncio.to_thread(psutil.wait_procs, [engine], timeout=STOP_WITHIN_S)
        assert not alive


@pytest.mark.slow
async def test_several_clients_at_once_all_get_answers(tmp_path: Path) -> None:
    async with running_daemon(tiny_model("dense"), tmp_path / "s") as daemon:
        roots = [f"/project{number}" for number in range(3)]
        for root in roots:
            await daemon.api.open(f"file://{root}/a.py", source(60), root)
        async with daemon.api.events() as events:
            requests = [daemon.api.complete(f"file://{root}/a.py", line) for line in (3, 9, 27) for root in roots]
            answers = await asyncio.gather(*requests)
            assert [status for status, _ in answers] == [200] * 9
            await next_event(events, "completion")
        _, report = await daemon.api.get("/api/status")
        assert report["counters"]["n_done"] == report["counters"]["n_accepted"] == 9


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 400))
sys.argv = sys.argv[1:]
runpy.run_module("scrubjay", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("side", ["unix", "tcp"])
async def test_more_connections_than_descriptors(tmp_path: Path, side: str) -> None:
    """Those that are too many are refused; the others are answered, and nothing is said in the log."""
    port = unused_port()
    options = (f"--socket={tmp_path / 's'}", f"--http=127.0.0.1:{port}", f"--data-dir={tmp_path}", "--no-warm")
    command = (sys.executable, "-c", LIMITED, "scrubjay", "serve", f"--model={tiny_model('dense')}", *options)
    running = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert running.stderr
    while b"http://" not in (line := await running.stderr.readline()):
        assert line, "it ended"
    async with connected(tmp_path / "s") as api:
        await api.get("/api/status")
        writers: list[asyncio.StreamWriter] = []
        for _ in range(600):
            with suppress(OSError):
                opening = (
                    asyncio.open_unix_connection(tmp_path / "s")
                    if side == "unix"
                    else asyncio.open_connection("127.0.0.1", port)
                )
                writers.append((await opening)[1])
        assert (await api.get("/api/status"))[0] == 200, "a connection that was there first"
        for writer in writers:
            writer.transport.abort()
    async with connected(tmp_path / "s") as api:
        assert (await api.get("/api/status"))[0] == 200
    running.terminate()
    log = (await running.stderr.read()).decode()
    assert "Traceback" not in log, log
    assert await running.wait() == 0


def test_a_lack_of_descriptors_is_one_line_and_a_mistake_is_all_of_it(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    log_loop_error(loop, {"message": "accept", "exception": OSError(errno.EMFILE, "Too many open files")})
    assert [(record.getMessage(), record.exc_info) for record in caplog.records] == [
        ("A connection has to wait: Too many open files.", None)
    ]
    log_loop_error(loop, {"message": "a callback failed", "exception": KeyError("x")})
    assert caplog.records[-1].exc_info
    loop.close()


async def test_the_key_of_a_remote_models_server_is_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-0123456789"
    monkeypatch.setenv(REMOTE_KEY_VARIABLE, key)

    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": f"The key {key} is not known."}}, status=500)

    async with (
        scripted(tiny_model("dense"), refuse) as server,
        running_daemon(server.address, tmp_path / "s") as daemon,
    ):
        await daemon.ready()
        await daemon.api.open(URI, source(20))
        status, answer = await daemon.api.complete(URI)
        assert status >= 400
        assert server.headers[0]["Authorization"] == f"Bearer {key}"
        assert "is not known" in str(answer)
        shown = [str(answer), str(await daemon.api.get("/api/status")), *psutil.Process(daemon.process.pid).cmdline()]
        assert not [text for text in shown if key in text]


def test_garbage_is_looked_for_everywhere_only_when_nothing_goes_on() -> None:
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    try:
        favour_the_loop()
        before = gc.get_stats()[2]["collections"]
        kept = [[[number]] for number in range(100_000)]
        assert gc.get_count()[2] >= N_YOUNG, "Python would have looked"
        collect_garbage(worked_s=1.0)
        assert gc.get_stats()[2]["collections"] == before
        collect_garbage(worked_s=0.0)
        assert gc.get_stats()[2]["collections"] == before + 1
        collect_garbage(worked_s=0.0)
        assert gc.get_stats()[2]["collections"] == before + 1, "there is nothing new"
        assert len(kept) == 100_000
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        sys.setswitchinterval(interval)
