"""What was shown for a place comes back with it: the same tokens, whenever the texts are the same again; and nothing untrue."""

from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.prompt.places import MAX_PLACES, MAX_PLACES_OF_DOCUMENT, MAX_STALE_CHARACTERS
from scrubjay.prompt.segments import Prompt
from scrubjay.prompt.windows import MIN_KEPT_SHARE
from scrubjay.tokens import Tokens, common_length
from scrubjay.workspace.context_rules import read_context_rules
from scrubjay.workspace.project import File
from tests.prompt.test_anchored import SOURCE, Editor
from tests.prompt.test_plain import workspace

ROOT = "/projects/jay"


def n_new(prompt: Prompt, earlier: list[Tokens]) -> int:
    """Tokens of `prompt` that none of the earlier ones has after the same ones."""
    return len(prompt.tokens) - max(common_length(prompt.tokens, old) for old in earlier)


def shown(editor: Editor, kind: str) -> dict[str, str]:
    """What the last prompt shows, by label."""
    assert editor.last is not None
    return {label: text for name, label, text in editor.jay.shown(editor.last) if name == kind}


def test_the_prompt_of_a_place_is_the_same_when_the_cursor_is_back() -> None:
    editor = Editor(workspace(a=SOURCE[:9_000], now=SOURCE[:40_000]), n_ctx=4_000, cursor=9_000)
    first = editor.ask()
    editor.cursor = 30_000
    editor.ask()
    editor.replace(editor.cursor, editor.cursor, "x")
    editor.ask(is_idle=True)
    editor.cursor = 9_000
    assert editor.ask().tokens.tolist() == first.tokens.tolist()


def test_it_is_the_text_that_knows_a_place() -> None:
    editor = Editor(workspace(now=SOURCE[:60_000]), n_ctx=2_000, cursor=30_000)
    first = editor.ask()
    editor.replace(10, 10, "import os\n" * 3)
    editor.cursor = 10
    editor.ask(is_idle=True)
    editor.cursor = 30_000 + 30
    assert editor.ask().tokens.tolist() == first.tokens.tolist(), "though all offsets are others"


def test_undo_brings_back_the_prompt() -> None:
    editor = Editor(workspace(a=SOURCE[:3_000], now=SOURCE[:40_000]), n_ctx=4_000, cursor=20_000)
    first = editor.ask()
    block = editor.text[20_500:28_000]
    for start, removed in ((20_500, block), (10_000, editor.text[10_000:18_000])):
        editor.replace(start, start + len(removed), "")
        editor.ask()
        editor.ask(is_idle=True)
        editor.replace(start, start, removed)
        editor.cursor = 20_000
        assert editor.ask().tokens.tolist() == first.tokens.tolist()


def test_two_files_in_turn_cost_what_is_typed() -> None:
    editor = Editor(workspace(a=SOURCE[:3_000], b=SOURCE[3_000:7_000]), name="a.py", cursor=1_000)
    cursors, earlier = {"a.py": 1_000, "b.py": 2_000}, list[Tokens]()
    for turn in range(6):
        editor.name = ("a.py", "b.py")[turn % 2]
        editor.cursor = cursors[editor.name]
        editor.replace(editor.cursor, editor.cursor, "x")
        prompt = editor.ask()
        if turn > 1:
            assert n_new(prompt, earlier) <= 2
        cursors[editor.name] = editor.cursor
        earlier.append(prompt.tokens)


def test_a_large_change_in_another_file_is_shown_at_once_and_a_small_one_when_there_is_time() -> None:
    editor = Editor(workspace(a=SOURCE[:3_000], b=SOURCE[3_000:7_000]), name="a.py", cursor=1_000)
    editor.ask(is_idle=True)
    editor.name, editor.cursor = "b.py", 2_000
    editor.ask(is_idle=True)
    small, large = "y = 1\n", "z = 2\n" * (MAX_STALE_CHARACTERS // 5)
    editor.replace(2_000, 2_000, small)
    editor.ask()
    editor.name, editor.cursor = "a.py", 1_000
    editor.ask()
    assert small not in shown(editor, "file")["b.py"]
    editor.ask(is_idle=True)
    assert small in shown(editor, "file")["b.py"]
    editor.name, editor.cursor = "b.py", 2_000
    editor.replace(2_000, 2_000, large)
    editor.ask()
    editor.name, editor.cursor = "a.py", 1_000
    editor.ask()
    assert large in shown(editor, "file")["b.py"]


def test_files_that_are_as_before_stand_as_before() -> None:
    """As after a branch of a repository was checked out, and then the first one again."""
    names = {name: SOURCE[n * 2_000 : n * 2_000 + 2_000] for n, name in enumerate("abc")}
    editor = Editor(workspace("qwen2", None, **names, now=SOURCE[:3_000]), cursor=1_500)
    editor.ask()
    first = editor.ask(is_idle=True)
    for name, text in names.items():
        editor.jay.edit(f"{name}.py", "# another branch\n" + text[:1_500])
    assert editor.ask(is_idle=True).tokens.tolist() != first.tokens.tolist()
    for name, text in names.items():
        editor.jay.edit(f"{name}.py", text)
    assert editor.ask(is_idle=True).tokens.tolist() == first.tokens.tolist()


@pytest.mark.parametrize("n_lines", [10, -10])
def test_a_few_lines_do_not_move_the_start_of_the_window(n_lines: int) -> None:
    editor = Editor(workspace(now=SOURCE[:60_000]), n_ctx=4_000, window_limit=1_000)
    lines = SOURCE[:60_000].splitlines(keepends=True)
    start = len("".join(lines[:400]))
    editor.cursor = start
    before = editor.ask()
    editor.cursor = len("".join(lines[: 400 + n_lines]))
    after = editor.ask()
    n_prefix = [span.end for prompt in (before, after) for span in prompt.segments if span.kind == "prefix"]
    assert common_length(before.tokens, after.tokens) >= min(n_prefix)


def test_a_window_that_becomes_too_short_or_too_long_is_made_again() -> None:
    limit = 1_000
    editor = Editor(workspace(now=SOURCE[:60_000]), n_ctx=4_000, window_limit=limit, cursor=50_000)
    while editor.cursor > 30_000:
        prompt = editor.ask()
        n_prefix = next(span.end - span.start for span in prompt.segments if span.kind == "prefix")
        assert limit // MIN_KEPT_SHARE <= n_prefix - 1 <= limit
        editor.cursor -= 700
    while editor.cursor < 50_000:
        prompt = editor.ask()
        n_prefix = next(span.end - span.start for span in prompt.segments if span.kind == "prefix")
        assert limit // MIN_KEPT_SHARE <= n_prefix - 1 <= limit
        editor.cursor += 700


def test_only_so_many_places_are_remembered() -> None:
    names = [f"f{n}" for n in range(8)]
    editor = Editor(workspace("qwen2", None, **dict.fromkeys(names, SOURCE[:9_000])), n_ctx=2_000)
    for name in names:
        editor.name = f"{name}.py"
        for editor.cursor in range(500, 9_000, 800):
            editor.ask(is_idle=editor.cursor % 3 == 0)
            places = editor.layouts.state(ROOT).places
            assert len(places) <= MAX_PLACES
            assert sum(place.key == places[-1].key for place in places) <= MAX_PLACES_OF_DOCUMENT


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["type", "type", "jump", "switch", "block", "undo", "back"]),
        st.integers(0, 5_999),
        st.sampled_from(["x", "\n", "    return value\n", "", "é🙂", "y = 1\n" * 80]),
        st.booleans(),
    ),
    max_size=14,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from([500, 1_500, 6_000]))
def test_whatever_comes_back_is_true_and_fits(steps: list[tuple[str, int, str, bool]], n_ctx: int) -> None:
    texts = {"a.py": SOURCE[:6_000], "b.py": SOURCE[6_000:9_000], "now.py": SOURCE[9_000:15_000]}
    editor = Editor(workspace("qwen2", None, **{name[:-3]: text for name, text in texts.items()}), n_ctx=n_ctx)
    undo, places = list[tuple[str, str, int]](), [("now.py", 0)]
    for what, number, text, is_idle in steps:
        at = min(number, len(editor.text))
        match what:
            case "type":
                undo.append((editor.name, editor.text, editor.cursor))
                editor.replace(editor.cursor, editor.cursor, text)
            case "jump":
                editor.cursor = at
            case "switch":
                editor.name = [*texts][number % 3]
                editor.cursor = min(number, len(editor.text))
            case "block":
                undo.append((editor.name, editor.text, editor.cursor))
                editor.replace(at, min(at + 2_000, len(editor.text)), text)
            case "undo" if undo:
                editor.name, old, cursor = undo.pop()
                editor.replace(0, len(editor.text), old)
                editor.cursor = cursor
            case "back":
                editor.name, editor.cursor = places[number % len(places)]
                editor.cursor = min(editor.cursor, len(editor.text))
        places.append((editor.name, editor.cursor))
        state = editor.layouts.state(ROOT)
        prompt = editor.ask(is_idle)
        assert len(prompt.tokens) <= n_ctx - 128
        require_true(editor, prompt, is_idle)
        again = Editor(editor.jay, editor.name, n_ctx=n_ctx, cursor=editor.cursor)
        again.layouts._states[ROOT] = state
        again.layouts._parts[ROOT] = editor.layouts.parts(ROOT)
        again.layouts._windows[ROOT] = editor.layouts.windows(ROOT)
        assert again.ask(is_idle).tokens.tolist() == prompt.tokens.tolist(), "the same texts and state, another prompt"


def require_true(editor: Editor, prompt: Prompt, is_idle: bool) -> None:
    """The prompt shows the text around the cursor as it is; and other files, at least if there was time."""
    spans = {span.kind: prompt.tokens[span.start + 1 : span.end].tolist() for span in prompt.segments}
    tokenize = editor.jay.vocabulary.tokenize
    anchor = editor.layouts.state(ROOT).anchors[f"{ROOT}/{editor.name}"].offset
    assert spans["middle"] == tokenize(editor.text[anchor : editor.cursor]).tolist()
    before = tokenize(editor.text[:anchor]).tolist()
    assert before[len(before) - len(spans["prefix"]) :] == spans["prefix"]
    documents = editor.jay.project.documents
    if is_idle:
        for place in editor.layouts.state(ROOT).places[-1:]:
            assert all(slot.parts or slot.text == documents[slot.key].text for slot in place.slots)
            assert all(one.key != place.key and one.text in documents[one.key].text for one in place.excerpts)


RULES = [
    "",
    '[context]\nnever = ["b.py", "disk2.py"]\nalways = ["disk1.py"]\n',
    '[context]\nonly = "open"\nalways = ["disk2.py"]\n',
    '[context]\nonly = "file"\n',
    '[context]\nnever = ["*"]\n',
]
RULED = st.lists(
    st.tuples(
        st.sampled_from(["type", "type", "switch", "rules", "rules", "close", "open", "disk"]),
        st.integers(0, 59),
        st.booleans(),
    ),
    max_size=16,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(RULED, st.sampled_from(["plain", "anchored"]))
def test_nothing_is_shown_but_what_the_rules_let_in(
    steps: list[tuple[str, int, bool]], name: Literal["plain", "anchored"]
) -> None:
    """At each key, whatever was shown before; and after a pause what is always to be shown is there."""
    jay = workspace("qwen2", None, **{name: SOURCE[n * 900 : n * 900 + 900] for n, name in enumerate("abc")})
    editor = Editor(jay, "a.py", layout=name, n_ctx=1_200)
    disk = [File(f"{ROOT}/disk{number}.py", f"disk{number} = 1\n" * 9) for number in range(4)]
    for what, number, is_idle in steps:
        other = f"{'abc'[number % 3]}.py"
        is_open = jay.project.is_open(f"{ROOT}/{other}")
        match what:
            case "type":
                editor.replace(editor.cursor, editor.cursor, "x = 1\n")
            case "switch" if is_open:
                editor.name, editor.cursor = other, number
            case "rules":
                jay.project.rules = read_context_rules(RULES[number % len(RULES)], jay.project.rules)
            case "close" if is_open and other != editor.name:
                jay.projects.close(f"file://{ROOT}/{other}")
            case "open" if not is_open:
                jay.projects.open(f"file://{ROOT}/{other}", "python", 1, SOURCE[:500], ROOT, str)
            case "disk":
                jay.projects.set_files(ROOT, disk[: number % 5], is_first=False)
        prompt = editor.ask(is_idle)
        others = {span.label for span in prompt.segments if span.kind == "file"} - {editor.name}
        project = jay.project
        documents = {project.label(document): document for document in project.documents.values()}
        for label in others:
            document = documents.get(label)
            assert project.may_show(document) if document else project.rules.may_show(label, is_open=False)
        if is_idle:
            wanted = {label for label, one in documents.items() if project.insists_on(one) and project.may_show(one)}
            assert others >= wanted - {editor.name}


@pytest.mark.parametrize("layout", ["plain", "anchored"])
def test_what_is_always_shown_comes_before_what_was_edited_last(layout: Literal["plain", "anchored"]) -> None:
    texts = {"types": SOURCE[:2_500], **{f"b{number}": SOURCE[2_000:4_500] for number in range(4)}}
    editor = Editor(workspace("qwen2", None, **texts, now="x = 1\n" * 40), layout=layout, n_ctx=2_400)
    editor.ask(is_idle=True)
    assert "types.py" not in shown(editor, "file")
    editor.jay.project.rules = read_context_rules('[context]\nalways = ["types.py"]\n')
    editor.ask(is_idle=True)
    assert "types.py" in shown(editor, "file")
    assert len(shown(editor, "file")) > 1, "others have the room that is left"


def test_a_window_grows_when_there_is_more_room_and_time() -> None:
    editor = Editor(workspace(now=SOURCE[:60_000]), n_ctx=8_000, window_limit=500, cursor=50_000)
    small = editor.ask()
    editor.window_limit = 4_000
    assert editor.ask().tokens.tolist() == small.tokens.tolist(), "not while somebody types"
    large = editor.ask(is_idle=True)
    assert len(large.tokens) > len(small.tokens) + 2_000
    assert editor.ask().tokens.tolist() == large.tokens.tolist()


@given(st.lists(st.tuples(st.sampled_from(["a.py", "b.py", "now.py"]), st.booleans()), min_size=1, max_size=8))
def test_at_a_pause_no_file_is_shown_beside_itself(visits: list[tuple[str, bool]]) -> None:
    """Though it may have been among the others until somebody went there, and may stay so while they type."""
    editor = Editor(
        workspace(a=SOURCE[:2_000], b=SOURCE[2_000:3_000], now=SOURCE[3_000:6_000]), n_ctx=8_000, cursor=500
    )
    for name, is_edited in visits:
        editor.name = name
        editor.ask()
        if is_edited:
            editor.replace(100, 100, "x")
        editor.ask(is_idle=True)
        assert shown(editor, "file").keys() == {"a.py", "b.py", "now.py"} - {name}
