"""What the actions of a working day cost, in tokens: jumps, switches of file, undo, branches of a repository, a chat between.

    python -m tests.benchmarks.working_day [--shape NAME ...] [--ctx N] [--model PATH]

An editor, in this process, works on files of Python's library through a whole service with an engine: each action is what a
person does (jump there, undo that, switch to the other file), followed by a key with its completion, more keys, and a pause in
which the project is warmed. For each action the tables say what the completion of the first key has processed, which
is what the user waits for; the most that one of the next keys has; and all together, with the pause. *known*
is what the first key would have cost if every state ever reached could be gone back to: what the prompts alone decide.
The goal of a row, where it has one, is the checkpoint interval, and what was typed.

The models are tiny, for numbers of tokens do not depend on weights; no speed is measured, so that windows are as large as fit.
"""

import argparse
import asyncio
import email.generator
import email.iterators
import email.message
import email.utils
import inspect
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from scrubjay.protocol.messages import EngineSettings
from scrubjay.service.service import Service
from scrubjay.service.settings import ServiceSettings
from tests.benchmarks.desk import Desk, Row, lines_of
from tests.support.gguf_models import TINY, write_model

SHAPES = ("deltanet", "shortconv", "swa", "dense")
N_CTX = 8192
N_VOCAB = 16_384
"""Enough for words to be tokens, as in real vocabularies."""
INTERVAL = 64
NEAR = 64
"""What a step of ten lines may cost, beside what was typed."""
N_DELETED = 2000
"""Tokens of the large deletion."""
N_DOWN = 600
"""Lines; further than a window reaches."""
A, B, C, D = "message.py", "generator.py", "utils.py", "iterators.py"
EDITED = {name: inspect.getsource(sys.modules[f"email.{name[:-3]}"]) for name in (A, B, C, D)}
LIBRARY = Path(email.message.__file__).parent
OTHERS = ("errors.py", "encoders.py", "quoprimime.py", "base64mime.py", "parser.py")
FEATURE = ("errors.py", D, B, A)
"""Files that the other branch of the repository has changed."""
CHAT = "Explain what a generator of messages does with the lines that begin with From, and why.\n"
ROWS = ("| action | first key | next keys | all | known | prompt | goal | |", "|---" * 8 + "|")


# --- the day ---------------------------------------------------------------------------------------------------------


async def in_one_file(desk: Desk) -> None:
    """Jumps, words, undo."""
    desk.row("open A, cold")
    await desk.open(A, 30)
    desk.checkout({})
    await desk.ask()
    await desk.pause()
    desk.row("jump to A:241, type")
    desk.go(241)
    await desk.type()
    await desk.pause()
    desk.row("type 8 characters", goal=INTERVAL)
    await desk.type("\n    abcd")
    await desk.pause()
    desk.row("accept two lines, Enter, one key", goal=INTERVAL)
    before = desk.text
    await desk.insert(" = self.values\n    efgh = 1\n    ")
    await desk.type("x")
    await desk.pause()
    desk.row("undo that, type the same again", goal=INTERVAL)
    after, at = desk.text, desk.cursor
    await desk.become(before)
    await desk.ask()
    await desk.become(after)
    desk.cursors[A] = at
    await desk.ask()
    await desk.pause()
    desk.row("jump far down, type")
    await jump(desk, N_DOWN)
    desk.row("jump back, type", goal=INTERVAL)
    await jump(desk, -N_DOWN)
    desk.row("edit an import at line 19")
    here = desk.text.count("\n", 0, desk.cursor) + 1
    desk.go(19)
    await desk.type()
    await desk.pause()
    desk.row("far down again, type", goal=INTERVAL)
    await jump(desk, here - 19 + N_DOWN)
    desk.row("back to where the import is shown, type")
    await jump(desk, -N_DOWN)
    desk.row("far down once more, type", goal=INTERVAL)
    await jump(desk, N_DOWN)
    desk.row("back again, type", goal=INTERVAL)
    await jump(desk, -N_DOWN)


async def jump(desk: Desk, n_lines: int) -> None:
    desk.step(n_lines)
    await desk.type()
    await desk.pause()


async def two_files(desk: Desk) -> None:
    """A/B/A/B, with a pause at each and without."""
    desk.row("open B, jump to 400, type")
    await desk.open(B, 400)
    await desk.type()
    await desk.pause()
    for number in (1, 2, 3):
        for name, letter in ((A, "A"), (B, "B")):
            desk.row(f"back to {letter} ({number}), type", goal=INTERVAL if number > 1 else None)
            desk.name = name
            await desk.type()
            await desk.pause()
    for name, letter in ((A, "A"), (B, "B"), (A, "A")):
        desk.row(f"{letter} without a pause, type", goal=INTERVAL)
        desk.name = name
        await desk.type()
    await desk.pause()


async def two_files_in_one_prompt(desk: Desk) -> None:
    """The same where the prompt for the one shows the other."""
    desk.row("open D, which is small, type")
    await desk.open(D, 20)
    await desk.type()
    await desk.pause()
    for number in (1, 2, 3):
        for name, letter in ((A, "A"), (D, "D")):
            desk.row(f"back to {letter} ({number}), type", goal=INTERVAL if number > 1 else None)
            desk.name = name
            await desk.type()
            await desk.pause()
    desk.name = A


async def large_edits(desk: Desk) -> None:
    """Blocks deleted, pasted and renamed, and all of that undone."""
    await edit_and_undo(desk, "delete 2,000 tokens below, type", "undo that, type", deleted(desk))
    desk.row("delete 2,000 tokens, type elsewhere")
    before, at = desk.text, desk.cursor
    await desk.become(deleted(desk))
    desk.step(-60)
    await desk.type()
    await desk.pause()
    desk.row("undo both, type where the block was", goal=INTERVAL)
    await desk.become(before)
    desk.cursors[A] = at
    await desk.type()
    await desk.pause()
    start = desk.text.rfind("\n", 0, desk.cursor) + 1
    above = desk.text[: lines_of(desk.text, max(start - n_deleted(desk), 0), 0)[0]] + desk.text[start:]
    await edit_and_undo(desk, "delete 2,000 tokens above, type", "undo that, type", above)
    await edit_and_undo(
        desk, ":%s rename in A, type", "undo the rename, type", desk.text.replace("_headers", "_fields")
    )
    desk.row("redo the rename, type", goal=INTERVAL)
    before, at = desk.text, desk.cursor
    await desk.become(desk.text.replace("_headers", "_fields"))
    await desk.ask()
    await desk.become(before)
    desk.cursors[A] = at
    await desk.pause()
    block = "".join(desk.on_disk[C].splitlines(keepends=True)[100:130])
    pasted = desk.text[: desk.cursor] + "\n" + block + desk.text[desk.cursor :]
    await edit_and_undo(desk, "paste 30 lines, type after", "undo the paste, type", pasted)


def n_deleted(desk: Desk) -> int:
    """Characters of the large deletion, as far as the file has as many."""
    return min(4 * N_DELETED, len(desk.text) // 4)


def deleted(desk: Desk) -> str:
    start, end = lines_of(desk.text, desk.cursor, n_deleted(desk))
    return desk.text[:start] + desk.text[end:]


async def edit_and_undo(desk: Desk, edit: str, undo: str, text: str) -> None:
    """Where the cursor is after the undo is where it was before."""
    desk.row(edit)
    before, at = desk.text, desk.cursor
    await desk.become(text)
    await desk.type()
    await desk.pause()
    desk.row(undo, goal=INTERVAL)
    await desk.become(before)
    desk.cursors[A] = at
    await desk.type()
    await desk.pause()


async def branches(desk: Desk) -> None:
    """git checkout there and back, and other files."""
    desk.row("save, type", goal=INTERVAL)
    desk.checkout({A: desk.text})
    await desk.type()
    await desk.pause()
    main = {name: desk.on_disk[name] for name in FEATURE}
    feature = {name: text.replace("\n\n\n", "\n\n\n# another branch\n", 1) for name, text in main.items()}
    for number, goal in ((1, None), (2, INTERVAL)):
        desk.row(f"git checkout feature ({number}), type", goal=goal)
        await desk.reload(feature)
        await desk.type("y")
        await desk.reload(feature)
        await desk.pause()
        desk.row(f"git checkout main ({number}), type", goal=INTERVAL)
        await desk.reload(main)
        await desk.type("y")
        await desk.reload(main)
        await desk.pause()
    desk.row("open C, type")
    await desk.open(C, 200)
    await desk.type()
    await desk.pause()
    desk.row("back to A, type", goal=INTERVAL)
    desk.name = A
    await desk.type()
    await desk.pause()
    desk.row("close B, type in A", goal=INTERVAL)
    await desk.close(B)
    await desk.type()
    await desk.pause()


async def small_steps(desk: Desk) -> None:
    """Ten lines down and up; a line above and back."""
    desk.row("1 character 20 lines above")
    await jump(desk, -20)
    desk.row("back, type")
    await jump(desk, 20)
    for number in (1, 2):
        desk.row(f"10 lines down ({number}), type", goal=NEAR)
        await jump(desk, 10)
        desk.row(f"10 lines up ({number}), type", goal=NEAR)
        await jump(desk, -10)


async def interruptions(desk: Desk) -> None:
    """What comes between: a chat, and work in idle time."""
    desk.row("a chat question, then typing on", goal=INTERVAL)
    await desk.chat(CHAT * 20)
    await desk.type()
    await desk.pause()
    desk.row("jump far down, type")
    await jump(desk, N_DOWN)
    desk.row("another file changes on disk, pause, type")
    desk.checkout({OTHERS[0]: desk.on_disk[OTHERS[0]] + "\n\nLIMIT = 10\n"})
    await desk.pause()
    await desk.type()
    await desk.pause()
    desk.row("back after the project was laid out again, type", goal=INTERVAL)
    await jump(desk, -N_DOWN)


DAY = (in_one_file, two_files, two_files_in_one_prompt, large_edits, branches, small_steps, interruptions)


async def measure(model: Path, n_ctx: int) -> list[Row]:
    """The rows of one day."""
    engine = EngineSettings(str(model), n_ctx=n_ctx, n_threads=1, interval=INTERVAL, eager_load=False)
    # The pauses are made here: no clock is to decide what was warmed.
    settings = ServiceSettings(engine, warm_delay_ms=1e9, watch=False, rules=False, warm_on_battery=True)
    service = Service(settings)
    service.start()
    desk = Desk(service, EDITED | {name: (LIBRARY / name).read_text("utf-8") for name in OTHERS})
    listening = asyncio.create_task(desk.listen())
    try:
        for part in DAY:
            await part(desk)
    finally:
        await service.close()
        await listening
    return desk.rows


def write_light_model(shape: str, folder: str) -> Path:
    """A model with few weights, but a vocabulary in which words are tokens."""
    return write_model(shape, Path(folder) / f"{shape}.gguf", shape=replace(TINY[shape], n_vocab=N_VOCAB))


def lines(title: str, rows: list[Row]) -> Iterator[str]:
    """The table in Markdown."""
    yield from (f"## {title}", "", *ROWS, *map(str, rows), "")
    first, aims = [row.first for row in rows], [row for row in rows if row.limit is not None]
    yield f"First key: median {np.median(first):.0f}, most {max(first)}, all together {sum(first)}."
    yield f"With pauses and further keys: {sum(row.n_all for row in rows)}."
    yield f"Goals met: {sum(row.is_met for row in aims)} of {len(aims)}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--shape", nargs="+", default=SHAPES, choices=tuple(TINY), help="kinds of models")
    parser.add_argument("--ctx", type=int, default=N_CTX, help="tokens in the context")
    parser.add_argument("--model", type=Path, help="a GGUF file, instead of those with few weights")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for shape in [flags.model.stem] if flags.model else flags.shape:
            rows = asyncio.run(measure(flags.model or write_light_model(shape, folder), flags.ctx))
            print("\n".join(lines(f"{shape}, a context of {flags.ctx} tokens", rows)), flush=True)


if __name__ == "__main__":
    main()
