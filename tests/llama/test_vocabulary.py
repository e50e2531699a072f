"""Texts that end a process in llama.cpp's tokenizers, and what is made of them."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.llama.vocabulary import MAX_RUN_CHARACTERS, slices
from tests.support.vocabularies import BYTE_LEVEL, open_vocabulary

BLANKS = " \t\n\r\v\f"
LONG = {
    "letters": "ACGT" * 15_000,
    "dots": "." * 60_000,
    "blanks": " " * 60_000,
    "line ends": "\n" * 60_000,
    "ideographs": "漢" * 60_000,
    "digits": "1" * 60_000,
    "blanks of all sorts": " \u3000" * 50_000,
    "words between odd blanks": "a\x1c" * 50_000,
    "dots before line ends": "." * 50_000 + "\n" * 50_000,
    "all but blanks": "".join(map(chr, range(33, 0xD000))),
    "half surrogates": "\ud800" * 50_000,
}
TOKENIZE = """
from tests.llama.test_vocabulary import LONG
from tests.support.vocabularies import open_vocabulary
import sys
vocabulary = open_vocabulary(sys.argv[1])
for text in LONG.values():
    tokens = vocabulary.tokenize(text)
    assert vocabulary.detokenize(tokens) == text.encode(errors="replace").decode(), text[:20]
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["deepseek-llm", "tekken", "gpt-4o", "bloom"])
def test_no_text_ends_the_process(kind: str) -> None:
    """In a process of its own: what overflows the stack cannot be caught."""
    done = subprocess.run([sys.executable, "-c", TOKENIZE, kind], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_text_with_breaks_is_tokenised_as_a_whole() -> None:
    text = ("x = " + "y" * 4000 + " " * 4000 + "\n") * 5
    for kind in BYTE_LEVEL:
        vocabulary = open_vocabulary(kind)
        assert np.array_equal(vocabulary.tokenize(text), vocabulary._tokenize(text, False))


def longest(text: str, members: str, inverse: bool) -> int:
    runs = "".join("m" if (c in members) is not inverse else "|" for c in text).split("|")
    return max(map(len, runs))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*BLANKS, "a", ".", "漢", "\u3000", "\x1c", "ab. "]), st.integers(1, 3 * MAX_RUN_CHARACTERS)
        ),
        max_size=6,
    )
)
def test_slices_are_the_text_and_no_run_in_them_is_long(runs: list[tuple[str, int]]) -> None:
    text = "".join(part * n for part, n in runs)
    parts = slices(text)
    assert "".join(parts) == text
    for part in parts:
        assert longest(part, BLANKS + "\u3000\x1c", inverse=False) <= MAX_RUN_CHARACTERS
        assert longest(part, BLANKS, inverse=True) <= MAX_RUN_CHARACTERS
