"""Who asks: this machine's user, or somebody with one of the keys in the configuration."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tenant:
    """One who asks, and what is due to him.

    Args:
        name: of his key, "" for this machine's user.
        group: whose contexts, records and remembered texts he shares; nobody of another group has any use of them.
        weight: his share of the model, where several want it, beside those of the others.
    """

    name: str = ""
    group: str = ""
    weight: float = 1.0

    @property
    def is_owner(self) -> bool:
        """Whether it is this machine's user."""
        return not self.name


OWNER = Tenant()


@dataclass(slots=True)
class TenantSums:
    """What was answered of a tenant's requests: their prompts in tokens, what of them was processed, and what was written."""

    n_requests: int = 0
    prompt: int = 0
    processed: int = 0
    generated: int = 0
    queue_ms: float = 0.0
