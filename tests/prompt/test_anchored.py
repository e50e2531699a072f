"""The anchored layout: what the model sees is the text, and typing only adds to it."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.errors import PromptRefused
from scrubjay.prompt.fim import PLAIN, FimTemplate, find_template
from scrubjay.prompt.frame import LayoutInput
from scrubjay.prompt.layouts import LayoutName, Layouts
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.segments import Prompt
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.tokens import common_length
from scrubjay.workspace.text import Change
from tests.prompt.test_plain import Workspace, cache_of, workspace
from tests.support.gguf_vocab import source_text

SOURCE = source_text("argparse")
CLOSERS = {"(": ")", "[": "]", "{": "}"}


@dataclass
class Editor:
    """Types into one document of a workspace and asks after every key."""

    jay: Workspace
    name: str = "now.py"
    layout: LayoutName = "anchored"
    n_ctx: int = 8_192
    window_limit: int = 0
    cursor: int = 0
    costs: list[int] = field(default_factory=list)
    last: Prompt | None = None

    def __post_init__(self) -> None:
        self.layouts = Layouts(self.layout)

    @property
    def text(self) -> str:
        return self.jay.document(self.name).text

    @property
    def cache(self) -> TokenCache:
        return cache_of(self.jay.kind)

    def replace(self, start: int, end: int, new: str) -> None:
        document = self.jay.document(self.name)
        change = Change(new, document.position_at(start, "utf-32"), document.position_at(end, "utf-32"))
        self.jay.projects.change(document.uri, document.version + 1, [change], "utf-32")
        self.cursor = start + len(new)

    def ask(self, is_idle: bool = False) -> Prompt:
        template = self.jay.template or find_template(self.jay.vocabulary)
        place = (self.jay.project, self.jay.document(self.name), self.cursor)
        limits = Limits(self.n_ctx, 128, window=self.window_limit)
        if is_idle:
            for preparation in self.layouts.parts(self.jay.project.root).missing(
                self.jay.project, limits, self.cache.alone
            ):
                preparation.keep(preparation.run())
            for preparation in self.layouts.windows(self.jay.project.root).missing(self.jay.project):
                preparation.keep(preparation.run())
        prompt = self.layouts.prompt(LayoutInput(*place, template, self.cache, limits, is_idle))
        if self.last is not None:
            n_common = min(common_length(prompt.tokens, self.last.tokens), len(prompt.tokens) - 1)
            self.costs.append(len(prompt.tokens) - n_common)
        self.last = prompt
        return prompt

    def type(self, text: str) -> None:
        """As editors have it typed: closers come by themselves, and so does indentation."""
        for key in _keys(text):
            rest = self.text[self.cursor : self.cursor + 1]
            if key in CLOSERS and rest in ("\n", "", *CLOSERS.values()):
                self.replace(self.cursor, self.cursor, key + CLOSERS[key])
                self.cursor -= 1
            elif key in CLOSERS.values() and rest == key:
                self.cursor += 1
            else:
                self.replace(self.cursor, self.cursor, key)
            self.ask()

    def press(self, key: str) -> None:
        """As an editor has it typed that closes brackets and quotes whatever follows, and lets one type over them."""
        closer = {**CLOSERS, '"': '"', "'": "'"}.get(key)
        if self.text[self.cursor : self.cursor + 1] == key and key in "\"')]}":
            self.cursor += 1
        elif closer:
            self.replace(self.cursor, self.cursor, key + closer)
            self.cursor -= 1
        else:
            self.replace(self.cursor, self.cursor, key)
        self.ask()

    def seen(self) -> dict[str, str]:
        assert self.last is not None
        return {kind: text for kind, _, text in self.jay.shown(self.last)}


def _keys(text: str) -> Iterator[str]:
    """A key each, but a new line comes with its indentation."""
    lines = text.split("\n")
    yield from lines[0]
    for line in lines[1:]:
        yield "\n" + line[: len(line) - len(line.lstrip())]
        yield from line.lstrip()


def test_the_prompt_ends_with_what_was_typed_after_the_anchor() -> None:
    text = "".join(f"line{i} = {i}\n" for i in range(9))
    editor = Editor(workspace(other="x = 1\n", now=text), cursor=text.index("line6") + 5)
    prompt = editor.ask()
    assert editor.jay.shown(prompt) == [
        ("repo", "jay", "<repo>jay\n"),
        ("file", "other.py", "<separator>other.py\nx = 1\n"),
        ("path", "now.py", "<separator>now.py\n"),
        ("prefix", "now.py", "<prefix>line0 = 0\nline1 = 1\n"),
        ("suffix", "now.py", "<suffix> = 6\nline7 = 7\nline8 = 8\n"),
        ("middle", "now.py", "<middle>line2 = 2\nline3 = 3\nline4 = 4\nline5 = 5\nline6"),
    ]
    assert all(prompt.reasons)
    middle = prompt.segments[-1]
    assert prompt.hot == (middle.end - len(editor.jay.vocabulary.tokenize("line6")),)


def test_closers_right_of_the_cursor_are_not_shown_and_change_nothing() -> None:
    editor = Editor(workspace(now="a = 1\n\nb = 2\n"), cursor=6)
    editor.ask()
    editor.type("print(a[0], (1, 2))")
    assert editor.text == "a = 1\nprint(a[0], (1, 2))\nb = 2\n"
    assert editor.seen()["suffix"] == "<suffix>b = 2\n"
    assert max(editor.costs) <= 3


def test_closers_that_were_shown_stay_when_the_line_break_before_them_goes() -> None:
    editor = Editor(workspace(now="x\n)"), cursor=1)
    editor.ask()
    assert editor.seen()["suffix"] == "<suffix>)"
    editor.replace(1, 2, "y")
    editor.ask()
    assert editor.text == "xy)"
    assert editor.seen()["suffix"] == "<suffix>)"
    assert editor.costs == [1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", ["total = compute(first, |) + last(values)[0]", "x = |bar(x)", "x = | 'abc'", "f(|'abc')"]
)
@pytest.mark.parametrize("typed", ["max(alpha, beta[1], {'a': 2}), gamma", "f(g[h({1: 'a'})]), \"b\" + ", "a, b"])
def test_brackets_in_the_middle_of_a_line_cost_no_more_than_letters(line: str, typed: str) -> None:
    before, after = ("    " + line).split("|")
    text = SOURCE[:9_000].rpartition("\n")[0] + "\n" + before
    editor = Editor(workspace(now=text + after + "\n" + SOURCE[9_000:18_000]), cursor=len(text))
    editor.ask()
    for key in typed:
        editor.press(key)
    assert typed in editor.text
    assert sorted(editor.costs)[len(editor.costs) * 95 // 100] <= 4
    assert max(editor.costs) <= 16


@pytest.mark.slow
def test_typing_a_function_costs_what_is_typed() -> None:
    start = SOURCE.index("    def parse_known_args")
    function = SOURCE[start : SOURCE.index("    def ", start + 1)]
    assert len(function) > 1_000
    before, after = SOURCE.split(function)
    costs = {}
    names: tuple[LayoutName, ...] = ("plain", "anchored")
    for name in names:
        jay = workspace(a=SOURCE[:9_000], b=SOURCE[9_000:15_000], now=before[-9_000:] + "\n" + after[:9_000])
        editor = Editor(jay, layout=name, cursor=9_000)
        editor.ask()
        editor.type(function[:500])
        editor.replace(editor.cursor - 4, editor.cursor, "")
        editor.ask()
        editor.type(function[496:])
        costs[name] = sorted(editor.costs)
        assert function in editor.text
    assert statistics.median(costs["anchored"]) <= 4
    assert costs["anchored"][len(costs["anchored"]) * 95 // 100] <= 64
    assert sum(costs["anchored"]) < sum(costs["plain"]) / 20


def test_a_jump_costs_no_more_than_the_windows() -> None:
    editor = Editor(workspace(a=SOURCE[:9_000], now=SOURCE[:20_000]), window_limit=1_000, cursor=15_000)
    editor.ask()
    for editor.cursor in (3_000, 15_000, 19_000):
        editor.ask()
        assert editor.costs[-1] <= 1_000 + 512 + 512


@pytest.mark.parametrize(
    ("kind", "template", "order"),
    [
        ("qwen2", None, ["prefix", "suffix", "middle"]),
        ("sentencepiece", None, ["prefix", "suffix", "middle"]),
        ("qwen2", FimTemplate("spm", 1, 2, 3), ["suffix", "prefix", "middle"]),
        ("qwen2", FimTemplate("spm", 1, 2), ["suffix", "prefix", "middle"]),
        ("qwen2", PLAIN, ["prefix", "middle"]),
    ],
)
def test_every_order_only_appends(kind: str, template: FimTemplate | None, order: list[str]) -> None:
    editor = Editor(workspace(kind, template, now=SOURCE[:4_000] + "\n\n" + SOURCE[4_000:6_000]), cursor=4_001)
    prompt = editor.ask()
    assert [span.kind for span in prompt.segments][-len(order) :] == order
    editor.type("value = compute(first, second)\nreturn value")
    assert max(editor.costs) <= 6
    assert statistics.median(editor.costs) <= 2


def test_the_anchor_is_set_anew_where_it_must_and_says_why() -> None:
    editor = Editor(workspace(now=SOURCE[:8_000]), cursor=5_000)
    line = editor.text.index("\n", 5_000)
    editor.cursor = line

    def reason() -> str:
        prompt = editor.ask()
        return dict(zip((span.kind for span in prompt.segments), prompt.reasons, strict=True))["prefix"]

    assert "first edited" in reason()
    editor.replace(10, 10, "x")
    editor.cursor = line + 1
    assert "text before it changed" in reason()
    editor.replace(line + 20, line + 20, "x")
    editor.cursor = line + 1
    assert "text after it changed" in reason()
    editor.cursor = 100
    assert "the cursor moved" in reason()
    editor.replace(100, 100, "\n" + "word and word " * 150)
    editor.ask()
    editor.replace(editor.cursor, editor.cursor, "more " * 150)
    assert "much was typed" in reason()


def test_idle_time_is_for_what_typing_should_not_pay() -> None:
    editor = Editor(workspace(a="a = 1\n", b="b = 2\n", now=SOURCE[:3_000] + "\n"), cursor=3_000)

    def shown() -> str:
        assert editor.last is not None
        return "".join(text for _, _, text in editor.jay.shown(editor.last))

    editor.ask()
    editor.type("x = 1\n" * 60)
    editor.jay.edit("a.py", "a = 3\n")
    editor.ask()
    assert editor.costs[-1] == 1
    assert "a = 1" in shown()
    middle = editor.ask(is_idle=True).segments[-1]
    assert "a = 3" in shown()
    assert middle.end - middle.start < 60
    editor.type("y = 2")
    assert max(editor.costs[-5:]) <= 3


def test_a_context_without_room_is_refused() -> None:
    with pytest.raises(PromptRefused):
        Editor(workspace(now="x"), n_ctx=130).ask()


def test_a_line_without_end_is_typed_at_the_same_price() -> None:
    editor = Editor(workspace(now="x = [" + "1234, " * 3_000), n_ctx=2_000, cursor=12_000)
    editor.ask()
    editor.type("56, 78, " * 30)
    assert statistics.median(editor.costs) <= 2
    assert editor.last is not None
    assert len(editor.last.tokens) <= 2_000 - 128


@pytest.mark.slow
@settings(max_examples=40)
@given(st.data())
def test_what_the_model_sees_is_the_text_whatever_was_edited(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["qwen2", "starcoder", "sentencepiece"]))
    size = data.draw(st.sampled_from([0, 200, 6_000]))
    n_ctx = data.draw(st.sampled_from([200, 700, 4_000]))
    editor = Editor(workspace(kind, other=SOURCE[:2_000], now=SOURCE[:size]), n_ctx=n_ctx)
    tokenize = editor.jay.vocabulary.tokenize
    last_suffix: list[int] = []
    for _ in range(8):
        start = data.draw(st.one_of(st.just(editor.cursor), st.integers(0, len(editor.text))))
        end = min(len(editor.text), start + data.draw(st.sampled_from([0, 0, 0, 1, 40])))
        editor.replace(start, end, data.draw(st.sampled_from(["x", "\n", "f(", ")", "\n    return 1\n", "", "é🙂"])))
        prompt = editor.ask(is_idle=data.draw(st.booleans()))
        assert len(prompt.tokens) <= n_ctx - 128
        spans = {span.kind: prompt.tokens[span.start + 1 : span.end].tolist() for span in prompt.segments}
        middle, prefix, suffix = spans["middle"], spans["prefix"], spans["suffix"]
        anchor = _anchor(editor, len(middle))
        assert middle == tokenize(editor.text[anchor : editor.cursor]).tolist()
        before = tokenize(editor.text[:anchor]).tolist()
        assert before[len(before) - len(prefix) :] == prefix
        line_end = (editor.text + "\n").index("\n", editor.cursor)
        rest = editor.text[editor.cursor : line_end]
        # Of what editors insert after the cursor nothing need be shown: brackets before other text, sometimes quotes.
        n_brackets, n_closers = (len(rest) - len(rest.lstrip(kinds)) for kinds in (")]}", ")]}\"'`"))
        starts = (
            [*range(editor.cursor + n_brackets, editor.cursor + n_closers + 1)]
            if any(c.isalnum() for c in rest)
            else [line_end + 1]
        )
        if suffix == last_suffix:  # what is shown may stay where it is, if it is the text
            starts += range(editor.cursor, editor.cursor + n_closers + 1)
        last_suffix = suffix
        shown = _text(editor, suffix)
        assert any(editor.text[start:].startswith(shown) for start in starts)


def _anchor(editor: Editor, n_middle: int) -> int:
    """The anchor that the last prompt was made with."""
    tokenize = editor.jay.vocabulary.tokenize
    anchor = editor.layouts.state("/projects/jay").anchors["/projects/jay/now.py"].offset
    assert len(tokenize(editor.text[anchor : editor.cursor])) == n_middle
    return anchor


def _text(editor: Editor, tokens: list[int]) -> str:
    text = b"".join(editor.jay.vocabulary.piece(token) for token in tokens).decode(errors="ignore")
    return text.removeprefix(" ") if editor.jay.kind == "sentencepiece" else text
