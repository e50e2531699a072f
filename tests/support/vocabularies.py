"""Vocabularies opened by llama.cpp itself, without a model: one for each way in which it splits text into words."""

import functools
import tempfile
from pathlib import Path

import gguf

from scrubjay.llama.vocabulary import Vocabulary
from tests.support.gguf_vocab import make_vocabulary

BYTE_LEVEL = ("qwen2", "llama-bpe", "starcoder", "deepseek-coder", "gpt-2", "gpt-4o")
ALL = (*BYTE_LEVEL, "sentencepiece")
N_TOKENS = 3_000


@functools.cache
def open_vocabulary(kind: str) -> Vocabulary:
    """A vocabulary that splits words as llama.cpp's pre-tokenizer `kind` does; "sentencepiece" does not split them."""
    vocabulary = make_vocabulary(N_TOKENS, "llama" if kind == "sentencepiece" else "gpt2")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocabulary.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        vocabulary.write(writer)
        if kind != "sentencepiece":
            writer.kv_data[0]["tokenizer.ggml.pre"].value = kind
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        return Vocabulary.open(path)
