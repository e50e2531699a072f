"""When the engine is idle it checks what it believes of its contexts; what is wrong is emptied, counted and logged."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.contexts.checkpointed import CheckpointedContext
from scrubjay.errors import IntegrityError
from scrubjay.protocol.codec import Decoder, encode
from scrubjay.protocol.contexts import EngineStatus
from scrubjay.protocol.messages import AskStatus, Close, Done, Message, Run
from scrubjay.tokens import as_tokens
from scrubjay.worker.loop import serve_jobs
from scrubjay.worker.mailbox import Inbox, Outbox
from tests.support.engine_rig import AbortFlag, random_tokens
from tests.worker.test_loop import Served

PROMPT = random_tokens(np.random.default_rng(0), 300)
OTHER = random_tokens(np.random.default_rng(1), 300)

Corruption = Callable[[Served, CheckpointedContext, int], None]


def change_a_token(_: Served, context: CheckpointedContext, seed: int) -> None:
    """Below the last checkpoint: what comes after it, no digest names."""
    context._tokens[seed % max(item.n_tokens for item in context.checkpoints)] += 1


def miscount_the_tokens(_: Served, context: CheckpointedContext, seed: int) -> None:
    context._n_resident -= 1 + seed % 300


def clear_the_memory(_: Served, context: CheckpointedContext, _seed: int) -> None:
    context.llama.clear()


def decode_in_secret(_: Served, context: CheckpointedContext, seed: int) -> None:
    context.llama.decode(as_tokens([1] * (1 + seed % 60)), context.n_resident, want_logits=False, abortable=False)


def move_a_checkpoint(_: Served, context: CheckpointedContext, seed: int) -> None:
    item = list(context.checkpoints)[seed % len(context.checkpoints)]
    item.n_tokens += (-1) ** (seed % 2) * (1 + seed % 2000)


def rename_a_checkpoint(_: Served, context: CheckpointedContext, seed: int) -> None:
    list(context.checkpoints)[seed % len(context.checkpoints)].digest = bytes(16)


def share_a_buffer(_: Served, context: CheckpointedContext, seed: int) -> None:
    items = list(context.checkpoints)
    items[seed % len(items)].buffer = items[(seed + 1) % len(items)].buffer


def lose_a_buffer(_: Served, context: CheckpointedContext, seed: int) -> None:
    context.checkpoints.remove(list(context.checkpoints)[seed % len(context.checkpoints)])


def miscount_the_bytes(served: Served, _: CheckpointedContext, seed: int) -> None:
    served.worker.checkpoints.allocated += 1 + seed


CORRUPTIONS: tuple[Corruption, ...] = (
    change_a_token,
    miscount_the_tokens,
    clear_the_memory,
    decode_in_secret,
    move_a_checkpoint,
    rename_a_checkpoint,
    share_a_buffer,
    lose_a_buffer,
    miscount_the_bytes,
)


@pytest.fixture(scope="module")
def served() -> Served:
    return Served("shortconv", n_ctx=512, max_contexts=2)


def context_of(served: Served, key: str) -> CheckpointedContext:
    return dict(served.worker.contexts.all())[key]


@pytest.mark.slow
@given(st.sampled_from(CORRUPTIONS), st.integers(0, 1 << 20))
def test_whatever_is_corrupted_is_seen_and_never_used(served: Served, corrupt: Corruption, seed: int) -> None:
    """One run later everything is as if nothing had been there before."""
    served.run(OTHER, "/other")
    served.run(PROMPT, "/p")
    served.worker.check_integrity()
    before = served.worker.status().n_integrity_failures
    corrupt(served, context_of(served, "/p"), seed)
    served.worker._is_checked = False
    served.worker.check_integrity()
    status = served.worker.status()
    assert status.n_integrity_failures > before
    assert "/p" not in {context.key for context in status.contexts}
    assert served.run(PROMPT, "/p").cost.reason == "cold"
    served.worker.check_integrity()
    assert served.worker.status().n_integrity_failures == status.n_integrity_failures, "what was emptied is right again"


def test_what_is_wrong_with_one_context_empties_no_other(served: Served) -> None:
    served.run(OTHER, "/other")
    served.run(PROMPT, "/p")
    rename_a_checkpoint(served, context_of(served, "/p"), 0)
    served.worker.check_integrity()
    assert served.run(OTHER, "/other").cost.processed == 1


def test_nothing_is_checked_twice(served: Served) -> None:
    served.run(PROMPT, "/p")
    served.worker.check_integrity()
    rename_a_checkpoint(served, context_of(served, "/p"), 0)
    served.worker.check_integrity()
    with pytest.raises(IntegrityError, match="does not belong"):
        context_of(served, "/p").check_integrity()
    served.run(OTHER, "/other")
    served.worker.check_integrity()
    assert "/p" not in dict(served.worker.contexts.all())


@pytest.fixture
def daemon(served: Served) -> Iterator[socket.socket]:
    """The daemon's end of a loop that serves in a thread."""
    ours, theirs = socket.socketpair()
    loop = threading.Thread(
        target=serve_jobs,
        args=(served.worker, Inbox(theirs), AbortFlag(), Outbox(theirs)),
    )
    loop.start()
    yield ours
    ours.sendall(encode(Close()))
    loop.join(timeout=30)
    assert not loop.is_alive()


def test_the_loop_checks_when_no_message_comes(
    served: Served, daemon: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    decoder = Decoder()

    def answer(message: Message, kind: type[Message]) -> Message:
        daemon.sendall(encode(message))
        while True:
            for got in decoder.feed(daemon.recv(1 << 16)):
                if isinstance(got, kind):
                    return got

    logged = threading.Event()
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: logged.set()  # type: ignore[method-assign]  # noqa: ARG005
    logger = logging.getLogger("scrubjay.worker.loop")
    logger.addHandler(handler)
    before = answer(AskStatus(), EngineStatus)
    answer(Run(1, "/p", PROMPT), Done)
    rename_a_checkpoint(served, context_of(served, "/p"), 3)
    assert logged.wait(timeout=30)
    logger.removeHandler(handler)
    after = answer(AskStatus(), EngineStatus)
    assert isinstance(before, EngineStatus)
    assert isinstance(after, EngineStatus)
    assert after.n_integrity_failures == before.n_integrity_failures + 1
    assert "does not belong to the resident tokens. Emptied: /p." in caplog.text
