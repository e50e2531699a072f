from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay_training.cursors import Kind, block_end, choose_hole, line_starts, token_border
from scrubjay_training.languages import opener_of
from tests.support.training_corpus import TEXT


@given(st.text(alphabet="ab :\n  (.)def", max_size=200), st.integers(0, 100), st.sampled_from(get_args(Kind)))
def test_holes_lie_in_the_text_and_hold_something(text: str, seed: int, kind: Kind) -> None:
    hole = choose_hole(text, Random(seed), kind)
    if hole is not None:
        assert 0 <= hole.start <= hole.end <= len(text)
        assert bool(text[hole.start : hole.end].strip()) == (kind != "nothing")
        assert hole.kind == kind


@pytest.mark.parametrize("seed", range(20))
def test_the_rest_of_a_line_stays_in_its_line_and_ends_at_its_end(seed: int) -> None:
    hole = choose_hole(TEXT, Random(seed), "rest")
    assert hole is not None
    assert "\n" not in TEXT[hole.start : hole.end]
    assert TEXT[hole.end] == "\n"


@pytest.mark.parametrize("seed", range(20))
def test_a_block_ends_where_the_next_line_leaves_it(seed: int) -> None:
    hole = choose_hole(TEXT, Random(seed), "block")
    assert hole is not None
    following = TEXT[hole.end + 1 :].lstrip("\n").split("\n")[0]
    written = TEXT[hole.start : hole.end].strip("\n").split("\n")[-1]
    assert len(following) - len(following.lstrip()) < len(written) - len(written.lstrip()) or "\n" not in written


def test_the_end_of_a_block_leaves_blank_lines_after_it_alone() -> None:
    text = "def f():\n    a\n\n    b\n\n\nx\n"
    assert text[: block_end(text, line_starts(text), 0)] == "def f():\n    a\n\n    b"


def test_short_holes_are_far_more_frequent_than_long_ones() -> None:
    holes = [choose_hole(TEXT, Random(seed)) for seed in range(400)]
    n_lines = [TEXT.count("\n", hole.start, hole.end) for hole in holes if hole is not None]
    assert sum(n <= 1 for n in n_lines) > 2 * sum(n > 1 for n in n_lines)


def test_no_hole_in_nothing() -> None:
    assert choose_hole("", Random(0)) is None
    assert choose_hole("\n\n", Random(0)) is None


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("loan.returned = ", "loan.returned ="),
        ("loan.returned =", "loan.returned"),
        ("loan.ret", "loan"),
        ("print(", "print"),
        ("a, b", "a,"),
        ("one\n    ", "one\n    "),
        ("x = 12", "x = 1"),
        ("one\n", "one\n"),
        ("def f(a):", "def f(a):"),
        ("if (a) {", "if (a) {"),
        ("", ""),
    ],
)
def test_a_cursor_moves_back_to_where_its_token_begins(before: str, kept: str) -> None:
    assert before[: token_border(before + "rest", len(before))] == kept


@pytest.mark.parametrize("seed", range(10))
def test_blocks_of_other_languages_lie_in_braces(seed: int) -> None:
    text = "func add(a int, b int) int {\n\tsum := a + b\n\treturn sum\n}\n\nvar x = 1\n"
    hole = choose_hole(text, Random(seed), "block", opener_of("add.go"))
    assert hole is not None
    assert text[hole.start : hole.end].strip() == "sum := a + b\n\treturn sum"
    assert text[hole.end :].startswith("\n}")


@pytest.mark.parametrize("seed", range(20))
def test_what_was_typed_before_a_word_is_no_part_of_one(seed: int) -> None:
    hole = choose_hole(TEXT, Random(seed), "typed")
    assert hole is not None
    assert not (TEXT[hole.start - 1].isalnum() and TEXT[hole.start].isalnum())
    assert TEXT[hole.end] == "\n"


def test_nothing_is_to_be_written_behind_a_whole_line_alone() -> None:
    text = "print(line)\nvalue = (\n    1 +\n"
    starts = {hole.start for seed in range(30) if (hole := choose_hole(text, Random(seed), "nothing"))}
    assert starts == {len("print(line)")}
