"""Messages about the records on disk."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Forget:
    """Hold nothing of the project at `root`, or with "" nothing at all; answered by `Forgotten`."""

    root: str = ""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many records were removed, of how many bytes, and of which contexts."""

    n_records: int = 0
    n_bytes: int = 0
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordStatus:
    """The records on disk; sizes in bytes.

    `is_saved`: whether all that is worth a record is in one. `error` is the last failure, "" if there was none since.
    """

    count: int
    bytes: int
    budget: int
    bytes_today: int
    daily_budget: int
    is_saved: bool
    error: str
