"""Which tokens may begin a text that has to begin with what was typed."""

from hypothesis import given
from hypothesis import strategies as st

from scrubjay.llama.typed_text import SortedPieces, TypedText

BYTES = st.binary(max_size=4).map(lambda data: bytes(b"ab\xff\xc3"[byte % 4] for byte in data))


def agrees(piece: bytes, text: bytes) -> bool:
    return piece != b"" and (piece.startswith(text) or text.startswith(piece))


@given(st.lists(BYTES, max_size=40), st.binary(max_size=6).map(lambda data: bytes(b"ab\xff\xc3"[b % 4] for b in data)))
def test_tokens_agree_that_begin_the_text_or_go_on_from_it(pieces: list[bytes], text: bytes) -> None:
    found = SortedPieces(pieces).agreeing(text or b"a")
    assert sorted(found.tolist()) == [token for token, piece in enumerate(pieces) if agrees(piece, text or b"a")]


@given(st.lists(BYTES.filter(bool), min_size=1, max_size=8), st.data())
def test_whatever_is_chosen_the_typed_text_comes_first_and_is_taken_away(
    pieces: list[bytes], data: st.DataObject
) -> None:
    everything = [*pieces, b"a", b"b", b"\xff", b"\xc3"]
    typed_bytes = data.draw(BYTES.filter(bool))
    typed = TypedText(SortedPieces(everything), typed_bytes)
    written, added = b"", b""
    while typed.left:
        piece = everything[data.draw(st.sampled_from(typed.allowed().tolist()))]
        written += piece
        added += typed.accept(piece)
    assert written == typed_bytes + added


def test_a_token_that_ends_the_text_may_not_come_before_it_is_written() -> None:
    typed = TypedText(SortedPieces([b"a", b"ab", b"b"]), b"ab", forbidden=[1])
    assert typed.allowed().tolist() == [0]
