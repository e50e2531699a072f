"""Random edits, completions, cancels and ways back, on every memory class: a warm context's answers are those of a cold one."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from scrubjay.contexts.naive import CUT_ANYWHERE, Control, Interrupted
from scrubjay.contexts.paging import MIN_BRANCH_TOKENS
from scrubjay.protocol.messages import PrefillCost
from scrubjay.tokens import EMPTY, Tokens, as_tokens, common_length
from scrubjay.worker.generate import margin
from tests.support.engine_rig import (
    CLASSES,
    NOISE,
    Rig,
    interrupt_after,
    is_same,
    logits_after,
    nmse,
    random_tokens,
    rig,
    set_flag_at,
)

INTERVAL = 16
LONGEST = 250
# llama.cpp's sliding windows hold 256 tokens more than they must: shorter prompts need no checkpoint.
LONGEST_WITH_WINDOW = 550


class WarmEqualsCold(RuleBasedStateMachine):
    """Random edits, completions and cancels: excess <= I, and the answers are those of a context that reused nothing."""

    r: Rig

    def __init__(self) -> None:
        super().__init__()
        self.r.warm.clear()
        has_window = "swa" in self.r.warm.memory_class
        self.longest = LONGEST_WITH_WINDOW if has_window else LONGEST
        self.prompt = random_tokens(np.random.default_rng(0), self.longest // 2)
        self.before = self.prompt
        self.visited: list[Tokens] = []
        self.is_scarce = False
        self.r.branches.clear()
        self.sync(self.prompt)

    @rule(seed=st.integers(0, 10_000), where=st.floats(0, 1), n_new=st.integers(0, 30), n_gone=st.integers(0, 30))
    def edit(self, seed: int, where: float, n_new: int, n_gone: int) -> None:
        self.sync(self.edited(seed, where, n_new, n_gone))

    @rule()
    def undo(self) -> None:
        self.sync(self.before)

    @rule(number=st.integers(0, 50))
    def go_back(self, number: int) -> None:
        """To any place where one has been, with one more letter typed there, or none."""
        old = self.visited[number % len(self.visited)]
        typed = as_tokens([number]) if number % 2 else EMPTY
        self.sync(as_tokens(np.concatenate([old, typed])[-self.longest :]))

    @rule()
    def let_another_project_have_the_context(self) -> None:
        self.r.warm.put_away()
        cost = self.sync(self.prompt)
        assert self.is_scarce or cost.processed <= MIN_BRANCH_TOKENS + INTERVAL

    @initialize(is_scarce=st.booleans())
    def memory(self, is_scarce: bool) -> None:
        """Where it is scarce there are fewer checkpoints than one for each interval, also in contexts that had branches back."""
        self.is_scarce = is_scarce

    @precondition(lambda self: self.is_scarce)
    @rule(share=st.floats(0, 1))
    def run_short_of_memory(self, share: float) -> None:
        budget = self.r.branches.budget
        self.r.branches.budget = int(share * self.r.branches.n_bytes)
        self.r.branches.shrink("")
        assert self.r.branches.n_bytes <= self.r.branches.budget
        self.r.branches.budget = budget

    @rule()
    def repeat(self) -> None:
        processed = self.sync(self.prompt)
        assert processed.processed == processed.needed == 1

    @rule(where=st.floats(0.1, 1))
    def truncate(self, where: float) -> None:
        self.sync(self.prompt[: max(1, int(where * len(self.prompt)))])

    @rule(n_generated=st.integers(1, 12), n_accepted=st.integers(0, 12), seed=st.integers(0, 100))
    def complete_and_accept_a_part(self, n_generated: int, n_accepted: int, seed: int) -> None:
        self.sync(self.prompt)
        made = self.r.generate(self.r.warm, n_generated)
        typed = random_tokens(np.random.default_rng(seed), seed % 3)
        self.sync(as_tokens(np.concatenate([self.prompt, made[:n_accepted], typed])[-self.longest :]))

    @rule(seed=st.integers(0, 10_000), where=st.floats(0, 1), n_decodes=st.integers(0, 5))
    def cancel_in_the_middle(self, seed: int, where: float, n_decodes: int) -> None:
        prompt, control = self.edited(seed, where, 40, 3), Control(check=interrupt_after(n_decodes))
        with suppress(Interrupted):
            self.r.warm.sync(prompt, control=control)
        kept = common_length(self.r.warm.resident, prompt)
        assert kept == self.r.warm.n_resident
        assert self.sync(prompt).processed <= len(prompt) - kept + INTERVAL

    @rule(seed=st.integers(0, 10_000), where=st.floats(0, 1), nth=st.integers(0, 4))
    def abort_inside_a_decode(self, seed: int, where: float, nth: int) -> None:
        control = Control(check=set_flag_at(nth, self.r.abort.set), clear_abort=self.r.abort.clear)
        self.sync(self.edited(seed, where, 40, 3), control)
        self.r.abort.clear()

    @invariant()
    def books_balance(self) -> None:
        self.r.check_integrity()

    def edited(self, seed: int, where: float, n_new: int, n_gone: int) -> Tokens:
        at = int(where * len(self.prompt))
        new = random_tokens(np.random.default_rng(seed), n_new)
        edited = np.concatenate([self.prompt[:at], new, self.prompt[at + n_gone :]])[: self.longest]
        return as_tokens(edited if len(edited) else [1])

    def sync(self, prompt: Tokens, control: Control | None = None) -> PrefillCost:
        boundaries, hot = (len(prompt) // 3, 2 * len(prompt) // 3), (len(prompt) // 2,)
        processed = self.r.warm.sync(prompt, boundaries, hot, control)
        bound = 0 if self.r.warm.memory_class in CUT_ANYWHERE else self.longest if self.is_scarce else INTERVAL
        assert 0 <= processed.excess <= bound
        self.before, self.prompt = self.prompt, as_tokens(prompt)
        self.visited.append(self.prompt)
        self.is_right(boundaries)
        return processed

    def is_right(self, boundaries: tuple[int, ...]) -> None:
        warm = logits_after(self.r.warm)
        assert np.array_equal(self.r.warm.resident, self.prompt)
        # What came from a branch may have been decoded together with tokens before it: nobody else can do the same.
        if self.r.llama.is_made_of_decodes(self.prompt):
            assert is_same(self.r, warm, self.r.logits_of_the_same_decodes())
        self.r.cold.sync(self.prompt, boundaries)
        cold = logits_after(self.r.cold)
        assert nmse(warm, cold) <= NOISE
        assert warm.argmax() == cold.argmax() or margin(cold) <= 2 * float(np.abs(warm - cold).max())


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", CLASSES)
def test_warm_equals_cold(kind: str) -> None:
    """Reused, restored, paged in, cancelled or aborted, the logits are those of the same decodes from nothing.

    320 steps; 2,000 with `--hypothesis-profile=long`.
    """
    with rig(kind, interval=INTERVAL, n_ctx=1024) as made:
        machine = type("Machine", (WarmEqualsCold,), {"r": made})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=max(8, settings().stateful_step_count // 40),
                stateful_step_count=40,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
