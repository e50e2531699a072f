"""`scrubjay model recommend`: what fits a machine."""

import pytest

from scrubjay.cli.recommend import GIB, Machine, best, catalogue, fits, measure
from scrubjay.process.model_names import parse_hub_name

SLOW, QUICK = (2e11, 1e10), (5e12, 2e11)


def test_every_entry_can_be_fetched_by_its_name_and_has_a_source() -> None:
    for entry in catalogue():
        assert parse_hub_name(entry.repo).repo == entry.repo
        assert entry.source
        assert 0 < entry.n_active <= entry.n_params
        assert set(entry.tasks) <= {"completion", "chat"}


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (Machine(2 * GIB, 0, *QUICK), None),
        (Machine(8 * GIB, 0, *SLOW), None),
        (Machine(32 * GIB, 0, *QUICK), "Qwen2.5-Coder 7B"),
        (Machine(16 * GIB, 12 * GIB, *SLOW), "Qwen2.5-Coder 7B"),
        (Machine(128 * GIB, 0, *QUICK), "Qwen3-Coder 30B-A3B Instruct"),
    ],
)
def test_the_largest_that_fits_and_is_quick(machine: Machine, name: str | None) -> None:
    chosen = best(machine)
    assert (chosen and chosen.name) == name


def test_what_is_too_slow_comes_last_and_the_smallest_of_it_first() -> None:
    found = fits(Machine(128 * GIB, 0, *SLOW), catalogue())
    assert [fit.is_quick for fit in found] == sorted((fit.is_quick for fit in found), reverse=True)
    slow = [fit.entry.n_params for fit in found if not fit.is_quick]
    assert slow == sorted(slow)
    assert slow


def test_this_machine_can_be_measured() -> None:
    machine = measure()
    assert machine.memory > 0
    assert machine.flops > 0
    assert machine.bandwidth > 0
