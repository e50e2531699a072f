"""What becomes of proposals: every session of a user is counted as a hand would count it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.completion.acceptance import Counts, Outcome
from scrubjay.completion.kept_texts import KeptTexts
from scrubjay.completion.proposals import Proposals, Told
from scrubjay.positions import Change, Position
from scrubjay.workspace.document import Document

BEFORE, AFTER = "def area(width, height):\n    ", "\n\n\nprint(area(2, 3))\n"
OUTCOMES = get_args(Outcome)


class User:
    """Works in one document; what is shown there has numbers from 1 on."""

    def __init__(self, owner: str = "", before: str = BEFORE) -> None:
        self.counts = Counts()
        self.kept = KeptTexts()
        self.proposals = Proposals(self.kept)
        self.document = Document("file:///a.py", "python", 0, before + AFTER)
        self.cursor = len(before)
        self.owner = owner
        self.n = 0
        self.now_s = 0.0

    def show(self, *texts: str, tells: bool = False) -> int:
        self.n += 1
        self.proposals.show(self.n, self.owner, self.counts, self.document, self.cursor, texts, tells)
        return self.n

    def replace(self, start: int, end: int, new: str) -> None:
        """Replace [start, end); the cursor is after what is new."""
        change = Change(new, self.document.position_at(start), self.document.position_at(end))
        self.change(change)
        self.cursor = start + len(new)

    def change(self, *changes: Change) -> None:
        done = self.document.apply(self.document.version + 1, changes)
        self.proposals.changed(self.document, done, self.now_s)

    def insert(self, text: str) -> None:
        self.replace(self.cursor, self.cursor, text)

    def type(self, text: str) -> None:
        for character in text:
            self.insert(character)

    def tell(self, number: int, outcome: Told) -> None:
        self.proposals.told(number, outcome, self.now_s)

    def outcomes(self) -> dict[str, int]:
        """Those that there are."""
        return {name: n for name in OUTCOMES if (n := getattr(self.counts, name))}

    def check(self) -> None:
        """The law."""
        counts = [getattr(self.counts, name) for name in OUTCOMES]
        assert min(counts) >= 0
        assert self.counts.shown == sum(counts)


# --- one proposal ----------------------------------------------------------------------------------------------------


def test_typing_it_out_by_hand() -> None:
    user = User()
    user.show("return width * height")
    user.type("return width * heigh")
    assert user.outcomes() == {"pending": 1}
    user.type("t")
    assert user.outcomes() == {"typed_out": 1}


def test_an_editor_that_asks_at_each_key_shows_one_proposal() -> None:
    user, text = User(), "return width"
    for n, character in enumerate(text):
        user.show(text[n:])
        user.type(character)
    assert (user.counts.shown, user.outcomes()) == (1, {"typed_out": 1})


def test_a_rest_that_is_longer_or_shorter_than_before_is_the_same_proposal() -> None:
    user = User()
    user.show("return width")
    user.type("ret")
    user.show("urn width * height")
    user.type("urn width * ")
    user.show("heigh")
    assert (user.counts.shown, user.outcomes()) == (1, {"pending": 1})
    user.type("heigh")
    assert user.outcomes() == {"typed_out": 1}


def test_accepting_it_with_and_without_a_client_that_tells() -> None:
    for does_tell in (True, False):
        user = User()
        number = user.show("return width")
        user.type("re")
        user.insert("turn width")
        if does_tell:
            user.tell(number, "accepted")
        assert user.outcomes() == {"accepted": 1}


def test_an_editor_may_replace_what_was_typed_by_the_whole_text() -> None:
    user = User()
    number = user.show("return width")
    user.type("ret")
    user.replace(len(BEFORE), user.cursor, "return width")
    user.tell(number, "accepted")
    assert user.outcomes() == {"accepted": 1}


def test_acceptance_may_be_told_when_the_next_one_is_shown_already() -> None:
    user = User()
    number = user.show("(")
    user.type("(")
    user.show("width)")
    user.tell(number, "accepted")
    assert user.outcomes() == {"accepted": 1, "pending": 1}


def test_what_was_accepted_is_another_one_when_it_is_shown_again() -> None:
    user = User()
    user.tell(user.show("return width"), "accepted")
    user.show("return width")
    assert user.outcomes() == {"accepted": 1, "pending": 1}


def test_a_part_is_a_part_whatever_comes_after_it() -> None:
    for more in ("", "x", " width"):
        user = User()
        user.show("return width")
        user.insert("return")
        user.type(more)
        user.show("something else")
        assert user.outcomes() == {"accepted_in_part": 1, "pending": 1}, more


def test_part_after_part_is_all_of_it() -> None:
    user = User()
    user.show("return width")
    user.insert("return")
    user.show(" width")
    user.insert(" width")
    assert (user.counts.shown, user.outcomes()) == (1, {"accepted": 1})


def test_a_part_may_be_told_before_it_is_seen() -> None:
    user = User()
    number = user.show("return width")
    user.tell(number, "accepted_in_part")
    user.insert("return")
    user.tell(number, "rejected")
    assert user.outcomes() == {"accepted_in_part": 1}


@pytest.mark.parametrize(
    "act",
    [
        lambda user: user.type("x"),
        lambda user: user.type("rex"),
        lambda user: user.tell(user.n, "rejected"),
        lambda user: user.show("something else"),
        lambda user: user.proposals.close(user.owner),
        lambda user: user.replace(user.cursor - 1, user.cursor, ""),
        lambda user: user.change(Change("")),
    ],
)
def test_ways_of_not_wanting_it(act: Callable[[User], object]) -> None:
    user = User()
    user.show("return width")
    act(user)
    user.check()
    assert user.counts.rejected == 1


def test_a_key_taken_back_changes_nothing() -> None:
    user = User()
    user.show("return width")
    user.type("reu")
    assert user.outcomes() == {"rejected": 1}
    user = User()
    user.show("return width")
    user.type("re")
    user.replace(user.cursor - 1, user.cursor, "")
    user.type("eturn width")
    assert user.outcomes() == {"typed_out": 1}


def test_brackets_that_the_editor_closes() -> None:
    for closes_at_once in (True, False):
        user = User()
        user.show("foo(bar)")
        user.type("foo")
        at = user.cursor
        user.insert("()" if closes_at_once else "(")
        if not closes_at_once:
            user.insert(")")
        user.cursor = at + 1
        user.type("bar")
        assert user.outcomes() == {"typed_out": 1}


def test_a_new_line_with_its_indentation_is_one_key() -> None:
    user = User()
    user.show("\n    a\n    b")
    user.insert("\n    ")
    user.type("a")
    user.insert("\n    ")
    user.type("b")
    assert user.outcomes() == {"typed_out": 1}


def test_other_places_of_the_document_do_not_matter() -> None:
    user = User()
    user.show("return width")
    cursor = user.cursor
    user.replace(0, 0, "import os\n")
    user.replace(len(user.document.text), len(user.document.text), "# end\n")
    user.replace(4, 6, "")
    user.cursor = cursor + len("import os\n") - 2
    user.type("return width")
    assert user.outcomes() == {"typed_out": 1}


def test_keys_that_come_together_are_still_keys() -> None:
    user, column, text = User(), len("    "), "if width > height"
    user.show(text)
    for keys in (range(2), range(2, 4), range(4, len(text))):
        assert user.outcomes() == {"pending": 1}
        user.change(*(Change(text[n], Position(1, column + n), Position(1, column + n)) for n in keys))
    assert user.outcomes() == {"typed_out": 1}


def test_an_editor_that_tells_may_send_many_keys_as_one_change() -> None:
    user = User()
    user.show("return width", tells=True)
    user.insert("return")
    assert user.outcomes() == {"pending": 1}
    user.insert(" width")
    assert user.outcomes() == {"typed_out": 1}
    number = user.show(" * height", tells=True)
    user.insert(" * height")
    user.tell(number, "accepted")
    assert user.outcomes() == {"typed_out": 1, "accepted": 1}
    number = user.show("\nreturn width", tells=True)
    user.tell(number, "accepted_in_part")
    user.insert("\nreturn")
    user.insert(" width")
    assert user.outcomes() == {"typed_out": 1, "accepted": 1, "accepted_in_part": 1}


def test_an_editor_that_sends_whole_texts() -> None:
    user = User()
    user.show("return width")
    text = user.document.text
    for n in range(1, len("return width") + 1):
        user.change(Change(text[: len(BEFORE)] + "return width"[:n] + text[len(BEFORE) :]))
    assert user.outcomes() == {"typed_out": 1}


def test_alternatives_are_one_proposal() -> None:
    user = User()
    user.show("return width", "yield height")
    user.show("yield height", "pass")
    user.type("yield height")
    assert (user.counts.shown, user.outcomes()) == (1, {"typed_out": 1})


def test_two_users_do_not_mix() -> None:
    user = User("one")
    user.show("return width")
    user.proposals.show(99, "two", user.counts, Document("file:///b.py", "python", 0, ""), 0, ("import os",))
    user.type("return width")
    assert user.outcomes() == {"typed_out": 1, "pending": 1}


def test_what_is_told_of_what_was_never_shown() -> None:
    user = User()
    number = user.show("return width")
    user.tell(number + 1, "accepted")
    user.proposals.show(number, "", user.counts, user.document, user.cursor, ("another",))
    assert user.outcomes() == {"pending": 1}
    user.proposals.forget(user.counts)
    user.tell(number, "accepted")
    user.type("return width")
    assert user.outcomes() == {"pending": 1}


# --- laws ------------------------------------------------------------------------------------------------------------

TEXTS = st.text("abc (\n", min_size=3, max_size=12).filter(lambda text: len("".join(text.split())) >= 3)
KINDS = st.sampled_from(["accepted", "told", "accepted_in_part", "typed_out", "rejected", "dismissed"])


def act(user: User, kind: str, text: str, asks: Sequence[bool]) -> None:
    """Show `text` and do with it what `kind` says; while it is typed, its rest is asked for where `asks` says so."""
    number = user.show(text)
    if kind == "typed_out":
        for n, character in enumerate(text):
            if asks[n % len(asks)]:
                user.show(text[n:])
            user.type(character)
    elif kind in ("accepted", "told"):
        user.insert(text)
        if kind == "told":
            user.tell(number, "accepted")
    elif kind == "accepted_in_part":
        part = next(text[:n] for n in range(len(text)) if len("".join(text[:n].split())) >= 2)
        user.insert(part)
        user.type("!")
    elif kind == "rejected":
        user.type("!")
    else:
        user.tell(number, "rejected")


@given(st.lists(st.tuples(KINDS, TEXTS, st.lists(st.booleans(), min_size=1, max_size=4)), max_size=10))
def test_a_session_is_counted_as_by_hand(session: list[tuple[str, str, list[bool]]]) -> None:
    user = User()
    for kind, text, asks in session:
        act(user, kind, text, asks)
        user.check()
        user.insert("\n;")  # somewhere else, where the next one cannot be the rest of this one
    names = {"told": "accepted", "dismissed": "rejected"}
    assert user.outcomes() == Counter(names.get(kind, kind) for kind, _, _ in session)


ACTS = st.one_of(
    st.tuples(st.just("show"), TEXTS, st.integers(0, 60)),
    st.tuples(st.just("insert"), st.text("abc (\n)", max_size=5), st.integers(0, 60)),
    st.tuples(st.just("delete"), st.integers(1, 5), st.integers(0, 60)),
    st.tuples(st.just("follow"), st.integers(1, 4), st.just(0)),
    st.tuples(st.just("tell"), st.sampled_from(get_args(Told)), st.integers(0, 12)),
    st.tuples(st.just("close"), st.just(0), st.just(0)),
)


@given(st.lists(ACTS, max_size=40))
def test_shown_is_the_sum_of_all_outcomes_whatever_happens(acts: list[tuple[str, object, int]]) -> None:
    user, text, n = User(), "", 0
    for kind, what, where in acts:
        size = len(user.document.text)
        if kind == "show":
            user.cursor, text, n = min(where, size), str(what), 0
            user.show(text)
        elif kind == "insert":
            user.replace(min(where, size), min(where, size), str(what))
        elif kind == "delete":
            start = min(where, size)
            user.replace(start, min(start + int(str(what)), size), "")
        elif kind == "follow":
            user.insert(text[n : n + int(str(what))])
            n += int(str(what))
        elif kind == "tell" and what != "shown":
            user.tell(where, what)  # type: ignore[arg-type]
        elif kind == "close":
            user.proposals.close(user.owner)
        user.check()
        assert user.counts.pending <= 1
    user.proposals.close_all()
    user.check()
    assert not user.counts.pending
