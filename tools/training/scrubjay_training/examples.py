"""Training texts in exactly the form in which the daemon asks.

    repo_name NAME \\n  file_sep PATH \\n TEXT ...  file_sep PATH \\n  fim_prefix P fim_suffix S fim_middle M endoftext

The last of the other files are excerpts often: lines that look like those around the hole, found as the daemon finds them.
Plain form: P ends at the cursor, S begins where the hole ends, M is the hole. Anchored form: P ends at the start of a line a
little above the cursor, S begins on the line after the hole unless more than closers are left of its last line, and M is
all between: what was typed since the anchor, then what is to be written.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import PurePosixPath
from random import Random
from typing import Literal, NamedTuple

from scrubjay.prompt.similar import (
    LINES_AFTER,
    LINES_BEFORE,
    MIN_ALIKE,
    NEXT_LINES,
    STEP_LINES,
    WINDOW_LINES,
    Windows,
    similarity,
    words_in,
)
from scrubjay_training.collect import SourceFile
from scrubjay_training.cursors import Hole, choose_hole, line_starts, token_border
from scrubjay_training.languages import MOST_TIMES, SHARES, Language, language_of, opener_of
from scrubjay_training.values import END, FILE, MIDDLE, PREFIX, REPO, SUFFIX

Form = Literal["plain", "anchored", "spm", "text"]
_FORMS: tuple[tuple[Form, float], ...] = (("anchored", 45), ("plain", 27), ("spm", 6), ("text", 22))
_LINES_BACK = (0, 0, 1, 2, 3, 4, 4, 4, 4, 8, 16)
_CLOSERS_ONLY = re.compile(r"\W*")
_MOST_SUFFIX = 256
_SHORT = (96, 128, 160, 192, 256, 384, 512, 768)
_HEALED = 0.8
"""How many cursors move back to where a token begins, as the daemon's prompts do; the others stay where they are."""
_WITHOUT_INDENTATION = 0.3
"""How many of the cursors behind an indentation move before it: some programs cut a prompt's last blanks wherever they are."""
_ONE_IN_FILLS = 0.1
"""How many examples take all the room there is: most are short, because what counts most is how often a hole is filled."""
_ANSWER_WEIGHT = 8.0
"""They are five tokens in a hundred, the one that ends them among them: a third of what is learned."""
_WITH_EXCERPTS = 0.6
"""How many examples with other files have excerpts of them."""
_LEAST_OF_FILES = 64
_N_SEARCHED, _MOST_SEARCHED = 24, 20_000
"""Files in which excerpts are looked for, and how many characters of each: more would take longer than to learn from them."""
Encode = Callable[[str], list[int]]


class Example(NamedTuple):
    """Tokens, how much each of them counts when they are learned, and the length of each text that they are."""

    tokens: list[int]
    weights: list[float]
    lengths: list[int]


@dataclass(frozen=True, slots=True)
class Parts:
    """What stands around a hole: before the FIM tokens, after them, what was typed since, and what is to be written."""

    prefix: str
    suffix: str
    typed: str
    answer: str


class _Drawer:
    """Files to draw one from: each character is as likely as any other."""

    def __init__(self, files: Sequence[SourceFile]) -> None:
        self._files = files
        self._totals = list(accumulate((len(file.text) for file in files), initial=0))

    @property
    def n_characters(self) -> int:
        return self._totals[-1]

    def draw(self, random: Random) -> SourceFile:
        return self._files[bisect_right(self._totals, random.randrange(self.n_characters)) - 1]


class Examples:
    """Makes token sequences out of a corpus, each from the random numbers that it is given and nothing else.

    Args:
        encode: tokens of a text in which nothing is special.
        specials: ids of the special tokens.
    """

    def __init__(self, files: Sequence[SourceFile], encode: Encode, specials: dict[str, int]) -> None:
        by_language: dict[Language, list[SourceFile]] = {}
        self._folders: dict[str, list[SourceFile]] = {}
        for file in (file for file in files if file.text):
            by_language.setdefault(language_of(file.path) or "python", []).append(file)
            self._folders.setdefault(file.package, []).append(file)
        languages = sorted(by_language)
        self._drawers = [_Drawer(by_language[language]) for language in languages]
        n_all = sum(drawer.n_characters for drawer in self._drawers)
        self._shares = [
            min(SHARES[language], MOST_TIMES * drawer.n_characters / n_all)
            for language, drawer in zip(languages, self._drawers, strict=True)
        ]
        self._encode = encode
        self._specials = specials

    def sequence(self, n_tokens: int, random: Random) -> Example:
        """Exactly `n_tokens` tokens: one example that fills them, or several short ones, cut at the end."""
        tokens: list[int] = []
        weights: list[float] = []
        lengths: list[int] = []
        while len(tokens) < n_tokens:
            room = n_tokens - len(tokens)
            budget = room if random.random() < _ONE_IN_FILLS else min(room, random.choice(_SHORT))
            example = self.example(max(budget, min(_SHORT)), random)
            tokens += example.tokens
            weights += example.weights
            lengths.append(min(len(example.tokens), room))
        return Example(tokens[:n_tokens], weights[:n_tokens], lengths)

    def example(self, budget: int, random: Random) -> Example:
        """One example of about `budget` tokens, in a file of a language that is drawn by its share."""
        file = random.choices(self._drawers, self._shares)[0].draw(random)
        forms, shares = zip(*_FORMS, strict=True)
        form = random.choices(forms, shares)[0]
        n_others = int(budget * random.choice((0.0, 0.2, 0.4))) if budget >= 512 else 0
        hole = None if form == "text" else choose_hole(file.text, random, opener=opener_of(file.path))
        if hole is None:
            text = [*self.files_before(file, n_others, random), *self._text(file, budget - n_others, random)]
            return Example(text, [1.0] * len(text), [len(text)])
        hole = replace(hole, start=_healed(file.text, hole.start, random))
        parts = split(file.text, hole, form != "anchored", random.choice(_LINES_BACK))
        rest = self.prompt(file, parts, budget - n_others, "spm" if form == "spm" else "psm")
        context = [*self.files_before(file, n_others, random, hole), *rest]
        answer = [*self._encode(parts.answer), self._specials[END]]
        # To go on behind the lines that were typed is what the user did there, and not what is to be learned: to end.
        n_typed = len(rest) - rest.index(self._specials[MIDDLE]) - 1
        weights = [1.0] * (len(context) - n_typed) + [0.0] * n_typed + [_ANSWER_WEIGHT] * len(answer)
        return Example([*context, *answer], weights, [len(weights)])

    def prompt(self, file: SourceFile, parts: Parts, budget: int, order: Literal["psm", "spm"] = "psm") -> list[int]:
        """The current file around a hole in at most about `budget` tokens, the answer's among them, without the answer."""
        fim = self._specials
        head = [fim[FILE], *self._encode(f"{file.path}\n")]
        typed = self._encode(parts.typed)
        room = max(budget - len(head) - len(typed) - len(self._encode(parts.answer)) - 4, 32)
        suffix = self._first_lines(parts.suffix, min(_MOST_SUFFIX, room // 3))
        prefix = self._last_lines(parts.prefix, room - len(suffix))
        before, after = [fim[PREFIX], *prefix], [fim[SUFFIX], *suffix]
        both = [*before, *after] if order == "psm" else [*after, *before]
        return [*head, *both, fim[MIDDLE], *typed]

    def files_before(self, file: SourceFile, budget: int, random: Random, hole: Hole | None = None) -> list[int]:
        """The project's name and about `budget` tokens of other files of it, the nearest by folder last.

        Args:
            hole: in the file. Behind the others, or instead of them, stands an excerpt that suits it, often.
        """
        start = [self._specials[REPO], *self._encode(f"{file.package}\n")]
        others = [other for other in self._folders[file.package] if other.path != file.path]
        if budget <= 0 or not others:
            return start
        excerpt = self._excerpt(file, others, hole, budget, random) if hole and random.random() < _WITH_EXCERPTS else []
        budget -= len(excerpt)
        folder = str(PurePosixPath(file.path).parent)
        near = [other for other in others if str(PurePosixPath(other.path).parent) == folder] or others
        chosen = [random.choice(near) for _ in range(random.choice((1, 1, 2)))] if budget >= _LEAST_OF_FILES else []
        for other in dict.fromkeys(chosen):
            text = self._first_lines(_from_some_line(other.text, random), budget // len(chosen))
            start += [self._specials[FILE], *self._encode(f"{other.path}\n"), *text]
        return [*start, *excerpt]

    def _excerpt(
        self, file: SourceFile, others: list[SourceFile], hole: Hole, budget: int, random: Random
    ) -> list[int]:
        """The lines of some other files that have most in common with those around the hole, and the next ones."""
        wanted = _words_around(file.text, hole)
        windows = (
            (similarity(wanted, words), number * STEP_LINES, other)
            for other in random.sample(others, min(len(others), _N_SEARCHED))
            for number, words in enumerate(Windows.of(other.text[:_MOST_SEARCHED]).words)
        )
        alike, start, other = max(windows, key=lambda window: window[0])
        if alike <= MIN_ALIKE:
            return []
        lines = other.text.split("\n")[start : start + WINDOW_LINES + NEXT_LINES]
        return [self._specials[FILE], *self._first_lines("\n".join((other.path, *lines, "")), budget)]

    def _text(self, file: SourceFile, budget: int, random: Random) -> list[int]:
        tokens = self._encode(_from_some_line(file.text, random)[: 8 * budget])
        ended = [*tokens, self._specials[END]] if len(tokens) < budget else tokens[:budget]
        return [self._specials[FILE], *self._encode(f"{file.path}\n"), *ended]

    def _first_lines(self, text: str, budget: int) -> list[int]:
        tokens = self._encode(text[: 8 * budget])
        while len(tokens) > budget:
            shorter = text[: int(len(text[: 8 * budget]) * 0.9 * budget / len(tokens))]
            text = shorter[: shorter.rfind("\n") + 1] or shorter
            tokens = self._encode(text)
        return tokens

    def _last_lines(self, text: str, budget: int) -> list[int]:
        text = text[-8 * budget :] if budget > 0 else ""
        tokens = self._encode(text)
        while len(tokens) > budget:
            shorter = text[len(text) - int(len(text) * 0.9 * budget / len(tokens)) :]
            text = shorter[shorter.find("\n") + 1 :] if "\n" in shorter[:-1] else shorter
            tokens = self._encode(text)
        return tokens


def split(text: str, hole: Hole, at_cursor: bool, n_lines_back: int) -> Parts:
    """The texts around a hole, in the plain form (`at_cursor`) or anchored some lines above the cursor's line."""
    if at_cursor:
        return Parts(text[: hole.start], text[hole.end :], "", text[hole.start : hole.end])
    lines = line_starts(text)
    anchor = lines[max(bisect_right(lines, hole.start) - 1 - n_lines_back, 0)]
    line_end = text.find("\n", hole.end)
    line_end = len(text) if line_end < 0 else line_end
    is_closed = bool(_CLOSERS_ONLY.fullmatch(text, hole.end, line_end))
    end = min(line_end + 1, len(text)) if is_closed else hole.end
    return Parts(text[:anchor], text[end:], text[anchor : hole.start], text[hole.start : end])


def _words_around(text: str, hole: Hole) -> frozenset[str]:
    """Of the lines around a hole, without what is missing there."""
    before, after = text[: hole.start].split("\n")[-LINES_BEFORE:], text[hole.end :].split("\n")[:LINES_AFTER]
    return words_in("\n".join((*before, *after)))


def _healed(text: str, cursor: int, random: Random) -> int:
    """The cursor, or a place before it from which what was typed is to be written again."""
    begin = text.rfind("\n", 0, cursor) + 1
    if cursor > begin and not text[begin:cursor].strip():
        return begin if random.random() < _WITHOUT_INDENTATION else cursor
    return token_border(text, cursor) if random.random() < _HEALED else cursor


def _from_some_line(text: str, random: Random) -> str:
    """A text from its start half of the time, else from any line on."""
    return text if random.random() < 0.5 else text[random.choice(line_starts(text)) :]
