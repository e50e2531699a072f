"""What a model's memory holds: the interface and the naive context, the checkpointed one, and the pools of both kinds.

Runs in the engine process. `naive` is the definition of a right answer, `checkpointed` the quick way to the same one.
"""

from scrubjay.contexts.checkpoint_pool import CheckpointPool
from scrubjay.contexts.checkpointed import CheckpointedContext
from scrubjay.contexts.context_pool import ContextPool
from scrubjay.contexts.naive import Context, NaiveContext

__all__ = ["CheckpointPool", "CheckpointedContext", "Context", "ContextPool", "NaiveContext"]
