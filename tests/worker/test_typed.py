"""Generation that has to begin with what was typed: on every kind of memory, in every kind of vocabulary."""

import codecs
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.contexts.naive import Control
from scrubjay.llama.typed_text import pieces_of
from scrubjay.protocol.messages import CONFIDENCE_TOKENS, GeneratedToken, Sampling
from scrubjay.worker.generate import Generation
from tests.support.engine_rig import Rig, rig
from tests.support.gguf_models import MODEL_CLASSES

KINDS = (*MODEL_CLASSES, "dense_plain", "dense_spm")
TYPED = st.one_of(
    st.sampled_from([" ", "self", ".retu", " = ", "    return", "\t", "é", "日本", "🦆", "\ud800"]),
    st.text(min_size=1, max_size=12),
)


@cache
def opened(kind: str) -> Rig:
    return STACK.enter_context(rig(kind))


STACK = ExitStack()


@pytest.fixture(scope="module", autouse=True)
def closing() -> Iterator[None]:
    yield
    STACK.close()
    opened.cache_clear()


def generated(kind: str, sampling: Sampling) -> tuple[bytes, str, int]:
    """The bytes of the tokens that were put through the model after a prompt, the text that was given out, and its tokens."""
    rigged, texts = opened(kind), []
    vocabulary = rigged.model.vocabulary
    rigged.warm.sync(vocabulary.tokenize("def lend(self, tool):\n    loan ="))
    n_prompt = rigged.warm.n_resident
    with Generation(vocabulary, sampling, lambda text, *_: texts.append(text)) as generation:
        made = generation.run(rigged.warm, Control())
    pieces = [vocabulary.piece(int(token)) for token in rigged.warm.resident[n_prompt:]]
    return b"".join(pieces), "".join(texts), made.n_tokens


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(typed=TYPED, temperature=st.sampled_from([0.0, 1.5]), seed=st.integers(0, 100))
def test_the_typed_text_comes_first_and_is_not_given_out(kind: str, typed: str, temperature: float, seed: int) -> None:
    sampling = Sampling(6, temperature, seed=seed, typed=typed, ignore_end=True)
    written, text, n_tokens = generated(kind, sampling)
    data = typed.encode(errors="replace")
    assert written.startswith(data)
    # The last token was given out without being put through the model.
    assert text.startswith(codecs.getincrementaldecoder("utf-8")("replace").decode(written[len(data) :]))
    assert n_tokens == 6


@pytest.mark.parametrize("kind", KINDS)
def test_what_no_token_can_write_is_put_through_the_model_as_it_is(kind: str) -> None:
    vocabulary = opened(kind).model.vocabulary
    # Tokens that end a text may not come before what was typed is written.
    fitting = tuple(pieces_of(vocabulary).agreeing(b"x").tolist())
    written, _, n_tokens = generated(kind, Sampling(4, typed="x", stop_tokens=fitting, ignore_end=True))
    assert written.startswith(b"".join(vocabulary.piece(int(token)) for token in vocabulary.tokenize("x")))
    assert n_tokens <= 4


def test_a_stop_string_in_what_was_typed_ends_nothing() -> None:
    _, text, n_tokens = generated("dense", Sampling(4, typed="loan x", stop=("loan", " "), ignore_end=True))
    assert n_tokens > 0 and "loan" not in text and " " not in text


def test_there_is_a_margin_for_each_token_that_is_given_out() -> None:
    margins: list[float] = []
    rigged = opened("dense")
    rigged.warm.sync(rigged.model.vocabulary.tokenize("loan ="))
    sampling = Sampling(5, typed=" self.tool", with_margins=True, ignore_end=True)
    with Generation(rigged.model.vocabulary, sampling, lambda _t, _n, some, *_: margins.extend(some)) as generation:
        generation.run(rigged.warm, Control())
    assert len(margins) == 5 and np.isfinite(margins).all()


def test_the_confidence_is_the_probability_of_the_first_tokens() -> None:
    rigged, logprobs, tokens = opened("dense"), list[float](), list[float]()
    rigged.warm.sync(rigged.model.vocabulary.tokenize("loan ="))
    sampling = Sampling(8, with_confidence=True, n_probs=0, ignore_end=True)

    def emit(_t: str, _n: int, _m: object, some: tuple[GeneratedToken, ...], logprob: float) -> None:
        logprobs.append(logprob)
        tokens.extend(token.choice.logprob for token in some)

    with Generation(rigged.model.vocabulary, sampling, emit) as generation:
        generation.run(rigged.warm, Control())
    assert len(tokens) == 8
    assert sum(logprobs) == pytest.approx(sum(tokens[:CONFIDENCE_TOKENS]))
