"""Why nothing is shown of a text."""

import pytest

from scrubjay.completion import discards
from scrubjay.completion.cursor import CursorContext
from scrubjay.completion.discards import begins_with_line_break, is_too_little, repeats_block_above
from scrubjay.completion.postprocess import postprocess


@pytest.mark.parametrize(
    "before",
    [
        *(
            "if __name__ == ",
            "x = ",
            "x =",
            "x += ",
            "f(a=",
            "from x import ",
            "from ",
            "total = a +",
            "a, b, ",
            "x and ",
        ),
        *("return ", "for x in ", "const y = ", "done = a &&", "f => ", "x = a, ", "import os,"),
    ],
)
def test_a_line_does_not_end_after_an_operator_a_comma_or_a_word_that_wants_more(before: str) -> None:
    assert begins_with_line_break(CursorContext(before, "", "python"), "\n    main()")
    assert begins_with_line_break(CursorContext(before, "", "python"), "  \n    main()")
    assert not begins_with_line_break(CursorContext(before, "", "python"), "main()\n")


@pytest.mark.parametrize(
    "before",
    [
        *(
            "x = f(a,",
            "{'a': 1,",
            "f(",
            "return",
            "else:",
            "#include <stdio.h>",
            "<p>",
            "i++",
            "x--",
            " */",
            "a = [",
            "",
            "  ",
        ),
        *("x -> None:", "vector<int>", "# a comment = ", "======", "from_here", "reimport"),
    ],
)
def test_elsewhere_it_does(before: str) -> None:
    assert not begins_with_line_break(CursorContext(before, "", "python"), "\n    main()")


ABOVE = "def save(x):\n    a = open(x)\n    a.write(1)\n    a.close()\n    log(x)\n\n\ndef load(x):\n    "


def test_a_block_that_stands_above_is_not_offered_again() -> None:
    cursor = CursorContext(ABOVE, "\n", "python")
    assert repeats_block_above(cursor, "a = open(x)\n    a.write(1)\n    a.close()\n    log(x)")
    assert repeats_block_above(cursor, "a = open(x)\n\n        a.write(1)\n        a.close()\n        log(x)\n")


@pytest.mark.parametrize(
    "text", ["a = open(x)\n    a.write(1)\n    a.close()", "a = open(x)\n    a.read()\n    a.close()\n    log(x)"]
)
def test_a_few_equal_lines_or_a_changed_block_are(text: str) -> None:
    assert not repeats_block_above(CursorContext(ABOVE, "\n", "python"), text)


@pytest.mark.parametrize(
    ("before", "text", "is_little"),
    [
        ("x = ", "today", False),
        ("x = ", "url", False),
        ("f(", "id)", False),
        ("x = ", "0", True),
        ("x = ", "0)", True),
        ("x = ", "y", True),
        ("retur", "ned", True),
        ("retur", "ning", False),
        ("", ")", True),
    ],
)
def test_a_whole_name_is_never_too_little(before: str, text: str, is_little: bool) -> None:
    assert is_too_little(CursorContext(before, "", "python"), text) is is_little


def test_what_is_there_already_is_not_shown() -> None:
    cursor = CursorContext("a = 1\n", "\nb = 2\nc = 3\n")
    assert discards.is_line_rest(CursorContext("f(", "a, b)\n"), "a, b)")
    assert discards.repeats_below(cursor, "\nb = 2\nc = 3")
    assert discards.repeats_below(cursor, "b = 2")
    assert discards.repeats_below(CursorContext("a = 1\nb ", "\n\nb = 2\nc = 3\n"), "= 2\nc = ")
    assert discards.repeats_below(CursorContext("a = 1\nb ", "\nb = 2\nc = 3\nd = 4\n"), "= 2\nc = 3\nd = 4")
    assert not discards.repeats_below(cursor, "b = 2\nx = 9")
    assert not discards.repeats_below(cursor, "c = 3")
    assert not discards.repeats_below(CursorContext("", ""), "x")
    assert postprocess(cursor, "multi", "b = 2").text == ""


def test_what_is_nearly_there_is_not_shown() -> None:
    cursor = CursorContext("", "\n    result = self.compute(first, second)\n    return result\n")
    assert discards.nearly_repeats_below(cursor, "result = self.compute(first, secand)")
    assert not discards.nearly_repeats_below(cursor, "result = self.forget(first)")
    assert not discards.nearly_repeats_below(CursorContext("", ""), "x")


def test_the_line_above_is_not_repeated() -> None:
    cursor = CursorContext("    value = compute(x)\n    value = ", "\n")
    assert discards.repeats_line_above(cursor, "compute(x)\nreturn")
    assert not discards.repeats_line_above(cursor, "compute(y)")
    assert not discards.repeats_line_above(CursorContext("}\n", ""), "}")
