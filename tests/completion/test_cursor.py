"""What of a document the completion rules see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.completion.cursor import MAX_CHARACTERS, CursorContext
from scrubjay.completion.postprocess import postprocess


@pytest.mark.parametrize(
    ("before", "after", "line_end"),
    [
        ("a\r\nb\n", "c\r\n", "\n"),
        ("a\nb\r\n", "c\n", "\r\n"),
        ("", "a\r\nb\n", "\r\n"),
        ("", "a\nb\r\n", "\n"),
        ("x", "", "\n"),
        ("", "\nb\r\n", "\n"),
        ("a\rb", "\n", "\r"),
        ("", "a\rb", "\r"),
    ],
)
def test_line_ends_are_those_next_to_the_cursor(before: str, after: str, line_end: str) -> None:
    cursor = CursorContext.at(before + after, len(before))
    assert cursor.line_end == line_end
    whole_lines = frozenset({"fit_line"})  # else only one line is shown before the rest of a line
    assert postprocess(cursor, "multi", "x = 1\ny = 2", switched_off=whole_lines).text == f"x = 1{line_end}y = 2"


@given(st.text("ab\r\n", max_size=20), st.text("ab\r\n", max_size=20))
def test_rules_see_one_kind_of_line_end(before: str, after: str) -> None:
    cursor = CursorContext.at(before + after, len(before))
    assert cursor.prefix.split("\n") == (before + "|").replace("\r\n", "\n").replace("\r", "\n")[:-1].split("\n")
    assert "\r" not in cursor.suffix


def test_only_what_is_near_is_looked_at() -> None:
    cursor = CursorContext.at("a" * 100_000 + "b" * 100_000, 100_000)
    assert (cursor.prefix, cursor.suffix) == ("a" * MAX_CHARACTERS, "b" * MAX_CHARACTERS)
