"""How suggestions look to editors: as ghost text and as entries of a completion menu."""

import re
from collections.abc import Iterable, Sequence

from lsprotocol import types

from scrubjay.positions import Position, n_units, split_lines
from scrubjay_lsp.suggestions import Suggestion

ACCEPT = "scrubjay.accept"

_WORD_BEFORE = re.compile(r"\w*$")


def inline_items(suggestions: Iterable[Suggestion]) -> list[types.InlineCompletionItem]:
    """Ghost text. Copilot clients need the range; the command is how an editor tells that it was accepted."""
    return [
        types.InlineCompletionItem(
            insert_text=suggestion.text,
            range=_at(suggestion.position, suggestion.n_replaced),
            command=_accept(suggestion, suggestion.text),
        )
        for suggestion in suggestions
    ]


def menu_items(
    suggestions: Sequence[Suggestion], before: str, language: str = "", *, markdown: bool = False
) -> list[types.CompletionItem]:
    """Entries of a menu, at most three.

    A single suggestion of several lines also gets an entry of its first line, which is often what was wanted. Its label ends in
    a sign: were one label the beginning of the other, Emacs without a menu would take one of them unasked.

    Args:
        before: what stands on the line before the cursor.
        language: of the document, for the code block in the documentation.
        markdown: whether the editor reads that; else the documentation is plain.
    """
    texts = [(suggestion, suggestion.text) for suggestion in suggestions]
    if (
        len(suggestions) == 1
        and len(first := _first_line(suggestions[0].text)) < len(suggestions[0].text)
        and first.strip()
    ):
        texts.append((suggestions[0], first))
    return [
        _menu_item(suggestion, text, before, _documentation(text, language, markdown), rank, text != suggestion.text)
        for rank, (suggestion, text) in enumerate(texts[:3])
    ]


def _menu_item(
    suggestion: Suggestion,
    text: str,
    before: str,
    documentation: str | types.MarkupContent,
    rank: int,
    is_beginning: bool,
) -> types.CompletionItem:
    match = _WORD_BEFORE.search(before)
    word = match.group() if match else ""
    return types.CompletionItem(
        label=_label(word, text) + ("⏎" if is_beginning else ""),
        kind=types.CompletionItemKind.Text,
        detail=suggestion.detail,
        documentation=documentation,
        # Editors compare with the word before the cursor, which the inserted text does not repeat.
        filter_text=word + _first_line(text),
        sort_text=str(rank),
        insert_text_format=types.InsertTextFormat.PlainText,
        insert_text_mode=types.InsertTextMode.AsIs,
        text_edit=types.TextEdit(range=_at(suggestion.position), new_text=text),
        command=_accept(suggestion, text),
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


def _at(position: Position, length: int = 0) -> types.Range:
    """The `length` units of the position encoding from `place` on."""
    end = types.Position(position.line, position.character + length)
    return types.Range(types.Position(position.line, position.character), end)


def _accept(suggestion: Suggestion, text: str) -> types.Command:
    """How an editor tells that it was accepted, or that `text` of it was: then with the length in UTF-16 units."""
    length = [] if text == suggestion.text else [n_units(text, "utf-16")]
    return types.Command(title="Accept completion", command=ACCEPT, arguments=[suggestion.number, *length])
