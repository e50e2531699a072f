"""Where definitions are found by indentation alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.outline.outline import MAX_OUTLINED_CHARACTERS, by_indentation

LUA = """-- What it is.

function M.decode(text)
  local value = json.parse(text)
  if value then
    return value
  end
end

M.limit = 10
"""
KOTLIN = """import a.b.C

class Shelf(val size: Int) {
    val books = mutableListOf<Book>()

    fun add(book: Book)
    {
        books.add(book)
        sort()
    }
}
"""


def test_a_function_is_a_line_with_deeper_ones_below_it() -> None:
    outline = by_indentation(LUA)
    assert [(one.name, one.start, one.body, one.body_end, one.end) for one in outline.definitions] == [
        ("decode", 2, 3, 7, 8)
    ]
    assert outline.definitions[0].is_leaf


def test_a_class_is_looked_into_and_a_bracket_of_its_own_line_belongs_to_the_line_above() -> None:
    outline = by_indentation(KOTLIN)
    assert [(one.name, one.start, one.body, one.body_end, one.end, one.is_leaf) for one in outline.definitions] == [
        ("Shelf", 2, 3, 10, 11, False),
        ("add", 5, 7, 9, 10, True),
    ]
    assert outline.imports == ((0, 1),)
    assert [one.name for one in outline.around(8)] == ["Shelf", "add"]


def test_a_text_without_structure_has_none() -> None:
    assert by_indentation("one\ntwo\n\nthree").definitions == ()
    assert by_indentation("").n_lines == 1
    assert by_indentation("x:\n y\n" * (MAX_OUTLINED_CHARACTERS // 6 + 1)).definitions == ()


@given(st.text(st.sampled_from("ab({:}) \n\t\r"), max_size=200))
def test_whatever_the_text_is_definitions_are_in_order_and_within_it(text: str) -> None:
    outline = by_indentation(text)
    assert outline.n_lines == len(text.split("\n"))
    assert sorted(one.start for one in outline.definitions) == [one.start for one in outline.definitions]
    for one in outline.definitions:
        assert one.start < one.body <= one.body_end <= one.end <= outline.n_lines
        assert one in outline.around(one.body)


@pytest.mark.parametrize("line", ["import os", "  use std::fmt;", '#include "a.h"', "from a import b"])
def test_imports_are_known_by_their_first_word(line: str) -> None:
    assert by_indentation(f"x = 1\n{line}\n").modules == (line.strip(),)
