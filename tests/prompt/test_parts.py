"""Files that are too large to be shown whole: what of them is shown, that it is true, and that it stays where it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.code_text import common_ends
from scrubjay.outline.grammars import outline_of
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.parts import MAX_STALE_CHARACTERS, MIN_CHARACTERS, PARTS_SHARE, shown_parts
from scrubjay.workspace.text import Change, PositionEncoding
from tests.prompt.test_anchored import SOURCE, Editor
from tests.prompt.test_places import ROOT, shown
from tests.prompt.test_plain import workspace

LARGE = SOURCE[:60_000]
METHOD = "    def add_help(self):\n"


def parts_of(text: str, *edited: int, limit: int = 1_000, label: str = "a.py") -> tuple[str, ...]:
    return shown_parts(text, outline_of(label, text), edited, lambda one: len(one) // 4, limit)


def test_a_large_file_that_was_edited_a_minute_ago_is_shown() -> None:
    """B is edited, then A: the prompt for A has what was done in B, and what B defines, though not all of B has room."""
    editor = Editor(workspace(a="import b\n\n" + "x = 1\n" * 50, b=LARGE), name="b.py", n_ctx=4_096)
    at = LARGE.index("\n", LARGE.index("def add_argument_group")) + 1
    editor.replace(at, at, "        self.edited = True\n")
    editor.ask(is_idle=True)
    editor.name, editor.cursor = "a.py", 60
    editor.ask(is_idle=True)
    seen = shown(editor, "file")
    assert "self.edited = True" in seen["b.py"]
    assert "class Action(" in seen["b.py"]
    assert "import re as _re" in seen["b.py"]
    assert len(seen["b.py"]) < len(LARGE) // 4


def test_bodies_are_left_out_and_what_was_edited_is_not() -> None:
    at = LARGE.index("self._actions.append", 20_000) if "self._actions.append" in LARGE[20_000:] else 30_000
    parts = parts_of(LARGE, at, limit=5_000)
    lines = LARGE.split("\n")
    line = lines[LARGE.count("\n", 0, at)]
    assert any(line in part for part in parts)
    assert sum(map(len, parts)) < len(LARGE) // 2


def test_the_parts_before_an_edit_stay_and_so_do_those_after_it() -> None:
    at = LARGE.index("class Action(")
    at = LARGE.index("\n", at) + 1
    before = parts_of(LARGE, limit=4_000)
    after = parts_of(LARGE[:at] + "    limit = 10\n" + LARGE[at:], limit=4_000)
    changed = [number for number, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
    assert len(changed) == 1


def test_an_edit_in_a_body_that_is_left_out_changes_nothing_else() -> None:
    outline = outline_of("a.py", LARGE)
    body = next(one for one in outline.definitions if one.is_leaf and one.body_end - one.body > 10)
    lines = LARGE.split("\n")
    lines.insert(body.body + 2, "        pass")
    assert parts_of("\n".join(lines)) == parts_of(LARGE)


def test_a_file_of_prose_shows_where_it_was_edited() -> None:
    prose = "".join(f"Line {number} says what it says.\n" for number in range(2_000))
    at = prose.index("Line 1000 ")
    parts = parts_of(prose, at, label="a.txt")
    assert len(parts) == 1
    assert "Line 1000 " in parts[0]
    assert parts[0].count("\n") < 50


def test_the_file_that_is_edited_is_not_shown_in_parts_as_well() -> None:
    editor = Editor(workspace(a=LARGE, b=SOURCE[:20_000]), name="b.py", n_ctx=8_192, cursor=2_000)
    editor.ask(is_idle=True)
    assert "a.py" in shown(editor, "file")
    editor.name, editor.cursor = "a.py", 30_000
    editor.ask()
    assert "a.py" not in shown(editor, "file")


def test_while_someone_types_parts_stay_as_they_are() -> None:
    editor = Editor(workspace(a=LARGE, b=SOURCE[:20_000]), name="b.py", n_ctx=8_192, cursor=2_000)
    editor.ask(is_idle=True)
    before = shown(editor, "file")["a.py"]
    editor.jay.edit("a.py", f"import {'a_long_name, ' * 8}sys\n{LARGE}")
    editor.replace(2_000, 2_000, "x")
    editor.ask()
    assert shown(editor, "file")["a.py"] == before
    editor.ask(is_idle=True)
    assert shown(editor, "file")["a.py"] != before


def test_a_few_characters_are_not_worth_to_read_all_again() -> None:
    editor = Editor(workspace(a=LARGE, b=SOURCE[:20_000]), name="b.py", n_ctx=8_192, cursor=2_000)
    first = editor.ask(is_idle=True)
    at = LARGE.index("import")
    editor.jay.edit("a.py", f"{LARGE[:at]}import xyz\n{LARGE[at:]}")
    assert "import xyz" not in shown(editor, "file")["a.py"]
    assert editor.ask(is_idle=True).tokens.tolist() != first.tokens.tolist(), (
        "now what is around the edit is shown as well"
    )
    second = editor.ask(is_idle=True)
    editor.jay.edit("a.py", f"{LARGE[:at]}import xyzzy\n{LARGE[at:]}")
    assert editor.ask(is_idle=True).tokens.tolist() == second.tokens.tolist()


def test_a_small_context_shows_nothing_rather_than_too_much() -> None:
    assert sum(len(part) // 4 for part in parts_of(LARGE, 5_000, limit=10)) <= 10
    assert parts_of("x = 1\n" * 2_000, limit=0) == ()


def n_changed(old: str, new: str) -> int:
    return max(len(old), len(new)) - sum(common_ends(old, new))


EDITS = st.lists(
    st.tuples(st.integers(0, 2), st.floats(0, 1), st.integers(0, 40), st.text("aé𝄞\n(", max_size=30)), max_size=6
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
@settings(max_examples=12)
@given(edits=EDITS)
def test_after_any_edits_parts_are_what_the_rules_say(
    encoding: PositionEncoding, edits: list[tuple[int, float, int, str]]
) -> None:
    """And the same as in a project that was never laid out before."""
    texts = {"a": "# é𝄞\n" + SOURCE[:30_000], "b": SOURCE[30_000:60_000], "c": "x = '𝄞'\n" * 700}
    editor = Editor(workspace("qwen2", None, now=SOURCE[:3_000], **texts), n_ctx=8_192, cursor=1_000)
    for number, place, n_removed, new in edits:
        document = editor.jay.document(f"{'abc'[number]}.py")
        start = int(place * len(document.text))
        ends = (document.position_at(at, encoding) for at in (start, min(start + n_removed, len(document.text))))
        editor.jay.projects.change(document.uri, document.version + 1, [Change(new, *ends)], encoding)
        editor.ask(is_idle=number == 0)
    editor.ask(is_idle=True)
    slots = {slot.label: slot for slot in editor.layouts.state(ROOT).slots}
    limit = (Limits(8_192, 128).n_ctx - 128) // PARTS_SHARE
    cache = editor.cache
    for label, slot in slots.items():
        document = editor.jay.document(label)
        if slot.parts is None:
            assert len(document.text) <= MIN_CHARACTERS or len(cache(document.text)) <= limit
            continue
        places = editor.jay.project.history.places(document.key)
        expected = shown_parts(
            document.text, outline_of(label, document.text), places, lambda one: len(cache(one)), limit
        )
        assert n_changed("".join(slot.parts.shown), "".join(expected)) <= MAX_STALE_CHARACTERS
        assert sum(len(cache(part)) for part in slot.parts.shown) <= limit
        at = 0
        for part in expected:
            at = document.text.index(part, at) + len(part)
    fresh = Editor(editor.jay, n_ctx=8_192, cursor=editor.cursor)
    fresh.ask(is_idle=True)
    others = {slot.label: slot for slot in fresh.layouts.state(ROOT).slots}
    assert others.keys() == slots.keys()
    for label, slot in slots.items():
        mine, its = (one.parts.shown if one.parts else (one.text,) for one in (slot, others[label]))
        assert n_changed("".join(mine), "".join(its)) <= (MAX_STALE_CHARACTERS if slot.parts else 0)
