"""The benchmark: `python -m tests.benchmarks`, which is the same as `scrubjay bench` and `make bench`.

Goes on where it was stopped: each finished cell of the plan is kept in a file of samples, one line of JSON each.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from scrubjay.engine.client import environment
from tests.benchmarks import results, typing
from tests.benchmarks.contestants import BenchmarkFailed
from tests.benchmarks.measure import Sample, measure
from tests.benchmarks.peer import ROOT, program
from tests.benchmarks.plan import PAIR, Cell, cells, fitting, quick_cells
from tests.support.gguf_models import MODEL_CLASSES, true_shape

FOLDER = ROOT / ".cache" / "bench"
QUICK_LINES = 4


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is asked for; 1 if a contestant failed or an answer was wrong."""
    arguments = _parser().parse_args(argv)
    path: Path = arguments.out or FOLDER / ("quick.jsonl" if arguments.quick else "samples.jsonl")
    path.parent.mkdir(parents=True, exist_ok=True)
    if arguments.fresh:
        path.unlink(missing_ok=True)
    if program("llama-server") is None:
        print("llama-server has not been built (`make bench-peer`): it will be missing from the table.", flush=True)
    plan = quick_cells() if arguments.quick else cells(arguments.kinds, arguments.tokens)
    try:
        asyncio.run(_run(plan, path, arguments.quick, arguments.minutes * 60))
    except BenchmarkFailed as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    command = " ".join(["scrubjay bench", *(sys.argv[1:] if argv is None else argv)])
    report = path.with_suffix(".md") if arguments.quick or arguments.out else Path(__file__).with_name("RESULTS.md")
    results.write(path, report, command)
    print("typing a function, key by key", flush=True)
    with report.open("a", encoding="utf-8") as out:
        out.write("\n" + typing.report(QUICK_LINES if arguments.quick else typing.N_LINES))
    print(f"{report} has the table, {path} the samples.")
    return 0


async def _run(plan: Sequence[Cell], path: Path, tiny: bool, seconds: float) -> None:
    """Measure the cells that fit into the time and are not in `path` yet."""
    finished = results.finished(path)
    todo = [cell for cell in plan if cell.key not in finished]
    if seconds:
        todo = fitting(todo, seconds)
    if not tiny:
        for kind in sorted({cell.kind for cell in todo}):
            print(f"model of true shape: {kind}", flush=True)
            true_shape(kind)
    begun, estimated = monotonic(), 0.0
    for number, cell in enumerate(todo, 1):
        left = sum(later.seconds for later in todo[number - 1 :])
        # How the machine compares with the estimates is known after the first cell.
        factor = (monotonic() - begun) / estimated if estimated else 1.0
        passed = monotonic() - begun
        if seconds and passed + cell.seconds * factor > seconds:
            print(f"{cell.key}: left out, it would take {cell.seconds * factor:.0f} s", flush=True)
            continue
        print(f"[{number}/{len(todo)}] {cell.key}; some {left * factor / 60:.0f} min to go", flush=True)
        samples: list[Sample] = [sample async for sample in measure(cell, tiny)]
        results.append(path, cell, samples)
        estimated += cell.seconds
        for line in results.lines_of(cell, samples):
            print(f"    {line}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scrubjay bench", description="Compare with llama-server and the limit.")
    parser.add_argument("--kinds", nargs="+", choices=MODEL_CLASSES, default=list(PAIR), help="classes of models")
    parser.add_argument(
        "--tokens", nargs="+", type=int, default=[2048, 8192], help="lengths of prompts (default: 2048 8192)"
    )
    parser.add_argument("--minutes", type=float, default=0, help="the most telling part that fits (default: all)")
    parser.add_argument("--quick", action="store_true", help="tiny models, in seconds: does the benchmark itself work?")
    parser.add_argument("--out", type=Path, help="file of samples; the table goes beside it")
    parser.add_argument("--fresh", action="store_true", help="start over instead of continuing")
    return parser


if __name__ == "__main__":
    if dict(os.environ) != environment():
        # The limit and the class `Llama` run in this process, as a model does in an engine's: what matters for the threads and
        # the copies is read when a process begins. The other contestants inherit it.
        os.execve(sys.executable, sys.orig_argv, environment())
    sys.exit(main())
