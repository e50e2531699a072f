"""What counts as growth, and what does not."""

from dataclasses import replace

import pytest

from tests.benchmarks.endurance import STORE_MIB, Sizes, faults

FLAT = [Sizes(minute / 2, 75.0, 100.0 + minute % 3, 15, 8, 7, 3, 11.0) for minute in range(40)]


def test_what_is_flat_has_not_grown() -> None:
    assert list(faults(FLAT)) == []
    # At the beginning everything grows.
    assert list(faults([replace(one, engine_memory=10.0 * i) for i, one in enumerate(FLAT[:10])] + FLAT)) == []


@pytest.mark.parametrize(
    ("what", "a_minute"),
    [("daemon_memory", 5), ("engine_memory", 10), ("daemon_descriptors", 1), ("engine_threads", 1)],
)
def test_what_grows_is_named(what: str, a_minute: int) -> None:
    grown = [replace(one, **{what: getattr(one, what) + int(a_minute * one.minute)}) for one in FLAT]
    [sentence] = faults(grown)
    assert sentence.startswith(f"{what} grew from ")


def test_more_records_than_allowed_are_seen_at_any_time() -> None:
    assert list(faults([replace(FLAT[0], store=STORE_MIB + 0.1), *FLAT])) == [
        "The records take more than their budget."
    ]
