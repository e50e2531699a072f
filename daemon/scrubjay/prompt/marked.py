"""Prompts made of texts between markers: special tokens of a format, which no text may bring along by itself."""

import re
from dataclasses import dataclass, field

import numpy as np

from scrubjay.prompt.client_prompts import single_segment
from scrubjay.prompt.recipe import PromptTools
from scrubjay.prompt.segments import Prompt
from scrubjay.tokenizer.token_cache import Preparation
from scrubjay.tokens import Tokens, as_tokens, frozen


@dataclass(frozen=True, slots=True)
class MarkedPrompt:
    """`text`, in which each of `markers` is the special token of that name; one for which there is none is text as all else."""

    text: str
    markers: tuple[str, ...]
    is_fim: bool = field(default=False, init=False)
    indent: str = field(default="", init=False)
    typed: str = field(default="", init=False)
    closers: str = field(default="", init=False)

    @property
    def n_characters(self) -> int:
        return len(self.text)

    @property
    def unhealed(self) -> "MarkedPrompt":
        return self

    def preparations(self, _: PromptTools, /) -> list[Preparation] | None:
        return None

    def make(self, tools: PromptTools) -> Prompt:
        vocabulary = tools.vocabulary
        special = {marker: token for marker in self.markers if (token := vocabulary.special(marker)) is not None}
        first = [as_tokens([vocabulary.bos])] if vocabulary.add_bos else []
        return single_segment(frozen(np.concatenate([*first, *self._parts(tools, special)])), tools)

    def _parts(self, tools: PromptTools, special: dict[str, int]) -> list[Tokens]:
        if not special:
            return [tools.vocabulary.tokenize(self.text)]
        parts = re.split(f"({'|'.join(map(re.escape, special))})", self.text)
        return [as_tokens([special[part]]) if part in special else tools.vocabulary.tokenize(part) for part in parts]
