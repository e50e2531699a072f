"""Bodies of every size and sort: read, or refused in a sentence, and never at the cost of those who wait beside them."""

import asyncio
import json
import threading
from collections.abc import Callable
from json.decoder import scanstring  # type: ignore[attr-defined]

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.errors import RequestError
from scrubjay.http.params import (
    AT_ONCE,
    MAX_BODY,
    MAX_VALUES,
    N_SLICE,
    Params,
    optional,
    parse_object,
    read_any_size,
    string_in_slices,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def whole(params: Params) -> Params:
    return params


@given(st.dictionaries(st.text(), values, max_size=4), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
async def test_a_body_is_the_same_in_whatever_way_it_is_read(body: dict[str, object], encoding: str) -> None:
    text = json.dumps(body)
    padded = text + " " * AT_ONCE
    assert parse_object(text.encode(encoding)).values == body
    assert (await read_any_size(padded.encode(encoding), whole)).values == body
    assert (await read_any_size(padded, whole)).values == body


@given(st.integers(0, 3), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
async def test_characters_at_the_borders_of_slices_are_whole(n: int, encoding: str) -> None:
    body = {"text": "x" * n + "\N{GRINNING FACE}" * (N_SLICE // 3)}
    text = json.dumps(body, ensure_ascii=False)
    assert (await read_any_size(text.encode(encoding), whole)).values == body


@pytest.mark.parametrize("body", [b"\xff\xfe", b"{", b"[]", b'"x"', b"1", "größe".encode("latin-1"), b"[" * 100_000])
async def test_what_is_no_object_is_refused_in_whatever_way_it_is_read(body: bytes) -> None:
    for padding in (b"", b" " * (AT_ONCE & ~3)):
        with pytest.raises(RequestError) as caught:
            await read_any_size(body + padding, whole)
        assert caught.value.status == 400


async def test_more_than_may_be_sent_is_not_even_read() -> None:
    with pytest.raises(RequestError, match="larger than 16 MiB") as caught:
        await read_any_size(b"[" * (MAX_BODY + 1), whole)
    assert caught.value.status == 413


ITEMS = {
    "integers": b"12345,",
    "floats": b"1.5,",
    "objects": b'{"a":1},',
    "texts": b'"abcdef",',
    "nothings": b"null,",
    "arrays": b"[0],  ",
}


@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
async def test_others_have_their_turn_while_a_large_body_is_read(item: bytes) -> None:
    """One call of the parser would be one step of the event loop, however long."""
    n_items = MAX_VALUES // (8 if item[:1] in b"{[" else 4)
    body = b'{"items":[' + item * n_items + b"0]}"
    reading = asyncio.create_task(read_any_size(body, whole))
    n_turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        n_turns += 1
    assert reading.result().has("items")
    assert n_turns > 20


async def test_what_is_made_of_a_large_body_is_made_beside_the_event_loop_too() -> None:
    body = json.dumps({"uri": "x" * AT_ONCE}).encode()
    assert await read_any_size(body, lambda _: threading.current_thread()) is not threading.current_thread()


@pytest.mark.parametrize("item", [b"[],", b"{},", b"null,"], ids=["arrays", "objects", "nothings"])
async def test_more_values_than_can_be_freed_unnoticed_are_refused(item: bytes) -> None:
    with pytest.raises(RequestError, match="more than 524288 values") as caught:
        await read_any_size(b'{"items":[' + item * MAX_VALUES + b"0]}", whole)
    assert caught.value.status == 413


ATOMS = (
    *"aé😀u \n\x01",
    "d83d",
    '"',
    "\\n",
    '\\"',
    "\\\\",
    "\\u0041",
    "\\ud83d",
    "\\uDE00",
    "\\ud83d\\ude00",
    "\\u",
    "\\x",
)


@given(st.lists(st.sampled_from(ATOMS)).map("".join), st.integers(1, 20), st.booleans())
def test_a_string_in_slices_is_the_whole_string(text: str, n_slice: int, strict: bool) -> None:
    def read(scan: Callable[..., tuple[str, int]], *more: int) -> tuple[str, int] | None:
        try:
            return scan(text, 0, strict, *more)
        except ValueError:
            return None

    assert read(string_in_slices, n_slice) == read(scanstring)


def test_a_field_that_is_absent_or_null_is_none() -> None:
    params, read = Params({"a": None, "b": "text"}), optional(Params.text)
    assert [read(params, name) for name in ("a", "b", "c")] == [None, "text", None]
