import pytest

from scrubjay_training.cursors import Hole
from scrubjay_training.places import place_of

TEXT = '''"""Shelves and books."""
from pathlib import Path


def find(shelf, name="a"):
    # look at each
    total = sum(shelf.sizes, 1)
    if total:
        return shelf[name]
'''


@pytest.mark.parametrize(
    ("before", "place"),
    [
        ('"""Shelves and ', "prose"),
        ("# look", "prose"),
        ("from path", "word"),
        ("import ", "import"),
        ("def find(", "call"),
        ("shelf, ", "argument"),
        ("total = ", "value"),
        ("sum(shelf.", "attribute"),
        ("shelf, name=", "value"),
        ("if ", "other"),
        ("return ", "value"),
        ("return shelf[", "argument"),
    ],
)
def test_each_cursor_has_one_kind_of_place(before: str, place: str) -> None:
    at = TEXT.index(before) + len(before)
    assert place_of(TEXT, Hole(at, at + 1, "rest")) == place


def test_a_hole_for_a_block_is_a_body() -> None:
    at = TEXT.index("\n    # look")
    assert place_of(TEXT, Hole(at, len(TEXT), "block")) == "body"
