"""How texts end without completion rules, and the law that lets any text be streamed while it is written."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.code_text import without_closers
from scrubjay.completion.finish import AsWritten, ClientLimits, Finish

WRITTEN = st.text("ab \t\n)];(", max_size=40)
LIMITS = st.builds(ClientLimits, st.integers(0, 3), st.sampled_from(["", ")", "])", ");", '"', "))"]))


def run(finish: Finish, text: str) -> tuple[list[str], str]:
    """What was tellable after each character of `text`, and what was shown in the end."""
    told: list[str] = []
    for n in range(len(text) + 1):
        end = finish.stop_offset(text[:n])
        if end is not None:
            return told, finish.postprocess(text[:end]).text
        told.append(finish.tellable(text[:n]))
    return told, finish.postprocess(text).text


@settings(max_examples=500)
@given(st.one_of(st.just(AsWritten()), LIMITS), WRITTEN)
def test_what_is_told_is_a_beginning_of_what_is_shown(finish: Finish, text: str) -> None:
    told, shown = run(finish, text)
    assert all(shown.startswith(part) for part in told)


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
