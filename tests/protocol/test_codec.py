"""The wire between daemon and engine: every message comes out as it went in, however the bytes were cut."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.protocol.codec import Decoder, encode
from scrubjay.protocol.contexts import ContextStatus, EngineStatus
from scrubjay.protocol.messages import (
    AskStatus,
    Close,
    Done,
    EngineSettings,
    Failed,
    LoadFailed,
    LoadProgress,
    Message,
    ModelInfo,
    Open,
    Opened,
    Piece,
    PrefillCost,
    PrefillDone,
    PrefillProgress,
    Run,
    Sampling,
    Stop,
    Stopped,
)
from scrubjay.tokens import as_tokens

INFO = ModelInfo(
    "m.gguf", "m", "lfm2", "hybrid", 4096, 8192, 768, 0, 1, 2, 3, 256, 256, 4, 8, 100.5, 20.5, 3.5, 4.5, 1.25
)  # fmt: skip
MESSAGES: list[Message] = [
    Open(EngineSettings("model.gguf", n_ctx=100, swa_full=None)),
    Run(1),
    Run(3, "/root", as_tokens([1, 2, 4, 5])),
    Run(2, "/root", as_tokens([1, 2, 3]), (1, 2), (2,), Sampling(stop=("\n", "é"), stop_tokens=(3,)), cold=True),
    Stop(3),
    AskStatus(),
    Close(),
    LoadProgress("weights", 0.5),
    Opened(INFO),
    LoadFailed("no"),
    PrefillProgress(1, 2, 3),
    PrefillDone(1, PrefillCost(10, 4, 0, 6, 6, "append", 1.5), "/p"),
    Piece(1, "a\n🎉", 2, (0.5, 1.5)),
    Done(1, "stop", "\n", 5, 2.5),
    Stopped(1, 2, 3),
    Failed(1, "sentence", "engine"),
    EngineStatus((ContextStatus("#1", 5, (2, 4), 100), ContextStatus("k", 0, (), 0)), *range(19)),
]


def is_equal(a: Message, b: Message) -> bool:
    if isinstance(a, Run) and isinstance(b, Run):
        same = np.array_equal(a.tokens, b.tokens)
        return same and repr(a) == repr(b)
    return a == b


@given(st.lists(st.sampled_from(MESSAGES), max_size=6), st.lists(st.integers(0, 10_000), max_size=8))
def test_messages_survive_any_cutting_of_the_stream(messages: list[Message], cuts: list[int]) -> None:
    before = iter([None, *(message for message in messages if isinstance(message, Run))])
    data = b"".join(encode(m, next(before)) if isinstance(m, Run) else encode(m) for m in messages)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    decoder = Decoder()
    got = [m for begin, end in itertools.pairwise(edges) for m in decoder.feed(data[begin:end])]
    assert len(got) == len(messages)
    assert all(is_equal(a, b) for a, b in zip(got, messages, strict=True))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_has_a_frame(message: Message) -> None:
    (got,) = Decoder().feed(encode(message))
    assert is_equal(got, message)


def test_token_arrays_travel_as_raw_integers_and_arrive_read_only() -> None:
    tokens = as_tokens(range(1000))
    frame = encode(Run(1, tokens=tokens))
    assert tokens.astype("<i4").tobytes() in frame
    (run,) = Decoder().feed(frame)
    assert isinstance(run, Run)
    assert not run.tokens.flags.writeable
    assert np.array_equal(run.tokens, tokens)


def test_of_a_prompt_only_what_is_new_is_sent() -> None:
    old = as_tokens(range(1000))
    new = as_tokens([*range(900), 7])
    decoder = Decoder()
    frame = encode(Run(2, tokens=new), Run(1, tokens=old))
    assert len(frame) < 400
    _, run = decoder.feed(encode(Run(1, tokens=old)) + frame)
    assert isinstance(run, Run)
    assert not run.tokens.flags.writeable
    assert np.array_equal(run.tokens, new)


def test_parts_that_are_the_same_arrays_are_what_prompts_share() -> None:
    head, old_tail, new_tail = as_tokens([1, 2, 3]), as_tokens([4, 5, 6]), as_tokens([4, 9])
    old, new = (
        Run(1, tokens=as_tokens(np.concatenate([head, tail])), parts=(head, tail)) for tail in (old_tail, new_tail)
    )
    _, run = Decoder().feed(encode(old) + encode(new, old))
    assert isinstance(run, Run)
    assert (run.tokens.tolist(), run.parts) == ([1, 2, 3, 4, 9], ())
