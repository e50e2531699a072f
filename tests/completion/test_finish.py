"""How texts end without completion rules, and the law that lets any text be streamed while it is written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.code_text import without_closers
from scrubjay.completion.cursor import CursorContext
from scrubjay.completion.finish import AsWritten, ClientLimits, Finish
from scrubjay.completion.postprocess import RULES
from scrubjay.completion.rules import CompletionRules
from scrubjay.completion.stop_rules import choose_mode

WRITTEN = st.text("ab \t\n)];(", max_size=40)
LIMITS = st.builds(ClientLimits, st.integers(0, 3), st.sampled_from(["", ")", "])", ");", '"', "))"]))


def run(finish: Finish, text: str, step: int = 1) -> tuple[list[str], str]:
    """What was tellable after each piece of `text`, of `step` characters or up to a line end, and what was shown then.

    Checked for every end that the text might have had: what was told by then is a beginning of what is shown.
    """
    told: list[str] = []
    for n in [n for n in range(len(text) + 1) if n % step == 0 or n == len(text) or text[n - 1] == "\n"]:
        end = finish.stop_offset(text[:n])
        if end is None:
            told.append(finish.tellable(text[:n]))
        ended = [(text[:n], False), (text[:n], True)] if end is None else [(text[:end], False)]
        shown, *_ = possible = [finish.postprocess(*each).text for each in ended]
        assert all(text.startswith(part) for part in set(told) for text in possible), (text[:n], end)
        if end is not None:
            break
    return told, shown


@settings(max_examples=200)
@given(st.one_of(st.just(AsWritten()), LIMITS), WRITTEN)
def test_what_is_told_is_a_beginning_of_what_is_shown(finish: Finish, text: str) -> None:
    told, shown = run(finish, text)
    assert all(shown.startswith(part) for part in told)


LINES = st.sampled_from(
    [
        *(
            "    a = 1",
            "    return x",
            "    print(1)",
            "",
            "  ",
            "def g(first, second):",
            "        deep()",
            "}",
            "    }",
        ),
        *(
            "    y = 10",
            "\tx = [1, 2]",
            "# lib/b.py",
            "abc" * 9,
            "x = '(' )",
            "\r",
            "    some_other_thing = long_enough",
        ),
        *(f"    value = compute(first, second, third, number={number})" for number in range(3)),
    ]
)
ATOMS = st.sampled_from(["x", " = ", "f(", ")", "\n", "\n", "    ", "\t", "return", "}", "{", "'", "#", "\r\n", "1, "])
TEXTS = st.one_of(st.lists(LINES, max_size=12).map("\n".join), st.lists(ATOMS, max_size=25).map("".join))
BEFORE = st.one_of(TEXTS, st.sampled_from(["", "def f():\n    ", "def f():\n\t", "a\r\n", "    a = 1\nx = "]))


@st.composite
def rules(draw: st.DrawFn) -> tuple[CompletionRules, str]:
    """Rules at a place, and a text that may be made of the lines around it."""
    before, after = draw(BEFORE), draw(st.one_of(TEXTS, TEXTS.map("\n{}".format)))
    near = st.sampled_from([*(before + "\n" + after).split("\n")])
    text = draw(st.one_of(TEXTS, st.lists(st.one_of(LINES, near), max_size=14).map("\n".join)))
    off = draw(st.sets(st.sampled_from(sorted(RULES)), max_size=3)) if draw(st.booleans()) else set[str]()
    cursor = CursorContext.at(before + after, len(before), "python")
    how = draw(st.booleans()), draw(st.booleans())
    return CompletionRules(cursor, choose_mode(cursor), *how, frozenset(off)), text


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(rules())
def test_what_is_told_by_the_rules_is_a_beginning_of_what_is_shown(case: tuple[CompletionRules, str]) -> None:
    run(*case, step=19)


def test_a_text_is_told_by_lines_once_it_cannot_be_discarded() -> None:
    cursor = CursorContext("def f(x):\n    ", "\n\nprint(f(1))\n", "python")
    finish = CompletionRules(cursor, "multi", is_automatic=True, can_replace=False)
    text = "total = compute(first, second)\n    if total > 3:\n        raise ValueError(total)\n    return total"
    told, shown = run(finish, text)
    assert shown == text
    assert list(dict.fromkeys(told)) == ["", *("\n".join(text.split("\n")[:n]) for n in (1, 2, 3))]


def test_of_what_may_be_there_already_nothing_is_told() -> None:
    cursor = CursorContext("", "\n    result = self.compute(first, second)\n    return result\n")
    finish = CompletionRules(cursor, "multi", is_automatic=False, can_replace=False)
    assert set(run(finish, "    result = self.compute(first, secand)\n    return")[0]) == {""}


@settings(max_examples=50)
@given(rules())
def test_what_was_seen_need_not_be_looked_at_again(case: tuple[CompletionRules, str]) -> None:
    finish, text = case
    for n in range(1, min(len(text), 200) + 1):
        end = finish.stop_offset(text[:n])
        is_seen = any(text.endswith(trigger, 0, n) for trigger in finish.triggers) or n % finish.stride == 0
        assert end is None or is_seen
        if end is not None:
            break
        assert finish.tellable(text[:n], n - 1) in ("", finish.tellable(text[:n]))


@given(LIMITS, WRITTEN)
def test_where_a_text_ends_does_not_depend_on_how_it_came_in_pieces(finish: ClientLimits, text: str) -> None:
    ends = [finish.stop_offset(text[:n]) for n in range(len(text) + 1)]
    first = next((end for end in ends if end is not None), None)
    assert finish.stop_offset(text) == first


def test_as_written_all_is_told_and_shown_at_once() -> None:
    assert run(AsWritten(), "ab\n") == (["", "a", "ab", "ab\n"], "ab\n")


@pytest.mark.parametrize(
    ("limits", "text", "shown"),
    [
        (ClientLimits(closers=")"), "a, b)", "a, b"),
        (ClientLimits(closers=")"), "a, b)\nc", "a, b"),
        (ClientLimits(closers=")"), "f(b)", "f(b)"),
        (ClientLimits(n_indent=4), "x\n    y\nz", "x\n    y"),
        (ClientLimits(n_indent=4), "x\n\nz", "x\n"),
    ],
)
def test_a_text_ends_as_its_client_asks(limits: ClientLimits, text: str, shown: str) -> None:
    assert run(limits, text)[1] == shown


def test_all_but_what_may_still_go_is_told() -> None:
    assert run(ClientLimits(closers=")"), "a(b))")[0] == ["", "a", "a(", "a(b", "a(b", "a(b"]
    assert run(ClientLimits(n_indent=2), "x\n  y")[0] == ["", "x", "x", "x", "x", "x\n  y"]


@given(WRITTEN, st.sampled_from([")", "]", ");"]))
def test_a_text_of_one_line_is_shown_without_the_closers_after_the_cursor(text: str, closers: str) -> None:
    if "\n" not in text:
        assert ClientLimits(closers=closers).postprocess(text).text == without_closers(text, closers)
