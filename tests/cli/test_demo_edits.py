"""What the demonstration edits, and when it calls two answers equal."""

import email
from itertools import islice
from pathlib import Path

import pytest

from scrubjay.cli.demo.edits import MAX_CHARACTERS, Position, choose_files, edited_files, make_edits
from scrubjay.cli.demo.outcome import NOISE, Pieces, agree, largest_difference

SURE, CLOSE = [5.0], [NOISE / 2]
PACKAGE = sorted(Path(email.__file__).parent.glob("*.py"))


@pytest.mark.parametrize(
    ("warm", "cold", "equal"),
    [
        ([], [], True),
        ([("a", SURE), ("b", SURE)], [("ab", SURE)], True),
        ([("a", SURE), ("b", SURE)], [("a", SURE), ("c", SURE)], False),
        ([("a", SURE), ("b", CLOSE), ("c", SURE)], [("a", SURE), ("x", SURE)], True),
        ([("a", CLOSE), ("b", SURE)], [("a", CLOSE), ("x", SURE)], False),
        ([("a", SURE)], [("a", SURE), ("b", SURE)], False),
        ([("a", SURE)], [("a", SURE), ("b", CLOSE)], True),
        ([("ab", [5.0, NOISE / 2])], [("ac", SURE)], True),
    ],
)
def test_answers_may_part_only_where_two_tokens_were_all_but_equal(warm: Pieces, cold: Pieces, equal: bool) -> None:
    assert agree(warm, cold) is equal
    assert agree(cold, warm) is equal


def test_margins_are_compared_up_to_where_the_texts_part() -> None:
    warm, cold = [("a", [2.0, 1.5]), ("b", [3.0])], [("a", [2.25, 1.0]), ("c", [9.0])]
    assert largest_difference(warm, cold) == 0.5
    assert largest_difference(warm, []) == 0.0


def test_the_files_fit_together_and_some_have_a_middle() -> None:
    files = choose_files(PACKAGE)
    assert len(files) > 3
    assert 0 < sum(path.stat().st_size for path in files) <= MAX_CHARACTERS
    assert len(edited_files(read(files))) > 1


def test_edits_say_truly_what_they_take_and_are_the_same_each_time() -> None:
    texts = read(choose_files(PACKAGE))
    made = list(islice(make_edits(texts), 40))
    assert made == list(islice(make_edits(texts), 40))
    for edit in made:
        text = texts[edit.path]
        start, end = offset(text, edit.start), offset(text, edit.end)
        assert text[start:end] == edit.taken != ""
        lines = text[:start].split("\n"), text[end:].split("\n")
        assert lines[0][-len(edit.above) - 1 :] == [*edit.above, edit.typed]
        assert lines[1][: len(edit.below) + 1] == ["", *edit.below]
        assert len(lines[1]) > len(edit.below) + 1 > 1
        assert len(text.split("\n")) // 10 < edit.start[0]


def read(files: list[Path]) -> dict[Path, str]:
    return {path: path.read_text("utf-8") for path in files}


def offset(text: str, place: Position) -> int:
    line, column = place
    return sum(len(before) + 1 for before in text.split("\n")[:line]) + column
