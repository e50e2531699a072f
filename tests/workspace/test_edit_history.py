"""The history of edits: applied to the old text it gives the new one, whatever was typed, undone and merged."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.workspace.edit_history import MAX_CHARACTERS, MAX_EDIT_CHARACTERS, PAUSE_S, Edit, EditHistory
from scrubjay.workspace.text import Change, Position, Replacement, Text
from tests.support.growth import calls_of

KEY = "/project/a.py"
LINES = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\n"


class Typist:
    """Documents, their history, and a clock that the test moves."""

    def __init__(self, text: str = LINES) -> None:
        self.history = EditHistory()
        self.texts = {KEY: Text.of(text)}
        self.now_s = 0.0

    def replace(self, start: int, end: int, new: str, key: str = KEY) -> None:
        self.at_once([(start, end, new)], key)

    def at_once(self, changes: list[tuple[int, int, str]], key: str = KEY) -> None:
        """Make changes one after the other, told in one message."""
        done = []
        for start, end, new in changes:
            done.append(Replacement(self.texts[key], start, end, new))
            self.texts[key] = done[-1].after()
        self.history.record(key, done, self.now_s)

    def type(self, place: str, new: str, *, over: str = "") -> None:
        """Type `new` key by key after `place`, over the text that follows it there."""
        at = self.text().index(place) + len(place)
        assert self.text().startswith(over, at)
        if over:
            self.replace(at, at + len(over), "")
        for number, character in enumerate(new):
            self.now_s += 0.2
            self.replace(at + number, at + number, character)

    def pause(self) -> None:
        self.now_s += PAUSE_S + 1

    def text(self, key: str = KEY) -> str:
        return self.texts[key].text

    def pairs(self) -> list[tuple[str, str]]:
        return [(edit.old, edit.new) for edit in self.history]


def taken_back(edits: list[Edit], text: str) -> str:
    """`text` before `edits`, which led to it."""
    for edit in reversed(edits):
        assert text[edit.start : edit.end] == edit.new
        text = text[: edit.start] + edit.old + text[edit.end :]
    return text


def patched(text: str, diff: str) -> str:
    """`text` after a unified diff with one hunk, whose context must be there."""
    lines, (header, *body) = text.splitlines(keepends=True), diff.splitlines(keepends=True)[2:]
    match = re.match(r"@@ -(\d+)(?:,(\d+))? \+", header)
    assert match
    n_old = int(match[2] or 1)
    first = int(match[1]) - (n_old > 0)
    for at in [at for at, line in enumerate(body) if line.startswith("\\")]:
        body[at - 1] = body[at - 1].removesuffix("\n")
    old, new = ([line[1:] for line in body if line[0] in f" {sign}"] for sign in "-+")
    assert lines[first : first + n_old] == old
    return "".join([*lines[:first], *new, *lines[first + n_old :]])


def test_keys_at_one_place_are_one_edit() -> None:
    typist = Typist()
    typist.type("two", " and a half")
    assert typist.pairs() == [("two\n", "two and a half\n")]
    [edit] = typist.history
    assert (edit.line, edit.n_changes) == (1, len(" and a half"))


def test_another_place_is_another_edit_and_so_is_a_later_time() -> None:
    typist = Typist()
    typist.type("two", "!")
    typist.type("six", "!")
    typist.pause()
    typist.type("six!", "?")
    assert typist.pairs() == [("two\n", "two!\n"), ("six\n", "six!\n"), ("six!\n", "six!?\n")]
    assert taken_back(list(typist.history), typist.text()) == LINES


def test_lines_typed_one_after_the_other_are_one_edit() -> None:
    typist = Typist()
    typist.type("two\n", "new\nnewer\n")
    assert typist.pairs() == [("three\n", "new\nnewer\nthree\n")]


def test_several_cursors_make_an_edit_each() -> None:
    typist = Typist("".join(f"a{number} = call({number})  {'#' * 400}\n" for number in range(4)))
    places = [typist.text().index(f"a{number}") for number in range(4)]
    for n_typed, character in enumerate("xy"):
        typist.at_once([(place + n_typed + k * (n_typed + 1), place + n_typed + k * (n_typed + 1), character)
                        for k, place in enumerate(places)])  # fmt: skip
    assert [new[:4] for _, new in typist.pairs()] == ["xya0", "xya1", "xya2", "xya3"] or len(typist.history) == 1
    assert taken_back(list(typist.history), typist.text()).startswith("a0 = call(0)")


def test_what_is_undone_is_no_edit() -> None:
    typist = Typist()
    typist.type("two", "x")
    typist.replace(7, 8, "")
    assert typist.pairs() == []
    assert [edit.new for edit in typist.history.taken_back] == ["twox\n"]


def test_an_edit_undone_step_by_step_long_after_is_none() -> None:
    typist = Typist()
    typist.type("two", " and")
    typist.pause()
    typist.replace(9, 11, "")
    assert len(typist.history) == 2
    typist.replace(7, 9, "")
    assert (typist.text(), typist.pairs()) == (LINES, [])


def test_what_was_deleted_lately_is_known_the_last_first() -> None:
    typist = Typist("".join(f"a line that says {number}\n" for number in range(9)))
    assert typist.history.deleted() == ()
    for number in (7, 5, 3, 1, 0):
        at = typist.text().index(f"a line that says {number}\n")
        typist.replace(at, at + len(f"a line that says {number}\n"), "")
        typist.pause()
    deleted = typist.history.deleted()
    assert len(deleted) == 4, "the first one is too long ago"
    assert all(f"says {number}\n" in text for number, text in zip("0135", deleted, strict=True))


def test_a_deleted_word_says_nothing() -> None:
    typist = Typist()
    typist.replace(0, 3, "")
    assert len(typist.history) == 1
    assert typist.history.deleted() == ()


def test_an_edit_before_others_can_be_undone() -> None:
    typist = Typist()
    typist.type("two", "!!")
    typist.pause()
    typist.type("six", " more")
    typist.type("eight", " less")
    at = typist.text().index("!!")
    typist.replace(at, at + 2, "")
    assert typist.pairs() == [("six\n", "six more\n"), ("eight\n", "eight less\n")]
    assert taken_back(list(typist.history), typist.text()) == LINES


def test_a_formatter_is_no_edit() -> None:
    typist = Typist("a=1\nb=2\n\n\nc=3\n")
    typist.type("c=3", "0")
    typist.at_once([(1, 2, " = "), (7, 8, " = ")])
    typist.replace(0, len(typist.text()), typist.text().replace("b = 2\n\n\n", "b =  2\n"))
    assert typist.pairs() == [("c=3\n", "c=30\n")]
    assert typist.history.of(KEY) == []


def test_the_return_key_is_an_edit() -> None:
    typist = Typist("def f():\n    pass\n")
    typist.replace(8, 8, "\n    ")
    assert typist.pairs() == [("def f():\n", "def f():\n    \n")]


def test_a_whole_text_with_one_new_line_is_that_edit() -> None:
    typist = Typist()
    typist.replace(0, len(LINES), LINES.replace("six", "6"))
    assert typist.pairs() == [("six\n", "6\n")]


def test_much_at_once_is_no_edit() -> None:
    typist = Typist()
    typist.type("two", "!")
    typist.replace(0, 3, "x" * (MAX_EDIT_CHARACTERS + 1))
    assert (typist.pairs(), typist.history.of(KEY)) == ([("two\n", "two!\n")], [])


def test_what_the_editor_reads_from_disk_is_no_edit() -> None:
    typist = Typist()
    typist.replace(0, 3, "1")
    typist.history.found_on_disk(KEY)
    assert typist.pairs() == []


def test_what_was_saved_stays_an_edit() -> None:
    typist = Typist()
    typist.replace(0, 3, "1")
    typist.history.saved(KEY)
    typist.history.found_on_disk(KEY)
    assert typist.pairs() == [("one\n", "1\n")]


def test_it_is_bounded() -> None:
    typist = Typist("".join(f"line {number}\n\n" for number in range(2000)))
    for number in range(2000):
        typist.type(f"line {number}\n", "x" * 20)
        typist.pause()
    assert sum(edit.n_characters for edit in typist.history) <= MAX_CHARACTERS
    assert len(typist.history) > 100
    assert typist.history.last is not None
    assert typist.history.last.line == 3999


def test_a_key_costs_the_same_in_a_long_document() -> None:
    def cost(n_lines: int) -> int:
        typist = Typist("a line\n" * n_lines)
        typist.type("a li", "x")
        change = Replacement(typist.texts[KEY], 5, 5, "y")
        return calls_of(lambda: typist.history.record(KEY, [change], typist.now_s))

    assert cost(100) == cost(20_000)


def test_a_unified_diff_is_one_that_git_applies(tmp_path: Path) -> None:
    typist = Typist(LINES + "last")
    typist.type("two", "!")
    typist.type("six\n", "inserted\n")
    typist.type("last", " line")
    path = tmp_path / "a.py"
    path.write_text(LINES + "last")
    for edit in typist.history:
        diff = edit.unified_diff("a.py")
        subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=tmp_path, check=True, capture_output=True)
    assert path.read_text() == typist.text()
    assert next(iter(typist.history)).unified_diff("a.py") == (
        "--- a/a.py\n+++ b/a.py\n@@ -1,5 +1,5 @@\n one\n-two\n+two!\n three\n four\n five\n"
    )


WORDS = st.sampled_from(["a", "bc\n", "\n", "x", "  ", "é", "🙂", "y = 1\n", ""])
KEYS = (KEY, "/project/b.py")


@given(st.data())
def test_the_history_applied_to_the_old_text_gives_the_new_one(data: st.DataObject) -> None:
    typist = Typist()
    typist.texts[KEYS[1]] = Text.of("def f():\n    return 1")
    before = dict(typist.texts)
    undo: list[tuple[str, int, int, str]] = []
    for _ in range(data.draw(st.integers(1, 25))):
        typist.now_s += data.draw(st.sampled_from([0.1, 0.1, PAUSE_S + 1]))
        is_undo: bool = data.draw(st.booleans())
        if undo and is_undo:
            key, start, end, new = undo.pop()
        else:
            key = data.draw(st.sampled_from(KEYS))
            start = data.draw(st.integers(0, len(typist.text(key))))
            end = data.draw(st.integers(start, min(start + 4, len(typist.text(key)))))
            new = data.draw(WORDS)
            undo.append((key, start, start + len(new), typist.text(key)[start:end]))
        typist.replace(start, end, new, key)
    for key in KEYS:
        edits = typist.history.of(key)
        assert taken_back(edits, typist.text(key)) == before[key].text
        text = before[key].text
        for edit in edits:
            text = patched(text, edit.unified_diff("a.py"))
        assert text == typist.text(key)


@given(st.lists(st.tuples(st.integers(0, 40), WORDS.filter(bool), st.booleans()), min_size=1, max_size=12))
def test_when_everything_is_undone_in_order_nothing_is_left(edits: list[tuple[int, str, bool]]) -> None:
    typist = Typist()
    done = []
    for at, new, is_late in edits:
        at = min(at, len(typist.text()))
        typist.now_s += PAUSE_S + 1 if is_late else 0.1
        typist.replace(at, at, new)
        done.append((at, len(new)))
    typist.pause()
    for at, n_typed in reversed(done):
        typist.now_s += 0.1
        typist.replace(at, at + n_typed, "")
    assert typist.text() == LINES
    assert taken_back(typist.history.of(KEY), LINES) == LINES


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_positions_of_an_editor_become_offsets(encoding: str) -> None:
    text = Text.of("s = '🙂'\n")
    column = {"utf-8": 9, "utf-16": 7}[encoding]
    changed, [done] = text.changed([Change("!", Position(0, column), Position(0, column))], encoding)  # type: ignore[arg-type]
    history = EditHistory()
    history.record(KEY, [done], 0.0)
    assert [edit.new for edit in history] == [changed.text] == ["s = '🙂!'\n"]
