"""Tokenizers of Hugging Face's own library, with the vocabulary of the tests, and their files."""

import json
from pathlib import Path

import pytest

pytest.importorskip("tokenizers", reason="of the extra 'test'")

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from tests.support.gguf_vocab import CONTROL, make_vocabulary
from tests.support.vocabularies import N_TOKENS

_LETTERS = r"'(?i:s|t|re|ve|m|ll|d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_OTHERS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {
    "qwen2": (rf"{_LETTERS}|\p{{N}}|{_OTHERS}",),
    "llama-bpe": (rf"{_LETTERS}|\p{{N}}{{1,3}}|{_OTHERS}",),
    "gpt-2": (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",),
    "starcoder": (r"\p{N}", r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"),
}
"""How they split words, by llama.cpp's names."""


def tokenizer_of(kind: str, n_tokens: int = N_TOKENS) -> Tokenizer:
    """A tokenizer of Hugging Face's library, with the vocabulary of the tests."""
    is_byte_level = kind in SPLITS
    learnt = make_vocabulary(n_tokens, "gpt2" if is_byte_level else "llama")
    ids = {token: id_ for id_, token in enumerate(learnt.tokens)}
    if is_byte_level:
        merges = [(first, second) for first, second in (merge.split(" ") for merge in learnt.merges)]
        tokenizer = Tokenizer(models.BPE(ids, merges))
        splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in SPLITS[kind]]
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, byte_level])
        tokenizer.decoder = decoders.ByteLevel()
    else:
        # As Hugging Face's converter does it: each token is merged of any two others that it consists of.
        merges = [(token[:at], token[at:]) for token in learnt.tokens for at in range(1, len(token))]
        own = [merge for merge in merges if all(part in ids for part in merge) and not merge[0].startswith("<")]
        tokenizer = Tokenizer(models.BPE(ids, own, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", ids["<s>"])])
    names = [token for token, of in zip(learnt.tokens, learnt.types, strict=True) if of == CONTROL]
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in names if not name.startswith("▁")])
    return tokenizer


def written(kind: str, folder: Path, n_tokens: int = N_TOKENS) -> Path:
    """The tokenizer.json of such a tokenizer, and the file that belongs to it, in `folder`."""
    path = folder / "tokenizer.json"
    tokenizer_of(kind, n_tokens).save(str(path))
    config = {
        "eos_token": {"content": "<|endoftext|>" if kind in SPLITS else "</s>"},
        "chat_template": "{{ messages }}",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"bos_token": None if kind in SPLITS else "<s>"}))
    return path
