"""Positions and edits by them: whatever an editor sends does to the lines what it does to the text as one string."""

from collections.abc import Callable
from time import thread_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.positions import (
    Change,
    Lines,
    Position,
    PositionEncoding,
    end_of,
    n_code_points,
    n_units,
    split_lines,
    well_formed,
)

ENCODINGS: list[PositionEncoding] = ["utf-8", "utf-16", "utf-32"]
TEXTS = st.text(st.sampled_from("ab\n\r\x0b\x0c\x1c\x85\u2028é漢😀"), max_size=12)


@given(TEXTS, st.lists(st.tuples(TEXTS, st.floats(0, 1), st.floats(0, 1)), max_size=6), st.sampled_from(ENCODINGS))
def test_edits_do_what_they_do_to_one_string(
    text: str, edits: list[tuple[str, float, float]], encoding: PositionEncoding
) -> None:
    lines = Lines(text)
    for new, a, b in edits:
        start, end = sorted(_outside_line_ends(text, round(share * len(text))) for share in (a, b))
        lines.apply(Change(new, _position(text, start, encoding), _position(text, end, encoding)), encoding)
        text = text[:start] + new + text[end:]
        assert lines.text == text
        assert lines.n_characters == len(text)


@given(TEXTS)
def test_lines_make_up_the_text_and_only_the_last_has_no_end(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert all(line.endswith(("\n", "\r")) for line in lines[:-1])
    assert not lines[-1].endswith(("\n", "\r"))
    assert len(lines) == text.replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=st.text())
def test_units_and_code_points_are_inverse(encoding: PositionEncoding, text: str) -> None:
    assert n_code_points(text, n_units(text, encoding), encoding) == len(text)


@given(st.text(), st.integers(0, 20), st.sampled_from(ENCODINGS))
def test_units_count_what_is_whole_within_them(text: str, units: int, encoding: PositionEncoding) -> None:
    n_whole = n_code_points(text, units, encoding)
    assert n_units(text[:n_whole], encoding) <= units
    assert n_whole == len(text) or n_units(text[: n_whole + 1], encoding) > units


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ((0, 99), (0, 99), "abX\ncd"),
        ((9, 0), (9, 9), "ab\ncdX"),
        ((0, 0), (2**31 - 1, 2**31 - 1), "X"),
        ((-1, 1), (0, 1), "Xb\ncd"),
        ((0, -5), (0, 1), "Xb\ncd"),
        ((1, 1), (0, 0), "ab\ncXd"),
    ],
)
def test_positions_outside_the_text_mean_its_nearest_end(
    start: tuple[int, int], end: tuple[int, int], text: str
) -> None:
    lines = Lines("ab\ncd")
    lines.replace(Position(*start), Position(*end), "X", "utf-16")
    assert lines.text == text


def test_lone_surrogates_are_replaced() -> None:
    lines = Lines("a\ud800b")
    lines.replace(Position(0, 3), Position(0, 3), "\udfff", "utf-16")
    assert lines.text == "a\ufffdb\ufffd"
    assert well_formed(whole := "漢😀") is whole


def test_what_is_around_the_cursor() -> None:
    lines = Lines("x\r\né😀=1\r\ny")
    assert (lines.before(Position(1, 3), "utf-16"), lines.after(Position(1, 3), "utf-16")) == ("é😀", "=1")
    assert (lines.before(Position(2, 9), "utf-8"), lines.after(Position(2, 9), "utf-8")) == ("y", "")


@pytest.mark.parametrize(("text", "end"), [("xy", (3, 6)), ("x\ny😀", (4, 3)), ("\n", (4, 0))])
def test_the_end_of_an_insertion(text: str, end: tuple[int, int]) -> None:
    assert end_of(Position(3, 4), text, "utf-16") == Position(*end)


@pytest.mark.parametrize("text", ["x", "x\x0c", "é", "\n", "x\n", "\r"], ids=ascii)
def test_lines_of_a_text_take_as_long_as_it_is(text: str) -> None:
    small, large = text * 20_000, text * 320_000
    # Sixteen times as long; what is quadratic takes 256 times as long.
    assert _shortest(lambda: split_lines(large)) < 100 * _shortest(lambda: split_lines(small))


def _shortest(work: Callable[[], object]) -> float:
    """Seconds that `work` takes if nothing disturbs it."""
    times = []
    for _ in range(5):
        begun = thread_time()
        work()
        times.append(thread_time() - begun)
    return min(times)


def _outside_line_ends(text: str, offset: int) -> int:
    """`offset`, or the one before if it is inside a `\\r\\n`, where no position points."""
    return offset - (text[offset - 1 : offset + 1] == "\r\n")


def _position(text: str, offset: int, encoding: PositionEncoding) -> Position:
    *above, line = split_lines(text[:offset])
    return Position(len(above), n_units(line, encoding))
