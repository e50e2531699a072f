"""The grid of decodes: it covers, it keeps to its places, and it does not depend on where a prefill began."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from scrubjay.contexts.decode_grid import FINE_SPACING, TAIL_SPACING, DecodeGrid

grids = st.builds(DecodeGrid, st.integers(1, 300), st.integers(1, 300)).filter(
    lambda grid: grid.max_decode <= grid.interval
)
positions = st.integers(0, 2000)


@given(grids, positions, positions, st.lists(positions, max_size=5))
def test_ranges_cover_exactly_what_they_should(grid: DecodeGrid, start: int, end: int, extra: list[int]) -> None:
    ranges = list(grid.ranges(start, end, extra))
    assert [token for begin, stop in ranges for token in range(begin, stop)] == list(range(start, end))
    assert all(0 < stop - begin <= grid.max_decode for begin, stop in ranges)


@given(grids, positions, positions, st.lists(positions, max_size=5))
def test_every_multiple_of_the_interval_and_every_extra_is_a_cut(
    grid: DecodeGrid, start: int, end: int, extra: list[int]
) -> None:
    stops = {stop for _, stop in grid.ranges(start, end, extra)}
    wanted = {cut for cut in (*extra, *range(0, end, grid.interval)) if start < cut < end}
    assert wanted <= stops


@given(grids, positions, positions)
def test_from_any_cut_on_the_decodes_are_those_of_a_prefill_from_nothing(grid: DecodeGrid, end: int, pick: int) -> None:
    """Law 4: warm and cold run the same batches."""
    cold = list(grid.ranges(0, end))
    start = cold[pick % len(cold)][0] if cold else 0
    assert list(grid.ranges(start, end)) == [item for item in cold if item[0] >= start]


@given(grids, st.lists(positions, max_size=20), positions)
def test_boundaries_worth_a_cut_keep_their_distance(grid: DecodeGrid, boundaries: list[int], end: int) -> None:
    kept = grid.select_boundaries(boundaries, end)
    assert set(kept) <= set(boundaries)
    assert all(b - a >= FINE_SPACING for a, b in itertools.pairwise(kept))
    assert all(at % grid.interval >= FINE_SPACING and at <= end - FINE_SPACING for at in kept)


@given(grids, positions)
def test_the_fine_grid_is_near(grid: DecodeGrid, position: int) -> None:
    assert 0 <= position - grid.fine(position) < min(FINE_SPACING, grid.interval)


@given(grids, st.integers(2, 3000), st.floats(0, 1))
def test_the_nearer_the_end_the_closer_are_the_cuts_that_approach_it(grid: DecodeGrid, end: int, where: float) -> None:
    cuts = grid.tail_cuts(end)
    distance = 1 + int(where * min(8 * FINE_SPACING, end) * 0.999)
    before = max(cut for cut in (0, *cuts) if cut <= end - distance)
    assert all(0 < cut < end for cut in cuts)
    assert end - distance - before < (TAIL_SPACING if distance <= 8 * TAIL_SPACING else FINE_SPACING)
