"""Prompts from segments: every token belongs to one segment, and segments never share one."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scrubjay.prompt.segments import Segment, Span, assemble, count_tokens
from scrubjay.tokens import Tokens, as_tokens, common_length

PARTS = st.one_of(st.integers(0, 99), st.text("ab", max_size=5), st.lists(st.integers(0, 9), max_size=4).map(as_tokens))


def by_letter(text: str) -> Tokens:
    return as_tokens([ord(letter) for letter in text])


def test_a_prompt_knows_where_its_segments_are() -> None:
    prompt = assemble(
        [
            Segment("repo", "jay", (1, "ab"), reason="start"),
            Segment("file", "empty", ()),
            Segment("prefix", "a.py", (2, as_tokens([7, 8, 9])), hot=(1, 3), reason="before"),
            Segment("middle", "a.py", (3,), reason="to write"),
        ],
        by_letter,
    )
    assert prompt.tokens.tolist() == [1, 97, 98, 2, 7, 8, 9, 3]
    assert prompt.segments == (Span("repo", "jay", 0, 3), Span("prefix", "a.py", 3, 7), Span("middle", "a.py", 7, 8))
    assert (prompt.boundaries, prompt.hot) == ((3, 7), (4, 6))
    assert prompt.reasons == ("start", "before", "to write")
    assert not prompt.tokens.flags.writeable


@given(st.lists(st.lists(PARTS, max_size=4), max_size=8))
def test_segments_tile_the_prompt(parts: list[list[int | str | Tokens]]) -> None:
    segments = [Segment("file", str(i), tuple(part)) for i, part in enumerate(parts)]
    prompt = assemble(segments, by_letter)
    edges = [0, *(span.end for span in prompt.segments)]
    assert [span.start for span in prompt.segments] == edges[:-1]
    assert edges[-1] == len(prompt.tokens)
    assert prompt.boundaries == tuple(edges[1:-1])
    for span in prompt.segments:
        segment = segments[int(span.label)]
        own = assemble([segment], by_letter).tokens
        assert prompt.tokens[span.start : span.end].tolist() == own.tolist()
        assert count_tokens(segment, by_letter) == len(own)


ARRAYS = tuple(as_tokens(part) for part in ([], [1], [1], [1, 2], [2], [1, 2, 3] * 5))


@given(st.lists(st.sampled_from(ARRAYS), max_size=6), st.lists(st.sampled_from(ARRAYS), max_size=6))
def test_what_prompts_share_does_not_depend_on_how_they_are_put_together(a: list[Tokens], b: list[Tokens]) -> None:
    first, second = (assemble([Segment("file", "", (*arrays, 7))], by_letter) for arrays in (a, b))
    whole = replace(second, parts=())
    assert first.n_common(second) == first.n_common(whole) == common_length(first.tokens, second.tokens)
