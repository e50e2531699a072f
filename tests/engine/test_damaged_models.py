"""Models that are damaged, or none at all: one sentence each, whether the engine survives them or not."""

import asyncio
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scrubjay.engine.interface import EngineGone
from scrubjay.protocol.messages import LoadFailed, Opened
from tests.engine.test_client import engine
from tests.support.gguf_models import tiny_model

N_CUTS, N_FLIPS = 20, 50
HEADER_BYTES = 2500
"""Counts, names and numbers of the model, and the first tokens."""
MAX_WAIT_S = 60.0
"""A bound against hanging."""


async def outcome(path: Path) -> Opened | LoadFailed | EngineGone:
    """What becomes of the file at `path`."""
    async with engine(path, n_ctx=512) as (_, events), asyncio.timeout(MAX_WAIT_S):
        while True:
            event = await events.get()
            if isinstance(event, Opened | LoadFailed | EngineGone):
                return event


def damaged(data: bytes) -> Iterator[bytes]:
    rng = random.Random(0)
    for number in range(N_CUTS):
        yield data[: rng.randrange(len(data) if number % 2 else HEADER_BYTES)]
    for _ in range(N_FLIPS):
        flipped = bytearray(data)
        flipped[rng.randrange(HEADER_BYTES)] ^= 1 << rng.randrange(8)
        yield bytes(flipped)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_no_cut_and_no_flipped_bit_leaves_the_daemon_without_an_answer(tmp_path: Path) -> None:
    path, outcomes = tmp_path / "model.gguf", []
    for data in damaged(tiny_model("shortconv").read_bytes()):
        path.write_bytes(data)
        outcomes.append(await outcome(path))
    for seen in outcomes:
        match seen:
            case LoadFailed():
                assert str(path) in seen.message
                assert seen.message.endswith((".", "again."))
            case EngineGone():
                assert "The engine process was killed by SIG" in seen.reason
    assert len(outcomes) == N_CUTS + N_FLIPS
    assert sum(isinstance(seen, LoadFailed) for seen in outcomes) > N_CUTS


async def test_a_model_that_llama_cpp_dies_of_has_its_reason_told(tmp_path: Path) -> None:
    """Two tokens are the same text, for which llama.cpp aborts."""
    data, length = tiny_model("dense").read_bytes(), (2).to_bytes(8, "little")
    first, second = length + "đ".encode(), length + "Ē".encode()
    assert data.count(first) == data.count(second) == 1
    (tmp_path / "model.gguf").write_bytes(data.replace(second, first))
    gone = await outcome(tmp_path / "model.gguf")
    assert isinstance(gone, EngineGone)
    assert "was killed by SIGABRT: " in gone.reason
    assert "GGML_ASSERT" in gone.reason


@pytest.mark.parametrize(("make", "sentence"), [(os.mkfifo, "is not a file"), (os.mkdir, "is not a file")])
async def test_what_is_no_file_is_refused_at_once(make: Callable[[Path], None], sentence: str, tmp_path: Path) -> None:
    make(tmp_path / "model.gguf")
    refused = await outcome(tmp_path / "model.gguf")
    assert isinstance(refused, LoadFailed)
    assert sentence in refused.message
