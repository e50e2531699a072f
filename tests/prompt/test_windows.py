"""Where a model goes on: where a token begins, in every vocabulary, however far the user has typed."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scrubjay.prompt.windows import resume_at, token_border
from scrubjay.workspace.document import Document
from tests.support.gguf_vocab import source_text
from tests.support.vocabularies import ALL, open_vocabulary

LINES = [line for line in source_text("argparse").splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("line", "typed"),
    [
        ("loan.returned = ", " "),
        ("loan.returned =", " ="),
        ("print(loan.retu", ".retu"),
        ("return to", " to"),
        ("    retu", "    retu"),
        ('f("na', '("na'),
        ("timeout = 12", " 12"),
        ("self.__ini", ".__ini"),
        ("if x:", ""),
        ("class A {", ""),
        ("name = 'ß", " 'ß"),
        ("# " + "x" * 70, ""),
    ],
)
def test_the_last_word_or_space_before_the_cursor_is_written_again(line: str, typed: str) -> None:
    text = "x = 1\n" + line
    assert text[token_border(text, 6, len(text)) :] == typed


def test_the_indentation_of_a_blank_line_is_written_again_whatever_is_healed() -> None:
    document = Document("now.py", "", 0, "def f():\n    \n", None)
    assert resume_at(document, 13) == resume_at(document, 13, is_healed=False) == 9


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL)
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(LINES), st.data())
def test_typing_on_takes_back_no_token(kind: str, line: str, data: st.DataObject) -> None:
    """So the prompt of an earlier key is the beginning of the prompt of a later one."""
    tokenize = open_vocabulary(kind).tokenize
    at = data.draw(st.integers(1, len(line)))
    later = data.draw(st.integers(at, len(line)))
    assume(line[at - 1] not in ":{" and line[later - 1] not in ":{")
    before, after = (tokenize("x = 1\n" + line[: token_border(line, 0, end)]) for end in (at, later))
    assert np.array_equal(before, after[: len(before)])
