"""Where the definitions of a text are: by its grammar where there is one, else by its indentation.

Lines are those between line feeds, counted from 0; ranges are half-open.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

MAX_OUTLINED_CHARACTERS = 1 << 19
"""In a longer text nothing is looked for."""
MAX_DEFINITIONS = 20_000
MAX_STATEMENT_LINES = 8
"""A longer statement outside of functions is a table, of which the beginning says enough."""
TAB_WIDTH = 8
_CONTAINER = re.compile(
    r"\b(?:class|struct|interface|module|namespace|impl|trait|object|enum|extension|protocol|defmodule|type)\b"
)
_NAME = re.compile(r"([^\W\d]\w*)\s*(?:[<({:=!?\[]|$|extends\b|implements\b|for\b|do\b|where\b)")
_IMPORT = re.compile(
    r"\s*(?:import|from|use|using|require|include|#include|#import|open|@import|extern crate|package)\b"
)


class Definition(NamedTuple):
    """Something with a name, and what it consists of.

    Args:
        start: the first line, that of decorators too.
        body: the lines [body, body_end) are its body without what opens and closes it; none if it has no lines of its own.
        end: the line after the last.
        is_leaf: it is read as a whole: a function, not a class. Definitions within are not looked for.
    """

    name: str
    start: int
    body: int
    body_end: int
    end: int
    is_leaf: bool


@dataclass(frozen=True, slots=True)
class Outline:
    """What a text consists of.

    Args:
        definitions: in the order of their starts, those within others after these.
        imports: lines that say which other files are used.
        tables: long statements without a definition in them.
        modules: what is imported, as it is written there.
    """

    n_lines: int
    definitions: tuple[Definition, ...] = ()
    imports: tuple[tuple[int, int], ...] = ()
    tables: tuple[tuple[int, int], ...] = ()
    modules: tuple[str, ...] = ()

    def around(self, line: int) -> list[Definition]:
        """The definitions that `line` is in, the outermost first."""
        return [one for one in self.definitions if one.start <= line < one.end]


def by_indentation(text: str) -> Outline:
    """The outline of a text in a language that is not known: what is indented belongs to the line above."""
    lines = text.split("\n")
    if len(text) > MAX_OUTLINED_CHARACTERS:
        return Outline(len(lines))
    imports = [number for number, line in enumerate(lines) if _IMPORT.match(line)]
    definitions = tuple(_definitions(lines))[:MAX_DEFINITIONS]
    modules = tuple(lines[number].strip() for number in imports)
    return Outline(len(lines), definitions, tuple((number, number + 1) for number in imports), (), modules)


def _definitions(lines: Sequence[str]) -> Iterator[Definition]:
    """Each line with deeper lines below it, but for those in the body of a function."""
    indents = [_indent(line) for line in lines]
    n_done = 0
    for number, (indent, body, end) in _blocks(indents):
        if number < n_done or _IMPORT.match(lines[number]):
            continue
        # An opening bracket on a line of its own belongs to the line above.
        head = number - 1 if lines[number].strip() == "{" and number and indents[number - 1] == indent else number
        is_leaf = not _CONTAINER.search(lines[head])
        last = end + 1 if end < len(lines) and _closes(lines[end]) and indents[end] == indent else end
        yield Definition(_name(lines[head]), head, body, end, last, is_leaf)
        n_done = last if is_leaf else number + 1


def _blocks(indents: Sequence[int | None]) -> list[tuple[int, tuple[int, int, int]]]:
    """Lines with deeper ones below them: the line, its indentation, and the range of those deeper lines."""
    found: list[tuple[int, tuple[int, int, int]]] = []
    # Lines that may still get deeper ones below them, with their indentation and the first of these.
    opened: list[tuple[int, int, int | None]] = []
    last = 0
    for number, indent in [*((n, i) for n, i in enumerate(indents) if i is not None), (len(indents), -1)]:
        while opened and opened[-1][1] >= indent:
            line, its_indent, body = opened.pop()
            if body is not None:
                found.append((line, (its_indent, body, last + 1)))
        if opened and opened[-1][2] is None:
            opened[-1] = (*opened[-1][:2], number)
        opened.append((number, indent, None))
        last = number
    return sorted(found)


def _indent(line: str) -> int | None:
    """How far a line is indented; None for a blank one."""
    content = line.lstrip()
    return len(line[: len(line) - len(content)].expandtabs(TAB_WIDTH)) if content else None


def _closes(line: str) -> bool:
    return line.strip()[:1] in ("}", ")", "]") or line.strip().rstrip(";") in ("end", "fi", "done", "esac")


def _name(line: str) -> str:
    found = _NAME.search(line)
    return found[1] if found else ""
