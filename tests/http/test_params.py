"""Bodies of every size and sort: read, or refused in a sentence, and never at the cost of those who wait beside them."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.errors import RequestError
from scrubjay.http.params import AT_ONCE, MAX_BODY, Params, optional, parse_any_size, parse_object

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), values, max_size=4), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
async def test_a_body_is_the_same_in_whatever_way_it_is_read(body: dict[str, object], encoding: str) -> None:
    text = json.dumps(body)
    padded = text + " " * AT_ONCE
    assert parse_object(text.encode(encoding)).values == body
    assert (await parse_any_size(padded.encode(encoding))).values == body
    assert (await parse_any_size(padded)).values == body


@pytest.mark.parametrize("body", [b"\xff\xfe", b"{", b"[]", b'"x"', b"1", "größe".encode("latin-1"), b"[" * 100_000])
async def test_what_is_no_object_is_refused_in_whatever_way_it_is_read(body: bytes) -> None:
    for padding in (b"", b" " * (AT_ONCE & ~3)):
        with pytest.raises(RequestError) as caught:
            await parse_any_size(body + padding)
        assert caught.value.status == 400


async def test_more_than_may_be_sent_is_not_even_read() -> None:
    with pytest.raises(RequestError, match="larger than 8 MiB") as caught:
        await parse_any_size(b"[" * (MAX_BODY + 1))
    assert caught.value.status == 413


@pytest.mark.parametrize("item", [b"12345,", b"1.5,", b'{"a":1},'], ids=["integers", "floats", "objects"])
async def test_others_have_their_turn_while_a_large_body_is_read(item: bytes) -> None:
    """One call of the parser would be one step of the event loop, however long."""
    body = b'{"items":[' + item * ((MAX_BODY >> 2) // len(item)) + b"0]}"
    reading = asyncio.create_task(parse_any_size(body))
    n_turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        n_turns += 1
    assert reading.result().has("items")
    assert n_turns > 20


def test_a_field_that_is_absent_or_null_is_none() -> None:
    params, read = Params({"a": None, "b": "text"}), optional(Params.text)
    assert [read(params, name) for name in ("a", "b", "c")] == [None, "text", None]
