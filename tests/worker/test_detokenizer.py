"""Characters stay whole and stop strings are found, wherever tokens cut the bytes."""

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from scrubjay.worker.detokenizer import IncrementalDetokenizer


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


texts = st.text("ab\n é漢🎉", max_size=30)


@given(texts, st.lists(st.integers(0, 1000)), st.lists(st.text("ab\n é", max_size=3), max_size=3))
@example("aéa", [3], ["é", "aéa"])
@example("aéa", [], ["é", "aéa"])
def test_what_comes_out_does_not_depend_on_the_cuts(text: str, cuts: list[int], stops: list[str]) -> None:
    stream = IncrementalDetokenizer(stops)
    given_out = [stream.feed(piece) for piece in pieces(text.encode(), cuts)] + [stream.finish()]
    # The first to be complete ends it, as what follows may never be generated; of several that end there, the longest.
    found = [(text.find(stop) + len(stop), -len(stop)) for stop in stops if stop and stop in text]
    end, minus_length = min(found, default=(len(text), 0))
    assert "".join(given_out) == text[: end + minus_length]
    assert bool(stream.stop_word) == bool(found)


def test_a_character_cut_by_tokens_is_held_back_until_it_is_whole() -> None:
    stream = IncrementalDetokenizer()
    assert [stream.feed(bytes([byte])) for byte in "é".encode()] == ["", "é"]


def test_what_may_begin_a_stop_string_is_held_back() -> None:
    stream = IncrementalDetokenizer(["</end>"])
    assert stream.feed(b"x</en") == "x"
    assert stream.feed(b"d") == ""
    assert stream.feed(b"?") == "</end?"


def test_the_longest_stop_string_that_ends_first_wins_and_nothing_follows_it() -> None:
    stream = IncrementalDetokenizer(["b", "ab"])
    assert stream.feed(b"xab") == "x"
    assert stream.stop_word == "ab"
    assert stream.feed(b"more") + stream.finish() == ""


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    stream = IncrementalDetokenizer()
    assert stream.feed(b"a\xff\xc3") + stream.finish() == "a��"
