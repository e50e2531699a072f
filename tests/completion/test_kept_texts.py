"""How much of accepted texts is kept: after five minutes by a clock of the test's own, and at save."""

from hypothesis import given
from hypothesis import strategies as st

from scrubjay.completion.acceptance import Counts, Kept
from scrubjay.completion.kept_texts import KEPT_S, MAX_TEXTS, KeptTexts, n_kept
from scrubjay.positions import Change
from scrubjay.workspace.document import Document

TEXT = "return width * height"
N = len("returnwidth*height")


class Work:
    """On one document, in which a text was accepted."""

    def __init__(self, before: str = "", text: str = TEXT, after: str = "") -> None:
        self.counts, self.kept = Counts(), KeptTexts()
        self.document = Document("file:///a.py", "python", 0, before + text + after)
        self.kept.add(self.counts, self.document, len(before), text, 0.0)

    def replace(self, start: int, end: int, new: str, now_s: float = 1.0) -> None:
        change = Change(new, self.document.position_at(start), self.document.position_at(end))
        for done in self.document.apply(self.document.version + 1, [change]):
            self.kept.changed(self.document, done, now_s)

    def at_save(self) -> Kept:
        self.kept.saved(self.document, 1.0)
        return self.counts.at_save


def test_what_is_left_alone_is_kept() -> None:
    work = Work()
    work.kept.look(KEPT_S - 1)
    assert work.counts.after_5_min == Kept()
    work.kept.look(KEPT_S)
    work.kept.look(KEPT_S)
    assert work.counts.after_5_min == Kept(N, N)
    assert work.at_save() == Kept(N, N)
    assert work.at_save() == Kept(N, N), "once"


def test_a_word_that_is_replaced_is_not() -> None:
    work = Work()
    work.replace(7, 12, "breadth")
    assert work.at_save() == Kept(N, N - 5)


def test_what_happens_elsewhere_does_not_matter() -> None:
    work = Work("a = 1\n", after="\nb = 2\n")
    work.replace(0, 0, "import os\n")
    work.replace(4, 8, "")
    work.replace(len(work.document.text), len(work.document.text), "return width * height\n")
    assert work.at_save() == Kept(N, N)


def test_other_white_space_is_nothing() -> None:
    work = Work("if a:\n")
    work.replace(len("if a:\n"), len("if a:\n"), "    ")
    work.replace(len("if a:\n    return"), len("if a:\n    return "), "\n        ")
    assert work.at_save() == Kept(N, N)


def test_what_is_undone_is_gone_and_comes_back_with_a_redo() -> None:
    work = Work("a = 1\n", after="\nb")
    work.replace(6, 6 + len(TEXT), "")
    assert work.at_save() == Kept(N, 0)
    work.replace(6, 6, TEXT)
    work.kept.look(KEPT_S)
    assert work.counts.after_5_min == Kept(N, N)


def test_a_formatter_that_replaces_everything() -> None:
    work = Work("x=1\n", "foo(a,b)", "\ny=2\n")
    work.replace(0, len(work.document.text), "x = 1\nfoo(a, b)\ny = 2\n")
    assert work.at_save() == Kept(8, 8)


def test_five_minutes_end_before_a_later_change() -> None:
    work = Work()
    work.replace(0, len(TEXT), "", now_s=KEPT_S + 1)
    assert work.counts.after_5_min == Kept(N, N)
    assert work.at_save() == Kept(N, 0)


def test_what_is_forgotten_is_not_counted() -> None:
    work = Work()
    work.kept.forget(work.counts)
    assert work.at_save() == Kept()


def test_only_so_many_are_looked_at() -> None:
    work = Work()
    for _ in range(MAX_TEXTS):
        work.kept.add(work.counts, work.document, 0, TEXT, 0.0)
    assert work.at_save() == Kept(MAX_TEXTS * N, MAX_TEXTS * N)


@given(
    st.text("ab \n."),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 5), st.text("ab \n.", max_size=5)), max_size=9),
)
def test_never_more_is_kept_than_was_accepted(text: str, changes: list[tuple[int, int, str]]) -> None:
    work = Work("a.b\n", text, "\nb.a\n")
    for start, n, new in changes:
        size = len(work.document.text)
        work.replace(min(start, size), min(start + n, size), new)
    kept = work.at_save()
    assert 0 <= kept.kept <= kept.characters == sum(not character.isspace() for character in text)


@given(st.text("ab .", max_size=20), st.text("ab .", max_size=20))
def test_a_text_keeps_all_of_itself_wherever_it_stands(text: str, more: str) -> None:
    n = sum(not character.isspace() for character in text)
    assert n_kept(text, text) == n
    assert n_kept(text, f"{more} {text} {more}") <= n
    assert n_kept(text, "") == 0
