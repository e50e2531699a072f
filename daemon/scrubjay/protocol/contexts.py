"""What an engine says of its contexts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ContextStatus:
    """One context: its key, its resident tokens, and where its checkpoints stand.

    The key is that of the last `Run` which named one, usually a project's root; contexts that were chosen by content have keys
    that begin with "#". `PrefillDone.context` uses the same keys.
    """

    key: str
    n_resident: int
    checkpoints: tuple[int, ...]
    checkpoint_bytes: int
