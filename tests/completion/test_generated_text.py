"""Texts of a request from pieces to items. The law: what was told is the beginning of what is answered."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.code_text import without_indent
from scrubjay.completion.cursor import CursorContext
from scrubjay.completion.finish import AsWritten, ClientLimits, Finish
from scrubjay.completion.generated_text import Alternatives, GeneratedText
from scrubjay.completion.rules import CompletionRules
from scrubjay.completion.stop_rules import choose_mode
from scrubjay.protocol.messages import Done, Piece, StopReason

LINES = ("x = 1", "    return x", "    foo(bar)", "# lib/b.py", "", ")", " ", "if x:", "x = ", "\t")
WRITTEN = st.one_of(st.lists(st.sampled_from(LINES), max_size=6).map("\n".join), st.text("ab \n)(#", max_size=30))
TEXTS = st.lists(st.lists(WRITTEN, max_size=4), min_size=1, max_size=4)
"""Texts, each in pieces."""


def rules(text: str, offset: int, is_automatic: bool, can_replace: bool) -> CompletionRules:
    cursor = CursorContext.at(text, offset, "python")
    return CompletionRules(cursor, choose_mode(cursor), is_automatic, can_replace)


def at_any_place(text: str) -> st.SearchStrategy[CompletionRules]:
    return st.builds(rules, st.just(text), st.integers(0, len(text)), st.booleans(), st.booleans())


FINISHES: st.SearchStrategy[Finish] = st.one_of(
    st.just(AsWritten()),
    st.builds(ClientLimits, st.integers(0, 4), st.sampled_from(("", ")", "])"))),
    st.lists(st.sampled_from(LINES), max_size=6).map("\n".join).flatmap(at_any_place),
)


def generate(alternatives: Alternatives, texts: list[list[str]]) -> str:
    """Have the texts generated, one after the other for as long as more are wanted; what was told."""
    told = ""
    for pieces in texts:
        if not alternatives.has_more:
            break
        for piece in pieces:
            told += alternatives.add(Piece(1, piece, 1))
        told += alternatives.end(Done(1, "end", "", len(pieces)))
    return told


@pytest.mark.slow
@settings(max_examples=400)
@given(FINISHES, TEXTS, st.integers(1, 3), st.sampled_from(("", "    ", "\t")))
def test_what_was_told_is_what_is_answered(finish: Finish, texts: list[list[str]], n: int, indent: str) -> None:
    alternatives = Alternatives(finish, indent, n)
    told = generate(alternatives, texts)
    assert told == (alternatives.items[0].text if alternatives.items else "")
    shown = [item.text for item in alternatives.items]
    assert len(shown) <= n
    assert not any(finish.is_same(a, b) for i, a in enumerate(shown) for b in shown[:i])


@given(FINISHES, st.lists(WRITTEN, min_size=1, max_size=6), st.integers(0, 6))
def test_a_text_that_is_written_once_more_is_told_once(finish: Finish, pieces: list[str], n_before: int) -> None:
    alternatives = Alternatives(finish)
    told = "".join(alternatives.add(Piece(1, piece, 1)) for piece in pieces[:n_before])
    alternatives.restart()
    told += generate(alternatives, [pieces])
    assert told == (alternatives.items[0].text if alternatives.items else "")


@given(FINISHES, WRITTEN)
def test_a_text_ends_at_the_same_place_however_it_is_cut(finish: Finish, written: str) -> None:
    whole, cut = GeneratedText(finish), GeneratedText(finish)
    whole.add(Piece(1, written, 1))
    for character in written:
        cut.add(Piece(1, character, 1))
    assert (whole.is_cut, whole.text) == (cut.is_cut, cut.text)
    assert finish.postprocess(whole.text) == finish.postprocess(cut.text)


@pytest.mark.slow
@settings(max_examples=400)
@given(FINISHES, st.lists(WRITTEN, max_size=8), st.sampled_from(("", "    ", "\t")))
def test_a_text_ends_where_the_first_of_its_beginnings_says(finish: Finish, pieces: list[str], indent: str) -> None:
    text, written = GeneratedText(finish, indent), ""
    for piece in pieces:
        text.add(Piece(1, piece, 1))
        written += piece
        so_far = without_indent(written, indent) if indent else written
        ends = (finish.stop_offset(so_far[:n]) for n in range(1, len(so_far) + 1))
        end = next((end for end in ends if end is not None), None)
        assert (text.is_cut, text.text) == (end is not None, so_far[:end])
        if text.is_cut:
            break


def test_a_text_ends_within_a_line_where_it_begins_to_repeat_the_suffix() -> None:
    suffix = "return compute(first, second)"
    text = GeneratedText(rules(f"x = \n{suffix}", 4, False, False))
    for character in f"1 + {suffix}":
        text.add(Piece(1, character, 1))
    assert (text.is_cut, text.text) == (True, "1 + ")


def test_a_piece_of_several_lines_ends_where_single_characters_would() -> None:
    """The rule that ends it first is not the one that would cut most of it."""
    finish = rules("    return x\n    foo(bar)\n    return x\nx = 1", 24, False, True)
    whole, cut = GeneratedText(finish), GeneratedText(finish)
    whole.add(Piece(1, written := "    foo(bar)\n    return x\nx = 1", 1))
    for character in written:
        cut.add(Piece(1, character, 1))
    assert (whole.is_cut, whole.text) == (cut.is_cut, cut.text) and whole.is_cut


def test_another_text_is_generated_only_in_the_place_of_one_that_is_not_shown() -> None:
    alternatives = Alternatives(rules("x = 1\ny = ", 10, False, False), n=2)
    generate(alternatives, [["2\n"], ["2\n"], ["3\n"], ["4\n"]])
    assert [item.text for item in alternatives.items] == ["2", "3"]
    assert alternatives.n_done == 3


def test_nothing_is_told_of_a_text_that_is_not_shown() -> None:
    alternatives = Alternatives(rules("    foo(bar)\n\n    foo(bar)\n", 13, False, False))
    assert generate(alternatives, [["    foo(", "bar)", "\n"]]) == ""
    assert alternatives.items == []
    assert alternatives.discarded


def test_a_loop_ends_a_text_within_its_line_and_its_rule_is_named() -> None:
    alternatives = Alternatives(rules("x = f(", 6, True, False))
    n = 0
    while not alternatives.is_cut:
        alternatives.add(Piece(1, "0, today=", 3))
        n += 1
    alternatives.end(alternatives.end_cut(1, 0.0))
    assert n < 12
    assert (alternatives.items, alternatives.discarded) == ([], ["strip_repeating_end"])


@pytest.mark.parametrize("engine_says", ["length", "end", "time"])
def test_a_text_that_a_rule_has_ended_is_the_same_if_the_engine_ends_it_before_it_hears_of_that(
    engine_says: StopReason,
) -> None:
    made = []
    for is_late in (False, True):
        alternatives = Alternatives(ClientLimits(1, ""))
        told = ""
        for text in ("    return x", "\n", "def g(", "y"):
            told += alternatives.add(Piece(1, text, 3))
            if alternatives.is_cut and not is_late:
                break
        assert alternatives.is_cut
        told += alternatives.end(Done(1, engine_says, "", 12) if is_late else alternatives.end_cut(1, 0.0))
        made.append((told, alternatives.items))
    assert made[0] == made[1]
    assert made[0][1][0].stop_reason == "stop"


def test_a_text_that_a_rule_has_ended_at_once_names_that_rule() -> None:
    alternatives = Alternatives(rules("x = 1\nif x == ", 14, True, False))
    alternatives.add(Piece(1, "\n# a/b.py\n", 3))
    alternatives.end(alternatives.end_cut(1, 0.0))
    assert alternatives.discarded == ["leaves_file"]


def sure(least: float) -> Alternatives:
    finish = CompletionRules(
        CursorContext("x = f(", "", "python"), "multi", is_automatic=True, can_replace=False, least=least
    )
    return Alternatives(finish)


def test_what_the_model_is_not_sure_of_ends_at_once_and_is_not_shown() -> None:
    alternatives = sure(0.2)
    alternatives.add(Piece(1, "first", 1, logprob=-1.0))
    assert not alternatives.is_cut
    alternatives.add(Piece(1, ", second", 1, logprob=-1.0))
    assert alternatives.is_cut
    assert alternatives.end(alternatives.end_cut(1, 0.0)) == ""
    assert (alternatives.items, alternatives.discarded) == ([], ["is_unsure"])


def test_nothing_is_told_before_the_model_is_known_to_be_sure() -> None:
    text = "first, second)\n    return third(second)\n"
    assert sure(0.2).add(Piece(1, text, 3, logprob=-0.1)) == ""
    assert sure(0.2).add(Piece(1, text, 4, logprob=-0.1)) != ""
    assert sure(0.0).add(Piece(1, text, 3)) != ""


def test_everything_is_shown_when_asked_for() -> None:
    cursor = CursorContext("x = f(", "", "python")
    asked = CompletionRules(cursor, "multi", is_automatic=False, can_replace=False, least=0.9)
    off = CompletionRules(cursor, "multi", True, False, frozenset({"is_unsure"}), least=0.9)
    assert asked.min_confidence == off.min_confidence == 0.0
