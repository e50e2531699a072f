"""Where definitions are found by grammars, in each language that there is one for; and that this holds up nobody."""

import sys
import threading
from itertools import pairwise
from time import thread_time
from types import FrameType

import pytest

from scrubjay.outline.grammars import GRAMMARS, MAX_PARSED_CHARACTERS, outline_of
from scrubjay.outline.outline import MAX_OUTLINED_CHARACTERS
from tests.support.gguf_vocab import source_text

PYTHON = '''"""What it is."""
import os
from .shelf import (
    Book,
)

TABLE = [
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
]


@decorated
class Shelf(Base):
    limit = 10

    @property
    def size(self) -> int:
        total = sum(self.books)
        return total

    def add(
        self,
        book: Book,
    ) -> None:
        def inner() -> None:
            pass

        self.books.append(book)


async def main() -> None: ...
'''
SOURCES = {
    "a.py": "import os\nclass A:\n    def f(self):\n        return 1\n",
    "a.js": 'import b from "./b";\nexport default class A {\n  f(x) {\n    return x;\n  }\n}\n',
    "a.ts": 'import { b } from "./b";\nnamespace A {\n  export function f(): void {\n    b();\n  }\n}\n',
    "a.tsx": 'import b from "./b";\nclass A {\n  f() {\n    return <b/>;\n  }\n}\n',
    "a.go": 'package a\n\nimport (\n\t"b"\n)\n\ntype A struct {\n\tx int\n}\n\nfunc (a *A) f() {\n\tb.C()\n}\n',
    "a.rs": "use a::b;\nimpl T for A {\n    fn f(&self) {\n        b()\n    }\n}\n",
    "a.c": '#include "b.h"\nstruct A {\n    int x;\n};\n\nstatic int *f(int a)\n{\n    return a;\n}\n',
    "a.cpp": "#include <b>\nclass A : public B {\n  int f() const {\n    return 1;\n  }\n};\n",
    "a.java": "import b.C;\nclass A extends B {\n    void f(int x) {\n        x++;\n    }\n}\n",
    "a.rb": 'require "b"\nclass A < B\n  def f(x)\n    x\n  end\nend\n',
}


@pytest.mark.parametrize("label", SOURCES)
def test_each_language_has_its_definitions(label: str) -> None:
    outline = outline_of(label, SOURCES[label])
    assert [(one.name, one.is_leaf) for one in outline.definitions] == [("A", False), ("f", True)]
    lines, (_, function) = SOURCES[label].split("\n"), outline.definitions
    assert function.body_end - function.body == 1, "the body without what opens and closes it"
    assert "f(" in lines[function.start]
    assert outline.imports or label == "a.rb"


def test_there_is_a_source_for_each_grammar() -> None:
    endings = {label.rpartition(".")[2] for label in SOURCES}
    assert all(endings & set(names) for names in GRAMMARS.values())


def test_decorators_tables_and_signatures_of_many_lines() -> None:
    outline, lines = outline_of("a.py", PYTHON), PYTHON.split("\n")
    assert [lines[one.start].strip() for one in outline.definitions] == [
        "@decorated",
        "@property",
        "def add(",
        "async def main() -> None: ...",
    ]
    assert [(lines[one.body].strip(), lines[one.body_end - 1].strip()) for one in outline.definitions[:3]] == [
        ("limit = 10", "self.books.append(book)"),
        ("total = sum(self.books)", "return total"),
        ("def inner() -> None:", "self.books.append(book)"),
    ]
    assert outline.definitions[3].body == outline.definitions[3].end, "it has no lines of its own"
    assert [lines[start] for start, _ in outline.tables] == ["TABLE = ["]
    assert [lines[start] for start, _ in outline.imports] == ["import os", "from .shelf import ("]


def test_a_text_that_is_no_program_has_an_outline_all_the_same() -> None:
    for label in ("a.py", "a.c", "a.unknown"):
        assert outline_of(label, "((((\n  }}\n\0\udc80 def\n").n_lines == 4


def test_a_language_without_a_grammar_is_read_by_its_indentation() -> None:
    assert [one.name for one in outline_of("a.lua", "function f()\n  x()\nend\n").definitions] == ["f"]


def longest_hold(label: str, text: str) -> float:
    """Seconds of the processor that a thread has spent between two moments at which another one may go on."""
    marks: list[float] = []

    def mark(_frame: FrameType, _event: str, _: object) -> None:
        marks.append(thread_time())

    def work() -> None:
        sys.setprofile(mark)
        outline_of(label, text)
        sys.setprofile(None)

    outline_of(label, "")  # what is imported for it is imported once
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return max(after - before for before, after in pairwise(marks))


@pytest.mark.parametrize("label", ["a.py", "a.txt", "a.c"])
def test_a_long_text_keeps_no_other_thread_from_running(label: str) -> None:
    """The law of the event loop: nothing holds the interpreter for longer than 20 ms, here of the processor's time."""
    table = "x = [\n" + "    1, 2, 3,\n" * MAX_OUTLINED_CHARACTERS
    for text in (source_text("argparse") * 12, table):
        for length in (MAX_PARSED_CHARACTERS, MAX_OUTLINED_CHARACTERS):
            assert min(longest_hold(label, text[:length]) for _ in range(3)) < 0.02
