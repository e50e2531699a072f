"""`scrubjay model recommend`: what fits a machine."""

from pathlib import Path

import pytest

from scrubjay.cli.recommend import (
    FREE_LICENCES,
    GIB,
    TASKS,
    WIDTH,
    Entry,
    Fit,
    Machine,
    best,
    catalogue,
    fits,
    gpu_memory,
    measure,
    report,
)
from scrubjay.nextedit.known_formats import format_for
from scrubjay.process.model_names import parse_hub_name

SLOW, QUICK = (2e11, 1e10), (5e12, 2e11)


def test_every_entry_can_be_fetched_by_its_name_and_has_a_source() -> None:
    for entry in catalogue():
        assert parse_hub_name(entry.repo).repo == entry.repo
        assert entry.source
        assert 0 < entry.n_active <= entry.n_params
        assert entry.n_bytes > 0
        assert entry.memory in {"dense", "swa", "hybrid", "recurrent", ""}
        assert entry.tasks
        assert set(entry.tasks) <= set(TASKS)
    assert len({entry.name for entry in catalogue()}) == len({entry.repo for entry in catalogue()}) == len(catalogue())


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_a_small_model_that_anybody_may_use(task: str) -> None:
    entries = [entry for entry in catalogue() if task in entry.tasks and entry.licence in FREE_LICENCES]
    assert min(entry.n_bytes for entry in entries) < 3 * GIB


def test_the_format_of_models_for_next_edits_is_told_by_their_names() -> None:
    entries = [entry for entry in catalogue() if "edit" in entry.tasks]
    assert entries
    for entry in entries:
        assert format_for("edit", entry.repo)


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (Machine(2 * GIB, 0, *QUICK), None),
        (Machine(8 * GIB, 0, *SLOW), "Granite 4.0 H Tiny"),
        (Machine(8 * GIB, 0, *QUICK), "Mellum 4B"),
        (Machine(32 * GIB, 0, *QUICK), "Qwen2.5-Coder 7B"),
        (Machine(16 * GIB, 12 * GIB, *SLOW), "Qwen2.5-Coder 7B"),
        (Machine(128 * GIB, 0, *QUICK), "Qwen3-Coder 30B-A3B Instruct"),
    ],
)
def test_the_best_that_fits_is_quick_and_free_for_all(machine: Machine, name: str | None) -> None:
    chosen = best(machine)
    assert (chosen and chosen.name) == name


def test_what_is_too_slow_comes_last_and_the_smallest_of_it_first() -> None:
    found = fits(Machine(128 * GIB, 0, *SLOW), catalogue())
    assert [fit.is_quick for fit in found] == sorted((fit.is_quick for fit in found), reverse=True)
    slow = [fit.entry.capacity for fit in found if not fit.is_quick]
    assert slow == sorted(slow)
    assert slow


def test_what_is_known_of_a_model_is_shown_and_what_is_not_is_said() -> None:
    told = Entry("A", "maker/A", ["completion"], 1, 1, 8, True, "a page", "hybrid", "mit")
    silent = Entry("B", "someone/B", ["completion", "edit"], 2, 2, 8, False, "another page")
    lines = report([Fit(silent, 100, 50), Fit(told, 200, 100)])
    assert lines.index("  B, about 1.9 GiB, memory class not known, licence not known") < lines.index(
        "  A, about 0.9 GiB, hybrid memory, licence mit"
    )
    assert "    named by another page; converted by someone" in lines
    assert "    scrubjay model use maker/A" in lines
    assert lines[lines.index("For next edits:") + 1] == "  B, as above"
    assert lines[lines.index("To talk with:") + 1] == "  no model of the catalogue has room"


def test_the_report_has_a_model_for_each_task_and_fits_a_terminal() -> None:
    for speeds in (SLOW, QUICK):
        lines = report(fits(Machine(64 * GIB, 0, *speeds), catalogue()))
        for heading, _ in TASKS.values():
            assert "licence" in lines[lines.index(f"{heading}:") + 1] or lines[lines.index(f"{heading}:") + 1].endswith(
                "as above"
            )
        assert max(map(len, lines)) <= WIDTH


def test_the_memory_of_a_gpu_by_amd_is_what_its_driver_says(tmp_path: Path) -> None:
    without = gpu_memory(tmp_path)
    for number, text in enumerate(("8589934592\n", str(1 << 50), "?")):
        (tmp_path / f"sys/class/drm/card{number}/device").mkdir(parents=True)
        (tmp_path / f"sys/class/drm/card{number}/device/mem_info_vram_total").write_text(text)
    assert gpu_memory(tmp_path) == 1 << 50 > without


def test_this_machine_can_be_measured() -> None:
    machine = measure()
    assert machine.memory > 0
    assert machine.flops > 0
    assert machine.bandwidth > 0
