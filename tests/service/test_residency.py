"""What the daemon believes of contexts: never more than the engine has said."""

from scrubjay.protocol.messages import ContextStatus
from scrubjay.service.residency import Residency


def lengths(records: Residency, *keys: str) -> list[int]:
    return [records.of(key).n_resident for key in keys]


def test_what_the_engine_does_not_hold_is_not_believed() -> None:
    records = Residency()
    for key in ("/kept", "/cut", "/gone", "#1", "#7"):
        records.of(key).n_resident = 8
    contexts = [ContextStatus("/kept", 9, (), 0), ContextStatus("/cut", 3, (), 0), ContextStatus("#7", 1, (), 0)]
    records.on_status(contexts)
    assert lengths(records, "/kept", "/cut", "/gone", "#1", "#7") == [8, 3, 0, 0, 1]
    records.on_status([])
    assert lengths(records, "/kept", "#7") == [0, 0]


def test_a_lost_engine_holds_nothing_and_the_costs_are_remembered() -> None:
    records = Residency()
    records.of("/project").n_resident = 8
    before = records.of("/project").costs
    records.on_engine_lost()
    assert lengths(records, "/project") == [0]
    assert records.of("/project").costs is before
    records.forget("/project")
    assert records.of("/project").costs is not before
