"""Packages in two versions, and places in them at which a model is asked what is true."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from scrubjay.workspace.file_tree import MAX_FILE_BYTES

Texts = dict[str, str]
_WORD = re.compile(r"[^\W\d]\w{3,63}")
N_LINES = 10
N_LEAST_CHARACTERS = 24
N_LEAST_LINES = 60
N_EDITED = 2
N_ENOUGH = 4


@dataclass(frozen=True, slots=True)
class Package:
    """Two versions of a package, by path."""

    name: str
    old: Texts
    new: Texts

    @property
    def changed(self) -> list[str]:
        return [path for path in self.old if self.new.get(path, self.old[path]) != self.old[path]]

    def written(self, path: str) -> list[int]:
        """Numbers of the lines of a file that only the newer version has."""
        changes = changed_lines(self.old[path].splitlines(), self.new[path].splitlines())
        return [number for _, _, start, end in changes for number in range(start, end)]

    def new_words(self, path: str) -> set[str]:
        """Words that the newer version has brought into a file."""
        return {*_WORD.findall(self.new[path])} - {*_WORD.findall(self.old[path])}

    def with_new(self, paths: Sequence[str]) -> Texts:
        """The older version, but for some files, which are those of the newer one."""
        return self.old | {path: self.new[path] for path in paths if path in self.new}


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a file of a package, the true text there, the text after that, and the files that were edited before."""

    package: str
    path: str
    before: str
    truth: str
    after: str
    edited: tuple[str, ...]


def read(folder: Path) -> Texts:
    """The texts of a package, by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and 0 < path.stat().st_size <= MAX_FILE_BYTES and ".dist-info" not in str(path):
            data = path.read_bytes()
            if b"\0" not in data and path.suffix != ".whl":
                found[str(path.relative_to(folder))] = data.decode("utf-8", "replace").replace("\r\n", "\n")
    return found


def packages(folder: Path) -> dict[str, Package]:
    found = {}
    for one in sorted(folder.iterdir()):
        if one.is_dir():
            old, new = sorted(one.iterdir(), key=lambda path: [int(part) for part in path.name.split(".")])
            found[one.name] = Package(one.name, read(old), read(new))
    return found


def new_cursors(of: dict[str, Package], n: int) -> list[Cursor]:
    """Places that the newer version wrote, the same ones each time, a package after the other."""
    chance, found, left = random.Random(7), list[Cursor](), {name: places_of(one) for name, one in of.items()}
    for places in left.values():
        chance.shuffle(places)
    while len(found) < n and any(left.values()):
        for name in sorted(name for name in left if left[name]):
            path, number = left[name].pop()
            package, text = of[name], of[name].new[path]
            words = package.new_words(path)
            others = [p for p in package.changed if p != path and p.endswith(".py")]
            others.sort(key=lambda p: len(words & package.new_words(p)), reverse=True)
            if len(others) >= N_EDITED:
                place = _place(text, number, chance)
                found.append(Cursor(name, path, *place, tuple(others[:N_EDITED])))
    return found[:n]


def places_of(package: Package) -> list[tuple[str, int]]:
    """Files of a package and lines that the newer version wrote in them."""
    places = []
    for path in package.changed:
        if path.endswith(".py") and path in package.new:
            lines = package.new[path].splitlines()
            written = [number for number in package.written(path) if number < len(lines) - N_LINES]
            places += [(path, number) for number in written if is_telling(lines[number])]
    return places


def is_telling(line: str) -> bool:
    """Whether there is something to foretell in it."""
    return len(line.strip()) >= N_LEAST_CHARACTERS and line.strip()[0] not in "#\"'"


def _place(text: str, number: int, chance: random.Random) -> tuple[str, str, str]:
    """What stands before a place in a line, in its first half, the ten lines from there on, and what stands after them."""
    lines = text.splitlines(keepends=True)
    line, start = lines[number].strip(), sum(map(len, lines[:number]))
    end = start + sum(map(len, lines[number : number + N_LINES]))
    at = start + lines[number].index(line) + chance.randrange(len(line) // 2)
    return text[:at], text[at:end], text[end:]


def cursors(of: dict[str, Package], n: int) -> list[Cursor]:
    """Places in files that import of their own package, the same ones each time, a package after the other."""
    chance, found, names = random.Random(7), list[Cursor](), sorted(of)
    while len(found) < n:
        package = of[names[len(found) % len(names)]]
        texts = package.old
        own = (f"from {package.name}", f"import {package.name}", "from .")
        paths = [p for p in texts if p.endswith(".py") and any(word in texts[p] for word in own)]
        paths = [path for path in paths if texts[path].count("\n") >= N_LEAST_LINES]
        changed = [path for path in paths if path in package.changed]
        path = chance.choice(changed if len(changed) >= N_ENOUGH else paths)
        lines = texts[path].splitlines(keepends=True)
        number = chance.randrange(N_LEAST_LINES // 2, len(lines) - N_LINES)
        others = [p for p in package.changed if p != path and p.endswith(".py")]
        lot = [p for p in texts if p != path and p.endswith(".py")]
        chance.shuffle(others)
        chance.shuffle(lot)
        if not is_telling(lines[number]):
            continue
        edited = [*others, *(p for p in lot if p not in others)][:N_EDITED]
        place = _place(texts[path], number, chance)
        found.append(Cursor(package.name, path, *place, tuple(edited)))
    return found


def changed_lines(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """Ranges of lines that differ, in the one and in the other."""
    codes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return [(i, j, k, m) for tag, i, j, k, m in codes if tag != "equal"]
