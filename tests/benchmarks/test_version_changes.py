"""What the benchmark of next edits takes as typed, as repeated and as foreseeable."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.version_changes import MAX_ALIGNED, File, Hunk, changes_of, distance, foreseeable

tokens = st.lists(st.sampled_from("abcd"), max_size=7)
lines = st.lists(st.sampled_from(["a = f(x)\n", "a = f(x, y)\n", "b = g(x)\n", "\n", "return a\n"]), max_size=8)


def slow_distance(a: Sequence[str], b: Sequence[str]) -> int:
    if not a or not b:
        return len(a) + len(b)
    if a[0] == b[0]:
        return slow_distance(a[1:], b[1:])
    return 1 + min(slow_distance(a[1:], b), slow_distance(a, b[1:]))


@given(tokens, tokens)
def test_the_distance_is_the_least_number_of_tokens_that_go_or_come(a: list[str], b: list[str]) -> None:
    assert distance(a, b) == slow_distance(a, b)


@given(lines, lines)
def test_the_steps_make_the_new_lines(old: list[str], new: list[str]) -> None:
    hunk = Hunk.of(old, new)
    for start, end, text in hunk.steps():
        hunk.typed(hunk.current[:start] + text + hunk.current[end:])
        assert hunk.pairs() == Hunk(hunk.current, hunk.target).pairs()
    assert hunk.current == "".join(new)


def test_a_long_hunk_comes_to_an_end() -> None:
    n = int(MAX_ALIGNED**0.5) + 1
    hunk = Hunk.of([f"a{i} = {i}\n" for i in range(n)], [f"b{i} = {i}\n" for i in range(n)])
    n_steps = 0
    for start, end, text in hunk.steps():
        hunk.typed(hunk.current[:start] + text + hunk.current[end:])
        n_steps += 1
    assert n_steps == 2 * n


def test_changes_are_between_the_first_and_the_last_changed_token() -> None:
    assert changes_of("x = f(a)\n", "x = f(b)\n") == [((("a",), ("b",), "(", ")"), (4, 5))]
    assert [change for change, _ in changes_of("f(a, a)\n", "f(b, b)\n")] == [
        (("a",), ("b",), "(", ","),
        (("a",), ("b",), ",", ")"),
    ]
    ((one, _),) = changes_of("f(a, b)\n", "f(c, d)\n")
    assert one == (("a", ",", "b"), ("c", ",", "d"), "(", ")")


def test_a_change_is_foreseeable_where_what_is_beside_it_tells_the_place() -> None:
    renamed = File.of("a.py", "x = size(a)\ny = size(b)\n", "x = width(a)\ny = width(b)\n")
    assert {change[0] for _, change in foreseeable([renamed])} == {("size",)}
    defs = [f"def f{n}(v{n}):\n    return {n}\n\n\n" for n in range(6)]
    typed = [line.replace("):", ") -> int:") if n in (1, 4) else line for n, line in enumerate(defs)]
    assert not foreseeable([File.of("a.py", "".join(defs), "".join(typed))])
    typed = [line.replace("):", ") -> int:") for line in defs]
    assert len(foreseeable([File.of("a.py", "".join(defs), "".join(typed))])) == 5
