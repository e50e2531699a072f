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
from tests.benchmarks.scripted_editor import Row, ScriptedEditor, lines_of
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


async def in_one_file(editor: ScriptedEditor) -> None:
    """Jumps, words, undo."""
    editor.row("open A, cold")
    await editor.open(A, 30)
    editor.checkout({})
    await editor.ask()
    await editor.pause()
    editor.row("jump to A:241, type")
    editor.go(241)
    await editor.type()
    await editor.pause()
    editor.row("type 8 characters", goal=INTERVAL)
    await editor.type("\n    abcd")
    await editor.pause()
    editor.row("accept two lines, Enter, one key", goal=INTERVAL)
    before = editor.text
    await editor.insert(" = self.values\n    efgh = 1\n    ")
    await editor.type("x")
    await editor.pause()
    editor.row("undo that, type the same again", goal=INTERVAL)
    after, at = editor.text, editor.cursor
    await editor.become(before)
    await editor.ask()
    await editor.become(after)
    editor.cursors[A] = at
    await editor.ask()
    await editor.pause()
    editor.row("jump far down, type")
    await jump(editor, N_DOWN)
    editor.row("jump back, type", goal=INTERVAL)
    await jump(editor, -N_DOWN)
    editor.row("edit an import at line 19")
    here = editor.text.count("\n", 0, editor.cursor) + 1
    editor.go(19)
    await editor.type()
    await editor.pause()
    editor.row("far down again, type", goal=INTERVAL)
    await jump(editor, here - 19 + N_DOWN)
    editor.row("back to where the import is shown, type")
    await jump(editor, -N_DOWN)
    editor.row("far down once more, type", goal=INTERVAL)
    await jump(editor, N_DOWN)
    editor.row("back again, type", goal=INTERVAL)
    await jump(editor, -N_DOWN)


async def jump(editor: ScriptedEditor, n_lines: int) -> None:
    editor.step(n_lines)
    await editor.type()
    await editor.pause()


async def two_files(editor: ScriptedEditor) -> None:
    """A/B/A/B, with a pause at each and without."""
    editor.row("open B, jump to 400, type")
    await editor.open(B, 400)
    await editor.type()
    await editor.pause()
    for number in (1, 2, 3):
        for name, letter in ((A, "A"), (B, "B")):
            editor.row(f"back to {letter} ({number}), type", goal=INTERVAL if number > 1 else None)
            editor.name = name
            await editor.type()
            await editor.pause()
    for name, letter in ((A, "A"), (B, "B"), (A, "A")):
        editor.row(f"{letter} without a pause, type", goal=INTERVAL)
        editor.name = name
        await editor.type()
    await editor.pause()


async def two_files_in_one_prompt(editor: ScriptedEditor) -> None:
    """The same where the prompt for the one shows the other."""
    editor.row("open D, which is small, type")
    await editor.open(D, 20)
    await editor.type()
    await editor.pause()
    for number in (1, 2, 3):
        for name, letter in ((A, "A"), (D, "D")):
            editor.row(f"back to {letter} ({number}), type", goal=INTERVAL if number > 1 else None)
            editor.name = name
            await editor.type()
            await editor.pause()
    editor.name = A


async def large_edits(editor: ScriptedEditor) -> None:
    """Blocks deleted, pasted and renamed, and all of that undone."""
    await edit_and_undo(editor, "delete 2,000 tokens below, type", "undo that, type", deleted(editor))
    editor.row("delete 2,000 tokens, type elsewhere")
    before, at = editor.text, editor.cursor
    await editor.become(deleted(editor))
    editor.step(-60)
    await editor.type()
    await editor.pause()
    editor.row("undo both, type where the block was", goal=INTERVAL)
    await editor.become(before)
    editor.cursors[A] = at
    await editor.type()
    await editor.pause()
    start = editor.text.rfind("\n", 0, editor.cursor) + 1
    above = editor.text[: lines_of(editor.text, max(start - n_deleted(editor), 0), 0)[0]] + editor.text[start:]
    await edit_and_undo(editor, "delete 2,000 tokens above, type", "undo that, type", above)
    await edit_and_undo(
        editor, ":%s rename in A, type", "undo the rename, type", editor.text.replace("_headers", "_fields")
    )
    editor.row("redo the rename, type", goal=INTERVAL)
    before, at = editor.text, editor.cursor
    await editor.become(editor.text.replace("_headers", "_fields"))
    await editor.ask()
    await editor.become(before)
    editor.cursors[A] = at
    await editor.pause()
    block = "".join(editor.on_disk[C].splitlines(keepends=True)[100:130])
    pasted = editor.text[: editor.cursor] + "\n" + block + editor.text[editor.cursor :]
    await edit_and_undo(editor, "paste 30 lines, type after", "undo the paste, type", pasted)


def n_deleted(editor: ScriptedEditor) -> int:
    """Characters of the large deletion, as far as the file has as many."""
    return min(4 * N_DELETED, len(editor.text) // 4)


def deleted(editor: ScriptedEditor) -> str:
    start, end = lines_of(editor.text, editor.cursor, n_deleted(editor))
    return editor.text[:start] + editor.text[end:]


async def edit_and_undo(editor: ScriptedEditor, edit: str, undo: str, text: str) -> None:
    """Where the cursor is after the undo is where it was before."""
    editor.row(edit)
    before, at = editor.text, editor.cursor
    await editor.become(text)
    await editor.type()
    await editor.pause()
    editor.row(undo, goal=INTERVAL)
    await editor.become(before)
    editor.cursors[A] = at
    await editor.type()
    await editor.pause()


async def branches(editor: ScriptedEditor) -> None:
    """git checkout there and back, and other files."""
    editor.row("save, type", goal=INTERVAL)
    editor.checkout({A: editor.text})
    await editor.type()
    await editor.pause()
    main = {name: editor.on_disk[name] for name in FEATURE}
    feature = {name: text.replace("\n\n\n", "\n\n\n# another branch\n", 1) for name, text in main.items()}
    for number, goal in ((1, None), (2, INTERVAL)):
        editor.row(f"git checkout feature ({number}), type", goal=goal)
        await editor.reload(feature)
        await editor.type("y")
        await editor.reload(feature)
        await editor.pause()
        editor.row(f"git checkout main ({number}), type", goal=INTERVAL)
        await editor.reload(main)
        await editor.type("y")
        await editor.reload(main)
        await editor.pause()
    editor.row("open C, type")
    await editor.open(C, 200)
    await editor.type()
    await editor.pause()
    editor.row("back to A, type", goal=INTERVAL)
    editor.name = A
    await editor.type()
    await editor.pause()
    editor.row("close B, type in A", goal=INTERVAL)
    await editor.close(B)
    await editor.type()
    await editor.pause()


async def small_steps(editor: ScriptedEditor) -> None:
    """Ten lines down and up; a line above and back."""
    editor.row("1 character 20 lines above")
    await jump(editor, -20)
    editor.row("back, type")
    await jump(editor, 20)
    for number in (1, 2):
        editor.row(f"10 lines down ({number}), type", goal=NEAR)
        await jump(editor, 10)
        editor.row(f"10 lines up ({number}), type", goal=NEAR)
        await jump(editor, -10)


async def interruptions(editor: ScriptedEditor) -> None:
    """What comes between: a chat, and work in idle time."""
    editor.row("a chat question, then typing on", goal=INTERVAL)
    await editor.chat(CHAT * 20)
    await editor.type()
    await editor.pause()
    editor.row("jump far down, type")
    await jump(editor, N_DOWN)
    editor.row("another file changes on disk, pause, type")
    editor.checkout({OTHERS[0]: editor.on_disk[OTHERS[0]] + "\n\nLIMIT = 10\n"})
    await editor.pause()
    await editor.type()
    await editor.pause()
    editor.row("back after the project was laid out again, type", goal=INTERVAL)
    await jump(editor, -N_DOWN)


DAY = (in_one_file, two_files, two_files_in_one_prompt, large_edits, branches, small_steps, interruptions)


async def measure(model: Path, n_ctx: int) -> list[Row]:
    """The rows of one day."""
    engine = EngineSettings(str(model), n_ctx=n_ctx, n_threads=1, interval=INTERVAL, eager_load=False)
    # The pauses are made here: no clock is to decide what was warmed.
    settings = ServiceSettings(engine, warm_delay_ms=1e9, watch=False, rules=False, warm_on_battery=True)
    service = Service(settings)
    service.start()
    editor = ScriptedEditor(service, EDITED | {name: (LIBRARY / name).read_text("utf-8") for name in OTHERS})
    listening = asyncio.create_task(editor.listen())
    try:
        for part in DAY:
            await part(editor)
    finally:
        await service.close()
        await listening
    return editor.rows


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
