"""What is done to completions: every rule by examples, and that nothing is done to those that need nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.code_text import is_similar, open_brackets, overlap, unmatched_closers
from scrubjay.completion import postprocess as rules
from scrubjay.completion.cursor import CursorContext
from scrubjay.completion.postprocess import DisplayText, postprocess
from scrubjay.completion.stop_rules import Mode

EMPTY = CursorContext("", "")
BODY = CursorContext("def f(x):\n    ", "\n\nprint(f(1))\n", "python")


def show(cursor: CursorContext, text: str, can_replace: bool = False) -> DisplayText:
    return postprocess(cursor, "multi", text, can_replace=can_replace)


def test_thoughts_are_not_shown() -> None:
    assert rules.strip_thinking(EMPTY, "<think>\nHm.\n</think>\n\nreturn x") == "return x"
    assert rules.strip_thinking(EMPTY, "<think>\nHm") == ""
    assert rules.strip_thinking(EMPTY, "return '<think>'") == "return '<think>'"


def test_a_fence_is_not_shown() -> None:
    assert rules.strip_fence(EMPTY, "```python\nreturn x\ny\n```\nThis returns x.") == "return x\ny"
    assert rules.strip_fence(EMPTY, "\n```\nreturn x") == "return x"
    assert rules.strip_fence(EMPTY, "return x") == "return x"


def test_a_chat_model_may_repeat_what_it_goes_on_with() -> None:
    cursor = CursorContext("def compute(", ")\n")
    assert rules.strip_repeated_prefix(cursor, "compute(a, b") == "a, b"
    assert rules.strip_repeated_prefix(cursor, "(a, b") == "(a, b"
    assert postprocess(cursor, "multi", "```\ndef compute(a, b\n```", is_chat=True).text == "a, b"


def test_a_path_comment_is_not_part_of_the_file() -> None:
    assert rules.strip_path_line(CursorContext("a = 1\n", ""), "# lib/b.py\nb = 2\n") == "b = 2\n"
    assert rules.strip_path_line(CursorContext("a = 1\n", ""), "// Path: lib/b.c\nint b;") == "int b;"
    assert (
        rules.strip_path_line(CursorContext("a = 1\n", ""), "# see lib/b.py for more\nb")
        == "# see lib/b.py for more\nb"
    )


def test_a_space_is_not_doubled() -> None:
    assert rules.strip_second_space(CursorContext("x = ", ""), " 5") == "5"
    assert rules.strip_second_space(CursorContext("x =", ""), " 5") == " 5"
    assert rules.strip_second_space(CursorContext("    ", ""), " 5") == " 5"


def test_an_indentation_is_not_doubled() -> None:
    assert (
        rules.strip_second_indent(CursorContext("def f():\n    x = 1\n    ", ""), "    return x\n    y")
        == "return x\n    y"
    )
    assert rules.strip_second_indent(CursorContext("def f():\n  ", ""), "        return x") == "      return x"
    assert rules.strip_second_indent(CursorContext("def f():\n    if x:\n    ", ""), "    return x") == "    return x"
    assert rules.strip_second_indent(CursorContext("\tx = 1\n\t", ""), "\treturn x") == "return x"


def test_one_space_makes_no_indentation_odd() -> None:
    assert rules.even_indent(CursorContext("f():\n    ", ""), " return") == "return"
    assert rules.even_indent(CursorContext("f():\n    ", ""), "    return") == "    return"
    assert rules.even_indent(CursorContext("f():\n ", ""), " return") == " return"


@pytest.mark.parametrize(
    ("before", "after", "text", "cut", "replaced"),
    [
        ("foo(", ")", "a, b)", "a, b", DisplayText("a, b)", 1)),
        ("foo(", ")", "a, b", "a, b", DisplayText("a, b", 0)),
        ("foo(", "):", "a, b):\n    pass", "a, b", DisplayText("a, b):\n    pass", 2)),
        ("foo(", ");", "a, b)", "a, b", DisplayText("a, b", 0)),
        ("foo([", "])", "1,\n    2,\n])", "1,\n    2,\n", DisplayText("1,\n    2,\n])", 2)),
        ("foo(", ")", "bar(1)", "bar(1", DisplayText("bar(1)", 1)),
        ("foo(", ")", "bar(1),\n    baz(2)", "bar(1),\n    baz(2)", DisplayText("bar(1),\n    baz(2)", 0)),
        ("x = ", " + 1", "y + 1", "y", DisplayText("y", 0)),
        ("f(", ") + g(1)", "a, h(2))", "a, h(2)", DisplayText("a, h(2)", 0)),
        ("f(", ") + g(1)", "a) + g(1)", "a", DisplayText("a", 0)),
        ("f([", "]) + g(1)", "1, 2])", "1, 2", DisplayText("1, 2", 0)),
        ("f(", ") + g(1)", "a, b", "a, b", DisplayText("a, b", 0)),
        ("x = ", " + 1", "y\nz = 3", "y", DisplayText("y", 0)),
        ("x = ", "", "y\nz = 3", "y\nz = 3", DisplayText("y\nz = 3", 0)),
    ],
)
def test_a_completion_fits_before_the_rest_of_the_line(
    before: str, after: str, text: str, cut: str, replaced: DisplayText
) -> None:
    cursor = CursorContext(before, after + "\nprint(x)\n")
    assert rules.fit_line(cursor, text) == (cut, 0)
    assert rules.fit_line(cursor, text, can_replace=True) == (replaced.text, replaced.n_replaced)


def test_an_end_that_is_the_suffix_goes() -> None:
    cursor = CursorContext("def f():\n    ", "\n    return compute(x)\n")
    assert rules.strip_repeated_suffix(cursor, "x = 1\n    return compute(x)") == "x = 1"
    assert rules.strip_repeated_suffix(CursorContext("", "\n}\n"), "x\n}\n") == "x\n}\n"


def test_last_lines_that_are_the_next_ones_go() -> None:
    cursor = CursorContext("if (a) {\n  ", "\n}\nreturn;\n")
    assert rules.strip_repeated_lines(cursor, "b();\n}") == "b();"
    assert rules.strip_repeated_lines(cursor, "b();\n}\nreturn;") == "b();"
    assert rules.strip_repeated_lines(cursor, "b();\n  }") == "b();\n  }"
    assert rules.strip_repeated_lines(CursorContext("", "\n\n"), "b()\n") == "b()\n"


def test_endless_lines_and_lists_are_shortened() -> None:
    assert rules.strip_repeating_end(EMPTY, "ok\nx = " + "abc, " * 8) == "ok"
    assert rules.strip_repeating_end(EMPTY, "ok\nx = abc, abc") == "ok\nx = abc, abc"
    similar = [f"self.value{i} = value{i}" for i in range(6)]
    assert rules.strip_similar_lines(EMPTY, "\n".join(["a", *similar, "b"])) == "a\nself.value0 = value0"
    assert rules.strip_similar_lines(EMPTY, "\n".join(similar[:4])) == "\n".join(similar[:4])
    block = "if x:\n    y()\n"
    assert rules.strip_repeated_blocks(EMPTY, "a\n" + block * 3) == "a\nif x:\n    y()"
    assert rules.strip_repeated_blocks(EMPTY, "a\n" + block * 2) == "a\n" + block * 2


def test_a_bracket_that_nothing_opened_ends_it() -> None:
    assert rules.strip_unmatched_closer(CursorContext("x = ", ""), "f(1))") == "f(1)"
    assert rules.strip_unmatched_closer(CursorContext("x = (", ""), "f(1))") == "f(1))"
    assert rules.strip_unmatched_closer(CursorContext("class A {\n  x = ", ""), "1;\n}\n}") == "1;\n}\n"
    assert rules.strip_unmatched_closer(CursorContext("x = '(' + ", ""), "')'") == "')'"


def test_indentation_is_the_documents() -> None:
    spaces, tabs = CursorContext("def f():\n    a\n    b\n    ", ""), CursorContext("def f():\n\ta\n\tb\n\t", "")
    assert rules.match_indent_style(spaces, "if x:\n\t\ty\tz") == "if x:\n        y\tz"
    assert rules.match_indent_style(tabs, "if x:\n        y") == "if x:\n\t\ty"
    assert rules.match_indent_style(EMPTY, "if x:\n\ty") == "if x:\n\ty"


@pytest.mark.parametrize("text", ["", "  \n\n ", "\n"])
def test_blanks_are_not_shown(text: str) -> None:
    assert show(BODY, text) == DisplayText("", discarded="is_blank")


def test_very_little_is_shown_only_when_asked_for() -> None:
    assert postprocess(BODY, "multi", "x", is_automatic=True) == DisplayText("", discarded="is_too_little")
    assert postprocess(BODY, "multi", "x", is_automatic=False) == DisplayText("x")


def test_crlf_documents_get_crlf() -> None:
    cursor = CursorContext.at("def f():\r\n    \r\nend\r\n", 14, "python")
    assert (cursor.line_before, cursor.below[:1]) == ("    ", ["end"])
    assert show(cursor, "x = 1\n    y = 2\r\n") == DisplayText("x = 1\r\n    y = 2")


def test_a_good_completion_is_left_alone() -> None:
    text = "if x > 0:\n        return g(x)\n    return [h(y) for y in x]"
    assert show(BODY, text) == DisplayText(text)
    assert postprocess(BODY, "single", text) == DisplayText("if x > 0:")


def test_rules_are_switched_off_by_name() -> None:
    cursor = CursorContext("a = 1\n", "\nb = 2\n")
    assert show(cursor, "b = 2\n").text == ""
    off = frozenset({"stop_at", "repeats_below", "nearly_repeats_below", "strip_repeated_lines", "strip_blank_end"})
    assert postprocess(cursor, "multi", "b = 2\n", switched_off=off) == DisplayText("b = 2\n")


ATOMS = st.lists(
    st.sampled_from(["x", " = ", "f(", ")", "\n", "    ", "\t", "return", "}", "{", "'", '"', "#", "é", "\r\n", "1, "]),
    max_size=25,
).map("".join)


@given(ATOMS, ATOMS, ATOMS, st.sampled_from(["single", "multi"]), st.booleans(), st.booleans(), st.booleans())
def test_finishing_ends_in_something_to_show_or_a_reason(
    before: str, after: str, text: str, mode: Mode, automatic: bool, chat: bool, can_replace: bool
) -> None:
    cursor = CursorContext.at(before + after, len(before), "python")
    done = postprocess(cursor, mode, text, automatic, chat, can_replace)
    assert (done.text == "") == bool(done.discarded)
    assert done.text == "" or done.text.strip()
    assert 0 <= done.n_replaced <= len(cursor.line_after)
    assert can_replace or done.n_replaced == 0
    assert set(done.text) <= set(text) | {"\r", " ", "\t"}


@given(st.text("ab c", max_size=12), st.text("ab c", max_size=12), st.sampled_from([0.0, 0.1, 0.3, 0.6]))
def test_similarity_is_by_edit_distance(a: str, b: str, share: float) -> None:
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        rows.append([i])
        for j, y in enumerate(b, 1):
            rows[i].append(min(rows[i - 1][j - 1] + (x != y), rows[i - 1][j] + 1, rows[i][j - 1] + 1))
    assert is_similar(a, b, share) == (rows[-1][-1] <= int(max(len(a), len(b)) * share))


def test_brackets_and_overlaps() -> None:
    assert open_brackets("f(a[1], {") == ["(", "{"]
    assert open_brackets(") f(") == ["("]
    assert unmatched_closers("a) + (b)]", ["["]) == [1]
    assert overlap("return foo", "foo()") == 3
    assert overlap("abc", "xyz") == 0


def test_a_text_that_was_cut_off_loses_its_half_line() -> None:
    text = "total = f(x)\n    print(total)\n    retu"
    assert postprocess(BODY, "multi", text, is_cut_off=True).text == "total = f(x)\n    print(total)"
    assert postprocess(BODY, "multi", "total = f(", is_cut_off=True).text == "total = f("


def test_of_three_equal_blocks_the_first_may_begin_at_the_cursor_and_the_last_be_cut() -> None:
    block = "with pytest.raises(ValueError):\n        f(1)\n    "
    shown = postprocess(
        CursorContext("def test():\n    x = 1\n    ", "", "python"), "multi", block * 3 + "with", is_cut_off=True
    )
    assert shown.text == "with pytest.raises(ValueError):\n        f(1)"


@pytest.mark.parametrize(
    ("cursor", "text", "rule"),
    [
        (CursorContext("x = f(days=", "", "python"), "0" + ", today=0" * 12, "strip_repeating_end"),
        (CursorContext("if x == ", "", "python"), "\n# a/b.py\nimport os\n", "leaves_file"),
        (CursorContext("x = 1\n", "\ny = 2\nz = 3", "python"), "y = 2\nz = 3\n", "repeats_next_line"),
        (CursorContext("x = 1", "", "python"), "  ", "is_blank"),
    ],
)
def test_the_rule_that_leaves_nothing_is_named(cursor: CursorContext, text: str, rule: str) -> None:
    assert postprocess(cursor, "multi", text) == DisplayText("", discarded=rule)
