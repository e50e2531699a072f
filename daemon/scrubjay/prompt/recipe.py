"""What every kind of prompt can do, and what prompts are made with."""

from dataclasses import dataclass
from typing import Protocol

from scrubjay.prompt.fim import FimTemplate, FimVocabulary
from scrubjay.prompt.infill_history import InfillHistory
from scrubjay.prompt.layouts import Layouts
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.segments import Prompt, ShownPart
from scrubjay.tokenizer.token_cache import Preparation, TokenCache
from scrubjay.tokens import Tokens


class RawVocabulary(FimVocabulary, Protocol):
    """What prompts that clients bring themselves need of a vocabulary."""

    n_tokens: int

    @property
    def chat_template(self) -> str: ...
    @property
    def names(self) -> tuple[str, str]: ...
    def tokenize(self, text: str, special: bool = False) -> Tokens: ...
    def piece(self, token: int) -> bytes: ...
    def name(self, token: int) -> str: ...
    def detokenize(self, tokens: Tokens) -> str: ...


@dataclass(frozen=True, slots=True)
class PromptTools:
    """What prompts are made with. Only one thread may use them at a time.

    Args:
        template: how the model is asked to fill in the middle.
        token_cache: tokenises without special tokens.
        layouts: how each project was laid out last.
        infill_history: the texts of clients that send windows of them.
        limits: how many tokens the prompt may have.
    """

    vocabulary: RawVocabulary
    template: FimTemplate
    token_cache: TokenCache
    layouts: Layouts
    infill_history: InfillHistory
    limits: Limits

    def shown(self, prompt: Prompt) -> tuple[ShownPart, ...]:
        """What `prompt` says, part by part; for threads."""
        spans = zip(prompt.segments, prompt.reasons, strict=True)
        parts = ((span, reason, prompt.tokens[span.start : span.end]) for span, reason in spans)
        return tuple(
            ShownPart(span.kind, span.label, len(tokens), reason, self._text(tokens)) for span, reason, tokens in parts
        )

    def _text(self, tokens: Tokens) -> str:
        pieces = (self.vocabulary.piece(token) or self.vocabulary.name(token).encode() for token in tokens.tolist())
        return b"".join(pieces).decode("utf-8", "replace")


class PromptRecipe(Protocol):
    """How one prompt is made: a value that a request carries until the vocabulary is open and there is a thread for it.

    The service asks every kind of request for the same things, in this order: `preparations`, which a thread may do; `make`,
    in the event loop, or in a thread if it needs only the vocabulary; then `is_fim`, `indent` and `closers`, to end and trim what
    the model writes.
    """

    @property
    def is_fim(self) -> bool:
        """Whether the prompt follows the template, so that the template's stop tokens and stop strings end the answer."""

    @property
    def indent(self) -> str:
        """The indentation before the cursor that the model writes again, because its text begins at the line's start.

        It is to be taken off the answer with `without_indent`; "" if there is none.
        """

    @property
    def typed(self) -> str:
        """What stands before the cursor and not in the prompt, which ends where a token begins; "" if the two end alike.

        The model is to begin with it, see `Sampling.typed`.
        """

    @property
    def unhealed(self) -> "PromptRecipe":
        """The recipe of a prompt that ends at the cursor."""

    @property
    def closers(self) -> str:
        """The closers after the cursor that the model writes again at the end of the line; "" if there are none.

        They are to be taken off with `without_closers`, where no completion rules do it.
        """

    @property
    def n_characters(self) -> int:
        """How long all its texts are together."""

    def preparations(self, tools: PromptTools, /) -> list[Preparation] | None:
        """What is to be tokenised before `make` is quick; None if `make` needs nothing but the vocabulary of `tools`.

        Cheap, and changes no layout.
        """

    def make(self, tools: PromptTools) -> Prompt:
        """The prompt.

        Raises:
            RequestError: it cannot be made, or has no room in the context.
            PromptRefused: the context has no room for even a few tokens of the document.
        """
