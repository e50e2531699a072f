"""What the benchmark has models do: prompts of real Python, edits in their middle, and traces of somebody at work.

Everything follows from the files and a seed, and reads nothing but Python's own library.
"""

import email
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.tokens import Tokens, as_tokens

SOURCES = (Path(email.__file__).parent, Path(json.__file__).parent)
POSITIONS = (10, 50, 90, 99)
"""Where an edit is, in per cent of the prompt."""
_NAME = re.compile(r"\b[a-z_]{5,}\b")
SNIPPETS = (
    "    value = compute(self.items)\n",
    "    if not ready:\n        return None\n",
    "    # as the caller wants it\n",
)


def read_files(n_characters: int) -> dict[str, str]:
    """Files of Python's library by name, as many as have that many characters together; repeated if there are too few."""
    paths = [path for folder in SOURCES for path in sorted(folder.glob("*.py")) if path.stat().st_size > 2000]
    files: dict[str, str] = {}
    n = number = 0
    while n < n_characters:
        path = paths[number % len(paths)]
        text = path.read_text("utf-8")[: n_characters - n]
        files[f"{path.stem}_{number}.py"] = text
        n, number = n + len(text), number + 1
    return files


def base_prompt(vocabulary: Vocabulary, n_tokens: int) -> Tokens:
    """Exactly `n_tokens` tokens of real Python."""
    n_characters = 4 * n_tokens
    while True:
        tokens = vocabulary.tokenize("".join(read_files(n_characters).values()))
        if len(tokens) >= n_tokens:
            return as_tokens(tokens[:n_tokens])
        n_characters *= 2


def edited(prompt: Tokens, position: int, random: Random) -> Tokens:
    """`prompt` with one token replaced at `position` per cent; the prefix up to there stays."""
    at = len(prompt) * position // 100
    made = prompt.copy()
    while made[at] == prompt[at]:
        made[at] = prompt[random.randrange(len(prompt))]
    return as_tokens(made)


def line_ends(vocabulary: Vocabulary, prompt: Tokens, n_most: int = 8) -> list[str]:
    """Texts of the commonest tokens of `prompt` that end a line."""
    counts: dict[int, int] = {}
    for token in map(int, prompt):
        counts[token] = counts.get(token, 0) + 1
    texts = [vocabulary.piece(token).decode(errors="replace") for token in sorted(counts, key=lambda t: -counts[t])]
    return [text for text in texts if text.endswith("\n")][:n_most]


@dataclass(frozen=True, slots=True)
class Change:
    """Characters [start, end) of a file become `text`."""

    file: str
    start: int
    end: int
    text: str

    def applied(self, text: str) -> str:
        return text[: self.start] + self.text + text[self.end :]


@dataclass(frozen=True, slots=True)
class Step:
    """Changes that happen at once, after which a completion is wanted in `file` at character `cursor`."""

    what: str
    changes: tuple[Change, ...]
    file: str
    cursor: int


class Trace:
    """Somebody at work on `files`; the same seed does the same. `files` are as they are after the last step."""

    def __init__(self, files: Mapping[str, str], seed: int) -> None:
        self.files = dict(files)
        self._random = Random(seed)
        self._file = next(iter(files))
        self._cursor = len(files[self._file]) // 2
        self._undo: list[Change] = []

    def steps(self) -> Iterator[Step]:
        """Without end."""
        acts = (
            self._type,
            self._type,
            self._delete,
            self._rename,
            self._move,
            self._take_back,
            self._switch,
            self._format,
        )
        while True:
            yield from self._random.choice(acts)()

    def typing(self) -> Iterator[Step]:
        """Without end: nothing but keystrokes at one place."""
        while True:
            yield from self._type()

    def _type(self) -> Iterator[Step]:
        for letter in self._random.choice(SNIPPETS):
            yield self._step("type", Change(self._file, self._cursor, self._cursor, letter), self._cursor + 1)

    def _delete(self) -> Iterator[Step]:
        start = self._line_start(self._cursor - 1)
        if start < self._cursor:
            yield self._step("delete", Change(self._file, start, self._cursor, ""), start)

    def _rename(self) -> Iterator[Step]:
        names = _NAME.findall(self.files[self._file])
        if not names:
            return
        old = self._random.choice(names)
        found = [
            (file, match.start()) for file, text in self.files.items() for match in re.finditer(rf"\b{old}\b", text)
        ]
        # From the end of each file, so that the places stay true.
        changes = [Change(file, at, at + len(old), old + "_new") for file, at in reversed(found)]
        yield self._many("rename", changes, self._cursor)

    def _move(self) -> Iterator[Step]:
        text = self.files[self._file]
        start = self._line_start(self._random.randrange(len(text)))
        end = min(len(text), start + 400)
        to = self._line_start(self._random.randrange(max(1, len(text) - end + start)))
        yield self._many("move", [Change(self._file, start, end, ""), Change(self._file, to, to, text[start:end])], to)

    def _take_back(self) -> Iterator[Step]:
        if self._undo:
            change = self._undo.pop()
            self._file = change.file
            yield self._step("undo", change, change.start + len(change.text))
            self._undo.pop()  # what was taken back is not taken back again

    def _switch(self) -> Iterator[Step]:
        self._file = self._random.choice(list(self.files))
        self._cursor = self._line_start(self._random.randrange(len(self.files[self._file])))
        yield self._many("switch", [], self._cursor)

    def _format(self) -> Iterator[Step]:
        text = self.files[self._file]
        whole = text.replace("'", '"') if "'" in text else text.replace('"', "'")
        yield self._many("format", [Change(self._file, 0, len(text), whole)], self._cursor)

    def _line_start(self, at: int) -> int:
        return self.files[self._file].rfind("\n", 0, max(0, at)) + 1

    def _step(self, what: str, change: Change, cursor: int) -> Step:
        text = self.files[change.file]
        self._undo.append(
            Change(change.file, change.start, change.start + len(change.text), text[change.start : change.end])
        )
        return self._many(what, [change], cursor)

    def _many(self, what: str, changes: list[Change], cursor: int) -> Step:
        for change in changes:
            self.files[change.file] = change.applied(self.files[change.file])
        if what in ("rename", "move", "format"):
            self._undo.clear()  # their places would not be true any more
        self._cursor = min(cursor, len(self.files[self._file]))
        return Step(what, tuple(changes), self._file, self._cursor)


def raw_prompt(files: Mapping[str, str], file: str, cursor: int) -> str:
    """All files, with the one being edited last and up to the cursor: what simple clients send."""
    others = "".join(f"# {name}\n{text}\n" for name, text in files.items() if name != file)
    return f"{others}# {file}\n{files[file][:cursor]}"
