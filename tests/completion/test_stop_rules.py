"""Stop rules, one by one, and that they say the same however the text comes in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.completion.cursor import CursorContext
from scrubjay.completion.postprocess import postprocess
from scrubjay.completion.stop_rules import (
    LOOP_STRIDE,
    Mode,
    choose_mode,
    leaves_asked_indent,
    leaves_blank_lines,
    leaves_block,
    leaves_file,
    leaves_paragraph,
    leaves_scope,
    loops_in_line,
    repeats_itself,
    repeats_next_line,
    repeats_suffix,
    single_line,
    stop_at,
)

PYTHON = CursorContext("def f(x):\n    y = 1\n    ", "\n    return x\n", "python")


@pytest.mark.parametrize(
    ("before", "after", "language", "mode"),
    [
        ("x = ", "", "python", "multi"),
        ("x = f(", ")", "python", "multi"),
        ("if (a", ") {", "c", "multi"),
        ("x = f(", "a)", "python", "single"),
        ("x = 1  # the ", "", "python", "single"),
        ("x = '# not a ", "'", "python", "single"),
        ("x = '#' + ", "", "python", "multi"),
        ("int x; // don't ", "", "c", "single"),
        ("-- note ", "", "lua", "single"),
        ("x = 1  # the ", "", "unknown", "multi"),
    ],
)
def test_one_line_in_the_middle_of_a_line_and_in_comments(before: str, after: str, language: str, mode: Mode) -> None:
    cursor = CursorContext("a = 0\n" + before, after + "\nb = 2\n", language)
    assert choose_mode(cursor) == mode


def test_a_single_line_ends_with_the_first_that_is_not_blank() -> None:
    assert single_line(PYTHON, "foo()\nbar") == 5
    assert single_line(PYTHON, "\n  foo()\nbar") == 8
    assert single_line(PYTHON, "foo()") is None
    assert single_line(PYTHON, "\n\n") is None


def test_the_beginning_of_the_suffix_is_not_repeated() -> None:
    cursor = CursorContext("a = 1\n", "\nwith open(path) as file:\n    pass\n")
    assert repeats_suffix(cursor, "b = 2\nwith open(path) as file") == 6
    assert repeats_suffix(cursor, "b = 2\nwith open(p") is None
    assert repeats_suffix(CursorContext("", "\n}\n"), "x\n}\n") is None


def test_the_next_line_ends_it_exactly_or_nearly() -> None:
    cursor = CursorContext("def f():\n    ", "\n    return compute(first, second)\n")
    assert repeats_next_line(cursor, "a = 1\n    return compute(first, second)\n") == 5
    assert repeats_next_line(cursor, "a = 1\n    return compute(first, secand)\n") == 5
    assert repeats_next_line(cursor, "a = 1\n    return other(first)\n") is None
    assert repeats_next_line(cursor, "return compute(first, second)\n") == 0
    assert repeats_next_line(cursor, "a = 1\n    return compute(first, second)") is None


def test_a_list_may_be_written_line_by_similar_line() -> None:
    cursor = CursorContext("numbers.append(1)\nnumbers.", "\nnumbers.append(3)\n")
    assert repeats_next_line(cursor, "append(2)\n") is None


def test_a_line_of_brackets_is_like_another_by_chance() -> None:
    assert repeats_next_line(CursorContext("if (a) {\n  ", "\n}\n"), "if (b) {\n  }\n}\n") is None


def test_three_equal_lines_are_two_too_many() -> None:
    cursor = CursorContext("", "")
    assert repeats_itself(cursor, "print(1)\nprint(1)\nprint(1)\n") == 8
    assert repeats_itself(cursor, "a\nprint(1)\n\nprint(1)\nprint(1)\n") == 11
    assert repeats_itself(cursor, "print(1)\nprint(1)\n") is None
    assert repeats_itself(cursor, "}\n}\n}\n") is None


def test_two_blank_lines_end_it_but_not_at_the_start() -> None:
    assert leaves_blank_lines(PYTHON, "return 1\n\n\ndef g") == 8
    assert leaves_blank_lines(PYTHON, "\n\n\ndef g") is None
    assert leaves_blank_lines(PYTHON, "return 1\n\ndef g") is None


def test_a_line_indented_less_leaves_the_scope() -> None:
    assert leaves_scope(PYTHON, "z = 2\n    return z\n\ndef g():\n    pass\n") == len("z = 2\n    return z\n")
    assert leaves_scope(PYTHON, "z = 2\n        deeper\n    return z\n") is None
    at_top = CursorContext("", "\n")
    assert leaves_scope(at_top, "def f():\n    return 1\nx = 2\n") is None
    unindented = CursorContext("def f():\n", "\n")
    assert leaves_scope(unindented, "    return 1\nx = 2\n") == len("    return 1")


@pytest.mark.parametrize(
    ("suffix", "kept"),
    [("", "foo();\n  }"), ("\n}\n", "foo();\n  }"), ("\n  }\n}\n", "foo();"), ("\n  bar();\n", "foo();")],
)
def test_a_closing_line_is_kept_if_nothing_below_closes_the_block(suffix: str, kept: str) -> None:
    cursor = CursorContext("function f() {\n  if (x) {\n    ", suffix, "javascript")
    text = "foo();\n  }\n}\n"
    assert text[: leaves_scope(cursor, text)] == kept


def test_a_client_may_ask_for_an_indentation() -> None:
    assert leaves_asked_indent("1,\n    2,\n]\n", 4) == leaves_asked_indent("1,\n    2,\n  ]", 4) == len("1,\n    2,")
    assert leaves_asked_indent("1,\n\n    2,\n  ", 4) is None, "what is blank says nothing"
    assert leaves_asked_indent("1", 4) is None


LINES = st.sampled_from(
    ["    a = 1", "    return x", "    print(1)", "", "  ", "def g():", "        deep()", "}", "    }", "    y = 10"]
)
TEXTS = st.lists(LINES, max_size=10).map("\n".join)


@given(TEXTS, st.sampled_from(["single", "multi"]), st.sampled_from(["\n    y = 10\n    return x\n", "", ")\n}\n"]))
def test_what_is_cut_stays_cut_as_the_text_goes_on(text: str, mode: Mode, suffix: str) -> None:
    cursor = CursorContext("def f(x):\n    y = 1\n    ", suffix, "python")
    first = next(((n, cut) for n in range(len(text) + 1) if (cut := stop_at(cursor, mode, text[:n])) is not None), None)
    at_end = stop_at(cursor, mode, text)
    if first is None:
        assert at_end is None
    else:
        n, cut = first
        assert cut <= n
        assert at_end is not None
        assert at_end <= cut


@given(TEXTS, st.sampled_from(["single", "multi"]))
def test_what_is_left_of_a_complete_text_is_left_alone(text: str, mode: Mode) -> None:
    kept = text[: stop_at(PYTHON, mode, text, is_complete=True)]
    assert stop_at(PYTHON, mode, kept, is_complete=True) is None


def test_a_text_ends_with_the_block_that_it_began() -> None:
    top = CursorContext("def f(x):", "", "python")
    assert leaves_block(top, "\n    return x\n\ndef g():\n    pass\n") == len("\n    return x")
    assert leaves_block(top, "\n    a = x\n\n    return a\n") is None
    assert leaves_block(
        CursorContext("class A:\n    ", "", "python"), "def f(self):\n        pass\n\n    def g(self):\n"
    ) == len("def f(self):\n        pass")
    assert leaves_block(CursorContext("", "", "python"), "x = 1\n\ny = 2\n") is None


@pytest.mark.parametrize(
    ("before", "block"),
    [
        ("    def values(self, kw_only:", " bool) -> list[int]:\n        return []"),
        ("    def values(self, kw_only:", " bool,\n        least: int = 0,\n    ) -> list[int]:\n        return []"),
        ("    def values(self):\n        ret", "urn []"),
        ("    ", "@property\n    def values(self):\n        return []"),
        ("", "    def __iter__(self):\n        yield 1"),
    ],
)
def test_what_was_asked_for_ends_with_its_method(before: str, block: str) -> None:
    """And not after three more of them."""
    methods = "".join(f"\n\n    def {name}(self):\n        return 1" for name in ("keys", "items", "get"))
    cursor = CursorContext(f"class A:\n    a = 1\n\n{before}", "\n", "python")
    assert choose_mode(cursor) == "multi"
    text = block + methods
    assert postprocess(cursor, "multi", text, is_automatic=False).text == block
    assert text[: stop_at(cursor, "multi", text)].rstrip("\n") == block, "and no more is generated"


def test_prose_ends_with_its_paragraph() -> None:
    assert leaves_paragraph(CursorContext("To lend ", "", "markdown"), "a tool, ask.\n\nThen\n") == len("a tool, ask.")
    assert leaves_paragraph(CursorContext("# Use", "", "markdown"), "\n\nAsk.\n") is None
    assert leaves_paragraph(PYTHON, "x = 1\n\ny = 2\n") is None


@pytest.mark.parametrize(
    "heading", ["# shelf/report.py", "// svc/limiter.go", "  # Path: a.py", "-- x/y.sql", ";; init.el", "# bin/run"]
)
def test_the_heading_of_another_file_is_not_reached(heading: str) -> None:
    assert leaves_file(CursorContext("if x == ", "", "python"), f"1:\n    f()\n{heading}\nimport os\n") == len(
        "1:\n    f()"
    )
    assert leaves_file(CursorContext("if x == ", "", "python"), f"\n{heading}\n") == 0


@pytest.mark.parametrize("comment", ["# see a.py", "# shelf", "x = 1  # a.py", "#", "# 1.5 times"])
def test_other_comments_are(comment: str) -> None:
    assert leaves_file(PYTHON, f"1:\n{comment}\n") is None


def test_a_loop_is_noticed_while_its_line_is_written() -> None:
    looping = "0" + ", today=0" * 20
    first = next(n for n in range(1, len(looping)) if loops_in_line(looping[:n]))
    assert first % LOOP_STRIDE == 0
    assert first <= 80
    assert not loops_in_line("x" * LOOP_STRIDE + "\n" + "y = 1; z = 2; a" + "\n")
