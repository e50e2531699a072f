"""Measuring one cell of the plan: start the contestants, let them take turns, compare every warm answer with the cold one."""

import json
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import islice, product
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import psutil

from scrubjay.cli.demo.outcome import agree, pieces_of
from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.protocol.messages import EngineSettings, Sampling
from scrubjay.tokens import Tokens
from tests.benchmarks.contestants import (
    Answer,
    BenchmarkFailed,
    Contestant,
    HighLevel,
    Ours,
    Server,
    default_server,
    n_cores,
    settle,
    tuned_server,
)
from tests.benchmarks.limit import Limit
from tests.benchmarks.peer import program
from tests.benchmarks.plan import CUT_ANYWHERE, N_FOR_ALL, WITHOUT_FLASH, Cell
from tests.benchmarks.work import Change, Step, Trace, base_prompt, edited, line_ends, raw_prompt, read_files
from tests.support.daemon_process import running_daemon
from tests.support.gguf_models import tiny_model, true_shape

Sample = dict[str, Any]
"""One measured thing: `contestant`, `round`, `ms`, and what else is known of it; `equal` where an answer was checked."""
SPARE = 1024
"""Tokens of context beyond the prompt."""
N_GENERATED = 64
N_FIRST = 4
"""Tokens before a generation from next to nothing."""
ROOT_URI = "file:///project"


@dataclass(frozen=True, slots=True)
class Bench:
    """What all contestants of a cell have in common."""

    cell: Cell
    model: Path
    vocabulary: Vocabulary
    stack: AsyncExitStack

    @property
    def n_ctx(self) -> int:
        return self.cell.n_tokens * 5 // 4 + SPARE

    @property
    def settings(self) -> EngineSettings:
        return EngineSettings(str(self.model), n_ctx=self.n_ctx, n_threads=n_cores())

    async def ours(self, settings: EngineSettings | None = None) -> Ours:
        made = await Ours.start(settings or self.settings)
        self.stack.push_async_callback(made.close)
        return made

    def limit(self) -> Limit:
        made = Limit(self.model, self.n_ctx, n_cores())
        self.stack.callback(made.close)
        return made

    def high_level(self) -> HighLevel:
        made = HighLevel(self.model, self.n_ctx, n_cores())
        self.stack.push_async_callback(made.close)
        return made

    async def servers(self, interval: int, prompt: Tokens) -> list[Server]:
        """llama-server as it comes and at its strongest, also without flash attention where we do without it; none where it
        has not been built."""
        if program("llama-server") is None:
            return []
        ends = line_ends(self.vocabulary, prompt)
        made = [default_server(self.model, self.n_ctx, n_cores())]
        made += [
            tuned_server(self.model, self.n_ctx, n_cores(), interval, ends, flash_attention)
            for flash_attention in ((True, False) if self.cell.kind in WITHOUT_FLASH else (True,))
        ]
        for server in made:
            self.stack.push_async_callback(server.close)
            await server.ready()
        return made


class Stolen:
    """Measures what the hypervisor takes meanwhile: `share`, of the time of all processors; 0 where the system does not say."""

    share = 0.0

    def __enter__(self) -> "Stolen":
        self._before = psutil.cpu_times()
        return self

    def __exit__(self, *_: object) -> None:
        after = psutil.cpu_times()
        if (passed := sum(after) - sum(self._before)) > 0:
            self.share = (getattr(after, "steal", 0.0) - getattr(self._before, "steal", 0.0)) / passed


async def measure(cell: Cell, tiny: bool) -> AsyncIterator[Sample]:
    """The samples of `cell`, as they come.

    Raises:
        BenchmarkFailed: a contestant failed, or a warm answer was wrong.
    """
    model = tiny_model(cell.kind) if tiny else true_shape(cell.kind)
    vocabulary = Vocabulary.open(model)
    works = {
        "edit": _edits,
        "trace": _trace,
        "typing": _typing,
        "switch": _switching,
        "cancel": _cancelled,
        "speed": _speed,
    }
    try:
        async with AsyncExitStack() as stack:
            async for sample in works[cell.work](Bench(cell, model, vocabulary, stack)):
                if sample.get("equal") is False:
                    raise BenchmarkFailed(f"{cell.key}: a warm answer differs from the cold one.")
                yield sample
    finally:
        vocabulary.close()


# --- the works -------------------------------------------------------------------------------------------------------


async def _edits(bench: Bench) -> AsyncIterator[Sample]:
    """One token replaced, again and again, at one place of a prompt."""
    cell, random = bench.cell, Random(1)
    prompt = base_prompt(bench.vocabulary, cell.n_tokens)
    at = cell.n_tokens * cell.position // 100
    ours, limit = await bench.ours(), bench.limit()
    assert ours.info
    servers = await bench.servers(ours.info.interval, prompt)
    limit.prepare(prompt, [at])
    everyone: list[Contestant] = [ours, *servers, bench.high_level()]
    # Where the memory can be cut anywhere, the server as it comes learns as much as the tuned one.
    learners: list[Contestant] = [ours, *servers[cell.kind != "dense" :]]
    for contestant in everyone:
        await contestant.ask(prompt)
    for turn, (repeat, number) in enumerate(product(range(cell.n_repeats), range(cell.n_rounds))):
        if repeat and not number and cell.kind not in CUT_ANYWHERE:
            prompt = edited(prompt, 0, random)
            ours.begin_anew()
            for contestant in learners:
                await contestant.ask(prompt)
        prompt = edited(prompt, cell.position, random)
        for contestant in _turn(everyone if turn < N_FOR_ALL else learners, turn):
            await settle()
            with Stolen() as stolen:
                answer = await contestant.ask(prompt)
            yield _sample(contestant.name, number, answer, stolen=stolen.share)
            if contestant is ours:  # its limit at once, before the machine has changed
                await settle()
                with Stolen() as stolen:
                    answer = limit.time(at, cell.n_tokens)
                yield _sample(limit.name, number, answer, stolen=stolen.share)
        yield await _checked(ours, prompt, number, n_new=cell.n_tokens - at)
    for contestant in everyone:
        yield {"contestant": contestant.name, "round": 0, "rss": contestant.rss()}


async def _trace(bench: Bench) -> AsyncIterator[Sample]:
    """The first prompt after each kind of thing that people do to their files, as simple clients send it."""
    trace = Trace(read_files(bench.cell.n_tokens * 3), seed=2)
    first = base_prompt(bench.vocabulary, bench.n_ctx - SPARE // 2)
    ours, limit = await bench.ours(), bench.limit()
    assert ours.info
    tuned = (await bench.servers(ours.info.interval, first))[1:]
    limit.prepare(first, range(256, len(first), 256))
    for number, step in enumerate(islice(_telling(trace.steps()), bench.cell.n_rounds + 1)):
        text = raw_prompt(trace.files, step.file, step.cursor)
        prompt = bench.vocabulary.tokenize(text)[: len(first)]
        for contestant in _turn([ours, *tuned], number):
            await settle()
            answer = await contestant.ask(prompt)
            if number:  # the very first prompt is new to everybody
                yield _sample(contestant.name, number, answer, what=step.what)
            if number and contestant is ours:
                await settle()
                yield _sample(limit.name, number, limit.time(len(prompt) - answer.needed, len(prompt)))
        yield await _checked(ours, prompt, number)


async def _typing(bench: Bench) -> AsyncIterator[Sample]:
    """Keystrokes in an editor: change and completion through the daemon, and through `/infill` of llama-server."""
    folder = Path(bench.stack.enter_context(tempfile.TemporaryDirectory()))
    # Whatever a jump may cost: prompts are to be as long as the servers', as long windows are not what is compared.
    budgets = (f"--context-budget={bench.cell.n_tokens}", "--latency-budget-ms=1000000")
    # An engine whose daemon was killed would still write records into the folder that is taken away.
    options = (f"--threads={n_cores()}", *budgets, "--no-warm", "--store=off")
    daemon = await bench.stack.enter_async_context(running_daemon(bench.model, folder / "s", bench.n_ctx, options))
    await daemon.ready()
    trace = Trace(read_files(bench.cell.n_tokens * 3), seed=3)
    for name, text in trace.files.items():
        await daemon.api.open(f"{ROOT_URI}/{name}", text, "/project")
    servers = await bench.servers(256, base_prompt(bench.vocabulary, 512))
    for number, step in enumerate(islice(trace.typing(), bench.cell.n_rounds + 1)):
        await settle()
        begun = perf_counter()
        body = _change(trace, step, number)
        await _posted(daemon.api.post("/api/documents/change", body))
        warm = await _posted(daemon.api.post("/api/complete", {**_place(trace, step), "max_tokens": 1, "rules": False}))
        ms, cost = (perf_counter() - begun) * 1e3, warm["reuse"]
        if cost["reason"] == "cached":
            raise BenchmarkFailed(f"{bench.cell.key}: an answer came without the model; this is not what is measured.")
        if number:
            extra = {"own_ms": warm["timings"]["own_ms"]}
            yield _sample(
                "scrubjay", number, Answer(ms, cost["processed"], cost["needed"], prompt=cost["prompt"]), **extra
            )
        for server in servers:
            await settle()
            answer = await server.post("/infill", _infill(trace, step))
            if number:
                yield _sample(server.name, number, answer)
        question = {**_place(trace, step), "max_tokens": 8, "margins": True, "rules": False}
        again = await _posted(daemon.api.post("/api/complete", question))
        cold = await _posted(daemon.api.post("/api/complete", {**question, "cold": True}))
        yield _verdict(number, agree(pieces_of(again), pieces_of(cold)))


async def _switching(bench: Bench) -> AsyncIterator[Sample]:
    """From one project to another and back, with an edit near the end each time."""
    random, n = Random(4), bench.cell.n_tokens
    text = "".join(reversed(read_files(n * 8).values()))
    prompts = {"/a": base_prompt(bench.vocabulary, n), "/b": bench.vocabulary.tokenize(text)[:n]}
    ours = await bench.ours()
    assert ours.info
    servers = await bench.servers(ours.info.interval, prompts["/a"])
    for number in range(bench.cell.n_rounds + 1):
        for key, before in prompts.items():
            prompt = prompts[key] = edited(before, 99, random) if number else before
            await settle()
            answer = await ours.ask(prompt, key)
            answers = [("scrubjay", answer)]
            for server in servers:
                await settle()
                answers.append((server.name, await server.ask(prompt)))
            for name, measured in answers if number else []:
                yield _sample(name, number, measured, project=key)
            yield await _checked(ours, prompt, number, key)


async def _cancelled(bench: Bench) -> AsyncIterator[Sample]:
    """A prompt that was begun ahead of need and given up, and is then asked for."""
    random, prompt = Random(5), base_prompt(bench.vocabulary, bench.cell.n_tokens)
    ours = await bench.ours()
    await ours.ask(prompt)
    for number in range(bench.cell.n_rounds):
        prompt = edited(prompt, 50, random)
        await ours.cancelled_preload(prompt)
        await settle()
        yield _sample(ours.name, number, await ours.ask(prompt))
        yield await _checked(ours, prompt, number)


async def _speed(bench: Bench) -> AsyncIterator[Sample]:
    """Generation beside llama-bench; what checkpoints cost; graphs reused or not; the first completion and a later one."""
    n_rounds, n_tokens, random = bench.cell.n_rounds, bench.cell.n_tokens, Random(6)
    prompt = base_prompt(bench.vocabulary, n_tokens)
    settings = bench.settings
    ours = await bench.ours()
    for engine, number in product((ours, await bench.ours(replace(settings, interval=256))), range(n_rounds)):
        prompt = edited(prompt, 0, random)
        cost, _, _ = await engine.generate(prompt, Sampling(max_tokens=0), "/prefill")
        status = await engine.status()
        share = {"share": cost.checkpoint_ms / cost.prefill_ms, "bytes": status.checkpoint_bytes}
        interval = engine.info and engine.info.interval
        yield {"contestant": "scrubjay", "round": number, "checkpoints": {**share, "interval": interval}}
    unused = await bench.ours(replace(settings, graph_reuse=False))
    # After nothing it takes little time, and differs much.
    for number, depth in (*product(range(5 * n_rounds), (0,)), *product(range(n_rounds), (n_tokens,))):
        for name, engine in _turn([("scrubjay", ours), ("no-graph-reuse", unused)], number):
            await settle()
            speed = await _generation(engine, prompt[: depth or N_FIRST])
            yield {"contestant": name, "round": number, "depth": depth, "tokens_per_s": speed}
        await settle()
        for name, speed in _llama_bench(bench.model, depth, "0,1" if bench.cell.kind in WITHOUT_FLASH else "1"):
            yield {"contestant": name, "round": number, "depth": depth, "tokens_per_s": speed}
    for is_eager in (True, False):
        fresh = await bench.ours(replace(settings, eager_load=is_eager))
        await settle()
        first = await fresh.ask(prompt[:32], "/first")
        steady = [(await fresh.ask(prompt[32 * i : 32 * (i + 1)], f"/{i}")).ms for i in range(1, 4)]
        name = "eager" if is_eager else "lazy"
        yield {"contestant": name, "round": 0, "first_ms": first.ms, "steady_ms": min(steady)}


# --- helpers ---------------------------------------------------------------------------------------------------------


def _turn(some: list[Any], number: int) -> list[Any]:
    """Another order in each round, the same in each run: neither a drift of the machine nor who was before favours anybody."""
    return Random(number).sample(some, len(some))


def _sample(name: str, number: int, answer: Answer, **more: object) -> Sample:
    costs = {"restore_ms": answer.restore_ms, "checkpoint_ms": answer.checkpoint_ms}
    known = {"ms": answer.ms, "prompt": answer.prompt, "processed": answer.processed, "needed": answer.needed}
    return {"contestant": name, "round": number, **known, **costs, **more}


async def _checked(ours: Ours, prompt: Tokens, number: int, context: str = "", n_new: int = 0) -> Sample:
    return _verdict(number, agree(*await ours.answers(prompt, context, n_new)))


def _verdict(number: int, is_equal: bool) -> Sample:
    return {"contestant": "check", "round": number, "equal": is_equal}


def _telling(steps: Iterator[Step]) -> Iterator[Step]:
    """The first step of each stretch of the same kind; the other steps are made all the same."""
    before = ""
    for step in steps:
        if step.what != before:
            yield step
        before = step.what


async def _generation(engine: Ours, prompt: Tokens) -> float:
    """Tokens per second, once `prompt` has been processed."""
    sampling = Sampling(max_tokens=N_GENERATED, ignore_end=True)
    _, done, _ = await engine.generate(prompt, sampling, f"/speed/{len(prompt)}")
    return done.n_generated / done.generate_ms * 1e3


def _llama_bench(model: Path, depth: int, flash_attention: str) -> list[tuple[str, float]]:
    """Tokens per second that llama-bench generates after `depth` tokens, for each kind of attention, with its name there;
    none where it has not been built."""
    path = program("llama-bench")
    if path is None:
        return []
    command = (str(path), "-m", str(model), "-p", "0", "-n", str(N_GENERATED), "-t", str(n_cores()), "-d", str(depth))
    done = subprocess.run(
        (*command, "-fa", flash_attention, "-r", "1", "-o", "json"), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkFailed(f"llama-bench failed: {done.stderr[-500:]}")
    tests = json.loads(done.stdout)
    return [("llama-bench" if test["flash_attn"] else "llama-bench, no fa", float(test["avg_ts"])) for test in tests]


def _position(text: str, at: int) -> dict[str, int]:
    before = text[:at]
    return {"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1}


def _place(trace: Trace, step: Step) -> dict[str, object]:
    position = _position(trace.files[step.file], step.cursor)
    return {"uri": f"{ROOT_URI}/{step.file}", "position_encoding": "utf-32", "position": position}


def _change(trace: Trace, step: Step, number: int) -> dict[str, object]:
    """The change of a keystroke, for the daemon. The text before it ends as the one after it, but for that letter."""
    (change,) = step.changes
    text = trace.files[step.file]
    before = Change(step.file, change.start, change.start + len(change.text), "").applied(text)
    place = {"start": _position(before, change.start), "end": _position(before, change.end)}
    changes = [{"range": place, "text": change.text}]
    document = {"uri": f"{ROOT_URI}/{step.file}", "position_encoding": "utf-32", "version": number + 2}
    return {**document, "changes": changes}


def _infill(trace: Trace, step: Step) -> dict[str, object]:
    text = trace.files[step.file]
    extra = [{"filename": name, "text": other} for name, other in trace.files.items() if name != step.file]
    return {
        "input_prefix": text[: step.cursor],
        "input_suffix": text[step.cursor :],
        "input_extra": extra,
        "prompt": "",
    }


async def _posted(answer: Any) -> dict[str, Any]:
    status, body = await answer
    if status != 200:
        raise BenchmarkFailed(f"The daemon answered {status}: {body}")
    return dict(body)
