"""The whole engine: contexts by project or content, jobs, and what becomes of bad ones. The process itself is in test_process."""

from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Literal

import numpy as np
import psutil
import pytest

from scrubjay.contexts.checkpointed import CheckpointedContext
from scrubjay.contexts.context_pool import HALF_LIFE, LEAST, STALE, ContextPool
from scrubjay.contexts.naive import Control, Interrupted
from scrubjay.errors import ModelRefused, PromptRefused
from scrubjay.llama.devices import can_offload
from scrubjay.llama.model import Model
from scrubjay.protocol.messages import EngineSettings, FromEngine, Piece, PrefillDone, Run, Sampling, Stopped
from scrubjay.tokens import Tokens, as_tokens
from scrubjay.worker.load import open_model
from scrubjay.worker.loop import Worker
from scrubjay.worker.tuning import choose_interval
from tests.support.engine_rig import AbortFlag, random_tokens, rig
from tests.support.gguf_models import tiny_model

MIB = 1 << 20


class Served:
    """An engine in this process, and what it answered."""

    def __init__(self, kind: str, **settings: object) -> None:
        options = {"n_ctx": 4096, "n_threads": 1, "interval": 64, "eager_load": False, "checkpoint_budget": 8 * MIB}
        self.settings = EngineSettings(str(tiny_model(kind)), **(options | settings))  # type: ignore[arg-type]
        self.loaded = open_model(self.settings, 0, lambda *_: None)
        self.worker = Worker(self.loaded, AbortFlag())  # type: ignore[arg-type]
        self.answers: list[FromEngine] = []

    def run(
        self, tokens: Tokens, context: str = "", sampling: Sampling | None = None, cold: bool = False
    ) -> PrefillDone:
        """Do one job; what its prompt cost."""
        self.answers = []
        self.worker.run(Run(1, context, tokens, sampling=sampling, cold=cold), Control(), self.answers.append)
        (synced,) = (answer for answer in self.answers if isinstance(answer, PrefillDone))
        return synced

    def text(self) -> str:
        return "".join(answer.text for answer in self.answers if isinstance(answer, Piece))


@pytest.fixture
def served() -> Iterator[Served]:
    yield Served("shortconv", max_contexts=3)


def edited(tokens: Tokens, at: int) -> Tokens:
    return as_tokens(np.concatenate([tokens[:at], [at % 5], tokens[at + 1 :]]))


@pytest.mark.slow
def test_a_thousand_short_prompts_take_nothing_from_a_big_project(served: Served) -> None:
    """R5: side requests neither evict the project's checkpoints nor exceed the budget."""
    rng = np.random.default_rng(0)
    big = random_tokens(rng, 3000)
    served.run(big, "/project")
    for _ in range(1000):
        served.run(random_tokens(rng, int(rng.integers(2, 60))))
    status = served.worker.status()
    assert status.checkpoint_bytes <= status.checkpoint_budget
    cost = served.run(edited(big, 1500), "/project").cost
    assert cost.excess <= 64


@pytest.mark.slow
def test_a_thousand_short_prompts_do_not_push_out_a_long_one_without_a_project(served: Served) -> None:
    rng = np.random.default_rng(1)
    big = random_tokens(rng, 3000)
    served.run(big)
    for _ in range(1000):
        served.run(random_tokens(rng, int(rng.integers(2, 60))))
    assert served.run(edited(big, 1500)).cost.excess <= 64


@pytest.mark.slow
@pytest.mark.parametrize("interval", [64, 128, 512])
def test_after_an_eager_load_the_first_long_prompt_finds_its_memory_ready(interval: int) -> None:
    """Memory touched for the first time during a prefill makes it wait for the system, a quarter of it in the worst case."""
    served = Served("shortconv", interval=interval, eager_load=True)
    ready = served.worker.checkpoints.allocated
    served.run(random_tokens(np.random.default_rng(2), 4000), "/project")
    assert served.worker.checkpoints.allocated == ready


@pytest.mark.slow
def test_a_full_budget_still_serves_the_big_project_at_the_spacing_that_it_allows() -> None:
    """The big context alone fills the budget; a thousand side prompts later an edit costs at most twice the fair spacing."""
    size = Served("deltanet").loaded.info.state_size
    served, rng = Served("deltanet", checkpoint_budget=24 * size, max_contexts=3), np.random.default_rng(2)
    big = random_tokens(rng, 3000)
    served.run(big, "/project")
    for _ in range(1000):
        served.run(random_tokens(rng, 20))
    status = served.worker.status()
    assert status.checkpoint_bytes <= status.checkpoint_budget == 24 * size
    assert served.run(edited(big, 1500), "/project").cost.excess <= 2 * 3000 / (24 - 4) + 64


def test_projects_keep_their_contexts_while_others_are_served(served: Served) -> None:
    rng = np.random.default_rng(3)
    a, b = random_tokens(rng, 500), random_tokens(rng, 500)
    served.run(a, "/a")
    served.run(b, "/b")
    assert served.run(a, "/a").cost.processed == 1
    assert served.run(b, "/b").cost.processed == 1


def test_when_contexts_run_out_the_least_recently_used_project_goes(served: Served) -> None:
    rng = np.random.default_rng(4)
    prompts = {f"/{name}": random_tokens(rng, 300) for name in "abcd"}
    for key, prompt in prompts.items():
        served.run(prompt, key)
    keys = {context.key for context in served.worker.status().contexts}
    assert keys == {"/b", "/c", "/d"}
    assert served.run(prompts["/a"], "/a").cost.reason == "paged", "it went, but what it held was kept"


@pytest.mark.parametrize(("n_free", "n_contexts"), [(1, 1), (1 << 50, 8)])
def test_how_many_projects_stay_hot_is_a_matter_of_memory(
    n_free: int, n_contexts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=n_free))
    served, rng = Served("shortconv", n_ctx=256), np.random.default_rng(9)
    prompts = {f"/{number}": random_tokens(rng, 100) for number in range(n_contexts + 1)}
    for key, prompt in prompts.items():
        served.run(prompt, key)
        assert served.run(prompt, key).cost.processed == 1
    assert {context.key for context in served.worker.status().contexts} == {*list(prompts)[1:]}


def test_a_prompt_without_a_project_finds_its_context_by_content(served: Served) -> None:
    """Two conversations alternate; neither ruins the other."""
    rng = np.random.default_rng(5)
    a, b = random_tokens(rng, 600), random_tokens(rng, 600)
    served.run(a)
    served.run(b)
    for n in (610, 620):
        a, b = as_tokens([*a, *range(n - 600)]), as_tokens([*b, *range(n - 600)])
        assert served.run(a).cost.processed <= 21
        assert served.run(b).cost.processed <= 21


def test_an_answer_names_the_context_that_served_it(served: Served) -> None:
    """By the key of the request, else by the key that the status has for what was chosen by content; nothing for a cold run."""
    rng = np.random.default_rng(10)
    a, b = random_tokens(rng, 300), random_tokens(rng, 300)
    assert served.run(a, "/p").context == "/p"
    first, second = served.run(b).context, served.run(random_tokens(rng, 300)).context
    assert served.run(as_tokens([*b, 1, 2])).context == first != second
    assert served.run(b, cold=True).context == ""
    assert served.run(a).context == "/p", "its content is that of a project"
    keys = {context.key: context.n_resident for context in served.worker.status().contexts}
    assert keys == {"/p": 300, first: 302, second: 300}


def test_several_tails_over_one_trunk_cost_only_themselves(served: Served) -> None:
    """R9: the same trunk with other endings, in turn."""
    rng = np.random.default_rng(6)
    trunk = random_tokens(rng, 2000)
    served.run(trunk, "/p")
    for _ in range(5):
        tail = random_tokens(rng, 40)
        assert served.run(as_tokens([*trunk, *tail]), "/p").cost.processed <= 40 + 64


def test_a_cold_run_reuses_nothing_and_disturbs_nothing(served: Served) -> None:
    tokens = random_tokens(np.random.default_rng(7), 500)
    served.run(tokens, "/p", Sampling(max_tokens=8, ignore_end=True))
    warm = served.text()
    cold = served.run(tokens, "/p", Sampling(max_tokens=8, ignore_end=True), cold=True)
    assert (cold.cost.processed, cold.cost.reason) == (500, "cold")
    assert served.text() == warm
    assert served.run(tokens, "/p").cost.processed == 1


def test_where_memory_has_no_room_for_another_context_one_is_given_up() -> None:
    def refuse() -> CheckpointedContext:
        raise ModelRefused("There is not enough memory for a context.")

    rng = np.random.default_rng(9)
    with rig("shortconv") as only:
        pool = ContextPool(refuse, 8)
        pool.adopt(only.warm)
        for key in ("/a", "/b", "/a"):
            prompt = random_tokens(rng, 300)
            assert pool.choose(key, prompt)[1].sync(prompt).reason == "cold"
        assert [key for key, _ in pool.all()] == ["/a"]
        only.check_integrity()


@pytest.mark.parametrize(
    "refused",
    [
        Run(2, "", as_tokens(range(300, 500)), sampling=Sampling(grammar="root ::= (")),
        Run(2, "/other", as_tokens(range(300, 500)), sampling=Sampling(json_schema='{"type": "nonsense"}')),
        Run(2, "", as_tokens([5, 10**6])),
        Run(2, "/other", as_tokens([5, -1]), sampling=Sampling()),
        Run(2, "", as_tokens([])),
        Run(2, "/other", as_tokens([1] * 5000)),
        Run(2, "", as_tokens([5, 10**6]), cold=True),
    ],
)
def test_a_refused_request_takes_nothing_from_another_context(refused: Run) -> None:
    """There is room for one context: choosing it for the refused request would empty it."""
    served = Served("deltanet", max_contexts=1)
    prompt = as_tokens(range(1, 600))
    served.run(prompt, "/project")
    with pytest.raises((PromptRefused, ValueError)):
        served.worker.run(refused, Control(), served.answers.append)
    assert [context.key for context in served.worker.status().contexts] == ["/project"]
    assert served.run(prompt, "/project").cost.processed == 1


def test_a_request_that_was_stopped_before_it_began_takes_nothing_from_another_context() -> None:
    served = Served("deltanet", max_contexts=1)
    served.run(as_tokens(range(1, 600)), "/project")

    def stop() -> None:
        raise Interrupted

    run = Run(2, "/other", as_tokens(range(300, 500)))
    assert served.worker.run(run, Control(stop), served.answers.append) == Stopped(2, 0, 200)
    assert [context.key for context in served.worker.status().contexts] == ["/project"]


def test_a_stopped_job_counts_the_tokens_that_were_there_before(served: Served) -> None:
    """Stopped before its first decode, it keeps what it reuses."""
    prompt = random_tokens(np.random.default_rng(11), 500)
    served.run(prompt[:300], "/p")
    n_checks = 0

    def stop_in_prefill() -> None:
        nonlocal n_checks
        n_checks += 1
        if n_checks == 2:
            raise Interrupted

    run = Run(2, "/p", prompt)
    assert served.worker.run(run, Control(stop_in_prefill), served.answers.append) == Stopped(2, 300, 500)


def test_generated_graphs_are_reused(served: Served) -> None:
    """Constant shapes: nearly every generated token finds its graph built."""
    served.run(random_tokens(np.random.default_rng(8), 100), "/p")
    before = served.worker.status().n_reused_graphs
    served.run(random_tokens(np.random.default_rng(8), 100), "/p", Sampling(max_tokens=64, ignore_end=True))
    assert served.worker.status().n_reused_graphs - before >= 56


@pytest.mark.parametrize(
    ("wanted", "speeds", "state", "budget", "expected"),
    [
        (100, {}, 0, 0, 100),
        (0, {}, 0, 0, 256),
        (0, {64: 99.0, 128: 99.0, 256: 100.0}, 0, 1 << 30, 256),
        (0, {64: 80.0, 128: 96.0, 256: 100.0}, 1, 1 << 30, 128),
        (0, {64: 99.0, 128: 99.0, 256: 100.0}, 1, 1 << 30, 64),
        (0, {64: 50.0, 128: 60.0, 256: 100.0}, 1, 1 << 30, 256),
        (0, {64: 99.0, 128: 99.0, 256: 100.0}, 20 << 20, 2 << 30, 256),
        (0, {64: 99.0, 128: 99.0, 256: 100.0}, 150 << 20, 2 << 30, 2048),
    ],
)
def test_the_interval_follows_from_speed_state_and_budget(
    wanted: int, speeds: dict[int, float], state: int, budget: int, expected: int
) -> None:
    """No smaller than what half the budget holds of 8,192 tokens, no smaller than what decodes at full speed."""
    assert choose_interval(wanted, speeds, state, budget, 8192, 256) == expected


@pytest.mark.parametrize(
    ("kind", "memory_class"),
    [
        ("dense", "dense"),
        ("shortconv", "hybrid"),
        ("deltanet", "hybrid"),
        ("mamba2_hybrid", "hybrid"),
        ("recurrent", "recurrent"),
        ("hybrid_swa", "hybrid-swa"),
    ],
)
def test_the_memory_class_is_found_by_probing(kind: str, memory_class: str) -> None:
    assert Served(kind, swa_full=False).loaded.info.memory_class == memory_class


@pytest.mark.parametrize(
    ("kind", "kv_type", "has_it"),
    [
        ("shortconv", "f16", False),
        ("deltanet", "f16", False),
        ("mamba2_hybrid", "f16", False),
        ("shortconv", "q8_0", True),
        ("hybrid_swa", "f16", True),
        ("swa", "f16", True),
        ("dense", "f16", False),
        ("dense", "q8_0", True),
    ],
)
@pytest.mark.skipif(can_offload(), reason="a GPU is best used with flash attention")
def test_models_do_without_flash_attention_where_short_decodes_take_longer_with_it(
    kind: str, kv_type: Literal["f16", "q8_0"], has_it: bool
) -> None:
    """llama.cpp refuses an 8-bit cache of values without it."""
    path = tiny_model(kind)
    model = Model(path, EngineSettings(str(path), kv_type=kv_type), mapped=True)
    assert model.flash_attention is has_it
    model.close()


def test_checkpoints_of_a_project_that_was_left_matter_less_and_less_but_never_nothing() -> None:
    served = Served("shortconv", max_contexts=2)

    def importance_of_a() -> float:
        return next(context.importance for key, context in served.worker.contexts.all() if key == "/a")

    served.run(as_tokens([1, 2, 3]), "/a")
    seen = [importance_of_a()]
    for number in range(4 * HALF_LIFE + 8):
        served.run(as_tokens([4, 5, number % 7]), "/b")
        seen.append(importance_of_a())
    assert seen[0] == 1.0
    assert all(after <= before for before, after in pairwise(seen))
    assert seen[-1] == STALE * LEAST
    served.run(as_tokens([1, 2, 3]), "/a")
    assert importance_of_a() == 1.0


def test_a_sliding_window_is_kept_whole_where_that_is_less_memory_than_checkpoints() -> None:
    assert Served("swa", interval=32).loaded.info.memory_class == "swa-full"
    assert Served("swa", interval=256).loaded.info.memory_class == "swa"


def test_eager_load_measures_and_leaves_nothing_behind() -> None:
    served = Served("shortconv", eager_load=True, interval=0)
    info = served.loaded.info
    assert min(info.prefill_speed, info.generation_speed, info.warm_up_ms, info.cold_ratio) > 0
    assert served.loaded.llama.last_position() == -1
    assert served.worker.status().n_reused_graphs == 0
