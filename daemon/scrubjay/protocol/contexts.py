"""What an engine says of its contexts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContextStatus:
    """One context: its key, its resident tokens, where its checkpoints stand, and how many of the first tokens are in records.

    The key is that of the last `Run` which named one, usually a project's root; contexts that were chosen by content have keys
    that begin with "#". `PrefillDone.context` uses the same keys.
    """

    key: str
    n_resident: int
    checkpoints: tuple[int, ...]
    checkpoint_bytes: int
    n_on_disk: int = 0
