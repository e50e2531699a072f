"""A llama.cpp sampler chain."""

from collections.abc import Iterator
from typing import Any

import llama_cpp as lib
from llama_cpp.llama_grammar import json_schema_to_gbnf

from scrubjay.llama.context import LlamaContext
from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.protocol.messages import Sampling


def grammar_of(schema: str) -> str:
    """The GBNF grammar of what a JSON schema allows; "" for no schema.

    Raises:
        ValueError: no grammar can be made of it.
    """
    if not schema:
        return ""
    try:
        grammar: str = json_schema_to_gbnf(schema)
    except Exception as error:  # the converter checks nothing: a wrong schema may raise whatever Python has
        raise ValueError(f"No grammar can be made of this JSON schema ({error!r}); simplify it.") from error
    return grammar


class Sampler:
    """A llama.cpp sampler chain. A wrong grammar or JSON schema raises ValueError.

    The order is the one of llama.cpp's own programs: penalties, top-k, top-p, min-p, infill, temperature, choice.
    """

    def __init__(self, vocabulary: Vocabulary, sampling: Sampling) -> None:
        self._chain = None
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

    def sample(self, context: LlamaContext) -> int:
        """Choose the next token from the last output row, and remember it for the penalties and the grammar."""
        if self._chain is None:  # handing over a large vocabulary takes longer than all else that is done for a token
            return int(context.logits().argmax())
        return int(lib.llama_sampler_sample(self._chain, context.handle, -1))

    def close(self) -> None:
        """Free the chain; may be called twice."""
        if self._chain is not None:
            lib.llama_sampler_free(self._chain)
            self._chain = None


def is_plain_greedy(s: Sampling) -> bool:
    """Whether the best token is all that is wanted, so that no chain is needed."""
    is_changed = s.logit_bias or s.grammar or s.json_schema or s.infill or _has_penalties(s)
    return s.temperature <= 0 and not is_changed


def _has_penalties(s: Sampling) -> bool:
    return bool(s.repeat_penalty != 1 or s.frequency_penalty or s.presence_penalty)


def _links(vocabulary: Vocabulary, s: Sampling) -> Iterator[Any]:
    """The links of the chain, each made when the one before has an owner."""
    if s.logit_bias:
        biases = (lib.llama_logit_bias * len(s.logit_bias))(*(lib.llama_logit_bias(*bias) for bias in s.logit_bias))
        yield lib.llama_sampler_init_logit_bias(vocabulary.n_tokens, len(biases), biases)
    if rules := s.grammar or grammar_of(s.json_schema):
        grammar = lib.llama_sampler_init_grammar(vocabulary.handle, rules.encode(), b"root")
        if not grammar:
            raise ValueError("The grammar is not valid GBNF with a rule called root.")
        yield grammar
    if _has_penalties(s):
        penalties = (s.penalty_last_n, s.repeat_penalty, s.frequency_penalty, s.presence_penalty)
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
