"""What the daemon believes of contexts: never more than the engine has said."""

from collections.abc import Iterable
from dataclasses import fields

from scrubjay.prompt.limits import Budgets
from scrubjay.prompt.segments import Prompt
from scrubjay.protocol.contexts import ContextStatus
from scrubjay.protocol.messages import ModelInfo, PrefillCost
from scrubjay.service.residency import Residency
from scrubjay.tokens import as_tokens


def lengths(records: Residency, *keys: str) -> list[int]:
    return [records.of(key).n_resident for key in keys]


def test_what_the_engine_does_not_hold_is_not_believed() -> None:
    records = Residency(Budgets())
    for key in ("/kept", "/cut", "/gone", "#1", "#7"):
        records.of(key).n_resident = 8
    contexts = [ContextStatus("/kept", 9, (), 0), ContextStatus("/cut", 3, (), 0), ContextStatus("#7", 1, (), 0)]
    records.on_status(contexts)
    assert lengths(records, "/kept", "/cut", "/gone", "#1", "#7") == [8, 3, 0, 0, 1]
    records.on_status([])
    assert lengths(records, "/kept", "#7") == [0, 0]


def test_a_lost_engine_holds_nothing_and_the_costs_are_remembered() -> None:
    records = Residency(Budgets())
    records.of("/project").n_resident = 8
    before = records.of("/project").costs
    records.on_engine_lost()
    assert lengths(records, "/project") == [0]
    assert records.of("/project").costs is before
    records.forget("/project")
    assert records.of("/project").costs is not before


def info(speed: float) -> ModelInfo:
    counts = dict.fromkeys((field.name for field in fields(ModelInfo)), 0)
    return ModelInfo(**counts | {"prefill_speed": speed})  # type: ignore[arg-type]


def cost(tokens_per_s: float, processed: int = 1000) -> PrefillCost:
    return PrefillCost(processed, 0, 0, processed, processed, "cold", prefill_ms=processed / tokens_per_s * 1e3)


def test_windows_grow_in_idle_time_when_the_machine_turns_out_to_be_faster() -> None:
    records = Residency(Budgets())
    for speed in (4000, 3000, 3500):
        assert records.window_speed(info(500), is_idle=True) == 500, "a few prefills say little"
        records.note_speed(cost(speed))
        records.note_speed(cost(9000, processed=100))
    assert records.window_speed(info(500), is_idle=False) == 500, "somebody is typing"
    assert records.window_speed(info(500), is_idle=True) == 3000
    for _ in range(9):
        records.note_speed(cost(100))
        assert records.window_speed(info(500), is_idle=True) == 3000, "they never get smaller"
    assert records.window_speed(info(0), is_idle=True) == 3000


def test_without_a_speed_at_load_windows_stay_as_large_as_fit() -> None:
    records = Residency(Budgets())
    for _ in range(9):
        records.note_speed(cost(100))
    assert records.window_speed(info(0), is_idle=True) == 0


def test_what_was_held_before_may_come_back_so_it_counts_as_quick() -> None:
    records, model = Residency(Budgets()), info(1000)
    prompts = [prompt_of(range(first, first + 900)) for first in (0, 5000)]
    assert records.least_ms(prompts[0], 900, model) == 900
    for prompt in prompts:
        records.begin("/project", prompt)
        records.note("/project", prompt, 900)
    assert records.n_common("/project", prompts[0]) == 0
    assert records.least_ms(prompts[0], 900, model) == 0
    assert not records.is_worth_reading_ahead(prompts[0], 900)
    assert records.is_worth_reading_ahead(prompt_of(range(1, 800)), 799)
    records.on_engine_lost()
    assert records.least_ms(prompts[0], 900, model) == 900


def prompt_of(ids: Iterable[int]) -> Prompt:
    return Prompt(as_tokens(ids), (), (), (), ())
