"""Layout, first form: what the model is shown, what gives way when not all fits, and that typing moves nothing."""

import functools
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.errors import PromptRefused
from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.prompt.fim import PLAIN, FimTemplate, find_template
from scrubjay.prompt.frame import LayoutInput
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.plain import plain_prompt
from scrubjay.prompt.segments import Prompt
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.tokens import common_length
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.text import Change
from tests.support import vocabularies
from tests.support.gguf_vocab import source_text

SOURCE = source_text("argparse")


@functools.cache
def cache_of(kind: str) -> TokenCache:
    return TokenCache(vocabularies.open_vocabulary(kind).tokenize, 50_000_000)


@dataclass
class Workspace:
    """A project whose prompts are shown as text again."""

    projects: Projects
    kind: str = "qwen2"
    template: FimTemplate | None = None

    @property
    def project(self) -> Project:
        return self.projects.by_root("/projects/jay")

    def document(self, name: str) -> Document:
        return self.projects.document(f"file:///projects/jay/{name}")

    def edit(self, name: str, text: str) -> None:
        document = self.document(name)
        self.projects.change(document.uri, document.version + 1, [Change(text)])

    def prompt(self, name: str, offset: int, n_ctx: int = 100_000, reserve: int = 100, budget: int = 0) -> Prompt:
        document, template = self.document(name), self.template or find_template(self.vocabulary)
        limits = Limits(n_ctx, reserve, budget)
        return plain_prompt(LayoutInput(self.project, document, offset, template, cache_of(self.kind), limits))

    @property
    def vocabulary(self) -> Vocabulary:
        return vocabularies.open_vocabulary(self.kind)

    def shown(self, prompt: Prompt) -> list[tuple[str, str, str]]:
        """Kind, label and text of each segment; special tokens by their names."""
        names = {self.vocabulary.fim[name]: f"<{name}>" for name in self.vocabulary.fim}
        names[self.vocabulary.bos] = "<bos>" if self.vocabulary.add_bos else "<end>"
        return [
            (
                span.kind,
                span.label,
                b"".join(
                    names[token].encode() if token in names else self.vocabulary.piece(token)
                    for token in prompt.tokens[span.start : span.end].tolist()
                ).decode(),
            )
            for span in prompt.segments
        ]


def workspace(kind: str = "qwen2", template: FimTemplate | None = None, **texts: str) -> Workspace:
    projects = Projects()
    for name, text in texts.items():
        projects.open(f"file:///projects/jay/{name}.py", "python", 1, text, "/projects/jay", lambda path: path)
    return Workspace(projects, kind, template)


def test_the_prompt_is_in_the_form_that_qwen_knows() -> None:
    jay = workspace(a="def a(): pass\n", b="def b(): pass", c="import a\nimport b\n")
    jay.edit("a.py", "def a(): ...\n")
    prompt = jay.prompt("c.py", 13)
    assert jay.shown(prompt) == [
        ("repo", "jay", "<repo>jay\n"),
        ("file", "b.py", "<separator>b.py\ndef b(): pass"),
        ("file", "a.py", "<separator>a.py\ndef a(): ...\n"),
        ("path", "c.py", "<separator>c.py\n"),
        ("prefix", "c.py", "<prefix>import a\nimpo"),
        ("suffix", "c.py", "<suffix>rt b\n"),
        ("middle", "c.py", "<middle>"),
    ]
    assert prompt.boundaries == tuple(span.end for span in prompt.segments[:-1])
    prefix = prompt.segments[4]
    assert prompt.hot == (prefix.start + 1 + len(jay.vocabulary.tokenize("import a\n")),)
    assert len(prompt.reasons) == len(prompt.segments)


def test_a_sentencepiece_model_gets_bos_and_comment_headers() -> None:
    jay = workspace("sentencepiece", a="x = 1", b="y = 2")
    shown = jay.shown(jay.prompt("b.py", 3))
    assert shown[0] == ("repo", "jay", "<bos>")
    assert shown[1][2].lstrip() == "# a.py\n x = 1 \n"
    assert [text.lstrip() for _, _, text in shown[3:]] == ["<prefix> y =", "<suffix>  2", "<middle>"]


def test_suffix_comes_first_for_models_that_learnt_it_so() -> None:
    jay = workspace(a="x = 1")
    jay.template = FimTemplate("spm", 7, 8)
    prompt = jay.prompt("a.py", 3)
    assert [span.kind for span in prompt.segments] == ["path", "suffix", "prefix"]
    assert prompt.tokens[prompt.segments[1].start] == 8


def test_a_model_without_the_tokens_sees_no_suffix() -> None:
    jay = workspace(template=PLAIN, a="x = 1", b="y = 2")
    assert jay.shown(jay.prompt("b.py", 3)) == [
        ("file", "a.py", "# a.py\nx = 1\n"),
        ("path", "b.py", "# b.py\n"),
        ("prefix", "b.py", "y ="),
    ]


def test_what_was_edited_longest_ago_gives_way_first() -> None:
    part = SOURCE[:4_000]
    jay = workspace(a=part, b=part, c=part, d=part, now="x")
    jay.edit("b.py", part)
    size = len(jay.vocabulary.tokenize(part))
    for n_files, expected in ((4, "acdb"), (3, "cdb"), (2, "db"), (1, "b"), (0, "")):
        prompt = jay.prompt("now.py", 1, n_ctx=100 + 500 + n_files * (size + 30))
        files = "".join(span.label[0] for span in prompt.segments if span.kind == "file")
        assert files == expected


def test_a_file_too_big_for_the_context_hides_no_other() -> None:
    jay = workspace(small="y = 2\n", big=SOURCE, now="x")
    labels = [span.label for span in jay.prompt("now.py", 1, n_ctx=2_000).segments if span.kind == "file"]
    assert labels == ["small.py"]


def test_a_context_without_room_is_refused() -> None:
    with pytest.raises(PromptRefused, match="has no room for a prompt"):
        workspace(a="x").prompt("a.py", 1, n_ctx=128, reserve=120)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.data())
def test_every_prompt_fits_and_shows_the_text_around_the_cursor(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["qwen2", "starcoder", "sentencepiece"]))
    texts = [SOURCE[: data.draw(st.sampled_from([0, 10, 3_000, 30_000]))] for _ in range(3)]
    jay = workspace(kind, a=texts[0], b=texts[1], c=texts[2])
    offset = data.draw(st.integers(0, len(texts[2])))
    n_ctx, reserve = data.draw(st.integers(300, 9_000)), data.draw(st.integers(0, 200))
    budget = data.draw(st.sampled_from([0, 100, 1_000, 20_000]))
    prompt = jay.prompt("c.py", offset, n_ctx, reserve, budget)
    assert len(prompt.tokens) <= min(n_ctx - reserve, budget or n_ctx)
    tokenize = jay.vocabulary.tokenize
    spans = {span.kind: prompt.tokens[span.start + 1 : span.end] for span in prompt.segments}
    before, after = tokenize(texts[2][:offset]).tolist(), tokenize(texts[2][offset:]).tolist()
    assert before[len(before) - len(spans["prefix"]) :] == spans["prefix"].tolist()
    assert (len(spans["prefix"]) > 0) == (len(before) > 0)
    assert (len(spans["suffix"]) > 0) == (len(after) > 0)
    if len(spans["suffix"]) < 256 and len(before) + len(after) < 200:
        assert (spans["prefix"].tolist(), spans["suffix"].tolist()) == (before, after)


@pytest.mark.parametrize("n_ctx", [600, 2_000, 8_000])
def test_typing_moves_no_window_but_in_rare_big_steps(n_ctx: int) -> None:
    jay = workspace(a=SOURCE[:20_000], b=SOURCE)
    typed, last = SOURCE[30_000:31_000], None
    n_moved = 0
    for n in range(0, len(typed), 3):
        jay.edit("b.py", SOURCE[:30_000] + typed[:n] + SOURCE[40_000:])
        prompt = jay.prompt("b.py", 30_000 + n, n_ctx)
        if last is not None:
            # Typing a blank line may change the line end before it, no more.
            n_moved += common_length(prompt.tokens, last.tokens) < last.hot[0] - 2
        last = prompt
    prefix = next(span for span in prompt.segments if span.kind == "prefix")
    n_typed = len(jay.vocabulary.tokenize(typed))
    assert n_moved <= 1 + n_typed // ((prefix.end - prefix.start) // 4)


def test_a_line_without_end_is_cut_like_any_other_text() -> None:
    jay = workspace(a="x = [" + "1234, " * 30_000)
    prompt = jay.prompt("a.py", 150_000, n_ctx=1_000)
    kinds = {span.kind: span.end - span.start for span in prompt.segments}
    assert len(prompt.tokens) <= 900
    assert kinds["prefix"] > 300
    assert kinds["suffix"] > 100
