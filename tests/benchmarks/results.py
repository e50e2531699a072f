"""The samples of a run on disk, the table made of them, and the plots."""

import json
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil

from tests.benchmarks.plan import Cell

Sample = dict[str, Any]
Record = dict[str, Any]
"""A cell that was measured: its fields under `cell`, its samples under `samples`."""
Finished = dict[str, Record]
"""Records by key."""
DISTURBED = 0.1
"""Where the hypervisor took more than this share of the processors, a time says more of it than of who was measured."""
CONTESTANTS = ("scrubjay", "limit", "server", "tuned", "tuned, no fa", "Llama")
BENCHES = ("llama-bench", "llama-bench, no fa")
ALL_DISTURBED = "every round was disturbed"
REMARKS = "## Remarks"
SECTIONS = {
    "edit": "Edits in the middle",
    "typing": "Typing in an editor (the servers through `/infill`)",
    "trace": "Traces of edits, as raw prompts",
    "switch": "Switching between two projects",
    "cancel": "A cancelled preload, then the request",
}


def finished(path: Path) -> Finished:
    """What `path` has; a last line that was cut off by the end of the process does not count."""
    found: Finished = {}
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[record["key"]] = record
    return found


def append(path: Path, cell: Cell, samples: Sequence[Sample]) -> None:
    """Add a finished cell."""
    record = {
        "key": cell.key,
        "cell": asdict(cell),
        "at": datetime.now(UTC).isoformat(),
        "load": psutil.getloadavg()[0],
    }
    with path.open("a", encoding="utf-8") as file:
        # A line that was cut off stays by itself.
        file.write("\n" * (file.tell() > 0) + json.dumps({**record, "samples": list(samples)}))


def lines_of(cell: Cell, samples: Sequence[Sample]) -> Iterator[str]:
    """What was found, in short."""
    for name in CONTESTANTS:
        if times := _times(samples, name):
            processed = median(sample["processed"] for sample in _timed(samples, name))
            yield f"{name}: {median(times):.1f} ms, {processed:.0f} tokens"
    if cell.work == "speed":
        yield from _speed_lines(samples)


def write(path: Path, report: Path, command: str) -> None:
    """Write the report on the samples in `path`; beside it the samples, and plots where matplotlib is installed."""
    found = finished(path)
    lines = ["# What was measured", "", *_head(command), "", *_goals(found), *_remarks(report)]
    for work, title in SECTIONS.items():
        records = [record for record in found.values() if record["cell"]["work"] == work]
        if records:
            lines += [f"## {title}", "", *_table(records), ""]
    lines += [*_speeds(found), *_memory(found), *_summary(found)]
    lines += [f"![{name}]({name})" for name in plots(found, report)]
    report.write_text("\n".join(lines).rstrip() + "\n", "utf-8")
    if (raw := report.with_suffix(".jsonl")) != path:
        raw.write_text("".join(json.dumps(record) + "\n" for record in found.values()), "utf-8")


def plots(found: Finished, report: Path) -> list[str]:
    """Draw the time to the first token against the place of the edit, a file for each class; their names."""
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return []
    edits = [record for record in found.values() if record["cell"]["work"] == "edit"]
    names = []
    for kind, n_tokens in sorted({(record["cell"]["kind"], record["cell"]["n_tokens"]) for record in edits}):
        chosen = [r for r in edits if (r["cell"]["kind"], r["cell"]["n_tokens"]) == (kind, n_tokens)]
        figure, axes = pyplot.subplots()
        for name in CONTESTANTS:
            points = sorted(
                (r["cell"]["position"], median(times)) for r in chosen if (times := _times(r["samples"], name))
            )
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set(xlabel="place of the edit, % of the prompt", ylabel="ms to the first token", yscale="log")
        axes.set_title(f"{kind}, {n_tokens} tokens")
        axes.legend()
        names.append(f"{report.stem.lower()}-{kind}-{n_tokens}.png")
        figure.savefig(report.with_name(names[-1]), dpi=90)
        pyplot.close(figure)
    return names


def _goals(found: Finished) -> Iterator[str]:
    """What was wanted, class by class, and what came out."""
    yield from ("## Goals", "", "| goal | class | measured | |", "|---|---|---|---|")
    for kind, work, records in sorted(_groups(found), key=lambda group: (group[1], group[0])):
        for goal, measured, is_met in _OUTCOMES[work](kind, records) if work in _OUTCOMES else ():
            yield f"| {goal} | {kind} | {measured} | {'met' if is_met else '**missed**'} |"
    yield ""


def _groups(found: Finished) -> Iterator[tuple[str, str, list[Record]]]:
    """The records of each class and work."""
    for kind, work in sorted({(r["cell"]["kind"], r["cell"]["work"]) for r in found.values()}):
        yield kind, work, [r for r in found.values() if (r["cell"]["kind"], r["cell"]["work"]) == (kind, work)]


Outcome = tuple[str, str, bool]
"""A goal, what was measured, and whether the goal was met."""


def _edit_outcomes(kind: str, records: Sequence[Record]) -> Iterator[Outcome]:
    if any(_compared(record, "limit") for record in records):
        ratios = _all_ratios(records, "limit")
        said = f"{median(ratios):.2f}, {_p95(ratios):.2f}" if ratios else ALL_DISTURBED
        is_met = bool(ratios) and median(ratios) <= 1.1 and _p95(ratios) <= 1.3
        yield "edit: time to the limit's, median <= 1.10, p95 <= 1.3", said, is_met
    goal, most = ("edit: at most 3 % slower than", 1.03) if kind == "dense" else ("edit: never slower than", 1.0)
    # Where the memory can be cut anywhere, llama-server needs no tuning.
    for name in ("tuned", "tuned, no fa", *(["server"] if kind == "dense" else [])):
        if any(_compared(record, name) for record in records):
            ratios, said = _all_ratios(records, name), ALL_DISTURBED
            if ratios:
                worst_place = max(median(some) for record in records if (some := _ratios(record, name)))
                said = f"{median(ratios):.2f} of its time, where it is worst {worst_place:.2f}, at worst once {max(ratios):.2f}"
            yield f"{goal} `{name}`", said, bool(ratios) and max(ratios) <= most


def _typing_outcomes(_kind: str, records: Sequence[Record]) -> Iterator[Outcome]:
    for record in records:
        ratios = _ratios(record, "tuned")
        if ratios:
            goal = f"typing, {record['cell']['n_tokens']} tokens: first token >= 20 x sooner than `tuned`'s"
            yield goal, f"{1 / median(ratios):.0f} x", median(ratios) <= 1 / 20
        own = [sample["own_ms"] for sample in record["samples"] if "own_ms" in sample]
        yield (
            f"typing, {record['cell']['n_tokens']} tokens: own time <= 2 ms",
            f"{median(own):.2f} ms",
            median(own) <= 2,
        )


def _speed_outcomes(_kind: str, records: Sequence[Record]) -> Iterator[Outcome]:
    for record in records:
        samples = record["samples"]
        for depth in _depths(samples):
            ours, bench = _speed(samples, "scrubjay", depth), max(_speed(samples, name, depth) for name in BENCHES)
            if bench:
                goal = f"generation after {depth} tokens >= 0.97 of llama-bench's, the better of both"
                yield goal, f"{ours / bench:.2f}", ours / bench >= 0.97
        for interval, shares, _ in _kept(samples):
            yield (
                f"checkpoints every {interval} tokens <= 1 % of a prefill",
                f"{median(shares):.2%}",
                median(shares) <= 0.01,
            )
        for sample in samples:
            if sample["contestant"] == "eager":
                ratio = sample["first_ms"] / sample["steady_ms"]
                yield "first completion <= 1.1 of a later one", f"{ratio:.2f}", ratio <= 1.1


_OUTCOMES: dict[str, Callable[[str, Sequence[Record]], Iterator[Outcome]]] = {
    "edit": _edit_outcomes,
    "typing": _typing_outcomes,
    "speed": _speed_outcomes,
}


def _remarks(report: Path) -> Iterator[str]:
    """What people wrote into the report under that heading: a new run leaves it there."""
    old = report.read_text("utf-8") if report.exists() else ""
    _, heading, rest = old.partition(f"{REMARKS}\n")
    if heading:
        yield from (REMARKS, "", rest.partition("\n## ")[0].strip(), "")


def _head(command: str) -> Iterator[str]:
    memory = psutil.virtual_memory().total >> 30
    yield f"Command: `{command}`, {datetime.now(UTC):%Y-%m-%d}."
    yield f"Machine: {_processor()}, {psutil.cpu_count(logical=False)} cores, {memory} GiB, {platform.system()}."
    packages = ", ".join(f"{name} {version(name)}" for name in ("scrubjay", "llama-cpp-python"))
    yield f"Versions: {packages}, Python {platform.python_version()}; llama-server is built from the same source."
    yield ""
    yield "Models have true shapes and random weights, Q8_0. Times are milliseconds to the first token, median / 95th percentile."
    yield "`limit` processes exactly the needed tokens from a hot state; `server` is llama-server as it comes, `tuned` with"
    yield "`-np 1 -fa on -ctxcp 128 -cms I --swa-full` and a checkpoint at line ends, `tuned, no fa` the same with `-fa off`."
    yield "Every warm answer equalled the cold one."


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _table(records: Sequence[Record]) -> Iterator[str]:
    yield (
        "| class | tokens | edit at | prompt (tuned) | needed | processed | "
        + " | ".join(CONTESTANTS)
        + " | of the limit |"
    )
    yield "|---" * (7 + len(CONTESTANTS)) + "|"
    for record in sorted(records, key=lambda r: (r["cell"]["kind"], r["cell"]["n_tokens"], r["cell"]["position"])):
        cell, samples = record["cell"], record["samples"]
        mine = _timed(samples, "scrubjay")
        counts = [f"{median(sample[name] for sample in mine):.0f}" for name in ("needed", "processed")]
        times = [_median_and_p95(_times(samples, name)) for name in CONTESTANTS]
        ratios = _ratios(record, "limit")
        place = f"{cell['position']} %" if cell["position"] else ""
        lengths = [str(n) for name in ("scrubjay", "tuned") if (n := _prompt_length(samples, name))]
        prompt = f"{lengths[0]} ({', '.join(lengths[1:])})" if lengths[1:] else "".join(lengths)
        shown = f"{median(ratios):.2f}" if ratios else ""
        yield "| " + " | ".join([cell["kind"], str(cell["n_tokens"]), place, prompt, *counts, *times, shown]) + " |"


def _summary(found: Finished) -> Iterator[str]:
    """Ratios over everything, class by class: below 1 is quicker than the other."""
    yield from (
        "## Ratios of times, Scrubjay to the others",
        "",
        "Here and in the goals, rounds are left out in which the hypervisor took more than "
        f"{DISTURBED:.0%} of the processors from either.",
        "Where rounds were repeated, each one's best time is compared.",
        *_noise(found),
        "",
        "| class | work | to | median | p95 | n | left out |",
        "|---|---|---|---|---|---|---|",
    )
    for kind, work, records in _groups(found):
        for name in CONTESTANTS[1:]:
            n_all = sum(len(_compared(record, name)) for record in records)
            ratios = _all_ratios(records, name)
            figures = f"{median(ratios):.3f} | {_p95(ratios):.3f}" if ratios else " | "
            if n_all:
                yield f"| {kind} | {work} | {name} | {figures} | {len(ratios)} | {n_all - len(ratios)} |"
    yield ""


def _noise(found: Finished) -> Iterator[str]:
    """How much times differ where nothing else does: in a cell, the limit does the same each time."""
    times = [_times(record["samples"], "limit") for record in found.values() if record["cell"]["work"] == "edit"]
    if spreads := [max(some) / min(some) for some in times if len(some) > 1]:
        yield (
            f"The limit's times are of the same work within a cell: the longest was {median(spreads):.2f} of the shortest "
            f"in a median cell, {max(spreads):.2f} in the worst."
        )


def _speeds(found: Finished) -> Iterator[str]:
    records = [record for record in found.values() if record["cell"]["work"] == "speed"]
    if records:
        yield from ("## Generation, checkpoints, loading", "")
    for record in records:
        for line in _speed_lines(record["samples"]):
            yield f"- {record['cell']['kind']}, {record['cell']['n_tokens']} tokens: {line}"
    if records:
        yield ""


def _memory(found: Finished) -> Iterator[str]:
    """The most that each had after edits, in MiB; the class `Llama` shares the model's pages with the limit."""
    most: dict[str, dict[str, float]] = {}
    for record in found.values():
        for sample in record["samples"]:
            if "rss" in sample:
                sizes = most.setdefault(f"{record['cell']['kind']} | {record['cell']['n_tokens']}", {})
                name = sample["contestant"]
                sizes[name] = max(sizes.get(name, 0), sample["rss"] / (1 << 20))
    names = [name for name in CONTESTANTS if any(name in sizes for sizes in most.values())]
    if names:
        yield from (
            "## Memory, MiB resident",
            "",
            f"| class | tokens | {' | '.join(names)} |",
            "|---" * (2 + len(names)) + "|",
        )
        for key, sizes in sorted(most.items()):
            yield f"| {key} | " + " | ".join(f"{sizes[name]:.0f}" if name in sizes else "" for name in names) + " |"
        yield ""


def _speed_lines(samples: Sequence[Sample]) -> Iterator[str]:
    for depth, name in product(_depths(samples), ("scrubjay", "no-graph-reuse", *BENCHES)):
        if speed := _speed(samples, name, depth):
            yield f"{name} generates {speed:.1f} tokens/s after {depth} tokens"
    for interval, shares, n_bytes in _kept(samples):
        spread = f" ({', '.join(f'{share:.2%}' for share in shares)})" if shares[1:] else ""
        share, size = f"{median(shares):.2%} of a prefill's time{spread}", n_bytes / (1 << 20)
        yield f"checkpoints every {interval} tokens: {share}, {size:.1f} MiB"
    for sample in samples:
        if "first_ms" in sample:
            ratio = sample["first_ms"] / sample["steady_ms"]
            yield f"{sample['contestant']} load: first completion {sample['first_ms']:.0f} ms, {ratio:.2f} of a later one"


def _kept(samples: Sequence[Sample]) -> Iterator[tuple[int, list[float], int]]:
    """For each interval: it, the checkpoints' share of the time of each prefill, and their bytes."""
    found = [sample["checkpoints"] for sample in samples if "checkpoints" in sample]
    for interval in dict.fromkeys(kept["interval"] for kept in found):
        some = [kept for kept in found if kept["interval"] == interval]
        yield interval, [kept["share"] for kept in some], some[-1]["bytes"]


def _depths(samples: Sequence[Sample]) -> list[int]:
    """After how many tokens generation was measured."""
    return sorted({sample["depth"] for sample in samples if "depth" in sample})


def _speed(samples: Sequence[Sample], name: str, depth: int) -> float:
    """Tokens per second after `depth` tokens in the median round, 0 if that was not measured."""
    speeds = [s["tokens_per_s"] for s in samples if s["contestant"] == name and s.get("depth") == depth]
    return median(speeds) if speeds else 0.0


def _times(samples: Sequence[Sample], name: str) -> list[float]:
    return [sample["ms"] for sample in _timed(samples, name)]


def _timed(samples: Sequence[Sample], name: str) -> list[Sample]:
    return [sample for sample in samples if sample["contestant"] == name and "ms" in sample]


def _prompt_length(samples: Sequence[Sample], name: str) -> int:
    """Of the median prompt: the same work does not always mean the same prompt where each makes its own."""
    return int(median([sample["prompt"] for sample in _timed(samples, name)] or [0]))


def _ratios(record: Record, name: str) -> list[float]:
    """Of times in the same round, the best where it was repeated; but those that were disturbed."""
    kept = [
        [(a["ms"], b["ms"]) for a, b in some if not _is_disturbed(a) and not _is_disturbed(b)]
        for some in _compared(record, name)
    ]
    return [min(a for a, _ in some) / min(b for _, b in some) for some in kept if some]


def _compared(record: Record, name: str) -> list[list[tuple[Sample, Sample]]]:
    """What Scrubjay and `name` did in the same rounds; each round of edits with its repetitions."""
    pairs = list(zip(_timed(record["samples"], "scrubjay"), _timed(record["samples"], name), strict=False))
    if record["cell"]["work"] != "edit":
        return [[pair] for pair in pairs]
    rounds = sorted({mine["round"] for mine, _ in pairs})
    return [[pair for pair in pairs if pair[0]["round"] == number] for number in rounds]


def _is_disturbed(sample: Sample) -> bool:
    return bool(sample.get("stolen", 0.0) > DISTURBED)


def _all_ratios(records: Sequence[Record], name: str) -> list[float]:
    return [ratio for record in records for ratio in _ratios(record, name)]


def _median_and_p95(times: Sequence[float]) -> str:
    return f"{median(times):.0f} / {_p95(times):.0f}" if times else ""


def _p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]
