"""Which lines a model of next edits is shown: around the user, and the same ones as long as possible."""

from hypothesis import given
from hypothesis import strategies as st

from scrubjay.nextedit.region import Region, Size, n_bytes, window_at

texts = st.lists(st.sampled_from(["", "a", "größe", "🙂 = 1", " " * 40]), max_size=60).map("\n".join)
sizes = st.builds(Size, st.integers(0, 12), st.integers(0, 12), st.integers(0, 400), st.integers(0, 3))


@given(texts, st.data(), sizes, st.builds(Region, st.integers(0, 70), st.integers(0, 70)) | st.none())
def test_the_user_is_inside_and_nothing_is_lost(
    text: str, data: st.DataObject, size: Size, last: Region | None
) -> None:
    offset = data.draw(st.integers(0, len(text)))
    region, window = window_at(text, offset, size, last)
    assert "".join((*window.above, *window.lines, *window.below)) == text
    assert len("".join(window.above)) == window.start <= offset
    assert window.start + window.offset == offset
    assert window.marked("|") == window.inside[: window.offset] + "|" + window.inside[window.offset :]
    if region != last and window.lines:
        line = min(
            window.line, len(window.lines) - 1
        )  # after the last line end there is no line: it is chosen around the last
        assert line <= size.n_above
        assert len(window.lines) - line <= size.n_below + 1
        own = window.lines[line : line + 1]
        assert n_bytes(window.inside) <= max(size.n_bytes, n_bytes("".join(own)))


def lines(n: int) -> str:
    return "".join(f"line {number}\n" for number in range(n))


def at(text: str, line: int) -> int:
    return text.index(f"line {line}\n")


def test_a_region_stays_while_the_user_moves_and_types_inside() -> None:
    size = Size(10, 10, margin=5)
    text = lines(100)
    region, window = window_at(text, at(text, 50), size, None)
    assert (window.lines[0], window.lines[-1]) == ("line 40\n", "line 60\n")
    for line in (45, 49, 55):
        assert window_at(text, at(text, line), size, region)[0] == region
    longer = text.replace("line 50\n", "line 50\nmore\nand more\n")
    kept, window = window_at(longer, at(longer, 50), size, region)
    assert (kept, len(window.lines)) == (region, 23)
    for line in (44, 56, 90):
        assert window_at(text, at(text, line), size, region)[0] != region


def test_at_the_ends_of_a_file_there_is_no_margin() -> None:
    size = Size(10, 10, margin=5)
    text = lines(100)
    for line in (0, 99):
        region, window = window_at(text, at(text, line), size, None)
        assert len(window.lines) == 11
        assert window_at(text, at(text, line), size, region)[0] == region
