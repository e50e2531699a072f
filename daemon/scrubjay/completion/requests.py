"""What clients ask the model for, and what they get, as values."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from scrubjay.prompt.recipe import PromptRecipe
from scrubjay.protocol.messages import GeneratedToken, PrefillCost, Sampling, StopReason
from scrubjay.workspace.text import Position, PositionEncoding

Trigger = Literal["automatic", "invoked"]
ReuseReason = Literal["append", "truncate", "checkpoint", "paged", "cold", "repaired", "estimated", "cached"]
"""As the engine says it; "estimated" where it has not had its say, "cached" where it was not asked."""

MIN_TEMPERATURE = 0.6
"""With less, the alternatives of a completion would be the same."""


def alternative(sampling: Sampling, index: int) -> Sampling:
    """How to generate the alternative of that number, from 0; only the first is exactly as asked."""
    if index == 0:
        return sampling
    temperature = max(sampling.temperature, MIN_TEMPERATURE)
    return replace(sampling, temperature=temperature, seed=sampling.seed + index)


@lru_cache(maxsize=16)
def stopping(sampling: Sampling, stop_tokens: tuple[int, ...], stop: tuple[str, ...]) -> Sampling:
    """How to generate so that those end it. Remembered, because it is the same at each key."""
    return replace(sampling, stop_tokens=stop_tokens, stop=stop)


def may_choose_tokens(sampling: Sampling) -> bool:
    """Whether the model may write what was typed in tokens of its own: nobody looks at tokens, and no grammar begins there."""
    return not (sampling.grammar or sampling.json_schema or sampling.with_tokens or sampling.n_probs >= 0)


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A completion at a place of an open document.

    Args:
        version: the document's version that the client sees; None if it does not say.
        n: how many alternatives, of which equal ones count once.
        t_max_prompt_ms: how long the client waits for the prompt to be processed; None for as long as it takes.
        client: the name of the client; a newer request of the same client for the same document supersedes this one. "" for
            nobody in particular.
        owner: whose copy of the document is meant.
        cold: reuse nothing: the reference with which warm answers are compared.
        rules: end and show it by the completion rules; otherwise it is as the model writes it.
        rules_off: names of rules that are not to be applied.
        can_replace: the client can replace text right of the cursor, see `Item`.
    """

    uri: str
    position: Position
    encoding: PositionEncoding = "utf-16"
    version: int | None = None
    n: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    trigger: Trigger = "automatic"
    t_max_prompt_ms: float | None = None
    client: str = ""
    owner: str = ""
    cold: bool = False
    rules: bool = True
    rules_off: tuple[str, ...] = ()
    can_replace: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One text for the place, made of `n_tokens` tokens.

    `pieces`, if they were asked for: the text as it was generated, each piece with how much better the best logit was
    than the second best, for each of its tokens. `tokens`, if they were asked for: as they were generated. `stop_word` is
    the stop string that ended it, if one did. `n_replaced`: how many characters (code points) right of the cursor it
    replaces. An item that was known has "cached" for a reason.
    """

    text: str
    stop_reason: StopReason | Literal["cached"]
    n_tokens: int
    pieces: tuple[tuple[str, tuple[float, ...]], ...] = ()
    stop_word: str = ""
    n_replaced: int = 0
    tokens: tuple[GeneratedToken, ...] = ()


@dataclass(frozen=True, slots=True)
class Timings:
    """Tokens processed for the prompt and generated, and milliseconds.

    `own_ms` is what the request spent outside the model and not waiting for it, `queue_ms` what it waited. `draft_n` tokens were
    decoded ahead of what was certain, of which `draft_n_accepted` turned out to be right.
    """

    prompt_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0
    own_ms: float = 0.0
    queue_ms: float = 0.0
    draft_n: int = 0
    draft_n_accepted: int = 0


@dataclass(frozen=True, slots=True)
class Reuse:
    """What a prompt cost, in tokens; the words are those of the design."""

    prompt: int
    common: int
    restored: int
    processed: int
    needed: int
    excess: int
    reason: ReuseReason
    state: Literal["ready", "warming"]
    paged: int = 0
    """How many tokens came from branches, that is from what contexts held before."""

    @classmethod
    def of(cls, cost: PrefillCost) -> "Reuse":
        """What the engine said."""
        excess, paged = cost.processed - cost.needed, cost.paged
        counts = (cost.prompt, cost.common, cost.restored, cost.processed, cost.needed, excess)
        return cls(*counts, cost.reason, "ready", paged)

    @classmethod
    def prepared(cls, n_prompt: int) -> "Reuse":
        """For a prompt that was in its context already, with nothing to be generated."""
        return cls(n_prompt, n_prompt, 0, 0, 0, 0, "append", "ready")

    @classmethod
    def cached(cls) -> "Reuse":
        """For a completion that was known already, so that no prompt was made."""
        return cls(0, 0, 0, 0, 0, 0, "cached", "ready")

    @classmethod
    def warming(cls, n_prompt: int, n_common: int) -> "Reuse":
        """For a prompt that is not processed yet; zeros if it is not even known."""
        needed = n_prompt - min(n_common, max(n_prompt - 1, 0))
        return cls(n_prompt, n_common, 0, 0, needed, 0, "estimated", "warming")


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer: distinct texts, perhaps none, and what they cost. `version` is the document's, `model` a name.

    `discarded`: the names of the rules by which texts were not worth showing. `debounce_ms`: what the client is advised to
    wait after a key before it asks again. `request`: its number in the log; 0 if it is not there.
    """

    items: tuple[Item, ...]
    timings: Timings
    reuse: Reuse
    version: int | None
    model: str
    discarded: tuple[str, ...] = ()
    debounce_ms: int = 0
    request: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one prompt of a project cost: tokens processed and needed, and milliseconds in the model."""

    uri: str
    processed: int
    needed: int
    ms: float
    reason: ReuseReason


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A completion of a prompt that belongs to no project.

    Args:
        n: how many alternatives, of which equal ones count once.
        t_max_prompt_ms: how long the client waits for the prompt to be processed; None for as long as it takes.
        n_indent: an answer ends before a line that is indented by fewer characters.
    """

    recipe: PromptRecipe
    n: int = 1
    sampling: Sampling = field(default_factory=Sampling)
    t_max_prompt_ms: float | None = None
    n_indent: int = 0
    trigger: Trigger = "automatic"
    uri: str = ""
    client: str = ""
    cold: bool = False

    @property
    def only_prepares(self) -> bool:
        """Whether it is a preload: at most one token is to be generated."""
        return self.sampling.max_tokens <= 1
