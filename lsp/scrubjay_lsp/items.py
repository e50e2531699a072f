"""How offers look to editors: as ghost text and as entries of a completion menu."""

import re
from collections.abc import Iterable, Sequence

from lsprotocol import types

from scrubjay_lsp.offers import Offer
from scrubjay_lsp.text import Place, split_lines

ACCEPT = "scrubjay.accept"

_WORD_BEFORE = re.compile(r"\w*$")


def inline_items(offers: Iterable[Offer]) -> list[types.InlineCompletionItem]:
    """Ghost text. Copilot clients need the range; the command is how an editor tells that it was accepted."""
    return [
        types.InlineCompletionItem(
            insert_text=offer.text, range=_at(offer.place, offer.n_replaced), command=_accept(offer)
        )
        for offer in offers
    ]


def menu_items(
    offers: Sequence[Offer], before: str, language: str = "", *, markdown: bool = False
) -> list[types.CompletionItem]:
    """Entries of a menu, at most three.

    A single offer of several lines also gets an entry of its first line, which is often what was wanted.

    Args:
        before: what stands on the line before the cursor.
        language: of the document, for the code block in the documentation.
        markdown: whether the editor reads that; else the documentation is plain.
    """
    texts = [(offer, offer.text) for offer in offers]
    if len(offers) == 1 and len(first := _first_line(offers[0].text)) < len(offers[0].text) and first.strip():
        texts.append((offers[0], first))
    return [
        _menu_item(offer, text, before, _documentation(text, language, markdown), rank)
        for rank, (offer, text) in enumerate(texts[:3])
    ]


def _menu_item(
    offer: Offer, text: str, before: str, documentation: str | types.MarkupContent, rank: int
) -> types.CompletionItem:
    match = _WORD_BEFORE.search(before)
    word = match.group() if match else ""
    return types.CompletionItem(
        label=_label(word, text),
        kind=types.CompletionItemKind.Text,
        detail=offer.detail,
        documentation=documentation,
        # Editors compare with the word before the cursor, which the inserted text does not repeat.
        filter_text=word + _first_line(text),
        sort_text=str(rank),
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(range=_at(offer.place), new_text=text),
        command=_accept(offer),
    )


def _label(word: str, text: str) -> str:
    """What `word` becomes, the first line of it with something on it, and a sign if there is more.

    It begins with the word: Emacs' eglot inserts the label over the word, and takes off what goes beyond it.
    """
    lines = [line.strip() for line in split_lines(text) if line.strip()]
    if not lines:
        return word + "⏎"
    first = _first_line(text).rstrip()
    shown = f"{word}{first}" if first else f"{word}⏎ {lines[0]}"
    return (shown if word else lines[0]) + (" …" if len(lines) > 1 else "")


def _documentation(text: str, language: str, markdown: bool) -> str | types.MarkupContent:
    return types.MarkupContent(types.MarkupKind.Markdown, _fenced(text, language)) if markdown else text


def _fenced(text: str, language: str) -> str:
    """`text` as a code block, whatever backticks are in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}"


def _first_line(text: str) -> str:
    return split_lines(text)[0].rstrip("\r\n")


def _at(place: Place, length: int = 0) -> types.Range:
    """The `length` units of the position encoding from `place` on."""
    end = types.Position(place.line, place.character + length)
    return types.Range(types.Position(place.line, place.character), end)


def _accept(offer: Offer) -> types.Command:
    return types.Command(title="Accept completion", command=ACCEPT, arguments=[offer.number])
