"""Whatever is drafted, the same answers come out: hostile drafters, every memory class, every way to sample."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scrubjay.contexts.naive import Control, Interrupted
from scrubjay.protocol.messages import DraftCounts, GeneratedToken, Sampling
from scrubjay.tokens import Tokens, as_tokens
from scrubjay.worker.drafters import Draft, ExpectedDrafter
from scrubjay.worker.drafting import Drafting, Sight
from scrubjay.worker.generate import Generated, Generation
from scrubjay.worker.lengths import MAX_DRAFT_DECODE, DecodeLengths
from scrubjay.worker.warmup import WarmUp
from tests.support.engine_rig import CLASSES, Rig, interrupt_after, logits_after, random_tokens, rig, set_flag_at

N_TOKENS = 24
N_REQUESTS = int(os.environ.get("SCRUBJAY_DRAFT_REQUESTS", "160"))
"""Over all classes; the variable sets more."""


@dataclass
class Answer:
    """All that a generation gives out."""

    tokens: list[int]
    logprobs: list[float]
    margins: list[float]
    text: str
    made: Generated


class Hostile:
    """Drafts what it is told, however wrong.

    Args:
        answer: what will be generated.
        right: how many tokens of each draft are right, in turn.
        n: how long its drafts are, room for them or not.
    """

    def __init__(self, n_prompt: int, answer: Sequence[int], right: Sequence[int], n: int, end: int) -> None:
        self._n_prompt = n_prompt
        self._answer = list(answer)
        self._right = cycle(right)
        self._n = n
        self._end = end

    def propose(self, known: Tokens, n: int) -> Draft | None:
        """The answer, from some place on wrong: with tokens that end a text, or others."""
        at = len(known) - self._n_prompt
        rest, n_right = self._answer[at : at + self._n], next(self._right)
        wrong = [self._end if (at + i) % 3 else (token + 1) % 700 for i, token in enumerate(rest[n_right:])]
        drafted = [*rest[:n_right], *wrong] or [self._end] * self._n
        return Draft(as_tokens(drafted[:n]), "hostile") if drafted[:n] else None


class Changing(Sight):
    """Clear or not in turn, `n` tokens each; always clear for 0."""

    def __init__(self, n_prompt: int, n: int) -> None:
        super().__init__([], 0.0)
        self._n_prompt = n_prompt
        self._n = n

    def is_clear(self, known: Tokens, token: int) -> bool:  # noqa: ARG002
        return not self._n or (len(known) - self._n_prompt) // self._n % 2 == 0


def answer(r: Rig, prompt: Tokens, sampling: Sampling, drafting: Drafting, control: Control | None = None) -> Answer:
    """What the warm context answers."""
    pieces: list[tuple[str, int, tuple[float, ...], tuple[GeneratedToken, ...], float]] = []
    # From nothing, so that the prompt has the same bits each time.
    r.warm.clear()
    r.branches.clear()
    r.warm.sync(prompt)
    with Generation(r.model.vocabulary, sampling, lambda *piece: pieces.append(piece)) as generation:
        made = generation.run(r.warm, control or Control(), drafting)
    r.check_integrity()
    given = [token for piece in pieces for token in piece[3]]
    written = [token.choice.id for token in given]
    resident = r.warm.resident[len(prompt) :].tolist()
    assert resident == written[: len(resident)], "what was drafted in vain is gone"
    return Answer(
        written,
        [choice.logprob for token in given for choice in (token.choice, *token.top)],
        [value for piece in pieces for value in piece[2]],
        "".join(piece[0] for piece in pieces),
        made,
    )


def paired(r: Rig) -> DecodeLengths:
    """All lengths of which the warm-up found that they give the same bits."""
    warm_up = WarmUp(r.model, r.loaded.llama, r.loaded.threads, lambda *_: None)
    warm_up.speeds = {1: 1e9}
    measured = warm_up.measure_lengths(r.loaded.memory_class, r.loaded.settings)
    digests = [digest for length, (_, digest) in measured.items() if length > 1]
    alike = {length for length, (_, digest) in measured.items() if digest == max(digests, key=digests.count)}
    return DecodeLengths(dict.fromkeys(alike, 1.0), most=MAX_DRAFT_DECODE - 1)


def a_token_that_ends(r: Rig) -> int:
    return next(token for token in range(r.model.vocabulary.n_tokens) if r.model.vocabulary.is_end(token))


SAMPLINGS = st.builds(
    Sampling,
    max_tokens=st.integers(1, N_TOKENS),
    temperature=st.sampled_from([0.0, 0.0, 0.7, 1.5]),
    seed=st.integers(0, 1000),
    repeat_penalty=st.sampled_from([1.0, 1.0, 1.3]),
    presence_penalty=st.sampled_from([0.0, 0.0, 0.5]),
    logit_bias=st.sampled_from([(), (), ((5, 4.0), (9, -100.0))]),
    grammar=st.sampled_from(["", "", 'root ::= ("a" | "b" | " ")+']),
    with_margins=st.booleans(),
    n_probs=st.sampled_from([-1, 3]),
    with_tokens=st.just(True),
    ignore_end=st.booleans(),
)


@pytest.fixture(scope="module", params=[kind for kind in CLASSES if kind != "hybrid_swa"])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Rig, DecodeLengths]]:
    with rig(request.param, n_ctx=512) as made:
        yield made, paired(made)


@pytest.mark.slow
def test_an_answer_is_the_same_whatever_was_drafted(served: tuple[Rig, DecodeLengths]) -> None:
    """Bit for bit, its probabilities too: by drafters that are always right, always wrong, or something between."""
    r, alike = served
    assert alike.longest >= 8
    n = max(N_REQUESTS // (len(CLASSES) - 1), 1)

    @settings(max_examples=n, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        SAMPLINGS,
        st.integers(0, 10_000),
        st.sampled_from([3, 40, 300, 500]),
        st.lists(st.integers(0, 40), min_size=1, max_size=4),
        st.integers(1, 40),
        st.sampled_from([1, 8]),
    )
    def check(sampling: Sampling, seed: int, n_prompt: int, right: list[int], n_draft: int, shortest: int) -> None:
        # With none below 8, drafts of fewer tokens are tried with others that fill a decode up.
        used = {length: took for length, took in alike.seconds.items() if length >= shortest}
        lengths = DecodeLengths(used, most=alike.most)
        prompt = random_tokens(np.random.default_rng(seed), n_prompt)
        # Now and then decodes are those of single tokens, where a memory can go back in the middle of what was right.
        sight = None if r.warm.redoes_tries else Changing(n_prompt, seed % 7)
        undrafted = answer(r, prompt, sampling, Drafting(lengths=lengths, sight=sight))
        hostile = Hostile(n_prompt, undrafted.tokens, right, n_draft, a_token_that_ends(r))
        drafted = answer(r, prompt, sampling, Drafting([hostile], lengths, sight=sight))
        assert drafted.tokens == undrafted.tokens
        assert drafted.text == undrafted.text
        assert (drafted.logprobs, drafted.margins) == (undrafted.logprobs, undrafted.margins)
        assert drafted.made.stop_reason == undrafted.made.stop_reason

    check()


@pytest.mark.slow
@pytest.mark.parametrize("n_checks", [1, 4, 9])
def test_who_is_interrupted_while_tokens_are_on_trial_keeps_only_what_is_certain(
    served: tuple[Rig, DecodeLengths], n_checks: int
) -> None:
    r, lengths = served
    prompt = random_tokens(np.random.default_rng(n_checks), 100)
    sampling = Sampling(max_tokens=N_TOKENS, with_tokens=True, ignore_end=True)
    want = answer(r, prompt, sampling, Drafting(lengths=lengths))
    hostile = Hostile(len(prompt), want.tokens, [3, 0, 40], 8, a_token_that_ends(r))
    r.warm.clear()
    r.branches.clear()
    r.warm.sync(prompt)
    with (
        Generation(r.model.vocabulary, sampling, lambda *_: None) as generation,
        pytest.raises(Interrupted),
    ):
        generation.run(r.warm, Control(check=interrupt_after(n_checks)), Drafting([hostile], lengths))
    r.check_integrity()
    made = r.warm.resident[len(prompt) :].tolist()
    assert made == want.tokens[: len(made)]
    assert answer(r, prompt, sampling, Drafting([hostile], lengths)).tokens == want.tokens


@pytest.mark.slow
@pytest.mark.parametrize("n_right", [1, 5, 7])
def test_a_state_that_is_saved_after_a_wrong_draft_is_that_of_what_was_right(
    served: tuple[Rig, DecodeLengths], n_right: int
) -> None:
    """Also where llama.cpp has only noted that it shall forget some of the last tokens."""
    r, _ = served
    rng = np.random.default_rng(n_right)
    prompt, tried, other = (random_tokens(rng, n) for n in (2 * r.interval - n_right, 8, 3))
    r.warm.clear()
    r.branches.clear()
    r.warm.sync(prompt)
    r.warm.try_decode(tried, Control())
    if len(again := r.warm.keep_tried(n_right)):
        assert r.warm.decode(again, want_logits=True, abortable=False)
        r.warm.note_generated(n_right)
    r.warm.decode(random_tokens(rng, 4), want_logits=True, abortable=False)
    cost = r.warm.sync(np.concatenate([prompt, tried[:n_right], other]))
    assert cost.processed == len(other)
    assert np.array_equal(logits_after(r.warm), r.logits_of_the_same_decodes())


@pytest.mark.slow
def test_a_decode_with_a_draft_can_be_aborted_and_changes_nothing(served: tuple[Rig, DecodeLengths]) -> None:
    """By a byte that was stale: it is done again. By one that was meant: nothing of it stays."""
    r, lengths = served
    prompt = random_tokens(np.random.default_rng(5), 100)
    sampling = Sampling(max_tokens=N_TOKENS, with_tokens=True, ignore_end=True)
    want = answer(r, prompt, sampling, Drafting(lengths=lengths))
    hostile = Hostile(len(prompt), want.tokens, [2], 8, a_token_that_ends(r))
    n_aborted = r.counters.n_aborted
    stale = Control(check=set_flag_at(3, r.abort.set), clear_abort=r.abort.clear)
    assert answer(r, prompt, sampling, Drafting([hostile], lengths), stale).tokens == want.tokens
    assert r.counters.n_aborted == n_aborted + 1
    meant = iter([None] * 4)

    def check() -> None:
        if next(meant, 0) == 0:
            raise Interrupted
        r.abort.set()

    with pytest.raises(Interrupted):
        answer(r, prompt, sampling, Drafting([hostile], lengths), Control(check, r.abort.clear))
    r.abort.clear()
    r.check_integrity()
    made = r.warm.resident[len(prompt) :].tolist()
    assert made == want.tokens[: len(made)]
    assert answer(r, prompt, sampling, Drafting([hostile], lengths)).tokens == want.tokens


def test_a_window_beside_a_recurrent_state_is_not_drafted() -> None:
    """Going back would change where in its ring the window stands, and with that the order of sums."""
    with rig("hybrid_swa") as r:
        prompt = random_tokens(np.random.default_rng(0), 50)
        sampling = Sampling(max_tokens=8, with_tokens=True, ignore_end=True)
        want = answer(r, prompt, sampling, Drafting())
        hostile = Hostile(len(prompt), want.tokens, [40], 8, a_token_that_ends(r))
        got = answer(r, prompt, sampling, Drafting([hostile], DecodeLengths({2: 1.0, 8: 1.0}, most=8)))
        assert (got.tokens, got.made.drafts) == (want.tokens, DraftCounts())


def test_what_is_not_expected_is_given_up_after_a_few_tokens_and_found_again() -> None:
    copied, other = as_tokens(range(100, 140)), as_tokens(range(300, 340))
    text = [*copied[:20].tolist(), *other.tolist(), *copied[20:].tolist()]
    sight = Sight([ExpectedDrafter("expected", copied, from_start=True)], least=0.85)
    clear = [sight.is_clear(as_tokens(text[:at]), token) for at, token in enumerate(text)]
    assert all(clear[:20])
    assert not any(clear[23:60])
    assert all(clear[66:])
