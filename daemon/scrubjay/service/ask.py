"""What the model is asked for, as one value, for every kind of request.

A kind of request is a function that makes an `Ask`: nothing else in the daemon knows kinds. Completions at a cursor and
prompts that clients bring are made in `client_requests`, warmings in `warming`, completions ahead of need in `speculation`.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Protocol

from scrubjay.completion.finish import Finish
from scrubjay.completion.requests import Completion, Item, may_choose_tokens
from scrubjay.prompt.recipe import PromptRecipe
from scrubjay.prompt.view import ProjectView
from scrubjay.protocol.messages import Sampling, Vector
from scrubjay.service.fair_queue import Priority
from scrubjay.service.tenants import OWNER, Tenant


class Memory(Protocol):
    """The completions that are known for one place."""

    def find(self) -> tuple[Item, ...]:
        """What is known, best first; empty if nothing is."""

    def put(self, items: tuple[Item, ...]) -> None:
        """Keep `items`."""


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """A prompt, and what is to become of it.

    Args:
        recipe: how the prompt is made.
        finish: how texts end, and what of them is shown.
        sampling: how to generate; None if only the prompt is to be brought into its context.
        n: how many distinct texts.
        priority: how urgent it is.
        supersedes: see `Job.key`.
        context: key of the context that serves it: the root of a project, or "" to choose by content.
        deadline_ms: how long the client waits for the prompt to be processed; None for as long as it takes.
        cold: reuse nothing: the reference with which warm answers are compared.
        is_unasked: no client asked for it, so it gives way to whatever a client asks for.
        max_needed: drop it if its prompt needs more tokens than that; None for no limit.
        memory: where its answer may be known, and is kept.
        uri: the document that it is about, "" if none.
        version: of that document.
        view: the place in it, None if none.
        event: the type of notification when it is answered; "" for none.
        on_prompt: called when its prompt was made.
        on_answer: called with its answer, before the client has it.
        on_vector: called with the vector that the model has made of the prompt, before the answer.
        tenant: who asks.
    """

    recipe: PromptRecipe
    finish: Finish
    sampling: Sampling | None = None
    n: int = 1
    priority: Priority = Priority.WARM
    supersedes: Hashable = None
    context: str = ""
    deadline_ms: float | None = None
    cold: bool = False
    is_unasked: bool = False
    max_needed: int | None = None
    memory: Memory | None = None
    uri: str = ""
    version: int | None = None
    view: ProjectView | None = None
    event: str = ""
    on_prompt: Callable[[], None] | None = None
    on_answer: Callable[[Completion], None] | None = None
    on_vector: Callable[[Vector], None] | None = None
    tenant: Tenant = OWNER

    def __post_init__(self) -> None:
        if self.sampling is not None and not may_choose_tokens(self.sampling):
            object.__setattr__(self, "recipe", self.recipe.unhealed)

    @property
    def only_prepares(self) -> bool:
        """Whether nothing is to be generated, or almost nothing, as for a preload."""
        return self.sampling is None or self.sampling.max_tokens <= 1

    @property
    def is_speculative(self) -> bool:
        """Whether it is a completion for a place where the user is not yet."""
        return self.is_unasked and self.sampling is not None
