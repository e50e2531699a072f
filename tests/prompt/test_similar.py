"""Lines of other files that look like those around the cursor: what is found, that it is true, and what it costs."""

from scrubjay.prompt.similar import NEXT_LINES, STEP_LINES, WINDOW_LINES, Windows, similarity, words_around
from scrubjay.workspace.context_rules import read_context_rules
from tests.prompt.test_anchored import SOURCE, Editor
from tests.prompt.test_places import ROOT, n_new, shown
from tests.prompt.test_plain import workspace

READER = """
class QueueReader:
    def __enter__(self) -> "QueueReader":
        self.connection.acquire(timeout=self.timeout_seconds)
        return self

    def __exit__(self, exc_type: type | None, exc_value: BaseException | None, traceback: object) -> None:
        self.connection.release(force=exc_type is not None)
        self.statistics.count_release(self.connection.name)
"""
WRITER = READER.replace("QueueReader", "QueueWriter").partition("        self.connection.release")[0]
LARGE = SOURCE[:40_000] + "\n" + READER + "\n" + SOURCE[40_000:60_000]
FAR = SOURCE[60_000:90_000]
N_CTX = 4_096


def editor_of(reader: str = LARGE, writer: str = f"{FAR}\n{WRITER}") -> Editor:
    return Editor(workspace(reader=reader, writer=writer), name="writer.py", n_ctx=N_CTX, cursor=len(writer))


def excerpts(editor: Editor) -> list[str]:
    return [one.text for one in editor.layouts.state(ROOT).places[-1].excerpts]


def test_what_was_written_like_this_before_is_shown_with_what_comes_after_it() -> None:
    editor = editor_of()
    editor.ask(is_idle=True)
    assert "self.statistics.count_release(self.connection.name)" in shown(editor, "file")["reader.py"]
    [text] = [one for one in excerpts(editor) if "QueueReader" in one]
    assert text in LARGE
    assert text.count("\n") == WINDOW_LINES + NEXT_LINES


def test_typing_goes_on_after_the_same_tokens_and_so_does_who_comes_back() -> None:
    editor = editor_of()
    first = editor.ask(is_idle=True)
    found = excerpts(editor)
    editor.replace(editor.cursor, editor.cursor, "        self.conn")
    second = editor.ask()
    assert n_new(second, [first.tokens]) < 16
    editor.cursor = 9_000
    editor.ask(is_idle=True)
    editor.cursor = len(editor.text)
    assert n_new(editor.ask(), [first.tokens, second.tokens]) < 16
    assert excerpts(editor) == found


def test_a_key_finds_them_where_the_current_file_is_read_again_anyway() -> None:
    costs = {}
    for is_known in (False, True):
        editor = editor_of()
        editor.cursor = 9_000
        before = editor.ask(is_idle=True)
        if not is_known:
            editor.layouts._windows.clear()  # nobody has had time to look at the files
        editor.cursor = len(editor.text)
        costs[is_known] = n_new(editor.ask(), [before.tokens])
        assert any("QueueReader" in one for one in excerpts(editor)) is is_known
    n_excerpts = sum(len(one.tokens) for one in editor.layouts.state(ROOT).places[-1].excerpts)
    assert costs[True] <= costs[False] + n_excerpts + 16


def test_a_key_a_few_lines_on_leaves_them_as_they_are() -> None:
    editor = editor_of(writer=f"{WRITER}\n{FAR[:3_000]}")
    editor.cursor = len(WRITER)
    first = editor.ask(is_idle=True)
    found = excerpts(editor)
    assert any("QueueReader" in one for one in found)
    editor.cursor = len(WRITER) + 1_500
    assert n_new(editor.ask(), [first.tokens]) < 1_000
    assert excerpts(editor) == found


def test_what_a_file_has_no_more_is_not_shown_when_there_is_time() -> None:
    editor = editor_of()
    editor.ask(is_idle=True)
    editor.name, at = "reader.py", LARGE.index("self.statistics")
    editor.replace(at, at + len("self.statistics"), "self.figures")
    editor.name, editor.cursor = "writer.py", len(editor.jay.document("writer.py").text)
    editor.ask(is_idle=True)
    assert not any("self.statistics" in one for one in excerpts(editor))
    assert any("self.figures" in one for one in excerpts(editor))


def test_the_project_may_forbid_it() -> None:
    editor = editor_of()
    editor.ask(is_idle=True)
    editor.jay.project.rules = read_context_rules('[context]\nnever = ["reader.py"]\n')
    editor.ask()
    assert excerpts(editor) == []


def test_nothing_is_shown_of_a_file_that_is_shown_whole() -> None:
    editor = editor_of(reader=READER)
    editor.ask(is_idle=True)
    assert shown(editor, "file")["reader.py"].endswith(READER)
    assert excerpts(editor) == []


def test_windows_overlap_and_are_compared_by_their_words() -> None:
    text = "".join(f"word_{number} = 1\n" for number in range(50))
    windows = Windows.of(text)
    assert windows.words[0] == {f"word_{number}" for number in range(WINDOW_LINES)}
    assert windows.words[1] == {f"word_{number + STEP_LINES}" for number in range(WINDOW_LINES)}
    assert "word_49" in windows.words[-1]
    assert Windows.of("").words == (frozenset(),)
    assert similarity(windows.words[0], windows.words[0]) == 1.0
    assert similarity(windows.words[0], windows.words[1]) == 15 / 25
    assert similarity(frozenset(), windows.words[0]) == 0.0
    around = words_around(workspace(now=text).document("now.py"), text.index("word_30"))
    assert around == {f"word_{number}" for number in range(14, 34)}
