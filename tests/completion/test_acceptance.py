"""The table of counts, and what a file may hold."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from scrubjay.completion.acceptance import MAX_ROWS, AcceptanceTable, Counts, Kept

COUNTS = st.builds(
    lambda outcomes, more, kept: Counts(sum(outcomes), *outcomes, 0, *more, Kept(*kept), Kept(*kept)),  # type: ignore[call-arg]
    st.tuples(*[st.integers(0, 100)] * 4),
    st.tuples(st.integers(0, 100), st.floats(0, 1e6), st.integers(0, 10**9)),
    st.tuples(st.integers(0, 100), st.integers(0, 100)),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def table_of(rows: dict[tuple[str, str], Counts]) -> AcceptanceTable:
    table = AcceptanceTable()
    table._rows = rows
    return table


@given(st.dictionaries(st.tuples(st.text(), st.text()), COUNTS, max_size=4))
def test_a_file_brings_back_what_it_was_given(rows: dict[tuple[str, str], Counts]) -> None:
    counted = [row for row in table_of(rows) if row[2] != Counts()]
    assert [*AcceptanceTable.of_json(table_of(rows).as_json())] == counted


def test_what_is_pending_is_not_in_the_file() -> None:
    table = AcceptanceTable()
    counts = table.at("/a", "python")
    counts.show()
    counts.show()
    counts.move("pending", "accepted")
    assert counts.shown == 2
    [row] = table.as_json()
    assert (row["shown"], row["accepted"], row["pending"]) == (1, 1, 0)


def test_what_is_forgotten() -> None:
    for root, left in (
        ("/a", ["/ab"]),
        ("/a/b", ["/a", "/ab", "/a"]),
        ("/", []),
        ("", []),
        ("/c", ["/a", "/ab", "/a/b", "/a"]),
    ):
        table = AcceptanceTable()
        for project, language in (("/a", "python"), ("/ab", "c"), ("/a/b", "c"), ("/a", "c")):
            table.at(project, language)
        forgotten = table.of(root)
        table.forget(root)
        assert len(forgotten) + len(left) == 4
        assert [project for project, _, _ in table] == left


def test_it_does_not_grow_for_ever() -> None:
    table = AcceptanceTable()
    for number in range(MAX_ROWS):
        table.at(f"/{number}", "")
    table.at("/0", "")
    table.at("/new", "")
    roots = [root for root, _, _ in table]
    assert len(roots) == MAX_ROWS
    assert roots[-2:] == ["/0", "/new"]
    assert "/1" not in roots


@given(JSON)
def test_a_file_with_anything_in_it(value: Any) -> None:
    assert isinstance(AcceptanceTable.of_json(value), AcceptanceTable)


@given(st.sampled_from(["root", "shown", "rejected", "latency_ms", "after_5_min"]), JSON)
def test_a_damaged_row_is_left_out(name: str, value: Any) -> None:
    table = AcceptanceTable()
    table.at("/a", "python").answered(2.0, 30)
    [row] = table.as_json()
    read = [*AcceptanceTable.of_json([{**row, name: value}, row])]
    assert ("/a", "python", Counts(n_answers=1, latency_ms=2.0, tokens_saved=30)) in read
    assert all(counts.shown == counts.rejected == 0 for _, _, counts in read)


def test_an_edited_sum_is_left_out() -> None:
    table = AcceptanceTable()
    table.at("/a", "python").answered(2.0, 30)
    [row] = table.as_json()
    assert not [*AcceptanceTable.of_json([{**row, "shown": 3}])]


def copy(table: AcceptanceTable) -> AcceptanceTable:
    return AcceptanceTable.of_json(table.as_json())


class Counting:
    """A daemon: its counts, and what of them was in the file when it wrote it last."""

    def __init__(self) -> None:
        self.table, self.before = AcceptanceTable(), AcceptanceTable()

    def write(self, file: AcceptanceTable) -> AcceptanceTable:
        """What is in the file then."""
        self.table.add_to(copy(file), self.before)
        self.before = copy(self.table)
        return copy(self.table)


COUNTED = st.tuples(
    st.integers(0, 1), st.sampled_from(["/a", "/b"]), st.sampled_from(["accepted", "rejected", "write"])
)


@given(st.lists(COUNTED))
def test_two_daemons_count_together(steps: list[tuple[int, str, str]]) -> None:
    daemons, file, by_hand = (Counting(), Counting()), AcceptanceTable(), AcceptanceTable()
    for number, root, what in steps:
        if what == "write":
            file = daemons[number].write(file)
            continue
        for table in (daemons[number].table, by_hand):
            counts = table.at(root, "python")
            counts.show()
            counts.move("pending", "accepted" if what == "accepted" else "rejected")
            counts.answered(2.0, 3)
    for daemon in (*daemons, daemons[0]):
        file = daemon.write(file)
    expected = sorted(by_hand.as_json(), key=lambda row: str(row["root"]))
    for table in (file, *(daemon.table for daemon in daemons)):
        assert sorted(table.as_json(), key=lambda row: str(row["root"])) == expected


def test_what_one_daemon_forgets_another_does_not_bring_back() -> None:
    one, other = Counting(), Counting()
    counts = other.table.at("/a", "python")
    counts.answered(2.0, 30)
    file = one.write(other.write(AcceptanceTable()))
    assert [root for root, _, _ in one.table] == ["/a"]
    one.table.forget("")
    one.before.forget("")
    file.forget("")
    assert one.write(file).as_json() == []
    counts.answered(1.0, 4)
    [row] = other.write(file).as_json()
    assert (row["n_answers"], row["latency_ms"], row["tokens_saved"]) == (1, 1.0, 4)
    assert other.write(AcceptanceTable()).as_json() == []
