"""Remote engines on real servers: llama.cpp's own, and another Scrubjay; and on servers that come and go."""

import asyncio
import math
import os
import signal
from codecs import getincrementaldecoder
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scrubjay.engine.interface import EngineGone
from scrubjay.engine.remote.engine import RemoteEngine, session_name
from scrubjay.process.lifecycle import stop_daemon
from scrubjay.protocol.contexts import EngineStatus
from scrubjay.protocol.messages import (
    Done,
    Failed,
    LoadFailed,
    Opened,
    Piece,
    PrefillDone,
    PrefillProgress,
    Run,
    Sampling,
    Stopped,
)
from scrubjay.tokens import Tokens, as_tokens
from tests.support.gguf_models import tiny_model
from tests.support.llama_server import is_there, llama_server
from tests.support.remote import Events, events_of, opened_engine, remote_engine, scripted, tokens_of, until
from tests.support.shared_daemon import a_daemon

N_CTX = 4096
TIE = 0.05
"""Logarithms of probabilities that are no further apart are one for rounding, which other batches do differently."""
TEXT = b'{"content":"a","tokens":[5],"stop":false}'
LAST = b'{"content":"","stop":true,"stop_type":"eos","tokens_predicted":1,"timings":{"cache_n":2}}'


@dataclass(frozen=True)
class Peer:
    """A server as a process, on the dense model."""

    url: str
    pid: int

    @property
    def model(self) -> str:
        return f"remote+llama:{self.url}"


@pytest.fixture(scope="module")
def scrubjay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    folder = tmp_path_factory.mktemp("remote")
    daemon = a_daemon(folder / "s", model=str(tiny_model("dense")), http="127.0.0.1:0", ctx=str(N_CTX), store="off")
    status = daemon.client.get("status")
    yield Peer(status["config"]["http"][0], status["pid"])
    stop_daemon(daemon.path)


@pytest.fixture(scope="module")
def llama_cpp() -> Iterator[Peer]:
    if not is_there():
        pytest.skip("llama-server is not here: `make bench-peer` builds it")
    with llama_server(tiny_model("dense"), N_CTX) as (process, url):
        yield Peer(url, process.pid)


@pytest.fixture(params=["scrubjay", "llama_cpp"])
def peer(request: pytest.FixtureRequest) -> Peer:
    found: Peer = request.getfixturevalue(request.param)
    return found


def prompt(n_tokens: int, seed: int) -> Tokens:
    return as_tokens(np.random.default_rng(seed).integers(300, 700, n_tokens))


async def done(engine: RemoteEngine, events: Events, run: Run) -> tuple[str, Done]:
    """The text, and the end, of a job that must succeed."""
    engine.run(run)
    *seen, end = await until(events, Done, Failed)
    assert isinstance(end, Done), end
    kinds = [type(event) for event in seen if not isinstance(event, PrefillProgress)]
    assert kinds[0] is PrefillDone
    assert set(kinds[1:]) <= {Piece}
    return "".join(event.text for event in seen if isinstance(event, Piece)), end


# --- servers as they are -----------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_completion_comes_in_pieces_and_says_what_it_cost(peer: Peer) -> None:
    async with remote_engine(peer.model) as (engine, events):
        opened = (await until(events, Opened))[-1]
        assert isinstance(opened, Opened)
        assert (opened.info.n_ctx, opened.info.memory_class, opened.info.device) == (N_CTX, "remote", peer.url)
        assert opened.info.n_vocab == 768
        tokens, how = prompt(600, 1), Sampling(max_tokens=6, ignore_end=True)
        text, first = await done(engine, events, Run(1, "/project", tokens, sampling=how))
        assert first.cost and first.cost.reason == "cold"
        assert (first.cost.processed, first.n_generated, first.stop_reason) == (600, 6, "length")
        again, second = await done(engine, events, Run(2, "/project", tokens, sampling=how))
        assert (again, second.n_generated) == (text, 6)
        assert second.cost and second.cost.processed <= 1
        engine.ask_status()
        status = (await until(events, EngineStatus))[-1]
        assert isinstance(status, EngineStatus)
        assert [(context.key, context.n_resident) for context in status.contexts] == [("/project", 600)]


@pytest.mark.slow
async def test_typing_costs_the_typed_tokens(peer: Peer) -> None:
    async with opened_engine(peer.model) as (engine, events):
        tokens = prompt(900, 2)
        await done(engine, events, Run(1, "/project", tokens[:800], sampling=Sampling(max_tokens=4)))
        for job, n in enumerate(range(803, 860, 3), start=2):
            _, end = await done(engine, events, Run(job, "/project", tokens[:n], sampling=Sampling(max_tokens=4)))
            assert end.cost
            assert (end.cost.needed, end.cost.excess) == (3, 0)


@pytest.mark.slow
async def test_warming_writes_nothing_and_makes_what_follows_cheap(peer: Peer) -> None:
    async with opened_engine(peer.model) as (engine, events):
        tokens = prompt(700, 3)
        text, end = await done(engine, events, Run(1, "/project", tokens))
        assert (text, end.stop_reason) == ("", "none")
        _, end = await done(engine, events, Run(2, "/project", tokens, sampling=Sampling(max_tokens=2)))
        assert end.cost and end.cost.processed <= 1


@pytest.mark.slow
async def test_a_job_that_is_stopped_leaves_the_server_free(peer: Peer) -> None:
    async with opened_engine(peer.model) as (engine, events):
        engine.run(Run(1, "/project", prompt(500, 4), sampling=Sampling(max_tokens=3000, ignore_end=True)))
        await until(events, Piece)
        engine.stop(1)
        stopped = (await until(events, Stopped))[-1]
        assert isinstance(stopped, Stopped)
        assert (stopped.job, stopped.done, stopped.total) == (1, 500, 500)
        engine.ask_status()
        status = (await until(events, EngineStatus))[-1]
        assert isinstance(status, EngineStatus)
        assert [context.n_resident for context in status.contexts] == [500]
        # On one slot it would have to wait for the other to be complete, and be refused where the context is full.
        _, end = await done(engine, events, Run(2, "/project", prompt(300, 5), sampling=Sampling(max_tokens=2)))
        assert end.job == 2


@pytest.mark.slow
async def test_a_text_begins_with_what_was_typed(peer: Peer) -> None:
    async with opened_engine(peer.model) as (engine, events):
        how = Sampling(max_tokens=4, ignore_end=True, typed="def ")
        text, end = await done(engine, events, Run(1, "/project", prompt(50, 6), sampling=how))
        assert not text.startswith("def ")
        assert end.n_generated == 4


@pytest.mark.slow
async def test_a_prompt_that_is_too_long_is_the_requests_fault(peer: Peer) -> None:
    async with opened_engine(peer.model) as (engine, events):
        engine.run(Run(1, "/project", prompt(N_CTX + 50, 7), sampling=Sampling(max_tokens=2)))
        failed = (await until(events, Failed))[-1]
        assert isinstance(failed, Failed)
        assert failed.fault == "request"
        await done(engine, events, Run(2, "/project", prompt(40, 7), sampling=Sampling(max_tokens=2)))


async def cold_answer(url: str, tokens: Tokens, n: int) -> list[tuple[bytes, float]]:
    """What the server answers if it reuses nothing: each token, and how much likelier it was than the second."""
    body = {"prompt": tokens.tolist(), "n_predict": n, "n_probs": 2, "ignore_eos": True, "temperature": 0, "top_k": 1}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/completion", json={**body, "cold": True, "cache_prompt": False}) as response,
    ):
        answer = await response.json()
    found = []
    for token in answer["completion_probabilities"]:
        best, second = token["top_logprobs"]
        found.append((bytes(token["bytes"]), best["logprob"] - second["logprob"]))
    return found


def require_same(text: str, cold: list[tuple[bytes, float]]) -> None:
    """The text is what the tokens of `cold` say, up to a place where two tokens are as likely."""
    # A character may have several tokens, and bytes that are none are shown by a mark, which may stand for several, too.
    decoder, rest, least = getincrementaldecoder("utf-8")(errors="replace"), text, math.inf
    for index, (data, gap) in enumerate(cold, start=1):
        piece = decoder.decode(data, final=index == len(cold))
        least = min(least, gap)
        if not rest.startswith(piece):
            assert least < TIE, (text, cold)
            return
        rest, least = rest[len(piece) :], least if decoder.getstate()[0] else math.inf
    assert not rest, (text, cold)


def test_tokens_of_one_character_are_compared_together() -> None:
    cold = [(b"\xe8", 1.0), (b"\xa8", 1.0), (b"\xfb", 1.0), (b" set", 1.0), (b"\xe8\xa8", 1.0)]
    require_same("\ufffd\ufffd set\ufffd", cold)
    require_same("\ufffdanother way from the tie", [cold[0], (b"\xa8", 0.01), *cold[2:]])
    for other in ("", "\ufffd\ufffd set", "\ufffd\ufffd sat\ufffd", "\ufffd\ufffd set\ufffdmore"):
        with pytest.raises(AssertionError):
            require_same(other, cold)


EDITS = st.lists(
    st.tuples(st.integers(0, 500), st.integers(0, 40), st.lists(st.integers(300, 699), max_size=20)), max_size=6
)


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS)
async def test_warm_answers_are_the_cold_ones(peer: Peer, edits: list[tuple[int, int, list[int]]]) -> None:
    tokens = prompt(300, 8).tolist()
    async with opened_engine(peer.model) as (engine, events):
        for job, (at, n_gone, new) in enumerate([(0, 0, []), *edits], start=1):
            tokens[at : at + n_gone] = new
            now = as_tokens(tokens or [300])
            text, _ = await done(engine, events, Run(job, "/p", now, sampling=Sampling(max_tokens=5, ignore_end=True)))
            require_same(text, await cold_answer(peer.url, now, 5))


@pytest.mark.slow
async def test_a_cold_job_reuses_nothing(scrubjay: Peer) -> None:
    async with opened_engine(scrubjay.model) as (engine, events):
        run = Run(1, "/project", prompt(400, 9), sampling=Sampling(max_tokens=4))
        text, _ = await done(engine, events, run)
        cold, end = await done(engine, events, Run(2, "", run.tokens, sampling=run.sampling, cold=True))
        assert cold == text
        assert end.cost and end.cost.processed == 400


@pytest.mark.slow
async def test_a_server_that_is_halted_is_given_up_and_found_again(peer: Peer) -> None:
    async with opened_engine(peer.model) as (engine, events):
        os.kill(peer.pid, signal.SIGSTOP)
        try:
            engine.run(Run(1, "/project", prompt(100, 10), sampling=Sampling(max_tokens=2)))
            lost, failed = (await until(events, Failed))[-2:]
        finally:
            os.kill(peer.pid, signal.SIGCONT)
        assert isinstance(failed, Failed)
        assert failed.fault == "engine"
        assert "has not answered" in failed.message
        assert lost == LoadFailed(failed.message, is_final=False)
        await until(events, Opened)
        await done(engine, events, Run(2, "/project", prompt(100, 10), sampling=Sampling(max_tokens=2)))


@pytest.mark.slow
async def test_a_server_that_is_killed_in_the_middle_is_told_and_waited_for() -> None:
    if not is_there():
        pytest.skip("llama-server is not here: `make bench-peer` builds it")
    with llama_server(tiny_model("dense"), N_CTX) as (process, url):
        async with opened_engine(f"remote+llama:{url}") as (engine, events):
            engine.run(Run(1, "/project", prompt(100, 11), sampling=Sampling(max_tokens=3000, ignore_end=True)))
            await until(events, Piece)
            process.kill()
            failed = (await until(events, Failed))[-1]
            assert isinstance(failed, Failed)
            assert "in the middle" in failed.message
            missing = (await until(events, LoadFailed))[-1]
            assert isinstance(missing, LoadFailed)
            assert (missing.is_final, "cannot be reached" in missing.message) == (False, True)


# --- servers that come and go ------------------------------------------------------------------------------------------


async def whole_answer(request: web.Request) -> web.StreamResponse:
    return await events_of(request, TEXT, LAST)


async def test_a_server_that_comes_later_is_found() -> None:
    async with scripted(tiny_model("dense"), whole_answer) as server:
        await server.stop()
        async with remote_engine(server.address) as (engine, events):
            failed = (await until(events, LoadFailed))[-1]
            assert isinstance(failed, LoadFailed)
            assert not failed.is_final
            await server.start()
            await until(events, Opened)
            engine.run(Run(1, "/p", tokens_of(1, 2), sampling=Sampling()))
            await until(events, Done)


async def test_a_server_with_another_model_is_not_used() -> None:
    async with scripted(tiny_model("dense"), whole_answer) as server, opened_engine(server.address) as (engine, events):
        await server.stop()
        engine.run(Run(1, "/p", tokens_of(1, 2), sampling=Sampling()))
        await until(events, Failed)
        server.name = "other"
        await server.start()
        seen = await until(events, Opened, LoadFailed)
        while isinstance(seen[-1], LoadFailed) and not seen[-1].is_final:
            seen = await until(events, Opened, LoadFailed)
        assert isinstance(seen[-1], LoadFailed)
        assert "scrubjay restart" in seen[-1].message


async def test_a_vocabulary_of_another_model_is_refused(tmp_path: Path) -> None:
    async with scripted(tiny_model("dense"), whole_answer) as server:

        async def tokenize(_: web.Request) -> web.Response:
            return web.json_response({"tokens": [1, 2, 3]})

        await server.stop()
        server.more = (web.post("/tokenize", tokenize),)
        await server.start()
        async with remote_engine(server.address) as (_, events):
            failed = (await until(events, LoadFailed))[-1]
            assert isinstance(failed, LoadFailed)
            assert failed.is_final
            assert "--tokenizer" in failed.message


@pytest.mark.parametrize("content", [b"", b"GGUF" + bytes(100), b"no model"])
async def test_a_file_that_is_no_vocabulary_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "vocabulary.gguf"
    file.write_bytes(content)
    async with (
        scripted(Path("/nowhere"), whole_answer) as server,
        remote_engine(server.address, tokenizer=str(file)) as (_, events),
    ):
        failed = (await until(events, LoadFailed))[-1]
        assert isinstance(failed, LoadFailed)
        assert failed.is_final
        assert str(file) in failed.message


async def test_a_vocabulary_that_is_nowhere_is_asked_for() -> None:
    async with scripted(Path("/nowhere.gguf"), whole_answer) as server, remote_engine(server.address) as (_, events):
        failed = (await until(events, LoadFailed))[-1]
        assert isinstance(failed, LoadFailed)
        assert failed.is_final
        assert "--tokenizer" in failed.message


async def test_a_key_file_that_comes_later_is_read(tmp_path: Path) -> None:
    file = tmp_path / "key"
    async with (
        scripted(tiny_model("dense"), whole_answer) as server,
        remote_engine(server.address, remote_key_file=str(file)) as (engine, events),
    ):
        failed = (await until(events, LoadFailed))[-1]
        assert isinstance(failed, LoadFailed)
        assert str(file) in failed.message
        file.write_text("sk-1")
        await until(events, Opened)
        engine.run(Run(1, "/p", tokens_of(1, 2), sampling=Sampling()))
        await until(events, Done)
        assert server.headers[0]["Authorization"] == "Bearer sk-1"


async def test_a_job_that_is_stopped_at_once_is_answered() -> None:
    async with scripted(tiny_model("dense"), whole_answer) as server, opened_engine(server.address) as (engine, events):
        engine.run(Run(1, "/p", tokens_of(1, 2), sampling=Sampling()))
        engine.stop(1)
        assert (await until(events, Stopped, Done))[-1] == Stopped(1, 0, 2)
        engine.run(Run(2, "/p", tokens_of(1, 2), sampling=Sampling()))
        await until(events, Done)


async def test_close_ends_everything_once() -> None:
    begun = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        begun.set()
        await asyncio.Event().wait()
        return web.Response()

    async with scripted(tiny_model("dense"), answer) as server, opened_engine(server.address) as (engine, events):
        engine.run(Run(1, "/p", tokens_of(1, 2), sampling=Sampling()))
        await begun.wait()
        await asyncio.gather(engine.close(), engine.close())
        await server.left.wait()
        assert isinstance((await until(events, EngineGone))[-1], EngineGone)
        await engine.close()
        assert events.empty()


def test_a_session_has_a_name_that_tells_no_one_anything() -> None:
    names = {session_name(root) for root in ("", "/home/me/secret", "/other")}
    assert len(names) == 3
    assert all(name.isalnum() and "secret" not in name for name in names)
    assert session_name("/other") == session_name("/other")
