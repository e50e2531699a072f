"""How good next edits without a model are: two versions of packages, the difference typed line by line.

    python -m tests.benchmarks.next_edits FOLDER [PACKAGE|SET...]

FOLDER holds the unpacked versions as PACKAGE-VERSION; those that are missing are fetched with pip. After each typed line the
proposer is asked. What it shows is judged by the new version alone: it is right if it takes tokens out and puts tokens in
that the new version, at this place, does not have or has, and nothing else. It is then accepted; if not, it is passed over.
Precision is given of all, and of those in lines that the new version has something in place of.

A line's *change* is what is between its first and its last changed token; if all that changes are equal replacements, each
is a change. It is *repeated* if the tokens that went, those that came, and the neighbour on either side are those of a change
made before; it is *foreseeable* if also what is beside it tells where (`version_changes.foreseeable`): `-> str` after `)` is
often repeated, and nobody can say after which `)`. It counts as found if an accepted proposal made it. A pause is
*elsewhere* if no change that is still to be made in the open documents is a repeated one, and nothing right was shown.
"""

import subprocess
import sys
import time
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from scrubjay.nextedit.next_edit import Moment, NextEdit, OpenText
from scrubjay.nextedit.suggestions import Suggestions
from scrubjay.workspace.edit_history import EditHistory
from scrubjay.workspace.text import Replacement, Text
from tests.benchmarks.version_changes import Change, File, Hunk, distance, foreseeable, words_of

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
SEEN = {
    "marshmallow": ("3.14.1", "3.21.1"),
    "uvicorn": ("0.17.0", "0.27.0"),
    "structlog": ("21.5.0", "23.2.0"),
    "jinja2": ("3.0.3", "3.1.4"),
}
"""Of these nobody had read more than the figures when it was reported on them; now the kinds of mistakes were counted."""
SECOND_DEVELOPMENT = {
    "httpcore": ("0.15.0", "1.0.2"),
    "anyio": ("3.6.2", "4.2.0"),
    "websockets": ("10.4", "12.0"),
    "wtforms": ("3.0.1", "3.1.1"),
    "tenacity": ("8.0.1", "8.2.3"),
    "typer": ("0.6.1", "0.9.0"),
    "filelock": ("3.8.0", "3.13.1"),
    "markdown": ("3.3.7", "3.5.1"),
    "responses": ("0.20.0", "0.24.1"),
    "babel": ("2.10.3", "2.14.0"),
    "cachetools": ("4.2.4", "5.3.2"),
    "invoke": ("1.7.3", "2.2.0"),
    "gunicorn": ("20.1.0", "21.2.0"),
    "nox": ("2022.1.7", "2023.4.22"),
}
"""What was read to mend kinds of mistakes."""
UNSEEN = {
    "paramiko": ("2.11.0", "3.4.0"),
    "arrow": ("0.17.0", "1.3.0"),
    "pytest": ("7.0.1", "7.4.3"),
    "mistune": ("2.0.4", "3.0.2"),
    "trio": ("0.20.0", "0.23.2"),
    "fastapi": ("0.85.0", "0.104.1"),
    "watchdog": ("2.1.9", "4.0.0"),
    "pyjwt": ("2.3.0", "2.8.0"),
    "alembic": ("1.7.7", "1.13.1"),
    "virtualenv": ("20.14.1", "20.25.0"),
}
"""Named before anything was mended; of these nobody has read more than the figures."""
SETS = {
    "development": DEVELOPMENT,
    "test": TEST,
    "seen": SEEN,
    "second development": SECOND_DEVELOPMENT,
    "unseen": UNSEEN,
}
LINE_S, HUNK_S = 2.0, 20.0


# --- the replay ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Score:
    """What was counted."""

    n_pauses: int = 0
    n_elsewhere: int = 0
    n_shown_elsewhere: int = 0
    n_repeated: int = 0
    n_found: int = 0
    n_foreseeable: int = 0
    n_foreseen: int = 0
    n_shown: int = 0
    n_right: int = 0
    n_gone: int = 0
    times_ms: list[float] = field(default_factory=list)
    kinds: Counter[tuple[str, bool]] = field(default_factory=Counter)

    def add(self, other: "Score") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def row(self, name: str) -> str:
        return (
            f"| {name} | {self.n_pauses} | {self.n_shown} | {self.n_right / max(self.n_shown, 1):.3f} |"
            f" {self.n_right / max(self.n_shown - self.n_gone, 1):.3f} |"
            f" {self.n_repeated} | {self.n_found / max(self.n_repeated, 1):.3f} |"
            f" {self.n_foreseeable} | {self.n_foreseen / max(self.n_foreseeable, 1):.3f} |"
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
        self.to_do = Counter(change for file in files for part in file.parts for _, change in part.changes())
        self.foreseeable = foreseeable(files)
        self.n_to_repeat = 0
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
        before = hunk.changes()
        at = file.start_of(hunk)
        self.edit(file, at + start, at + end, new, is_step=True)
        self.count(before, file, hunk, is_found=False)
        while (right := self.ask(file)) is not None:
            file, proposal = right
            held = file.holding(proposal.start, proposal.end)
            assert held
            before = held[0].changes()
            self.edit(file, proposal.start, proposal.end, proposal.new)
            self.count(before, file, held[0], is_found=True)

    def edit(self, file: File, start: int, end: int, new: str, is_step: bool = False) -> None:
        held = file.holding(start, end)
        assert held
        part, at = held
        text = Text.of(file.text)
        changed = text.replaced(start, end, new)
        self.history.record(file.key, [Replacement(text, start, end, new)], self.now_s)
        file.text = changed.text
        current = part.current[: start - at] + new + part.current[end - at :]
        if is_step:
            part.typed(current)
        else:
            part.current = current

    def count(self, before: list[tuple[int, Change]], file: File, hunk: Hunk, is_found: bool) -> None:
        """Note what an edit has made of what was to be made in `hunk`."""
        after = hunk.changes()
        placed = Counter(before) - Counter(after)
        was, now = Counter(change for _, change in before), Counter(change for _, change in after)
        for change, n in (now - was).items():
            self.to_do[change] += n
            self.n_to_repeat += n if self.done[change] else 0
        for change, n in (was - now).items():
            lines = [line for line, each in placed.elements() if each == change][:n]
            part = next(number for number, each in enumerate(file.parts) if each is hunk)
            n_foreseen = sum(((file.key, part, line), change) in self.foreseeable for line in lines)
            self.to_do[change] -= n
            if self.done[change]:
                self.n_to_repeat -= n
                self.score.n_repeated += n
                self.score.n_found += n * is_found
                self.score.n_foreseeable += n_foreseen
                self.score.n_foreseen += n_foreseen * is_found
                if self.log and not is_found:
                    print("MISSED", change, "of", self.done[change], "foreseeable" if n_foreseen else "")
            else:
                self.n_to_repeat += self.to_do[change]
            self.done[change] += n

    def ask(self, file: File) -> tuple[File, NextEdit] | None:
        """What is shown at a pause in `file`, if it is right."""
        texts = [OpenText(f.key, f.key, f.text) for f in [file, *(o for o in self.files.values() if o is not file)]]
        began = time.thread_time()
        suggested = self.suggestions.suggest(Moment([*self.history], texts)).suggested
        score = self.score
        score.times_ms.append((time.thread_time() - began) * 1e3)
        is_elsewhere = self.n_to_repeat == 0
        score.n_pauses += 1
        if suggested is None:
            score.n_elsewhere += is_elsewhere
            return None
        shown = suggested.proposal
        is_right = self.is_right(shown)
        score.n_shown += 1
        score.n_right += is_right
        score.n_gone += not is_right and self.is_gone(shown)
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

    def is_gone(self, proposal: NextEdit) -> bool:
        """Whether the new version has nothing in the place of the line that it begins in."""
        held = self.files[proposal.key].holding(proposal.start, proposal.end)
        if held is None:
            return False
        part, at = held
        for old, new in part.pairs():
            if old and at <= proposal.start < at + len(old):
                return not new
            at += len(old)
        return False

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
        "| package | pauses | shown | precision | of lines that stay | repeated | recall | foreseeable | recall | elsewhere |"
        " quiet there | time, median / 99 % |"
    )
    for title, packages in SETS.items():
        total = Score()
        chosen = [name for name in packages if not names or name in names or title in names]
        if not chosen:
            continue
        print(head, "|---|---|---|---|---|---|---|---|---|---|---|---|", sep="\n")
        for name in chosen:
            old, new = (unpacked(Path(folder), name, version) for version in packages[name])
            score = Replay(files_of(old, new), log="--log" in arguments).run()
            print(score.row(f"{name} {packages[name][0]} to {packages[name][1]}"), flush=True)
            total.add(score)
        print(total.row(f"**{title}**"))
        print(sorted(total.kinds.items()))


if __name__ == "__main__":
    main(sys.argv[1:])
