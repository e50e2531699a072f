"""A model's vocabulary: tokens and the text they stand for."""

import ctypes
import itertools
import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import llama_cpp as lib
import numpy as np
import numpy.typing as npt

from scrubjay.errors import ModelRefused
from scrubjay.llama.backend import NO_DEVICES, _Backend
from scrubjay.tokens import Tokens, frozen

_NO_TOKEN = -1
BYTE_LEVEL = 2
"""llama.cpp's type of a vocabulary that splits texts into words by a regular expression."""
MAX_RUN_CHARACTERS = 4096
"""llama.cpp leaves most of these expressions to std::regex, which recurses once a character: 32,768 letters, dots or line ends
overflow a stack of 8 MB, 16,384 do not. A word may hold a run of white space and one of other characters."""
N_BLOCK = 1 << 18
"""Characters that are looked through at a time."""
_BLANKS = np.array([ord(c) for c in " \t\n\r\v\f"], dtype=np.uint32)
_PERHAPS_BLANKS = np.array(
    [
        0x85,
        0xA0,
        0x1680,
        0x180E,
        *range(0x1C, 0x20),
        *range(0x2000, 0x200C),
        0x2028,
        0x2029,
        0x202F,
        0x205F,
        0x3000,
        0xFEFF,
    ],
    dtype=np.uint32,
)
"""What one expression takes for white space, and another one does not: it may go on either kind of run."""


class Vocabulary:
    """The tokens of a model and the text they stand for."""

    def __init__(self, model: Any, owns_model: bool = False) -> None:
        self._model = model
        self._owns_model = owns_model
        self._vocab = lib.llama_model_get_vocab(model)
        self.n_tokens: int = lib.llama_vocab_n_tokens(self._vocab)
        self.bos: int = lib.llama_vocab_bos(self._vocab)
        self.add_bos: bool = bool(lib.llama_vocab_get_add_bos(self._vocab)) and self.bos != _NO_TOKEN

    @classmethod
    def open(cls, path: Path) -> "Vocabulary":
        """The vocabulary alone: no weights are read. Only for a file that the engine process has accepted.

        Raises:
            ModelRefused: llama.cpp cannot read it.
        """
        _Backend.start()
        params = lib.llama_model_default_params()
        params.vocab_only = True
        params.devices = NO_DEVICES  # to ask a GPU how much memory it has takes some of it
        return cls(_load(path, params), owns_model=True)

    def close(self) -> None:
        """Free the model, if this vocabulary was opened alone; no method may be called afterwards."""
        if self._owns_model:
            lib.llama_model_free(self._model)

    @property
    def model(self) -> Any:
        """llama.cpp's pointer to the model that it is of."""
        return self._model

    @property
    def handle(self) -> Any:
        """llama.cpp's own pointer, for `Sampler`."""
        return self._vocab

    @cached_property
    def type(self) -> int:
        """llama.cpp's vocabulary type: 1 SentencePiece, 2 `BYTE_LEVEL`, others."""
        return int(lib.llama_vocab_type(self._vocab))

    def tokenize(self, text: str, special: bool = False) -> Tokens:
        """The tokens of `text`, never with a BOS; `special` parses the names of special tokens in it.

        A byte-level vocabulary gets a text without a break in slices of `MAX_RUN_CHARACTERS`: no words are that long.
        """
        if len(text) > MAX_RUN_CHARACTERS and self.type == BYTE_LEVEL and len(parts := slices(text)) > 1:
            return frozen(np.concatenate([self._tokenize(part, special) for part in parts]))
        return self._tokenize(text, special)

    def _tokenize(self, text: str, special: bool) -> Tokens:
        data = text.encode("utf-8", errors="replace")
        tokens = np.empty(len(data) + 2, dtype=np.int32)
        out = ctypes.byref(lib.llama_token.from_buffer(tokens.data))  # quicker than numpy's `data_as`, at any length
        n = lib.llama_tokenize(self._vocab, data, len(data), out, len(tokens), False, special)
        return frozen(tokens[:n].copy())

    def piece(self, token: int) -> bytes:
        """The bytes that `token` stands for, perhaps not whole characters; nothing for a control token."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            n = lib.llama_token_to_piece(self._vocab, token, buffer, size, 0, False)
            if n >= 0:
                return buffer.raw[:n]
            size = -n

    def detokenize(self, tokens: Tokens) -> str:
        """The text of `tokens`, control tokens left out."""
        return b"".join(self.piece(int(token)) for token in tokens).decode(errors="replace")

    @cached_property
    def trie(self) -> Any:
        """All pieces as a trie, for `grammar.Constraint`; made on first use, which takes up to a second."""
        from scrubjay.llama.grammar import trie_of

        tokens = range(self.n_tokens)
        ends = {token for token in tokens if self.is_end(token)}
        return trie_of([self.piece(token) for token in tokens], ends, self.tokenize)

    def special(self, text: str) -> int | None:
        """The one token that the special text `text` is, or None."""
        tokens = self.tokenize(text, special=True)
        return int(tokens[0]) if len(tokens) == 1 else None

    @cached_property
    def fim(self) -> Mapping[str, int]:
        """The fill-in-the-middle tokens that llama.cpp found: any of prefix, suffix, middle, repo, separator, pad."""
        found = {
            "prefix": lib.llama_vocab_fim_pre(self._vocab),
            "suffix": lib.llama_vocab_fim_suf(self._vocab),
            "middle": lib.llama_vocab_fim_mid(self._vocab),
            "repo": lib.llama_vocab_fim_rep(self._vocab),
            "separator": lib.llama_vocab_fim_sep(self._vocab),
            "pad": lib.llama_vocab_fim_pad(self._vocab),
        }
        return {name: token for name, token in found.items() if token != _NO_TOKEN}

    @cached_property
    def chat_template(self) -> str:
        """The Jinja template that came with the model, or ""."""
        template = lib.llama_model_chat_template(self._model, None)
        return template.decode(errors="replace") if template else ""

    @cached_property
    def names(self) -> tuple[str, str]:
        """The names of the tokens that begin and that end a text, "" for one that there is not."""
        tokens = (self.bos, lib.llama_vocab_eos(self._vocab))
        begin, end = (lib.llama_vocab_get_text(self._vocab, token) if token != _NO_TOKEN else b"" for token in tokens)
        return begin.decode(errors="replace"), end.decode(errors="replace")

    def name(self, token: int) -> str:
        """How `token` is spelled in the vocabulary: for a special token, the text that stands for it in prompts."""
        return str(lib.llama_vocab_get_text(self._vocab, token).decode(errors="replace"))

    def is_end(self, token: int) -> bool:
        return bool(lib.llama_vocab_is_eog(self._vocab, token))


def slices(text: str) -> list[str]:
    """`text` in parts, cut only within runs of white space, or of other characters, of more than `MAX_RUN_CHARACTERS`."""
    # Looked at a block at a time: encoding holds the interpreter.
    blocks = [
        np.frombuffer(text[begin : begin + N_BLOCK].encode("utf-32-le", errors="surrogatepass"), dtype="<u4")
        for begin in range(0, len(text) or 1, N_BLOCK)
    ]
    is_blank, is_unsure = (
        np.concatenate([np.isin(block, some) for block in blocks]) for some in (_BLANKS, _PERHAPS_BLANKS)
    )
    cuts = sorted({*_cuts(is_blank | is_unsure), *_cuts(~is_blank)})
    return [text[begin:end] for begin, end in itertools.pairwise((0, *cuts, len(text)))]


def _cuts(is_member: npt.NDArray[np.bool_]) -> Iterator[int]:
    """Where runs of members are cut so that none is too long."""
    edges = np.flatnonzero(np.diff(is_member, prepend=False, append=False))
    begins, ends = edges[::2], edges[1::2]
    is_long = ends - begins > MAX_RUN_CHARACTERS
    for begin, end in zip(begins[is_long], ends[is_long], strict=True):
        yield from range(int(begin) + MAX_RUN_CHARACTERS, int(end), MAX_RUN_CHARACTERS)


def _load(path: Path, params: Any) -> Any:
    model = lib.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise ModelRefused(
            f"llama.cpp cannot load {path}: it is damaged, incomplete or of an unknown architecture; download it again."
        )
    return model
