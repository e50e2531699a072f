"""Where files stand: edits cost little in the long run, and nothing is left out or moved without need."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.prompt.file_order import FileSlot, admit, reorder
from scrubjay.tokens import as_tokens
from scrubjay.workspace.document import Document
from tests.benchmarks.history import history, package_texts, replayed
from tests.support.vocabularies import open_vocabulary


def document(key: str, text: str) -> Document:
    return Document(f"file:///{key}", "", 0, text, key)


def make(other: Document) -> FileSlot:
    return FileSlot(other.key, other.key, other.text, as_tokens(other.text.encode()))


def slots_of(**texts: str) -> tuple[FileSlot, ...]:
    return tuple(make(document(key, text)) for key, text in texts.items())


def keys(slots: Sequence[FileSlot]) -> str:
    return "".join(slot.key for slot in slots)


def test_new_files_stand_at_the_end() -> None:
    recent = [document("a", "1"), document("c", "3"), document("b", "2"), document("e", "")]
    assert keys(reorder((), recent, "", make)) == "acb"
    assert keys(reorder(slots_of(b="2"), recent, "c", make)) == "ba"


def test_an_edit_stays_until_it_has_cost_as_much_as_a_move() -> None:
    slots = slots_of(a="x" * 10, b="y" * 4)
    for n, expected in ((1, "ab"), (2, "ab"), (3, "ab"), (4, "ba")):
        slots = reorder(slots, [document("b", "y" * 4), document("a", "x" * 10 + "!" * n)], "", make)
        assert keys(slots) == expected
    assert slots[-1].text == "x" * 10 + "!!!!"
    assert slots[-1].cost_in_place == 0
    assert slots[-1].reason.startswith("moved to the end: its edits cost 16 tokens")


def test_a_small_file_before_a_big_one_moves_at_once() -> None:
    slots = reorder(slots_of(a="x", b="y" * 50), [document("b", "y" * 50), document("a", "z")], "", make)
    assert keys(slots) == "ba"


def test_the_current_file_stays_as_it_was_until_it_is_edited() -> None:
    slots = slots_of(a="1", b="2")
    assert keys(reorder(slots, [document("a", "1"), document("b", "2")], "a", make)) == "ab"
    assert keys(reorder(slots, [document("b", "2"), document("a", "!")], "a", make)) == "b"
    idle = reorder(slots, [document("a", "1"), document("b", "2")], "a", make, is_idle=True)
    assert keys(idle) == "b", "or until there is time"


def test_a_closed_file_goes() -> None:
    assert keys(reorder(slots_of(a="1", b="2"), [document("b", "2")], "", make)) == "b"


def test_what_does_not_fit_goes_with_a_quarter_more() -> None:
    slots = slots_of(a="1" * 30, b="2" * 30, c="3" * 30, d="4" * 30)
    assert keys(admit(slots, "abcd", 120, "abcd")) == "abcd"
    assert keys(admit(slots, "abcd", 115, "abcd")) == "cd"
    assert keys(admit(slots, "dcba", 115, "abcd")) == "ab"
    assert keys(admit(slots, "abcd", 120, "cd")) == "bcd"
    assert keys(admit(slots, "abcd", 120, "")) == "bcd"
    assert keys(admit(slots, "bcd", 120, "abcd")) == "abcd"


def test_a_file_too_big_is_left_out_alone() -> None:
    slots = slots_of(a="1" * 500, b="2" * 30)
    assert keys(admit(slots, "ba", 120, "")) == "b"


TEXTS = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([1, 5, 20, 60]), min_size=1)


@pytest.mark.slow
@given(TEXTS, st.integers(0, 200), st.data())
def test_what_is_admitted_fits_and_stays_admitted(sizes: dict[str, int], room: int, data: st.DataObject) -> None:
    slots = slots_of(**{key: key * n for key, n in sizes.items()})
    recent = data.draw(st.permutations(sorted(sizes)))
    chosen = admit(slots, recent, room, "")
    assert sum(len(slot.tokens) for slot in chosen) <= room
    assert admit(slots, recent, room, keys(chosen)) == chosen
    if len(slots[0].tokens) <= room and recent[-1] == slots[0].key:
        assert slots[0] in chosen


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 59)), max_size=60))
def test_moving_when_it_is_paid_for_never_costs_much_more_than_the_better_choice(edits: list[tuple[str, int]]) -> None:
    """Against a fixed order and one by recency: at most twice the better of the two, and the files once more."""
    size = 60
    texts = dict.fromkeys("abcd", "." * size)
    fixed = moved = list("abcd")
    slots = slots_of(**texts)
    recent = list("abcd")
    costs = {"fixed": 0, "recency": 0, "ours": 0}
    for key, at in edits:
        texts[key] = texts[key][:at] + chr(ord(texts[key][at]) + 1) + texts[key][at + 1 :]
        recent = [*(other for other in recent if other != key), key]
        costs["fixed"] += size * len(fixed) - fixed.index(key) * size - at
        old = "".join(moved)
        moved = [*(other for other in moved if other != key), key]
        costs["recency"] += size * len(moved) - old.index(key) * size - (at if old[-1] == key else 0)
        new = reorder(slots, [document(other, texts[other]) for other in recent], "", make)
        costs["ours"] += _changed(slots, new)
        slots = new
    assert costs["ours"] <= 2 * min(costs["fixed"], costs["recency"]) + 2 * size * len(texts)


def _changed(old: Sequence[FileSlot], new: Sequence[FileSlot]) -> int:
    """Tokens of the new order that come after the first difference."""
    a, b = ("".join(slot.text for slot in slots) for slots in (old, new))
    common = next((i for i in range(min(len(a), len(b))) if a[i] != b[i]), min(len(a), len(b)))
    return len(b) - common


def test_over_a_history_with_a_favourite_file_it_is_cheaper_than_a_fixed_order() -> None:
    texts = {key: key * 100 for key in "abcdefgh"}
    slots, n_ours, n_fixed = slots_of(**texts), 0, 0
    for n in range(200):
        key = "b" if n % 10 else "abcdefgh"[n // 10 % 8]
        texts[key] += "!"
        recent = [document(other, texts[other]) for other in texts if other != key] + [document(key, texts[key])]
        new = reorder(slots, recent, "", make)
        n_ours, slots = n_ours + _changed(slots, new), new
        n_fixed += sum(len(texts[other]) for other in texts if other > key) + 1
    assert n_ours < n_fixed / 3


def test_over_commits_upon_a_package_the_whole_layout_processes_fewer_tokens_than_with_a_fixed_order() -> None:
    """The benchmark `tests/benchmarks/history.py`, on a small package."""
    texts = package_texts("json")
    replays = replayed(open_vocabulary("qwen2"), texts, list(history(texts, n_commits=12, n_in_hand=2)))
    ours, fixed = replays["recency"], replays["fixed"]
    assert ours.n_prompts == fixed.n_prompts > 24
    for document in ours.project.documents.values():
        assert document.text == fixed.project.documents[document.key].text
    assert any(document.text not in texts.values() for document in ours.project.documents.values())
    assert ours.n_processed < 0.9 * fixed.n_processed
    assert ours.n_on_grid < 0.9 * fixed.n_on_grid
