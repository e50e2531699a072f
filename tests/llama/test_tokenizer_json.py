"""A tokenizer.json is read as Hugging Face's own library reads it: the same tokens for any text."""

import functools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.errors import ModelRefused
from scrubjay.llama.tokenizer_json import WORDS, vocabulary_files
from scrubjay.llama.vocabulary import Vocabulary
from tests.support.gguf_vocab import source_text
from tests.support.hugging_face import SPLITS, tokenizer_of, written
from tests.support.vocabularies import N_TOKENS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

KINDS = (*SPLITS, "sentencepiece")
PIECES = st.sampled_from(
    [*source_text().split(" ")[:2000], " ", "  ", "\t", "\n", "\n\n", "I'LL", "12345", "漢字", "naïve", "🎉"]
)
TEXTS = st.lists(PIECES, max_size=30).map("".join)


@functools.cache
def both(kind: str) -> "tuple[Tokenizer, Vocabulary]":
    with tempfile.TemporaryDirectory() as folder:
        made = list(vocabulary_files(written(kind, Path(folder))))
        file = Path(folder) / "vocabulary.gguf"
        file.write_bytes(made[WORDS.index(kind)] if kind in SPLITS else made[0])
        return tokenizer_of(kind), Vocabulary.open(file)


@pytest.mark.parametrize("kind", KINDS)
@given(TEXTS)
@settings(deadline=None)
def test_texts_are_cut_as_hugging_face_cuts_them(kind: str, text: str) -> None:
    theirs, ours = both(kind)
    assert ours.tokenize(text).tolist() == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_special_is_known(kind: str) -> None:
    theirs, ours = both(kind)
    assert ours.n_tokens == theirs.get_vocab_size() == N_TOKENS
    assert ours.chat_template == "{{ messages }}"
    assert ours.add_bos == (kind == "sentencepiece")
    end = "<|endoftext|>" if kind in SPLITS else "</s>"
    assert ours.names[1] == end
    assert ours.is_end(ours.special(end) or 0)
    if kind in SPLITS:
        assert ours.fim["prefix"] == theirs.token_to_id("<|fim_prefix|>")
        assert ours.tokenize("<|fim_prefix|>").tolist() != [ours.fim["prefix"]], "a file must not name it"
        assert ours.special("<|fim_prefix|>") == ours.fim["prefix"]


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"model": 5}', '{"model": {"vocab": {"a": -1}, "merges": []}}', '{"model": {"type": "Unigram"}}'],
)
def test_what_is_none_is_refused_in_a_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelRefused, match=r"tokenizer\.json"):
        list(vocabulary_files(tmp_path / "tokenizer.json"))
