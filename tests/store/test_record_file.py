"""The format: what was written is read back, and nothing else is taken for a record."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.store.record_file import Draft, Origin, RecordRefused, head_of, parse_head, size_of_head
from scrubjay.tokens import as_tokens, prefix_digest

ORIGIN: Origin = {
    "model": "/models/a.gguf",
    "file": "12 ab",
    "library": "0.3.36",
    "flash_attention": False,
    "layers": 24,
}


@st.composite
def drafts(draw: st.DrawFn) -> Draft:
    tokens = as_tokens(draw(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=60)))
    begin = draw(st.integers(0, len(tokens) - 1))
    ends = draw(st.sets(st.integers(begin + 1, len(tokens)), max_size=3))
    memory = draw(st.none() | st.binary(min_size=1, max_size=40))
    states = [(end, draw(st.binary(min_size=1, max_size=30))) for end in sorted(ends)]
    return Draft(draw(st.text(max_size=20)), tokens, begin, memory, states)


def file_of(draft: Draft) -> bytes:
    return head_of(draft, ORIGIN) + b"".join(bytes(part) for part in draft.parts)


@given(drafts())
def test_a_record_says_what_was_drafted(draft: Draft) -> None:
    data = file_of(draft)
    n_head = size_of_head(data)
    record = parse_head(data[:n_head], len(data))
    assert (record.key, record.begin, record.end) == (draft.key, draft.begin, len(draft.tokens))
    assert record.origin == ORIGIN
    assert np.array_equal(record.tokens, draft.tokens[draft.begin :])
    assert record.before == prefix_digest(draft.tokens, draft.begin)
    sections = [*([record.memory] if record.memory else []), *record.states.values()]
    assert list(record.states) == [n for n, _ in draft.states]
    for section, part in zip(sections, draft.parts, strict=True):
        found = data[section.offset : section.offset + section.size]
        assert found == part
        assert section.is_right(found)


@given(drafts(), st.data())
def test_a_bit_that_flips_anywhere_is_seen(draft: Draft, data: st.DataObject) -> None:
    whole = bytearray(file_of(draft))
    n_head = size_of_head(bytes(whole))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    if at < n_head:
        with pytest.raises(RecordRefused):
            parse_head(bytes(whole[:n_head]), len(whole))
        return
    record = parse_head(bytes(whole[:n_head]), len(whole))
    sections = [*([record.memory] if record.memory else []), *record.states.values()]
    wrong = [s for s in sections if not s.is_right(bytes(whole[s.offset : s.offset + s.size]))]
    assert [s.offset <= at < s.offset + s.size for s in wrong] == [True]


@given(drafts(), st.data())
def test_a_file_of_another_length_is_refused(draft: Draft, data: st.DataObject) -> None:
    whole = file_of(draft)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(RecordRefused):
        parse_head(whole[: min(cut, size_of_head(whole))], cut)
    with pytest.raises(RecordRefused):
        parse_head(whole, len(whole) + 1)


@given(st.binary(max_size=200))
def test_foreign_files_are_refused(data: bytes) -> None:
    with pytest.raises(RecordRefused):
        parse_head(data, len(data))


@given(drafts(), drafts())
def test_names_are_of_ranges_and_states(one: Draft, other: Draft) -> None:
    same = (
        np.array_equal(one.tokens, other.tokens)
        and one.begin == other.begin
        and [n for n, _ in one.states] == [n for n, _ in other.states]
    )
    assert (one.name(ORIGIN) == other.name(ORIGIN)) == same
    assert one.name(ORIGIN) != one.name({**ORIGIN, "layers": 25})
