"""Suggestions as editors get them."""

from lsprotocol import types

from scrubjay.positions import Position
from scrubjay_lsp.items import inline_items, menu_items
from scrubjay_lsp.suggestions import Suggestions

HERE = types.Range(types.Position(3, 7), types.Position(3, 7))


def menu(text: str, before: str = "    ret", *, markdown: bool = True) -> list[types.CompletionItem]:
    return menu_items(
        [Suggestions().make("file:///a.py", 1, Position(3, 7), text, "9 ms")], before, "python", markdown=markdown
    )


def test_ghost_text_has_a_range_and_tells_of_its_acceptance() -> None:
    [item] = inline_items([Suggestions().make("file:///a.py", 1, Position(3, 7), "urn x", "9 ms")])
    assert (item.insert_text, item.range) == ("urn x", HERE)
    assert item.command == types.Command("Accept completion", "scrubjay.accept", arguments=["1"])


def test_ghost_text_may_replace_what_follows_on_the_line() -> None:
    [item] = inline_items([Suggestions().make("file:///a.py", 1, Position(3, 7), "x)", "9 ms", 2)])
    assert item.range == types.Range(types.Position(3, 7), types.Position(3, 9))


def test_a_menu_entry_is_inserted_as_it_is_at_the_cursor() -> None:
    [item] = menu("urn x")
    assert item.text_edit == types.TextEdit(HERE, "urn x")
    assert item.insert_text_mode == types.InsertTextMode.AsIs
    assert item.insert_text_format == types.InsertTextFormat.PlainText


def test_editors_that_compare_with_the_word_before_the_cursor_keep_it() -> None:
    assert menu("urn x")[0].filter_text == "return x"
    assert menu("x", before="f(")[0].filter_text == "x"


def test_several_lines_also_come_as_the_first_one() -> None:
    whole, first = menu("urn x\n\ndef f():")
    assert (whole.label, first.label) == ("return x …", "return x⏎"), "eglot inserts the label over the word"
    assert isinstance(first.text_edit, types.TextEdit)
    assert first.text_edit.new_text == "urn x"
    assert (whole.sort_text, first.sort_text) == ("0", "1")


def test_a_text_that_begins_with_a_line_end_has_no_first_line_of_its_own() -> None:
    [item] = menu("\n    x = 1")
    assert item.label == "ret⏎ x = 1"
    assert item.filter_text == "ret"


def test_never_more_than_three_entries() -> None:
    suggestions = [Suggestions().make("file:///a.py", 1, Position(0, 0), text, "") for text in "abcd"]
    assert len(menu_items(suggestions, "")) == 3


def test_the_documentation_survives_fences() -> None:
    [item, _] = menu("```\nx")
    assert isinstance(item.documentation, types.MarkupContent)
    assert item.documentation.value == "````python\n```\nx\n````"


def test_the_documentation_is_plain_where_markdown_is_not_read() -> None:
    [item] = menu("`x`", markdown=False)
    assert item.documentation == "`x`"
