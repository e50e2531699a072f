"""Kept tokens: always those that tokenising the whole text would give, for a fraction of the work, within the bytes allowed."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.tokens import Tokens
from tests.support import vocabularies
from tests.support.gguf_vocab import source_text
from tests.tokenizer.test_chunks import SNIPPETS

SOURCE = source_text("argparse")
KINDS = pytest.mark.parametrize("kind", vocabularies.ALL)


class Counted:
    """A vocabulary's `tokenize` that counts the characters it was given."""

    def __init__(self, kind: str = "qwen2") -> None:
        self.vocabulary = vocabularies.open_vocabulary(kind)
        self.n_characters = 0

    def __call__(self, text: str) -> Tokens:
        self.n_characters += len(text)
        return self.vocabulary.tokenize(text)


@functools.cache
def cache_of(kind: str) -> TokenCache:
    return TokenCache(vocabularies.open_vocabulary(kind).tokenize, 10_000_000)


@pytest.mark.slow
@KINDS
@settings(max_examples=25)
@given(st.data())
def test_incremental_tokens_equal_those_of_the_whole_text(kind: str, data: st.DataObject) -> None:
    cache, tokenize = cache_of(kind), vocabularies.open_vocabulary(kind).tokenize
    start = data.draw(st.integers(0, len(SOURCE)))
    text = SOURCE[start : start + data.draw(st.integers(0, 4_000))]
    for _ in range(4):
        a = data.draw(st.integers(0, len(text)))
        text = text[:a] + data.draw(SNIPPETS) + text[a + data.draw(st.sampled_from([0, 1, 90, 900])) :]
        document = cache.document("a", text)
        assert document.tokens.tolist() == tokenize(text).tolist()
        a, b = sorted((data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text)))))
        assert document.between(a, b).tolist() == tokenize(text[a:b]).tolist()


def test_counts_are_those_of_the_tokens_before_each_cut() -> None:
    document = cache_of("qwen2").document("a", SOURCE)
    tokenize = vocabularies.open_vocabulary("qwen2").tokenize
    for cut, n_tokens in list(zip(document.chunked.cuts, document.counts(len(SOURCE)), strict=True))[:20]:
        assert n_tokens == len(tokenize(SOURCE[:cut]))
    assert document.counts(0) == (0,)
    assert document.chunk_start(len(SOURCE)) == document.chunked.cuts[-2]
    start = document.chunked.cuts[3]
    assert document.counts(len(SOURCE), start)[-1] == len(document.between(start, document.chunked.cuts[-1]))


@pytest.mark.parametrize("long", ["x" * 100_000, "[" * 100_000, "\n" * 100_000])
def test_a_chunk_without_a_place_to_cut_is_never_tokenised_whole(long: str) -> None:
    tokenize = Counted("qwen2")
    cache = TokenCache(tokenize, 1 << 24)
    text = "import os\n" * 100 + long + "\n" + "value = 1\n" * 100
    tokenize.n_characters = 0
    for preparation in cache.missing([("a", text)]):
        preparation.keep(preparation.run())
    document = cache.document("a", text)
    assert document.has_long_chunk
    assert not cache.missing([("a", text)])
    assert tokenize.n_characters < 10_000
    assert cache.count([("a", text)]) == 0
    start = document.readable_start(len(text))
    assert document.text[start:] in "value = 1\n" * 100
    assert document.readable_start(0) == 0


def test_a_typed_character_costs_the_tokens_of_a_piece_or_two() -> None:
    tokenize = Counted()
    cache = TokenCache(tokenize, 10_000_000)
    cache.document("a", SOURCE).tokens  # noqa: B018 - the first time is not what is counted
    middle = SOURCE.index("\n", len(SOURCE) // 2)
    tokenize.n_characters = 0
    for i in range(1, 51):
        cache.document("a", SOURCE[:middle] + "x" * i + SOURCE[middle:]).tokens  # noqa: B018
    assert tokenize.n_characters / 50 < 2_500


def test_a_character_typed_at_the_end_of_a_stretch_costs_the_tokens_of_its_line() -> None:
    tokenize = Counted()
    cache = TokenCache(tokenize, 10_000_000)
    middle = SOURCE.index("\n", len(SOURCE) // 2) + 1
    start = SOURCE.rindex("\n", 0, middle - 200) + 1
    for i in range(1, 51):
        text = SOURCE[:middle] + "x" * i + SOURCE[middle:]
        cache.document("a", text).between(start, middle + i)
        if i == 1:
            tokenize.n_characters = 0
    assert tokenize.n_characters == sum(range(2, 51))


def test_what_was_tokenised_before_costs_nothing() -> None:
    tokenize = Counted()
    cache = TokenCache(tokenize, 10_000_000)
    for text in (SOURCE, "other\n" + SOURCE, SOURCE):
        tokenize.n_characters = 0
        cache.document("a", text).tokens  # noqa: B018
    assert tokenize.n_characters == 0


def test_heating_fills_what_was_cold() -> None:
    tokenize = Counted("sentencepiece")
    cache = TokenCache(tokenize, 10_000_000)
    document = cache.document("a", SOURCE)
    cold = document.untokenized()
    assert sum(len(piece.text) for piece, _ in cold) == len(SOURCE)
    cache.tokenize_ahead(cold)
    tokenize.n_characters = 0
    assert document.tokens.tolist() == tokenize.vocabulary.tokenize(SOURCE).tolist()
    assert (document.untokenized(), tokenize.n_characters) == ([], 0)


def test_memory_is_bounded_and_what_is_used_stays() -> None:
    tokenize = Counted()
    cache = TokenCache(tokenize, 40_000)
    for i in range(500):
        cache(f"text number {i}")
        cache("always used")
        assert cache.n_bytes <= 40_000
    tokenize.n_characters = 0
    cache("always used")
    assert tokenize.n_characters == 0
    assert cache("text number 0").tolist() == tokenize.vocabulary.tokenize("text number 0").tolist()


def test_a_document_too_big_to_be_kept_is_served_all_the_same() -> None:
    cache = TokenCache(vocabularies.open_vocabulary("qwen2").tokenize, 1_000)
    tokens = vocabularies.open_vocabulary("qwen2").tokenize(SOURCE).tolist()
    for _ in range(2):
        assert cache.document("a", SOURCE).tokens.tolist() == tokens
    assert cache.n_bytes <= 1_000
