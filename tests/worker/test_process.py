"""The engine as a process of its own, over a real socketpair, with the real shared byte."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scrubjay import abort_byte
from scrubjay.abort_byte import AbortByte
from scrubjay.protocol.codec import Decoder, encode
from scrubjay.protocol.contexts import EngineStatus
from scrubjay.protocol.messages import (
    AskStatus,
    Close,
    Done,
    EngineSettings,
    Failed,
    FromEngine,
    LoadFailed,
    Message,
    Open,
    Opened,
    Piece,
    PrefillDone,
    PrefillProgress,
    Run,
    Sampling,
    Stop,
    Stopped,
)
from scrubjay.tokens import as_tokens
from tests.support.engine_rig import random_tokens
from tests.support.gguf_models import DAMAGES, Damage, corrupt_model, tiny_model


@dataclass(slots=True)
class Process:
    """The other end of an engine process."""

    popen: "subprocess.Popen[bytes]"
    connection: socket.socket
    abort: AbortByte
    messages: Iterator[Message]

    def send(self, message: Message) -> None:
        self.connection.sendall(encode(message))

    def until(self, *kinds: type[FromEngine]) -> list[Message]:
        """The messages up to and with the first one of `kinds`."""
        got: list[Message] = []
        for message in self.messages:
            got.append(message)
            if isinstance(message, kinds):
                return got
        raise AssertionError(f"the engine hung up after {got}")

    def answer(self, run: Run) -> list[Message]:
        self.send(run)
        return self.until(Done, Stopped, Failed)


def received(connection: socket.socket) -> Iterator[Message]:
    decoder = Decoder()
    while data := connection.recv(1 << 16):
        yield from decoder.feed(data)


@pytest.fixture
def process() -> Iterator[Process]:
    with started() as process:
        yield process


@contextmanager
def started() -> Iterator[Process]:
    ours, theirs = socket.socketpair()
    abort = AbortByte.create()
    command = [sys.executable, "-m", "scrubjay.worker", str(theirs.fileno()), abort.argument]
    with subprocess.Popen(command, pass_fds=[theirs.fileno(), *abort.descriptors]) as popen:
        theirs.close()
        try:
            yield Process(popen, ours, abort, received(ours))
        finally:
            ours.close()
            popen.wait(timeout=30)
            abort.unlink()


def opened(process: Process, kind: str = "shortconv", n_ctx: int = 16384, interval: int = 256) -> Process:
    process.send(Open(EngineSettings(str(tiny_model(kind)), n_ctx=n_ctx, n_threads=1, interval=interval)))
    assert isinstance(process.until(Opened, LoadFailed)[-1], Opened)
    return process


def test_a_run_is_answered_in_order_and_once(process: Process) -> None:
    opened(process)
    tokens = random_tokens(np.random.default_rng(0), 600)
    answers = process.answer(Run(7, "/p", tokens, sampling=Sampling(max_tokens=5, ignore_end=True, with_margins=True)))
    kinds = [type(answer).__name__ for answer in answers if not isinstance(answer, Piece)]
    assert kinds == ["PrefillProgress"] * (len(kinds) - 2) + ["PrefillDone", "Done"]
    pieces = [answer for answer in answers if isinstance(answer, Piece)]
    assert sum(piece.n_tokens for piece in pieces) == 5
    assert all(margin >= 0 for piece in pieces for margin in piece.margins)


@pytest.mark.slow
def test_a_prefill_is_stopped_inside_a_decode_and_its_continuation_is_bit_equal(process: Process) -> None:
    """Message first, then the byte; what was decoded stays, and the answer is that of an undisturbed prefill."""
    opened(process)
    tokens = random_tokens(np.random.default_rng(1), 5_000)
    process.send(Run(1, "/p", tokens))
    process.until(PrefillProgress)
    process.send(Stop(1))
    process.abort.set()
    (*_, stopped) = process.until(Stopped, Done)
    assert isinstance(stopped, Stopped)
    assert 0 < stopped.done < 5_000
    sampling = Sampling(max_tokens=8, ignore_end=True, with_margins=True)
    again = process.answer(Run(2, "/p", tokens, sampling=sampling))
    (synced,) = (answer for answer in again if isinstance(answer, PrefillDone))
    assert synced.cost.processed == 5_000 - stopped.done
    assert pieces_of(again) == pieces_of(process.answer(Run(3, "/p", tokens, sampling=sampling, cold=True)))


def pieces_of(answers: list[Message]) -> list[tuple[str, tuple[float, ...]]]:
    """Text and margins: equal margins to the last bit come of equal logits only."""
    return [(answer.text, answer.margins) for answer in answers if isinstance(answer, Piece)]


@pytest.mark.slow
def test_a_stray_abort_byte_is_harmless(process: Process) -> None:
    """It may arrive when its job has ended already: the next one loses a decode at most, and answers the same."""
    opened(process)
    tokens = random_tokens(np.random.default_rng(2), 1000)
    sampling = Sampling(max_tokens=8, ignore_end=True, with_margins=True)
    process.abort.set()
    disturbed = process.answer(Run(1, "/p", tokens, sampling=sampling))
    assert isinstance(disturbed[-1], Done)
    assert pieces_of(disturbed) == pieces_of(process.answer(Run(2, "/p", tokens, sampling=sampling, cold=True)))


@pytest.mark.parametrize("has_name", [False, True])
def test_the_byte_alone_aborts_a_decode(has_name: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In both forms; the second is that of systems whose processes inherit no descriptors."""
    monkeypatch.setattr(abort_byte, "inherits_descriptors", lambda: not has_name)
    with started() as process:
        opened(process)
        process.abort.set()
        process.answer(Run(1, "/p", random_tokens(np.random.default_rng(2), 300)))
        process.send(AskStatus())
        status = process.until(EngineStatus)[-1]
    assert isinstance(status, EngineStatus)
    assert status.n_aborted == 1


def test_a_generation_is_stopped_between_tokens(process: Process) -> None:
    opened(process, n_ctx=4096)
    endless = Sampling(max_tokens=100_000, ignore_end=True)
    process.send(Run(1, "/p", as_tokens([1, 2, 3]), sampling=endless))
    process.until(Piece)
    process.send(Stop(1))
    assert isinstance(process.until(Stopped, Done)[-1], Stopped)


def test_a_stop_for_a_job_that_has_ended_means_nothing(process: Process) -> None:
    opened(process)
    process.answer(Run(1, "/p", as_tokens([1, 2])))
    process.send(Stop(1))
    assert isinstance(process.answer(Run(2, "/p", as_tokens([1, 2, 3])))[-1], Done)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (Run(1), "prompt is empty"),
        (Run(1, tokens=as_tokens([1] * 5000)), "larger --ctx"),
        (Run(1, tokens=as_tokens([70_000])), "outside the vocabulary"),
        (Run(1, tokens=as_tokens([-1])), "outside the vocabulary"),
        (Run(1, tokens=as_tokens([1, 2, 70_000])), "outside the vocabulary"),
        (Run(1, tokens=as_tokens([1]), sampling=Sampling(grammar="x ::= ")), "not valid GBNF"),
    ],
)
def test_a_bad_run_gets_a_sentence_and_the_engine_lives(process: Process, run: Run, sentence: str) -> None:
    opened(process, n_ctx=4096)
    process.answer(Run(0, tokens=as_tokens([1, 2])))
    (failed,) = process.answer(run)
    assert isinstance(failed, Failed)
    assert (failed.fault, sentence in failed.message) == ("request", True)
    assert isinstance(process.answer(Run(2, tokens=as_tokens([1, 2])))[-1], Done)


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_refused_with_a_sentence(process: Process, damage: Damage, tmp_path: Path) -> None:
    path = corrupt_model(tiny_model("dense"), damage, tmp_path / "model.gguf")
    process.send(Open(EngineSettings(str(path))))
    (*_, refused) = process.until(Opened, LoadFailed)
    assert isinstance(refused, LoadFailed)
    assert str(path) in refused.message
    assert process.popen.wait(timeout=30) == 0


def test_a_missing_model_is_refused_with_a_sentence(process: Process, tmp_path: Path) -> None:
    process.send(Open(EngineSettings(str(tmp_path / "none.gguf"))))
    (refused,) = process.until(LoadFailed)
    assert "none.gguf cannot be read: No such file" in str(refused)


def test_the_process_ends_when_told(process: Process) -> None:
    opened(process)
    process.send(AskStatus())
    assert isinstance(process.until(EngineStatus)[-1], EngineStatus)
    process.send(Close())
    assert process.popen.wait(timeout=30) == 0


def test_the_process_ends_when_the_daemon_hangs_up(process: Process) -> None:
    opened(process)
    process.connection.shutdown(socket.SHUT_WR)
    assert process.popen.wait(timeout=30) == 0
