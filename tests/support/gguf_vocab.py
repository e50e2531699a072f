"""Vocabularies for the test models, learnt from Python's own standard library: nothing is downloaded and no file is kept.

The ids are the same on every machine with the same Python version. Two sorts: byte-level BPE as Qwen2.5-Coder has it, with its
names of the special tokens, and SentencePiece as CodeLlama has it, with a BOS and a space before the first word.
"""

import argparse
import dataclasses
import functools
import heapq
import importlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Literal

TokenizerModel = Literal["gpt2", "llama"]
Merge = tuple[str, str]

NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
SMALL_CORPUS = ("argparse",)
LARGE_CORPUS = (
    "argparse",
    "typing",
    "inspect",
    "logging",
    "subprocess",
    "tarfile",
    "ast",
    "email.message",
    "http.client",
    "tokenize",
)

# Name of the GGUF key, then the text of the token.
_QWEN_FIM = {
    "fim_pre": "<|fim_prefix|>",
    "fim_suf": "<|fim_suffix|>",
    "fim_mid": "<|fim_middle|>",
    "fim_pad": "<|fim_pad|>",
    "fim_rep": "<|repo_name|>",
    "fim_sep": "<|file_sep|>",
}
_LLAMA_FIM = {"fim_pre": "▁<PRE>", "fim_suf": "▁<SUF>", "fim_mid": "▁<MID>"}
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# What merges may not cross: near enough to the qwen2 pre-tokenizer for ASCII.
_WORDS = re.compile(r"'(?:[sdmt]|ll|ve|re)|[^\r\n\w]?[A-Za-z]+|\d| ?[^\s\w]+[\r\n]*|_|\s*[\r\n]+|\s+(?!\S)|\s+")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a GGUF says of its tokens; `special_ids` maps "bos", "eos", "fim_pre" and so on to ids."""

    model: TokenizerModel
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    special_ids: Mapping[str, int]
    chat_template: str

    @property
    def control_ids(self) -> list[int]:
        return [token for token, kind in enumerate(self.types) if kind == CONTROL]

    def write(self, writer: Any) -> None:
        """Add the tokenizer's keys to a `gguf.GGUFWriter`."""
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre("qwen2" if self.model == "gpt2" else "default")
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.model == "gpt2":
            writer.add_token_merges(self.merges)
        else:
            writer.add_token_scores([-float(token) for token in range(len(self.tokens))])
        for name, token in self.special_ids.items():
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)
        writer.add_add_bos_token(self.model == "llama")
        if self.chat_template:
            writer.add_chat_template(self.chat_template)


@functools.cache
def make_vocabulary(n_tokens: int, model: TokenizerModel = "gpt2", fim: bool = True) -> Vocabulary:
    """A vocabulary of exactly `n_tokens` tokens; what the corpus does not fill are words that no text is tokenized to.

    `fim=False` leaves out the fill-in-the-middle tokens, not the others.
    """
    learnt = _byte_level(n_tokens, fim) if model == "gpt2" else _sentence_piece(n_tokens, fim)
    n_missing = n_tokens - len(learnt.tokens)
    if n_missing < 0:
        raise ValueError(f"a vocabulary of {n_tokens} tokens has no room for its bytes and special tokens")
    space = "Ġ" if model == "gpt2" else "▁"
    fillers = tuple(f"{space}filler{i}" for i in range(n_missing))
    return dataclasses.replace(learnt, tokens=learnt.tokens + fillers, types=learnt.types + (NORMAL,) * n_missing)


def _byte_level(n_tokens: int, fim: bool) -> Vocabulary:
    special = {"eos": "<|endoftext|>", "start": "<|im_start|>", "eot": "<|im_end|>"} | (_QWEN_FIM if fim else {})
    alphabet = byte_alphabet()
    words = Counter(tuple(alphabet[byte] for byte in word.encode()) for word in _words(n_tokens))
    merges = learn_merges(words, _n_merges(n_tokens) - len(alphabet) - len(special))
    normal = list(dict.fromkeys([*alphabet, *("".join(merge) for merge in merges)]))
    ids = {name: len(normal) + i for i, name in enumerate(special)}
    del ids["start"]
    return Vocabulary(
        model="gpt2",
        tokens=(*normal, *special.values()),
        types=(NORMAL,) * len(normal) + (CONTROL,) * len(special),
        merges=tuple(" ".join(merge) for merge in merges),
        special_ids={"bos": ids["eos"], **ids},
        chat_template=_CHAT_TEMPLATE,
    )


def _sentence_piece(n_tokens: int, fim: bool) -> Vocabulary:
    special = {"unk": "<unk>", "bos": "<s>", "eos": "</s>"} | (_LLAMA_FIM if fim else {})
    data = [f"<0x{byte:02X}>" for byte in range(256)]
    words = Counter(tuple(word.replace(" ", "▁")) for word in _words(n_tokens) if "\n" not in word)
    characters = sorted({character for word in words for character in word})
    merges = learn_merges(words, _n_merges(n_tokens) - len(special) - len(data) - len(characters))
    # A lower id is a higher score and merges come first in llama.cpp's order, so single characters stand last.
    normal = list(dict.fromkeys([*("".join(merge) for merge in merges), *characters]))
    kinds = [UNKNOWN, *[CONTROL] * (len(special) - 1), *[BYTE] * len(data), *[NORMAL] * len(normal)]
    return Vocabulary(
        "llama", (*special.values(), *data, *normal), tuple(kinds), (), {n: i for i, n in enumerate(special)}, ""
    )


def _n_merges(n_tokens: int) -> int:
    return min(n_tokens, 12_000)


def _words(n_tokens: int) -> Iterator[str]:
    modules = SMALL_CORPUS if n_tokens < 4_000 else LARGE_CORPUS
    for module in modules:
        yield from _WORDS.findall(source_text(module))


def source_text(module: str = argparse.__name__) -> str:
    """The source of a module of the standard library: text for prompts as well."""
    file = importlib.import_module(module).__file__
    if file is None:
        raise ValueError(f"{module} has no source file")
    return Path(file).read_text("utf-8")


def byte_alphabet() -> list[str]:
    """The printable character that stands for each of the 256 bytes in a byte-level vocabulary."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def learn_merges(words: Mapping[tuple[str, ...], int], n_merges: int) -> list[Merge]:
    """Byte-pair encoding: the `n_merges` merges, most frequent pair first, ties by text. `words` maps spelling to count."""
    return list(islice(_merges([list(word) for word in words], list(words.values())), max(n_merges, 0)))


def _merges(spelled: list[list[str]], counts: list[int]) -> Iterator[Merge]:
    n_of: Counter[Merge] = Counter()
    words_with: dict[Merge, set[int]] = defaultdict(set)
    heap: list[tuple[int, Merge]] = []

    def count(index: int, sign: int) -> list[Merge]:
        pairs = list(pairwise(spelled[index]))
        for pair in pairs:
            n_of[pair] += sign * counts[index]
            words_with[pair].add(index)
        return pairs

    touched = {pair for index in range(len(spelled)) for pair in count(index, 1)}
    while True:
        for pair in touched:
            heapq.heappush(heap, (-n_of[pair], pair))
        # An entry whose count has changed since is stale: the newer one is in the heap as well.
        while heap and -heap[0][0] != n_of[heap[0][1]]:
            heapq.heappop(heap)
        if not heap or heap[0][0] == 0:
            return
        best = heapq.heappop(heap)[1]
        yield best
        touched = set()
        for index in words_with.pop(best):
            touched.update(count(index, -1))
            spelled[index] = _merged(spelled[index], best)
            touched.update(count(index, 1))


def _merged(word: list[str], pair: Merge) -> list[str]:
    result: list[str] = []
    for symbol in word:
        if result and (result[-1], symbol) == pair:
            result[-1] += symbol
        else:
            result.append(symbol)
    return result
