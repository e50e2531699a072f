"""Prompts that clients bring themselves: texts, tokens and mixtures, as values that a vocabulary turns into tokens. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from scrubjay.errors import RequestError
from scrubjay.prompt.recipe import PromptTools, RawVocabulary
from scrubjay.prompt.segments import Prompt, Span
from scrubjay.tokenizer.token_cache import Preparation
from scrubjay.tokens import EMPTY, Tokens, as_tokens, frozen


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

    def preparations(self, _: PromptTools, /) -> list[Preparation] | None:
        return None

    def make(self, tools: PromptTools) -> Prompt:
        return single_segment(raw_tokens(self.parts, tools.vocabulary), tools)


def raw_tokens(
    parts: Sequence[str | int], vocabulary: RawVocabulary, add_special: bool = True, parse_special: bool = True
) -> Tokens:
    """The tokens of `parts`, after a BOS if the model wants one, `add_special` and none is there.

    Args:
        parse_special: names of special tokens in texts count as these.

    Raises:
        RequestError: a number is no token.
    """
    arrays = [
        vocabulary.tokenize(part, special=parse_special) if isinstance(part, str) else _token(part, vocabulary)
        for part in parts
    ]
    tokens = frozen(np.concatenate([EMPTY, *arrays]))
    wants_bos = add_special and vocabulary.add_bos and not (len(tokens) and tokens[0] == vocabulary.bos)
    return frozen(np.concatenate([as_tokens([vocabulary.bos]), tokens])) if wants_bos else tokens


def single_segment(tokens: Tokens, tools: PromptTools) -> Prompt:
    """A prompt in one piece.

    Raises:
        RequestError: it is empty or too long.
    """
    require_room(len(tokens), tools)
    return Prompt(tokens, (), (), (Span("prefix", "prompt", 0, len(tokens)),), ("sent as it is",))


def require_room(n_tokens: int, tools: PromptTools) -> None:
    """Raises RequestError unless a prompt of `n_tokens` has room in the context."""
    if n_tokens == 0:
        raise RequestError("The prompt is empty; send at least one token.")
    n_ctx = tools.limits.n_ctx
    if n_tokens >= n_ctx:
        raise RequestError(
            f"The prompt has {n_tokens} tokens and the context holds {n_ctx}, one of them for the answer; "
            "shorten the prompt or serve with a larger --ctx.",
            kind="exceed_context_size_error",
        )


def _token(number: int, vocabulary: RawVocabulary) -> Tokens:
    if not 0 <= number < vocabulary.n_tokens:
        raise RequestError(f"{number} is no token: the vocabulary has {vocabulary.n_tokens}.")
    return as_tokens([number])
