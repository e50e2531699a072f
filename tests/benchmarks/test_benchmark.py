"""The benchmark as a tool: what it has models do, what it keeps, and one small run; never how fast anything was."""

import json
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from scrubjay.cli.bench import run_bench
from scrubjay.errors import UsageError
from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.tokens import common_length
from tests.benchmarks import results, typing
from tests.benchmarks.limit import Limit
from tests.benchmarks.measure import measure
from tests.benchmarks.plan import PAIR, Cell, cells, fitting, quick_cells
from tests.benchmarks.work import Trace, base_prompt, edited, read_files
from tests.support.gguf_models import MODEL_CLASSES, tiny_model

SAMPLES = [
    {"contestant": "scrubjay", "round": 0, "ms": 11.0, "prompt": 512, "processed": 60, "needed": 52},
    {"contestant": "limit", "round": 0, "ms": 10.0, "prompt": 0, "processed": 52, "needed": 52},
    {"contestant": "check", "round": 0, "equal": True},
]


@pytest.mark.parametrize("position", [10, 50, 99])
def test_an_edit_leaves_exactly_the_prefix(position: int) -> None:
    vocabulary = Vocabulary.open(tiny_model("dense"))
    prompt = base_prompt(vocabulary, 400)
    vocabulary.close()
    changed = edited(prompt, position, Random(0))
    assert len(changed) == len(prompt) == 400
    assert common_length(prompt, changed) == 4 * position


def test_a_trace_says_truly_what_it_changes_and_is_the_same_each_time() -> None:
    files = read_files(6000)
    trace, again = Trace(files, seed=7), Trace(files, seed=7)
    texts, kinds = dict(files), set()
    for step, same in zip(islice(trace.steps(), 600), again.steps(), strict=False):
        for change in step.changes:
            texts[change.file] = change.applied(texts[change.file])
        assert step == same
        assert texts == trace.files
        assert 0 <= step.cursor <= len(texts[step.file])
        kinds.add(step.what)
    assert kinds == {"type", "delete", "rename", "move", "undo", "switch", "format"}


def test_what_has_been_typed_can_be_taken_back() -> None:
    trace, seen = Trace(read_files(6000), seed=1), []
    for step in islice(trace.steps(), 600):
        if step.what == "undo":
            assert dict(trace.files) in seen
        seen.append(dict(trace.files))


def test_a_plan_that_fits_is_in_the_order_of_importance() -> None:
    plan = cells(PAIR, [2048, 8192])
    assert len({cell.key for cell in plan}) == len(plan)
    chosen = fitting(plan, 25 * 60)
    assert sum(cell.seconds for cell in chosen) <= 25 * 60
    assert [cell for cell in plan if cell in chosen] == chosen
    assert {cell.work for cell in chosen} >= {"edit", "speed"}
    assert fitting(plan, 0) == []


def test_what_is_finished_is_found_again_also_after_a_line_was_cut_off(tmp_path: Path) -> None:
    path, (first, second, *_) = tmp_path / "samples.jsonl", quick_cells()
    results.append(path, first, SAMPLES)
    whole = path.read_text("utf-8")
    path.write_text(whole + "\n" + whole[: len(whole) // 2], "utf-8")
    assert set(results.finished(path)) == {first.key}
    results.append(path, second, SAMPLES)
    assert set(results.finished(path)) == {first.key, second.key}


def test_the_report_has_the_ratio_and_a_plot(tmp_path: Path) -> None:
    path, report = tmp_path / "samples.jsonl", tmp_path / "RESULTS.md"
    results.append(path, Cell("swa", "edit", 512, 90, 1), SAMPLES)
    results.write(path, report, "scrubjay bench --some thing")
    text = report.read_text("utf-8")
    assert "| swa | 512 | 90 % | 512 | 52 | 60 | 11 / 11 | 10 / 10 |  |  |  |  | 1.10 |" in text
    assert "`scrubjay bench --some thing`" in text
    assert results.finished(report.with_suffix(".jsonl")) == results.finished(path)
    assert all((tmp_path / line[2:].partition("]")[0]).exists() for line in text.splitlines() if line.startswith("!["))


def test_rounds_that_the_hypervisor_disturbed_are_not_compared(tmp_path: Path) -> None:
    path, report = tmp_path / "samples.jsonl", tmp_path / "RESULTS.md"
    disturbed = [{**sample, "round": 1, "ms": 99.0, "stolen": 0.3} for sample in SAMPLES[:1]]
    results.append(path, Cell("swa", "edit", 512, 90, 2), [*SAMPLES, *disturbed, {**SAMPLES[1], "round": 1}])
    results.write(path, report, "scrubjay bench")
    assert "| swa | edit | limit | 1.100 | 1.100 | 1 | 1 |" in report.read_text("utf-8")


def test_of_a_round_that_was_repeated_the_best_times_are_compared(tmp_path: Path) -> None:
    path, report = tmp_path / "samples.jsonl", tmp_path / "RESULTS.md"
    times = {"scrubjay": (33.0, 44.0, 11.0, 66.0), "limit": (20.0, 20.0, 10.0, 10.0)}
    known = {"prompt": 512, "processed": 52, "needed": 52}
    samples = [
        {"contestant": name, "round": number % 2, "ms": ms, **known}
        for name, some in times.items()
        for number, ms in enumerate(some)
    ]
    results.append(path, Cell("swa", "edit", 512, 90, 2, 2), samples)
    results.append(path, Cell("swa", "trace", 512, 0, 4), samples)
    results.write(path, report, "scrubjay bench")
    text = report.read_text("utf-8")
    assert "| swa | edit | limit | 2.750 | 4.235 | 2 | 0 |" in text
    assert "the longest was 2.00 of the shortest in a median cell, 2.00 in the worst" in text
    assert "| swa | trace | limit | 1.925 |" in text


def test_where_every_round_was_disturbed_the_goal_is_missed(tmp_path: Path) -> None:
    path, report = tmp_path / "samples.jsonl", tmp_path / "RESULTS.md"
    tuned = {**SAMPLES[1], "contestant": "tuned"}
    results.append(path, Cell("swa", "edit", 512, 90, 1), [{**sample, "stolen": 0.3} for sample in (*SAMPLES, tuned)])
    results.write(path, report, "scrubjay bench")
    text = report.read_text("utf-8")
    assert text.count("| swa | every round was disturbed | **missed** |") == 2
    assert "| swa | edit | tuned |  |  | 0 | 1 |" in text


@pytest.mark.parametrize("kind", MODEL_CLASSES)
def test_the_limit_processes_exactly_what_is_needed(kind: str) -> None:
    vocabulary = Vocabulary.open(tiny_model(kind))
    prompt = base_prompt(vocabulary, 300)
    vocabulary.close()
    limit = Limit(tiny_model(kind), 512, 1)
    limit.prepare(prompt, [100, 200])
    for keep in (100, 230, 50, 299, 100):
        assert limit.time(keep, 300).processed == 300 - keep
    limit.close()


@pytest.mark.slow
async def test_a_small_run_compares_every_answer() -> None:
    samples = [sample async for sample in measure(Cell("deltanet", "edit", 256, 52, 2, 2), tiny=True)]
    assert [sample["equal"] for sample in samples if "equal" in sample] == [True] * 4
    mine = [sample for sample in samples if sample["contestant"] == "scrubjay" and "ms" in sample]
    # Five tokens are too few for a checkpoint of their own at the second edit; a repetition knows nothing of it.
    assert [(sample["round"], sample["needed"]) for sample in mine] == [(0, 123), (1, 123), (0, 123), (1, 123)]
    assert [sample["processed"] for sample in mine] == [128] * 4
    json.dumps(samples)


def test_without_a_checkout_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="checkout"):
        run_bench([], tmp_path)


@pytest.mark.slow
def test_the_command_passes_its_arguments_on(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_bench(["--help"]) == 0
    assert "--minutes" in capfd.readouterr().out


def test_the_keys_of_a_line_make_that_line_and_each_mistake_once() -> None:
    mistakes, made = dict(typing.MISTAKES), []
    for line in typing.FUNCTION.splitlines():
        text, indent = "    ", 4
        for key in typing.keys_of(line, indent, mistakes):
            n_back = (len(text) - 1) % 4 + 1 if not text.strip() else 1
            text = text[:-n_back] if key == "\b" else text + key
            made += [wrong for wrong in typing.MISTAKES.values() if text.endswith(wrong)]
        assert text == line
    assert sorted(made) == sorted(typing.MISTAKES.values())
