"""What of a project has to do with a place in one of its files: the files that it imports, and definitions of names near it.

Candidates for what prompts could show, tried by `relevance`. Pure: they follow from the texts alone.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from scrubjay.outline.grammars import outline_of
from scrubjay.outline.outline import MAX_OUTLINED_CHARACTERS, Definition, Outline

MAX_HEAD_LINES = 8
NEAR_LINES = (40, 20)
"""Names count in so many lines before the cursor, and after it."""
MAX_SAME = 4
"""A name that is defined in more places says little."""
MAX_MEMBERS = 24
MIN_METHOD = 6
"""Characters in the name of a method that tells whose it is, though nothing of its file is imported."""
_WORD = re.compile(r"[^\W\d]\w{2,63}")
_DOC = re.compile(r"\s*[rbu]?(?:\"\"\"|'''|//|/\*|#)")
_FROM = re.compile(r"from\s+(\.*)([\w.]*)\s+import\s+(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Defined:
    """A definition as others see it: the lines of `head`, those that say what it is called with and what it is for."""

    name: str
    label: str
    line: int
    head: str
    owner: str = ""


@dataclass(slots=True)
class Index:
    """The definitions of a project's files, and what these import."""

    outlines: dict[str, Outline] = field(default_factory=dict)
    by_name: dict[str, list[Defined]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, texts: Mapping[str, str]) -> "Index":
        index = cls()
        for label, text in texts.items():
            index.outlines[label] = outline = _outline(label, text)
            for one in definitions(label, text, outline):
                index.by_name[one.name].append(one)
        return index

    def imported(self, label: str, outline: Outline) -> list[str]:
        """Labels of the files that `label` imports, in the order of its imports."""
        found = (other for one in outline.modules for other in _python_files(label, one, self.outlines))
        return [*dict.fromkeys(other for other in found if other != label)]


def _python_files(label: str, statement: str, labels: Collection[str]) -> Iterator[str]:
    """The files that an import statement of Python names, as far as they are among `labels`."""
    match = _FROM.match(statement)
    if match is None:
        modules: list[tuple[str, tuple[str, ...]]] = [
            (word, ()) for word in re.findall(r"[\w.]+", statement.partition("import")[2])
        ]
        folder = ""
    else:
        dots, module, names = match.groups()
        modules = [(module, tuple(_WORD.findall(names)))]
        folder = "/".join(PurePosixPath(label).parts[: -len(dots)]) if dots else ""
    for module, inner in modules:
        path = "/".join(part for part in (folder, module.replace(".", "/")) if part)
        own = [f"{path}/{name}.py" for name in inner] + [f"{path}/{name}/__init__.py" for name in inner]
        there = [one for one in own if one in labels]
        yield from there
        if len(there) < len(inner) or not inner:
            yield from (one for one in (f"{path}.py", f"{path}/__init__.py") if one in labels)


def _outline(label: str, text: str) -> Outline:
    return outline_of(label, text, max_parsed=MAX_OUTLINED_CHARACTERS)


def definitions(label: str, text: str, outline: Outline) -> Iterator[Defined]:
    """Classes with the heads of what is in them, functions, and methods."""
    lines = text.split("\n")
    around: list[Definition] = []
    for one in outline.definitions:
        while around and around[-1].end <= one.start:
            around.pop()
        owner = around[-1] if around else None
        around.append(one)
        if not one.name:
            continue
        head = _head(lines, one)
        if not one.is_leaf:
            head += _members(lines, one, outline)
        yield Defined(one.name, label, one.start, "".join(f"{line}\n" for line in head), owner.name if owner else "")


def _head(lines: Sequence[str], one: Definition) -> list[str]:
    end = max(min(one.body, one.start + MAX_HEAD_LINES, one.end), one.start + 1)
    head = list(lines[one.start : end])
    if one.body < one.body_end and one.body == end and _DOC.match(lines[one.body]):
        is_bare = lines[one.body].strip() in ('"""', "'''")
        head += lines[one.body : one.body + 1 + is_bare]
    return head


def _members(lines: Sequence[str], owner: Definition, outline: Outline) -> list[str]:
    own = [one for one in outline.definitions if owner.start < one.start < owner.end]
    inner = [one for one in own if not any(other.start < one.start < other.end for other in own)]
    found: list[str] = []
    for one in inner[:MAX_MEMBERS]:
        if one.name.startswith("__") and one.name != "__init__":
            continue
        found += lines[one.start : max(min(one.body, one.start + MAX_HEAD_LINES, one.end), one.start + 1)]
    return found


def definitions_near(index: Index, label: str, text: str, offset: int, fits: int) -> str:
    """The heads of what the text around `offset` of the file `label` names, at most `fits` characters, file by file."""
    chosen: list[Defined] = []
    n = 0
    for one in ranked(index, label, text, offset):
        if n + len(one.head) > fits or any(other.label == one.label and other.name == one.owner for other in chosen):
            continue
        chosen = [other for other in chosen if other.label != one.label or other.owner != one.name]
        chosen.append(one)
        n = sum(len(other.head) for other in chosen)
    best = {one.label: number for number, one in reversed([*enumerate(chosen)])}
    parts = []
    for file in sorted(best, key=lambda name: -best[name]):
        heads = sorted((one for one in chosen if one.label == file), key=lambda one: one.line)
        parts.append(f"# {file}\n" + "".join(one.head for one in heads))
    return "".join(parts)


def ranked(index: Index, label: str, text: str, offset: int) -> list[Defined]:
    """The definitions of names around `offset`, the one that says most first.

    Those that the file imports by name and uses near, what the class around the cursor is made from, then what is in files that
    it imports, then what has one definition in the whole project.
    """
    outline = _outline(label, text)
    lines, at = text.split("\n"), text.count("\n", 0, offset)
    near = Counter(_WORD.findall("\n".join(lines[max(at - NEAR_LINES[0], 0) : at + NEAR_LINES[1]])))
    closest = {*_WORD.findall("\n".join(lines[max(at - 8, 0) : at + 4]))}
    bases = {word for one in outline.around(at) for word in _WORD.findall(lines[one.start])}
    imported = {*index.imported(label, outline)}
    by_name = {word for one in outline.modules for word in _WORD.findall(one[:2000])}
    elsewhere = Counter(_WORD.findall(text))
    found: list[tuple[float, Defined]] = []
    for word in {*near, *bases, *by_name}:
        others = [one for one in index.by_name.get(word, ()) if one.label != label]
        known = [one for one in others if one.label in imported]
        top = [one for one in known if not one.owner] if word in by_name else []
        chosen = top or known or others
        if not 0 < len(chosen) <= (MAX_SAME if known else 1):
            continue
        weight = 4.0 * (word in closest) + 2.0 * (word in near) + 4.0 * (word in bases) + 0.5 * (elsewhere[word] > 1)
        weight *= 2.0 if top else 1.0 if known else 0.5
        telling = [one for one in chosen if known or not one.owner or len(word) >= MIN_METHOD]
        found += [(weight / len(chosen), one) for one in telling if weight > 0]
    found.sort(key=lambda item: (-item[0], item[1].label, item[1].line))
    return [one for _, one in found]
