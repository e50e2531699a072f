"""Documents against plain strings: a law for every encoding, and the protocol's corner cases one by one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.errors import RequestError
from scrubjay.positions import MAX_DOCUMENT_CHARACTERS, Lines
from scrubjay.workspace.document import Document
from scrubjay.workspace.text import Change, Position, PositionEncoding, Text

ENCODINGS: tuple[PositionEncoding, ...] = ("utf-8", "utf-16", "utf-32")
PARTS = st.sampled_from(["a", "bc d", "\n", "\r\n", "\r", "é", "日本", "🙂", "👩\u200d👧", "\t", " ", "\u2028", "\x00"])
TEXTS = st.lists(PARTS, max_size=30).map("".join)
POSITIONS = st.builds(Position, st.integers(0, 6), st.integers(0, 9))


def document(text: str, version: int = 1) -> Document:
    return Document("file:///tmp/a.py", "python", version, text)


def client_position(text: str, offset: int, encoding: PositionEncoding) -> Position:
    """What a client that holds `text` sends for `offset`, worked out from the whole text before it."""
    lines = re.split(r"\r\n|\n|\r", text[:offset])
    sizes = {"utf-8": 1, "utf-16": 2, "utf-32": 4}
    codec = "utf-8" if encoding == "utf-8" else f"{encoding}-le"
    return Position(len(lines) - 1, len(lines[-1].encode(codec)) // sizes[encoding])


def splits_line_end(text: str, offset: int) -> bool:
    return text[offset - 1 : offset + 1] == "\r\n"


@pytest.mark.slow
@given(TEXTS, st.sampled_from(ENCODINGS), st.data())
def test_random_changes_equal_the_same_edits_of_a_str(
    text: str, encoding: PositionEncoding, data: st.DataObject
) -> None:
    edited = document(text)
    for version in range(2, 8):
        places = [offset for offset in range(len(text) + 1) if not splits_line_end(text, offset)]
        start, end = sorted((data.draw(st.sampled_from(places)), data.draw(st.sampled_from(places))))
        new = data.draw(TEXTS)
        edges = (client_position(text, start, encoding), client_position(text, end, encoding))
        edited.apply(version, [Change(new, *edges)], encoding)
        text = text[:start] + new + text[end:]
        assert edited.text == text
        assert edited.last_edit == start + len(new)
        assert edited.content.starts.tolist() == Text.of(text).starts.tolist()


@given(TEXTS, TEXTS, st.data())
def test_patched_line_starts_equal_fresh_ones_even_inside_a_crlf(text: str, new: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    patched = Text.of(text).replaced(start, end, new)
    assert patched.text == text[:start] + new + text[end:]
    assert patched.starts.tolist() == Text.of(patched.text).starts.tolist()


@given(TEXTS, st.sampled_from(ENCODINGS))
def test_offset_and_position_are_inverse(text: str, encoding: PositionEncoding) -> None:
    content = Text.of(text)
    for offset in range(len(text) + 1):
        position = content.position_at(offset, encoding)
        if splits_line_end(text, offset):
            assert content.offset_at(position, encoding) == offset - 1
        else:
            assert position == client_position(text, offset, encoding)
            assert content.offset_at(position, encoding) == offset


def test_several_changes_apply_one_after_the_other() -> None:
    edited = document("one\ntwo\n")
    edited.apply(2, [Change("1", Position(0, 0), Position(0, 3)), Change("!", Position(0, 1), Position(0, 1))])
    assert edited.text == "1!\ntwo\n"
    assert (edited.version, edited.last_edit) == (2, 2)


def test_a_snapshot_is_the_same_until_the_next_change_and_shows_none() -> None:
    edited = document("a")
    first = edited.snapshot()
    assert edited.snapshot() is first
    edited.apply(2, [Change("b")])
    assert (first.text, first.version, edited.snapshot().text) == ("a", 1, "b")


def test_a_change_without_a_range_replaces_everything() -> None:
    edited = document("one\r\ntwo")
    edited.apply(2, [Change("three\n")])
    assert (edited.text, edited.content.n_lines) == ("three\n", 2)


def test_versions_may_jump_but_never_go_back() -> None:
    edited = document("a", version=3)
    edited.apply(7, [Change("b")])
    for version in (7, 6, 0):
        with pytest.raises(RequestError, match="is at version 7") as refusal:
            edited.apply(version, [Change("c")])
        assert refusal.value.status == 409
    assert edited.text == "b"


def test_a_change_of_another_base_is_refused() -> None:
    edited = document("a", version=3)
    with pytest.raises(RequestError, match="open it again") as refusal:
        edited.apply(5, [Change("b")], base_version=4)
    assert refusal.value.status == 409
    edited.apply(5, [Change("b")], base_version=3)
    assert edited.text == "b"


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (Position(0, -1), Position(0, 0)),
        (Position(-1, 0), Position(0, 0)),
        (Position(1, 0), Position(0, 1)),
        (Position(0, 2), Position(0, 1)),
    ],
)
def test_a_refused_change_leaves_the_document_as_it_was(start: Position, end: Position) -> None:
    edited = document("one\ntwo")
    with pytest.raises(RequestError) as refusal:
        edited.apply(2, [Change("good", Position(0, 0), Position(0, 0)), Change("bad", start, end)])
    assert refusal.value.status == 400
    assert (edited.text, edited.version, edited.last_edit) == ("one\ntwo", 1, 0)


@given(TEXTS, st.lists(st.tuples(TEXTS, POSITIONS, POSITIONS), min_size=1, max_size=20), st.sampled_from(ENCODINGS))
def test_many_changes_at_once_do_the_same_as_one_by_one(
    text: str, edits: list[tuple[str, Position, Position]], encoding: PositionEncoding
) -> None:
    changes = [Change(new, *sorted(ends)) for new, *ends in edits]
    at_once, one_by_one, lines = document(text), document(text), Lines(text)
    at_once.apply(2, changes, encoding)
    for version, change in enumerate(changes, 2):
        one_by_one.apply(version, [change], encoding)
        lines.apply(change, encoding)
    assert at_once.text == one_by_one.text == lines.text
    assert at_once.last_edit == one_by_one.last_edit
    assert at_once.content.starts.tolist() == Text.of(at_once.text).starts.tolist()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_line_beyond_the_last_is_the_end_of_the_text(encoding: PositionEncoding) -> None:
    edited = document("one\nt\U0001f642")
    assert edited.offset_at(Position(2, 0), encoding) == edited.offset_at(Position(2**31 - 1, 7), encoding) == 6
    edited.apply(2, [Change("!", Position(9, 9), Position(10, 0))], encoding)
    assert edited.text == "one\nt\U0001f642!"
    edited.apply(3, [Change("new", Position(0, 0), Position(2, 0))], encoding)
    assert edited.text == "new"


def test_what_is_too_much_is_refused_in_a_sentence() -> None:
    at_start = Change("x", Position(0, 0), Position(0, 0))
    refused = {
        r"A document of 2,097,153 characters is too long": (document("x" * MAX_DOCUMENT_CHARACTERS), [at_start]),
        r"1,001 changes at once are too many for a text of 0 characters": (document(""), [at_start] * 1001),
        r"9 changes at once are too many for a text of 600,000": (document("x" * 600_000), [at_start] * 9),
        r"1,000 changes of lines as long as these are too many": (document("x" * 500_000), [at_start] * 1000),
    }
    for sentence, (edited, changes) in refused.items():
        before = edited.text
        with pytest.raises(RequestError, match=sentence) as refusal:
            edited.apply(2, changes)
        assert refusal.value.status == 413
        assert (edited.text, edited.version) == (before, 1)
    with pytest.raises(RequestError, match="too long"):
        document("x" * (MAX_DOCUMENT_CHARACTERS + 1))


@pytest.mark.parametrize(
    ("uri", "language"),
    [
        ("file:///a/b%20c.PY", "python"),
        ("untitled:Untitled-1", ""),
        ("file:///a.b/Makefile", ""),
        ("web:/x/y.tsx", "typescriptreact"),
    ],
)
def test_without_a_language_it_is_that_of_the_name(uri: str, language: str) -> None:
    assert Document(uri, "", 0, "").language == language
    assert Document(uri, "lisp", 0, "").language == "lisp"


def test_a_character_beyond_the_line_is_its_end() -> None:
    content = Text.of("ab\r\ncd\re")
    assert content.offset_at(Position(0, 99), "utf-16") == 2
    assert content.offset_at(Position(1, 99), "utf-8") == 6
    assert content.offset_at(Position(2, 99), "utf-32") == 8


def test_a_position_inside_a_code_point_is_its_start() -> None:
    content = Text.of("a🙂b")
    assert content.offset_at(Position(0, 2), "utf-16") == 1
    assert [content.offset_at(Position(0, unit), "utf-8") for unit in range(1, 7)] == [1, 1, 1, 1, 2, 3]


def test_an_offset_outside_the_document_is_refused() -> None:
    for offset in (-1, 3):
        with pytest.raises(RequestError, match="outside the document"):
            document("ab").position_at(offset)


def test_lone_surrogates_become_replacement_characters() -> None:
    edited = document("a\ud800b")
    edited.apply(2, [Change("\udc00", Position(0, 3), Position(0, 3))])
    assert edited.text == "a\ufffdb\ufffd"
