"""The mirror of an editor's text: any edit in any encoding does to it what it does to the text as one string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay_lsp.text import Encoding, Lines, Position, end_of, n_code_points, n_units, split_lines

ENCODINGS: list[Encoding] = ["utf-8", "utf-16", "utf-32"]
TEXTS = st.text(st.sampled_from("ab\n\r\x0c\u2028é漢😀"), max_size=12)


@given(TEXTS, st.lists(st.tuples(TEXTS, st.floats(0, 1), st.floats(0, 1)), max_size=6), st.sampled_from(ENCODINGS))
def test_edits_do_what_they_do_to_one_string(
    text: str, edits: list[tuple[str, float, float]], encoding: Encoding
) -> None:
    lines = Lines(text)
    for new, a, b in edits:
        start, end = sorted(_outside_line_ends(text, round(share * len(text))) for share in (a, b))
        lines.replace(_position(text, start, encoding), _position(text, end, encoding), new, encoding)
        text = text[:start] + new + text[end:]
        assert lines.text == text


@given(TEXTS)
def test_lines_make_up_the_text_and_only_the_last_has_no_end(text: str) -> None:
    lines = split_lines(text)
    assert "".join(lines) == text
    assert all(line.endswith(("\n", "\r")) for line in lines[:-1])
    assert not lines[-1].endswith(("\n", "\r"))


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=st.text())
def test_units_and_code_points_are_inverse(encoding: Encoding, text: str) -> None:
    assert n_code_points(text, n_units(text, encoding), encoding) == len(text)


@pytest.mark.parametrize(("encoding", "units"), [("utf-8", 3), ("utf-16", 1)])
def test_inside_a_code_point_means_its_start(encoding: Encoding, units: int) -> None:
    assert n_code_points("😀a", units, encoding) == 0


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ((0, 99), (0, 99), "abX\ncd"),
        ((9, 0), (9, 9), "ab\ncdX"),
        ((-1, 1), (0, 1), "Xb\ncd"),
        ((0, -5), (0, 1), "Xb\ncd"),
        ((1, 1), (0, 0), "ab\ncXd"),
    ],
)
def test_places_outside_the_text_mean_its_nearest_end(start: tuple[int, int], end: tuple[int, int], text: str) -> None:
    lines = Lines("ab\ncd")
    lines.replace(Position(*start), Position(*end), "X", "utf-16")
    assert lines.text == text


def test_lone_surrogates_are_replaced() -> None:
    lines = Lines("a\ud800b")
    lines.replace(Position(0, 3), Position(0, 3), "\udfff", "utf-16")
    assert lines.text == "a\ufffdb\ufffd"


def test_what_stands_around_the_cursor() -> None:
    lines = Lines("x\r\né😀=1\r\ny")
    assert (lines.before(Position(1, 3), "utf-16"), lines.after(Position(1, 3), "utf-16")) == ("é😀", "=1")
    assert (lines.before(Position(2, 9), "utf-8"), lines.after(Position(2, 9), "utf-8")) == ("y", "")


@pytest.mark.parametrize(("text", "end"), [("xy", (3, 6)), ("x\ny😀", (4, 3)), ("\n", (4, 0))])
def test_the_end_of_an_insertion(text: str, end: tuple[int, int]) -> None:
    assert end_of(Position(3, 4), text, "utf-16") == end


def _outside_line_ends(text: str, offset: int) -> int:
    """`offset`, or the one before if it is inside a `\\r\\n`, where no position points."""
    return offset - (text[offset - 1 : offset + 1] == "\r\n")


def _position(text: str, offset: int, encoding: Encoding) -> Position:
    *above, line = split_lines(text[:offset])
    return Position(len(above), n_units(line, encoding))
