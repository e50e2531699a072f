"""The asyncio side of the engine, with real engine processes on tiny models."""

import asyncio
import os
import platform
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from scrubjay import abort_byte
from scrubjay.abort_byte import AbortByte
from scrubjay.engine.client import (
    HUGE_PAGES,
    MODEL_THREAD_SPINS,
    NON_TEMPORAL_COPIES,
    EngineClient,
    environment,
    how_it_ended,
)
from scrubjay.engine.interface import EngineEvent, EngineGone
from scrubjay.protocol.contexts import EngineStatus
from scrubjay.protocol.messages import (
    Done,
    EngineSettings,
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
from tests.support.gguf_models import corrupt_model, tiny_model

Events = asyncio.Queue[EngineEvent]
HAS_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
TUNABLES = f"{NON_TEMPORAL_COPIES}:{HUGE_PAGES}"


@asynccontextmanager
async def engine(model: Path, n_ctx: int = 4096) -> AsyncIterator[tuple[EngineClient, Events]]:
    events: Events = asyncio.Queue()
    settings = EngineSettings(str(model), n_ctx=n_ctx, n_threads=1, interval=64, eager_load=False)
    client = await EngineClient.start(settings, events.put_nowait)
    try:
        yield client, events
    finally:
        await client.close()


async def until(events: Events, *wanted: type) -> list[EngineEvent]:
    """All events up to the first one of a wanted type."""
    seen = [await events.get()]
    while not isinstance(seen[-1], wanted):
        assert not isinstance(seen[-1], EngineGone), seen[-1].reason
        seen.append(await events.get())
    return seen


def prompt(n_tokens: int, seed: int = 0) -> Tokens:
    return as_tokens(np.random.default_rng(seed).integers(300, 700, n_tokens))


async def test_a_job_is_answered_in_order() -> None:
    async with engine(tiny_model("dense")) as (client, events):
        opened = (await until(events, Opened))[-1]
        assert isinstance(opened, Opened)
        assert opened.info.n_ctx == 4096
        client.run(Run(1, "a", prompt(600), sampling=Sampling(max_tokens=5)))
        seen = await until(events, Done)
        kinds = [type(event) for event in seen if not isinstance(event, PrefillProgress)]
        assert kinds[0] is PrefillDone
        assert set(kinds[1:-1]) <= {Piece}
        assert isinstance(seen[-1], Done)
        assert seen[-1].n_generated == 5
        prefilled = [event.context for event in seen if isinstance(event, PrefillDone)]
        assert prefilled == ["a"]
        client.ask_status()
        status = (await until(events, EngineStatus))[-1]
        assert isinstance(status, EngineStatus)
        assert "a" in [context.key for context in status.contexts]


@pytest.mark.slow
async def test_stop_ends_a_prefill_and_keeps_its_work() -> None:
    async with engine(tiny_model("deltanet"), n_ctx=16384) as (client, events):
        await until(events, Opened)
        tokens = prompt(12000)
        client.run(Run(1, "a", tokens))
        await until(events, PrefillProgress)
        client.stop(1)
        stopped = (await until(events, Stopped))[-1]
        assert isinstance(stopped, Stopped)
        assert 0 < stopped.done < stopped.total == len(tokens)
        client.run(Run(2, "a", tokens))
        synced = (await until(events, PrefillDone))[-1]
        assert isinstance(synced, PrefillDone)
        assert synced.cost.processed == len(tokens) - stopped.done
        await until(events, Done)


async def test_a_byte_that_has_a_name_loses_it_with_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abort_byte, "inherits_descriptors", lambda: False)
    async with engine(tiny_model("dense")) as (client, events):
        await until(events, Opened)
        [name] = psutil.Process(client.pid).cmdline()[-1:]
        AbortByte.open(name)
        client.stop(99)
        client.run(Run(1, "a", prompt(300)))
        await until(events, Done)
        client.ask_status()
        status = (await until(events, EngineStatus))[-1]
        assert isinstance(status, EngineStatus)
        assert status.n_aborted == 1
    with pytest.raises(FileNotFoundError):
        AbortByte.open(name)


@pytest.mark.slow
async def test_a_stray_abort_byte_harms_nobody() -> None:
    async with engine(tiny_model("deltanet")) as (client, events):
        await until(events, Opened)
        client.stop(99)
        client.run(Run(1, "a", prompt(1000)))
        synced = (await until(events, PrefillDone))[-1]
        assert isinstance(synced, PrefillDone)
        assert synced.cost.processed == 1000
        await until(events, Done)


async def test_a_killed_engine_is_reported_once_with_its_reason() -> None:
    async with engine(tiny_model("dense")) as (client, events):
        await until(events, Opened)
        os.kill(client.pid, signal.SIGKILL)
        gone = (await until(events, EngineGone))[-1]
        assert gone == EngineGone("The engine process was killed by SIGKILL.")
        client.run(Run(1, "a", prompt(10)))
        client.stop(1)
    assert events.empty()


async def test_a_refused_model_says_why_and_the_process_ends(tmp_path: Path) -> None:
    broken = corrupt_model(tiny_model("dense"), "truncated", tmp_path / "broken.gguf")
    async with engine(broken) as (_, events):
        seen = await until(events, LoadFailed, EngineGone)
        assert isinstance(seen[-1], LoadFailed)
        assert str(broken) in seen[-1].message
        await until(events, EngineGone)


@pytest.mark.slow
async def test_close_ends_it_inside_a_prefill_and_may_be_called_twice() -> None:
    async with engine(tiny_model("deltanet"), n_ctx=16384) as (client, events):
        await until(events, Opened)
        client.run(Run(1, "a", prompt(12000)))
        await until(events, PrefillProgress)
        await client.close()
        await client.close()
        assert isinstance((await until(events, EngineGone))[-1], EngineGone)
        with pytest.raises(ProcessLookupError):
            os.kill(client.pid, 0)


@pytest.mark.parametrize(
    ("code", "log", "sentence"),
    [
        (-9, "", "The engine process was killed by SIGKILL."),
        (1, "a\nb\n", "The engine process ended with status 1: b"),
        (
            -6,
            "x.cpp:1: GGML_ASSERT(n > 0) failed\n#1 frame\n",
            "was killed by SIGABRT: x.cpp:1: GGML_ASSERT(n > 0) failed",
        ),
        (-200, "", "The engine process was killed by signal 200."),
    ],
)
def test_how_it_ended(code: int, log: str, sentence: str) -> None:
    assert sentence in how_it_ended(code, log)


async def test_an_engine_has_the_environment_that_is_best_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOMP_SPINCOUNT", "GLIBC_TUNABLES", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    async with engine(tiny_model("dense")) as (client, events):
        await until(events, Opened)
        theirs = psutil.Process(client.pid).environ()
    assert theirs["GOMP_SPINCOUNT"] == MODEL_THREAD_SPINS
    assert theirs["GLIBC_TUNABLES"].startswith(NON_TEMPORAL_COPIES), "GNU's library cuts it where the next one begins"


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not HAS_HUGE_PAGES.is_file(), reason="needs Linux and GNU's C library"
)
async def test_memory_of_an_engine_may_be_in_huge_pages() -> None:
    async with engine(tiny_model("dense")) as (client, events):
        await until(events, Opened)
        maps = Path(f"/proc/{client.pid}/smaps").read_text()
    heap = maps.partition("[heap]")[2].partition("VmFlags:")[2].partition("\n")[0]
    assert "hg" in heap.split()


@pytest.mark.parametrize(
    ("chosen", "tunables", "spins"),
    [
        ({}, TUNABLES, MODEL_THREAD_SPINS),
        ({"GOMP_SPINCOUNT": "7", "GLIBC_TUNABLES": "a.b=1"}, f"a.b=1:{TUNABLES}", "7"),
        ({"OMP_WAIT_POLICY": "passive"}, TUNABLES, None),
        (
            {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0:glibc.cpu.x86_non_temporal_threshold=9"},
            "glibc.malloc.hugetlb=0:glibc.cpu.x86_non_temporal_threshold=9",
            MODEL_THREAD_SPINS,
        ),
    ],
)
def test_what_the_user_chose_for_threads_and_memory_is_kept(
    chosen: dict[str, str], tunables: str, spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GOMP_SPINCOUNT", "GLIBC_TUNABLES", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    made = environment()
    assert (made["GLIBC_TUNABLES"], made.get("GOMP_SPINCOUNT")) == (tunables, spins)
    for name, value in made.items():
        monkeypatch.setenv(name, value)
    assert environment() == made, "a process of ours that starts another changes no more"
