"""How prompts are made that clients bring themselves: the interface, and what they are made with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from scrubjay.prompt.fim import FimTemplate, FimVocabulary
from scrubjay.prompt.segments import Prompt
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.tokens import Tokens

if TYPE_CHECKING:
    from scrubjay.prompt.infill_history import InfillHistory


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
class PromptTools:
    """What prompts are made with; only for the one thread that makes them.

    Args:
        cache: tokenises without special tokens.
        streams: what is remembered of the clients whose windows slide.
        n_ctx: tokens of the context, of which generation needs `reserve`.
    """

    vocabulary: RawVocabulary
    template: FimTemplate
    cache: TokenCache
    streams: "InfillHistory"
    n_ctx: int
    reserve: int


class PromptRecipe(Protocol):
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

    def make(self, kit: PromptTools) -> Prompt:
        """The prompt.

        Raises:
            RequestError: it cannot be made, or has no room in the context.
        """
