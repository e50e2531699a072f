"""How good next edits without a model are: two versions of packages, the difference typed line by line.

    python -m tests.benchmarks.next_edits FOLDER [PACKAGE...]

FOLDER holds the unpacked versions as PACKAGE-VERSION; those that are missing are fetched with pip. After each typed line the
proposer is asked. What it shows is judged by the new version alone: it is right if it takes tokens out and puts tokens in
that the new version, at this place, does not have or has, and nothing else. It is then accepted; if not, it is passed over.

A line's *change* is what is between its first and its last changed token; if all that changes are equal replacements, each
is a change. It is *repeated* if the tokens that went, those that came, and the neighbour on either side are those of a change
made before. It counts as found if an accepted proposal made it. A pause is *elsewhere* if no change that is still to be made
in the open documents is a repeated one, and nothing right was shown.
"""

import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path
from statistics import median, quantiles

from scrubjay.nextedit.lexing import is_word, tokens_of
from scrubjay.nextedit.next_edit import Moment, NextEdit, OpenText
from scrubjay.nextedit.suggestions import Suggestions
from scrubjay.workspace.edit_history import EditHistory
from scrubjay.workspace.text import Replacement, Text

DEVELOPMENT = {
    "click": ("8.0.4", "8.1.7"),
    "requests": ("2.27.1", "2.31.0"),
    "httpx": ("0.23.0", "0.27.0"),
    "attrs": ("22.1.0", "23.2.0"),
    "starlette": ("0.20.4", "0.27.0"),
}
"""What the proposer was tuned on."""
TEST = {
    "flask": ("2.0.3", "2.3.3"),
    "pluggy": ("0.13.1", "1.4.0"),
    "packaging": ("21.3", "23.2"),
    "tomlkit": ("0.11.0", "0.12.5"),
    "rich": ("12.0.0", "13.7.0"),
}
"""What it was reported on first; three kinds of mistakes seen in them were mended, so that they are not new to it any more."""
UNSEEN = {
    "marshmallow": ("3.14.1", "3.21.1"),
    "uvicorn": ("0.17.0", "0.27.0"),
    "structlog": ("21.5.0", "23.2.0"),
    "jinja2": ("3.0.3", "3.1.4"),
}
"""Of these nobody has read more than the figures."""
LINE_S, HUNK_S = 2.0, 20.0
MAX_EXACT = 400
SIMILAR = 0.5

Change = tuple[tuple[str, ...], tuple[str, ...], str, str]
"""Tokens that went, tokens that came, and the neighbours."""


# --- what is to be typed ---------------------------------------------------------------------------------------------


def words_of(text: str) -> list[str]:
    return [token.text for token in tokens_of(text)]


def distance(a: list[str], b: list[str]) -> int:
    """How many tokens have to go or to come to make `a` into `b`."""
    if len(a) * len(b) > MAX_EXACT**2:
        return (
            len(a) + len(b) - 2 * sum(m.size for m in SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks())
        )
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], last if x == y else 1 + min(row[j], row[j - 1])
    return row[-1]


@dataclass(slots=True)
class Hunk:
    """Lines as they are, and as they are to be."""

    current: str
    target: str
    _cached: tuple[str, list[Change]] = ("", [])

    def steps(self) -> Iterator[tuple[int, int, str]]:
        """What to type, line by line: each step replaces [start, end) of `current` as the steps before have left it."""
        while self.current != self.target:
            yield self._next()

    def _next(self) -> tuple[int, int, str]:
        offset = 0
        for old, new in self.pairs():
            if old != new:
                first = next(
                    (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new))
                )
                rest_old, rest_new = old[first:], new[first:]
                n_same = next(
                    (i for i, (a, b) in enumerate(zip(rest_old[::-1], rest_new[::-1], strict=False)) if a != b),
                    min(len(rest_old), len(rest_new)),
                )
                return offset + first, offset + len(old) - n_same, rest_new[: len(rest_new) - n_same]
            offset += len(old)
        raise AssertionError

    def pairs(self) -> list[tuple[str, str]]:
        """Lines with what becomes of them; "" for a line that comes, or that goes."""
        a, b = self.current.splitlines(keepends=True), self.target.splitlines(keepends=True)
        if len(a) * len(b) > 40_000:
            return [*((line, "") for line in a), *(("", line) for line in b)]
        costs = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
        similar = [[_similarity(x, y) for y in b] for x in a]
        for i in range(len(a) - 1, -1, -1):
            for j in range(len(b) - 1, -1, -1):
                match = similar[i][j] + costs[i + 1][j + 1] if similar[i][j] >= SIMILAR else -1.0
                costs[i][j] = max(match, costs[i + 1][j], costs[i][j + 1])
        found, i, j = [], 0, 0
        while i < len(a) or j < len(b):
            if (
                i < len(a)
                and j < len(b)
                and similar[i][j] >= SIMILAR
                and costs[i][j] == similar[i][j] + costs[i + 1][j + 1]
            ):
                found.append((a[i], b[j]))
                i, j = i + 1, j + 1
            elif i < len(a) and (j == len(b) or costs[i][j] == costs[i + 1][j]):
                found.append((a[i], ""))
                i += 1
            else:
                found.append(("", b[j]))
                j += 1
        return found

    def changes(self) -> list[Change]:
        """The changes inside of lines that are still to be made."""
        if self._cached[0] != self.current:
            pairs = [(old, new) for old, new in self.pairs() if old and new and old != new]
            self._cached = self.current, [change for old, new in pairs for change in changes_of(old, new)]
        return self._cached[1]


@lru_cache(maxsize=1 << 18)
def _similarity(a: str, b: str) -> float:
    if a == b:
        return 1.0
    if not a.strip() or not b.strip():
        return 0.0
    matcher = SequenceMatcher(None, words_of(a), words_of(b), autojunk=False)
    return matcher.ratio() if matcher.quick_ratio() >= SIMILAR else 0.0


def changes_of(old: str, new: str) -> list[Change]:
    a, b = ["\n", *words_of(old)], ["\n", *words_of(new)]
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    spans = [(i, j, k, m) for tag, i, j, k, m in matcher.get_opcodes() if tag != "equal"]
    if len({(tuple(a[i:j]), tuple(b[k:m])) for i, j, k, m in spans}) > 1:
        spans = [(spans[0][0], spans[-1][1], spans[0][2], spans[-1][3])]
    found = [(tuple(a[i:j]), tuple(b[k:m]), a[i - 1], a[j] if j < len(a) else "\n") for i, j, k, m in spans]
    return [change for change in found if any(map(is_word, change[0] + change[1]))]


@dataclass(slots=True)
class File:
    """A file as it is: lines that stay, and hunks."""

    key: str
    parts: list[Hunk]

    @classmethod
    def of(cls, key: str, old: str, new: str) -> "File":
        a, b = old.splitlines(keepends=True), new.splitlines(keepends=True)
        matcher = SequenceMatcher(None, a, b, autojunk=False)
        return cls(key, [Hunk("".join(a[i:j]), "".join(b[k:m])) for _, i, j, k, m in matcher.get_opcodes()])

    @property
    def text(self) -> str:
        return "".join(part.current for part in self.parts)

    def start_of(self, wanted: Hunk) -> int:
        return sum(len(part.current) for part in self.parts[: next(i for i, p in enumerate(self.parts) if p is wanted)])

    def holding(self, start: int, end: int) -> tuple[Hunk, int] | None:
        """The part in which [start, end) is, and where it begins."""
        at = 0
        for part in self.parts:
            if part.current != part.target and at <= start and end <= at + len(part.current):
                return part, at
            at += len(part.current)
        return None


# --- the replay ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Score:
    """What was counted."""

    n_pauses: int = 0
    n_elsewhere: int = 0
    n_shown_elsewhere: int = 0
    n_repeated: int = 0
    n_found: int = 0
    n_shown: int = 0
    n_right: int = 0
    times_ms: list[float] = field(default_factory=list)
    kinds: Counter[tuple[str, bool]] = field(default_factory=Counter)

    def add(self, other: "Score") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def row(self, name: str) -> str:
        return (
            f"| {name} | {self.n_pauses} | {self.n_shown} | {self.n_right / max(self.n_shown, 1):.3f} |"
            f" {self.n_repeated} | {self.n_found / max(self.n_repeated, 1):.3f} |"
            f" {self.n_elsewhere} | {1 - self.n_shown_elsewhere / max(self.n_elsewhere, 1):.3f} |"
            f" {median(self.times_ms):.1f} / {quantiles(self.times_ms, n=100)[-1]:.1f} ms |"
        )


class Replay:
    """A person who makes the new version of a package out of the old one."""

    def __init__(self, files: list[File], log: bool = False) -> None:
        self.files = {file.key: file for file in files}
        self.history = EditHistory()
        self.score = Score()
        self.now_s = 0.0
        self.log = log
        self.done: Counter[Change] = Counter()
        self.suggestions = Suggestions()

    def run(self) -> Score:
        for file in self.files.values():
            for hunk in file.parts:
                self.now_s += HUNK_S
                for start, end, new in hunk.steps():
                    self.type(file, hunk, start, end, new)
        return self.score

    def type(self, file: File, hunk: Hunk, start: int, end: int, new: str) -> None:
        """A line is typed; then suggestions are accepted as long as they are right."""
        self.now_s += LINE_S
        before = Counter(hunk.changes())
        self.edit(file, file.start_of(hunk) + start, file.start_of(hunk) + end, new)
        self.count(before, hunk, is_found=False)
        while (right := self.ask(file)) is not None:
            file, proposal = right
            held = file.holding(proposal.start, proposal.end)
            assert held
            before = Counter(held[0].changes())
            self.edit(file, proposal.start, proposal.end, proposal.new)
            self.count(before, held[0], is_found=True)

    def edit(self, file: File, start: int, end: int, new: str) -> None:
        held = file.holding(start, end)
        assert held
        part, at = held
        text = Text.of(file.text)
        changed = text.replaced(start, end, new)
        self.history.record(file.key, [Replacement(text, start, end, new)], self.now_s)
        part.current = part.current[: start - at] + new + part.current[end - at :]
        assert changed.text == file.text

    def count(self, before: Counter[Change], hunk: Hunk, is_found: bool) -> None:
        made = before - Counter(hunk.changes())
        for change, n in made.items():
            if self.done[change]:
                self.score.n_repeated += n
                self.score.n_found += n * is_found
                if self.log and not is_found:
                    print("MISSED", change, "of", self.done[change])
            self.done[change] += n

    def ask(self, file: File) -> tuple[File, NextEdit] | None:
        """What is shown at a pause in `file`, if it is right."""
        texts = [OpenText(f.key, f.key, f.text) for f in [file, *(o for o in self.files.values() if o is not file)]]
        began = time.thread_time()
        suggested = self.suggestions.suggest(Moment([*self.history], texts)).suggested
        score = self.score
        score.times_ms.append((time.thread_time() - began) * 1e3)
        is_elsewhere = not any(
            self.done[change] for other in self.files.values() for part in other.parts
            if part.current != part.target for change in part.changes()
        )  # fmt: skip
        score.n_pauses += 1
        if suggested is None:
            score.n_elsewhere += is_elsewhere
            return None
        shown = suggested.proposal
        is_right = self.is_right(shown)
        score.n_shown += 1
        score.n_right += is_right
        score.n_elsewhere += is_elsewhere and not is_right
        score.n_shown_elsewhere += is_elsewhere and not is_right
        score.kinds[shown.kind, is_right] += 1
        if self.log:
            last = self.history.last
            line = self.files[shown.key].text.count("\n", 0, shown.start) + 1
            print(
                "RIGHT" if is_right else "WRONG",
                shown.kind,
                f"{shown.key}:{line}",
                repr(shown.old),
                "->",
                repr(shown.new),
            )
            if not is_right and last:
                print("   after", repr(last.old[:150]), "->", repr(last.new[:150]))
                text = self.files[shown.key].text
                print("   line ", repr(text[text.rfind("\n", 0, shown.start) + 1 : text.find("\n", shown.end)]))
        self.suggestions.ended(suggested.number, is_right)
        return (self.files[shown.key], shown) if is_right else None

    def is_right(self, proposal: NextEdit) -> bool:
        held = self.files[proposal.key].holding(proposal.start, proposal.end)
        if held is None:
            return False
        part, at = held
        after = part.current[: proposal.start - at] + proposal.new + part.current[proposal.end - at :]
        now, then, goal = words_of(part.current), words_of(after), words_of(part.target)
        return now != then and distance(then, goal) == distance(now, goal) - distance(now, then)


def files_of(old: Path, new: Path) -> list[File]:
    """The files that both versions have and that differ."""
    paths = sorted(path.relative_to(old) for path in old.rglob("*.py"))
    both = [path for path in paths if (new / path).exists()]
    texts = [(str(path), (old / path).read_text("utf-8"), (new / path).read_text("utf-8")) for path in both]
    return [File.of(*text) for text in texts if text[1] != text[2]]


def unpacked(folder: Path, name: str, version: str) -> Path:
    """The folder of a version; fetched if it is not there."""
    path = folder / f"{name}-{version}"
    if not path.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--dest", str(path), f"{name}=={version}"], check=True)
        for wheel in path.glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(path)
    return path


def main(arguments: list[str]) -> None:
    folder, *names = [argument for argument in arguments if argument != "--log"]
    head = (
        "| package | pauses | shown | precision | repeated | recall | elsewhere | quiet there | time, median / 99 % |"
    )
    for title, packages in (("development", DEVELOPMENT), ("test", TEST), ("unseen", UNSEEN)):
        total = Score()
        chosen = [name for name in packages if not names or name in names or title in names]
        if not chosen:
            continue
        print(head, "|---|---|---|---|---|---|---|---|---|", sep="\n")
        for name in chosen:
            old, new = (unpacked(Path(folder), name, version) for version in packages[name])
            score = Replay(files_of(old, new), log="--log" in arguments).run()
            print(score.row(f"{name} {packages[name][0]} to {packages[name][1]}"), flush=True)
            total.add(score)
        print(total.row(f"**{title}**"))
        print(sorted(total.kinds.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
