"""Windows that slide over a text are put together again to the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.code_text import common_prefix_length
from scrubjay.prompt.text_alignment import MAX_KNOWN_CHARACTERS, align_window
from tests.completion.test_growth import check_growth

LINES = [f"line number {number} of a text\n" for number in range(200)]
texts = st.text("ab\n", max_size=40)


def window(lines: list[str], n_lines: int) -> str:
    """What a client shows that sends the last `n_lines` lines before the cursor."""
    return "".join(lines[-n_lines:])


def test_each_new_line_is_added_to_what_is_known() -> None:
    known = window(LINES[:50], 40)
    for end in range(51, 200):
        after = align_window(known, window(LINES[:end], 40))
        assert after == "".join(LINES[10:end])
        known = after


def test_a_window_of_characters_begins_in_the_middle_of_a_line() -> None:
    text = "".join(LINES)
    known = text[:3000]
    assert align_window(known, text[1010:3001]) == text[:3001]


def test_an_edit_within_the_window_changes_what_is_known_there() -> None:
    edited = [*LINES[:30], "an edit\n", *LINES[31:60]]
    assert align_window("".join(LINES[:60]), window(edited, 40)) == "".join(edited)


def test_going_up_forgets_what_was_below() -> None:
    assert align_window("".join(LINES[:100]), "".join(LINES[:90])) == "".join(LINES[:90])


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        ("".join(LINES), "something else\n" * 40),
        ("".join(LINES), "x"),
        ("".join(LINES[:40]), "}\n\n}\n" + "".join(LINES[100:140])),
    ],
)
def test_windows_of_other_texts_are_not_aligned(known: str, shown: str) -> None:
    assert align_window(known, shown) is None


def test_of_equal_places_the_last_one_counts() -> None:
    head, block = "import os\n", "def f():\n    return 1\n\n\n"
    assert align_window(head + block * 10, block * 3 + "x") == head + block * 10 + "x"


def test_the_beginning_of_a_huge_text_is_forgotten() -> None:
    line = "a line of some length, number {:7}\n"
    lines = [line.format(number) for number in range(2 * MAX_KNOWN_CHARACTERS // len(line))]
    after = align_window("".join(lines), "".join(lines[-100:]) + "x")
    assert after
    assert len(after) <= MAX_KNOWN_CHARACTERS
    assert "".join([*lines, "x"]).endswith(after)


@given(texts, texts)
def test_what_comes_out_ends_with_the_window(known: str, shown: str) -> None:
    after = align_window(known, shown)
    assert after is None or after.endswith(shown) or after == shown.partition("\n")[2]


@given(texts, texts)
def test_agreement_is_the_common_beginning(one: str, other: str) -> None:
    n = common_prefix_length(one, other)
    assert one[:n] == other[:n]
    assert one[n : n + 1] != other[n : n + 1] or n == len(one) == len(other)


@pytest.mark.parametrize("line", ["a = 1\n", "\n", "value = compute(first, second)\n"])
def test_the_time_grows_with_the_text_and_not_faster(line: str) -> None:
    def align(text: str) -> None:
        # A window that begins at any line of what is known, and goes on differently everywhere.
        align_window(text + "x" * len(text), text[: len(text) // 4] + "y" * len(text))

    check_growth(align, lambda n: line * (n // len(line)))
