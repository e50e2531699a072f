"""Cutting texts: never where it would change the tokens, and the same after an edit as from scratch."""

import functools
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scrubjay.tokenizer.chunks import (
    MAX_CHUNK_CHARACTERS,
    MIN_CHUNK_CHARACTERS,
    WINDOW_CHARACTERS,
    ChunkedText,
    SplitRule,
    find_split_rule,
    safe_places,
)
from tests.support import vocabularies
from tests.support.gguf_vocab import source_text

ATOMS = st.sampled_from(
    [
        "def f(x):", "return 'x'", "class A:", "é", "日本語", "🙂", "\u0301", " ", "  ", "    ", "\t", "\t\t", "\n", "\n\n",
        "\r\n", "\r", "1", "123", "'s", "'re", "/", "//", "# c", "}", "{", "(", ")", ";", "=", "$", "<", "_", '"', "@", "->",
        "\u00a0", "\u2028", "%d", "\\", "<|fim_prefix|>", "\n    ", "\n        return", "\nif x:\n", "\n\tx = 1\n",
    ]
)  # fmt: skip
SNIPPETS = st.lists(ATOMS, max_size=60).map("".join)
SOURCE = source_text("argparse")
KINDS = pytest.mark.parametrize("kind", vocabularies.ALL)


@functools.cache
def rule_of(kind: str) -> SplitRule:
    rule = find_split_rule(vocabularies.open_vocabulary(kind).tokenize)
    assert rule is not None
    return rule


@pytest.mark.slow
def test_every_sort_of_vocabulary_has_its_rule() -> None:
    found = {kind: (rule_of(kind).pattern.pattern[:9], rule_of(kind).lead) for kind in vocabularies.ALL}
    lines, indents = (r"\n(?=[ \t", ""), (r"\n(?:[ \t", "")
    assert found == {
        "qwen2": lines,
        "llama-bpe": lines,
        "deepseek-coder": lines,
        "gpt-4o": lines,
        "starcoder": indents,
        "gpt-2": indents,
        "sentencepiece": (lines[0], "\n"),
    }


def test_a_tokenizer_that_joins_lines_is_never_cut() -> None:
    lengths: dict[str, int] = {}

    def by_whole_text(text: str) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        return np.array([lengths.setdefault(text, len(lengths))], dtype=np.int32)

    assert find_split_rule(by_whole_text) is None
    assert [chunk.text for chunk in ChunkedText.of(SOURCE, None).chunks] == [SOURCE]


@pytest.mark.slow
@KINDS
@settings(max_examples=60)
@given(st.lists(SNIPPETS, min_size=1, max_size=4).map("".join))
@example("a=1\n1")
@example("x \n\n    y")
def test_no_cut_changes_the_tokens(kind: str, text: str) -> None:
    tokenize = vocabularies.open_vocabulary(kind).tokenize
    rule = rule_of(kind)
    cuts = [0, *(match.end() for match in rule.pattern.finditer(text) if match.end() > 0), len(text)]
    parts = [
        tokenize(text[a:b]) if a == 0 else tokenize(rule.lead + text[a:b])[rule.n_lead :] for a, b in pairwise(cuts)
    ]
    assert np.concatenate(parts).tolist() == tokenize(text).tolist()


@pytest.mark.slow
@settings(max_examples=150)
@given(st.data())
def test_chunks_after_edits_equal_chunks_from_scratch(data: st.DataObject) -> None:
    rule = rule_of("qwen2")
    start = data.draw(st.integers(0, len(SOURCE)))
    text = SOURCE[start : start + data.draw(st.integers(0, 12_000))]
    chunked = ChunkedText.of(text, rule)
    for _ in range(6):
        a = data.draw(st.integers(0, len(text)))
        b = min(len(text), a + data.draw(st.sampled_from([0, 0, 1, 5, 80, 700])))
        text = text[:a] + data.draw(SNIPPETS) + text[b:]
        before = {id(chunk) for chunk in chunked.chunks}
        chunked = chunked.updated(text, rule)
        assert chunked == ChunkedText.of(text, rule)
        assert "".join(chunk.text for chunk in chunked.chunks) == text
        assert sum(id(chunk) not in before for chunk in chunked.chunks) <= 12


def test_chunks_have_their_sizes() -> None:
    sizes = [len(chunk.text) for chunk in ChunkedText.of(SOURCE, rule_of("qwen2")).chunks]
    assert min(sizes[:-1]) >= MIN_CHUNK_CHARACTERS
    assert max(sizes) <= 2 * MAX_CHUNK_CHARACTERS
    assert sum(sizes) / len(sizes) < 800


PIECES = ["\n", " ", "\t", "x", "é", "\r\n", "//", "0", "def f():\n    ", "\n" + " " * 64 + "x", "\n" + " " * 65 + "x"]
LONG_PIECES = ["\n" * 5000, " \n" * 3000, "a" * (WINDOW_CHARACTERS - 6), " " * 70]


@KINDS
@given(st.lists(st.sampled_from(PIECES + LONG_PIECES), max_size=40), st.integers(0, 300))
def test_safe_places_are_found_in_windows_as_in_the_whole_text(kind: str, pieces: list[str], start: int) -> None:
    text, rule = "".join(pieces), rule_of(kind)
    assert [*safe_places(text, start, rule)] == [match.end() for match in rule.pattern.finditer(text, start)]
