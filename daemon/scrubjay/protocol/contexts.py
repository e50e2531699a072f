"""What an engine says of its contexts."""

from dataclasses import dataclass

from scrubjay.protocol.records import RecordStatus


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


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """Counters since the start of the engine process; sizes in bytes.

    `n_repaired` counts prompts that were processed from 0 because a restore or a decode failed; `n_integrity_failures` contexts
    that were cleared because a check of their bookkeeping failed while the engine was idle. `n_drafted` counts tokens that were
    decoded ahead of what was certain, `n_draft_accepted` those that turned out to be right. `rss` is what the process takes of
    the machine's memory, `on_gpus` what weights and contexts take of GPUs'.
    """

    contexts: tuple[ContextStatus, ...]
    checkpoint_bytes: int = 0
    checkpoint_budget: int = 0
    n_checkpoints: int = 0
    n_saved: int = 0
    n_restored: int = 0
    n_branches: int = 0
    branch_bytes: int = 0
    branch_budget: int = 0
    n_paged_in: int = 0
    n_evicted: int = 0
    n_decoded: int = 0
    n_decodes: int = 0
    n_reused_graphs: int = 0
    n_aborted: int = 0
    n_repaired: int = 0
    n_integrity_failures: int = 0
    n_drafted: int = 0
    n_draft_accepted: int = 0
    rss: int = 0
    on_gpus: int = 0
    records: RecordStatus | None = None
