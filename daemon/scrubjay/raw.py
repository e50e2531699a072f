"""Prompts that clients bring themselves: texts, tokens and mixtures, as values that a vocabulary turns into tokens. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from scrubjay.errors import RequestError
from scrubjay.fim import FimTemplate, FimVocabulary
from scrubjay.messages import Sampling
from scrubjay.prompt import Prompt, Span
from scrubjay.requests import Trigger
from scrubjay.token_cache import TokenCache
from scrubjay.tokens import EMPTY, Tokens, as_tokens, frozen

if TYPE_CHECKING:
    from scrubjay.infill import Streams


class RawVocabulary(FimVocabulary, Protocol):
    """What of a vocabulary foreign prompts need."""

    n_tokens: int

    @property
    def chat_template(self) -> str: ...
    @property
    def names(self) -> tuple[str, str]: ...
    def tokenize(self, text: str, special: bool = False) -> Tokens: ...
    def detokenize(self, tokens: Tokens) -> str: ...


@dataclass(frozen=True, slots=True)
class Kit:
    """What prompts are made with; only for the one thread that makes them.

    Args:
        cache: tokenises without special tokens.
        streams: what is remembered of the clients whose windows slide.
        n_ctx: tokens of the context, of which generation needs `reserve`.
    """

    vocabulary: RawVocabulary
    template: FimTemplate
    cache: TokenCache
    streams: "Streams"
    n_ctx: int
    reserve: int


class Recipe(Protocol):
    """How the tokens of a foreign prompt are made."""

    @property
    def n_characters(self) -> int:
        """About how much has to be tokenised."""

    @property
    def is_fim(self) -> bool:
        """Whether the model's fill-in-the-middle tokens end the answer."""

    @property
    def indent(self) -> str:
        """What stands before the cursor, and the model writes all the same: it begins with the line."""

    @property
    def closers(self) -> str:
        """What stands behind the cursor, and the model writes all the same at the end of the line."""

    def make(self, kit: Kit) -> Prompt:
        """The prompt.

        Raises:
            RequestError: it cannot be made, or has no room in the context.
        """


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A completion of a prompt that belongs to no project.

    Args:
        n: how many alternatives, of which equal ones count once.
        t_max_prompt_ms: how long the client waits for the prompt to be processed; None for as long as it takes.
        n_indent: an answer ends before a line that is indented by fewer characters.
    """

    recipe: Recipe
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
        """Whether it is a preload: nothing is to be generated, or as good as nothing."""
        return self.sampling.max_tokens <= 1


@dataclass(frozen=True, slots=True)
class RawPrompt:
    """Texts, in which names of special tokens count as these, and tokens, one after the other."""

    parts: tuple[str | int, ...]
    is_fim: bool = field(default=False, init=False)
    indent: str = field(default="", init=False)
    closers: str = field(default="", init=False)

    @property
    def n_characters(self) -> int:
        return sum(len(part) for part in self.parts if isinstance(part, str))

    def make(self, kit: Kit) -> Prompt:
        return whole(raw_tokens(self.parts, kit.vocabulary), kit)


def raw_tokens(parts: Sequence[str | int], vocabulary: RawVocabulary, add_special: bool = True) -> Tokens:
    """The tokens of `parts`, behind a BOS if the model wants one, `add_special` and none is there.

    Raises:
        RequestError: a number is no token.
    """
    arrays = [
        vocabulary.tokenize(part, special=True) if isinstance(part, str) else _token(part, vocabulary) for part in parts
    ]
    tokens = frozen(np.concatenate([EMPTY, *arrays]))
    wants_bos = add_special and vocabulary.add_bos and not (len(tokens) and tokens[0] == vocabulary.bos)
    return frozen(np.concatenate([as_tokens([vocabulary.bos]), tokens])) if wants_bos else tokens


def whole(tokens: Tokens, kit: Kit) -> Prompt:
    """A prompt in one piece.

    Raises:
        RequestError: it is empty or too long.
    """
    require_room(len(tokens), kit)
    return Prompt(tokens, (), (), (Span("prefix", "prompt", 0, len(tokens)),), ("sent as it is",))


def require_room(n_tokens: int, kit: Kit) -> None:
    """Raises RequestError unless a prompt of `n_tokens` has room in the context."""
    if n_tokens == 0:
        raise RequestError("The prompt is empty; send at least one token.")
    if n_tokens >= kit.n_ctx:
        raise RequestError(
            f"The prompt has {n_tokens} tokens and the context holds {kit.n_ctx}, one of them for the answer; "
            "shorten the prompt or serve with a larger --ctx.",
            kind="exceed_context_size_error",
        )


def _token(number: int, vocabulary: RawVocabulary) -> Tokens:
    if not 0 <= number < vocabulary.n_tokens:
        raise RequestError(f"{number} is no token: the vocabulary has {vocabulary.n_tokens}.")
    return as_tokens([number])
