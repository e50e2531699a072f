"""A llama.cpp sampler chain."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import llama_cpp as lib
import numpy as np

from scrubjay.llama.context import LlamaContext
from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.protocol.messages import Sampling
from scrubjay.tokens import Tokens

if TYPE_CHECKING:
    from scrubjay.llama.grammar import Constraint


MAX_PENALTY_TOKENS = 1 << 20
"""More than any context holds: llama.cpp allocates what is asked for, and ends the process where it cannot."""


class Sampler:
    """A llama.cpp sampler chain. A wrong grammar or JSON schema raises ValueError.

    The order is the one of llama.cpp's own programs: grammar, penalties, top-k, top-p, min-p, infill, temperature, choice.
    """

    def __init__(self, vocabulary: Vocabulary, sampling: Sampling) -> None:
        self._chain = None
        self._constraint = _constraint(vocabulary, sampling)
        if is_plain_greedy(sampling):
            return
        self._chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        try:
            for link in _links(vocabulary, sampling):
                # The chain owns its links from here on: what was made before a refusal is freed with it.
                lib.llama_sampler_chain_add(self._chain, link)
        except BaseException:
            self.close()
            raise

    @property
    def is_complete(self) -> bool:
        """Whether the grammar lets nothing follow."""
        return self._constraint is not None and self._constraint.is_complete

    def sample(self, context: LlamaContext) -> int | None:
        """Choose the next token from `context.logits()`, and remember it for the penalties and the grammar.

        Returns:
            None if the grammar lets nothing follow.

        Raises:
            ValueError: the grammar is too much work.
        """
        if self._constraint is None:
            return self._choose(context)
        if self._constraint.is_complete or not (allowed := self._constraint.allowed()).any():
            return None
        # In place: the row is llama.cpp's own, which its samplers read.
        context.logits()[~allowed] = -np.inf
        token = self._choose(context)
        # A chain of odd numbers (a penalty of 0) may choose what cannot be.
        token = token if allowed[token] else int(allowed.argmax())
        self._constraint.accept(token)
        return token

    def sample_of(self, allowed: Tokens, context: LlamaContext) -> int:
        """Choose the next token among those `allowed`, of which there is at least one; the grammar has no say in it."""
        logits = context.logits()
        kept = logits[allowed]
        logits.fill(-np.inf)
        logits[allowed] = kept
        token = self._choose(context)
        return token if token in allowed else int(allowed[kept.argmax()])

    def _choose(self, context: LlamaContext) -> int:
        if self._chain is None:  # handing over a large vocabulary takes longer than all else that is done for a token
            return int(context.logits().argmax())
        return int(lib.llama_sampler_sample(self._chain, context.handle, context.row))

    def close(self) -> None:
        """Free the chain; may be called twice."""
        if self._chain is not None:
            lib.llama_sampler_free(self._chain)
            self._chain = None


def is_plain_greedy(s: Sampling) -> bool:
    """Whether the best token is all that is wanted, so that no chain is needed."""
    is_changed = s.logit_bias or s.infill or _has_penalties(s)
    return s.temperature <= 0 and not is_changed


def _has_penalties(s: Sampling) -> bool:
    return bool(s.repeat_penalty != 1 or s.frequency_penalty or s.presence_penalty)


def _links(vocabulary: Vocabulary, s: Sampling) -> Iterator[Any]:
    """The links of the chain, each made when the one before has an owner."""
    if s.logit_bias:
        biases = (lib.llama_logit_bias * len(s.logit_bias))(*(lib.llama_logit_bias(*bias) for bias in s.logit_bias))
        yield lib.llama_sampler_init_logit_bias(vocabulary.n_tokens, len(biases), biases)
    if _has_penalties(s):
        penalties = (
            min(s.penalty_last_n, MAX_PENALTY_TOKENS),
            s.repeat_penalty,
            s.frequency_penalty,
            s.presence_penalty,
        )
        yield lib.llama_sampler_init_penalties(vocabulary.n_tokens, *penalties)
    if s.temperature > 0 or s.infill:
        yield lib.llama_sampler_init_top_k(s.top_k)
        yield lib.llama_sampler_init_top_p(s.top_p, 1)
        yield lib.llama_sampler_init_min_p(s.min_p, 1)
    if s.infill:
        yield lib.llama_sampler_init_infill(vocabulary.handle)
    if s.temperature > 0:
        yield lib.llama_sampler_init_temp(s.temperature)
        yield lib.llama_sampler_init_dist(s.seed & 0xFFFFFFFF)
    else:
        yield lib.llama_sampler_init_greedy()


def _constraint(vocabulary: Vocabulary, s: Sampling) -> "Constraint | None":
    if not s.grammar and not s.json_schema:
        return None
    from scrubjay.llama.grammar import Constraint

    return Constraint(vocabulary.trie, vocabulary.n_tokens, s.grammar, s.json_schema)
