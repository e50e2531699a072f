"""The frame of prompts: one that is kept is the one that would be made."""

import functools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scrubjay.prompt.fim import PLAIN, FimTemplate, find_template
from scrubjay.prompt.frame import LayoutInput, PromptFrame, prompt_frame
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.segments import Segment, part_tokens
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project, Tail
from tests.support import vocabularies


@functools.cache
def cache() -> TokenCache:
    return TokenCache(vocabularies.open_vocabulary("qwen2").tokenize, 1_000_000)


def layout(root: str, name: str, tails: list[Tail], template: FimTemplate, limits: Limits) -> LayoutInput:
    project, document = Project(root), Document(f"file://{root}/{name}", "python", 1, "x = 1\n")
    project.show(document)
    for tail in tails:
        project.add_tail(tail)
    return LayoutInput(project, document, 0, template, cache(), limits, is_idle=True)


KEYS = st.sampled_from(("", "/a/jay/one.py", "/a/jay/two.py"))
DIFF = "diff --git a/{0} b/{0}\n@@ -1 +1 @@\n-old\n+{1}\n"
DIFFS = st.builds(DIFF.format, st.sampled_from(("one.py", "two.py")), st.sampled_from(("new", "newer " * 50)))
OUTPUTS = st.builds(Tail, st.sampled_from("ab"), st.sampled_from(("error", "warning: " * 20)), st.booleans(), KEYS)
TAILS = OUTPUTS | st.builds(lambda text: Tail("diff", text, once=False, is_diff=True), DIFFS)
LAYOUTS = st.builds(
    layout,
    st.sampled_from(("/a/jay", "/b/jay", "/a/magpie")),
    st.sampled_from(("one.py", "two.py", "lib/one.py")),
    st.lists(TAILS, max_size=2),
    st.sampled_from((PLAIN, find_template(vocabularies.open_vocabulary("qwen2")))),
    st.sampled_from((Limits(2048, 128), Limits(2048, 256), Limits(256, 128), Limits(2048, 128, 200))),
)


def parts(frame: PromptFrame) -> object:
    def tokens(segment: Segment) -> tuple[str, str, list[int]]:
        return segment.kind, segment.label, part_tokens(segment.parts, cache()).tolist()

    return tokens(frame.start), tokens(frame.path), frame.room, [tokens(tail) for tail in frame.tails]


@given(LAYOUTS, LAYOUTS)
def test_a_frame_is_kept_only_as_long_as_it_is_the_same(before: LayoutInput, now: LayoutInput) -> None:
    last, fresh = prompt_frame(before), prompt_frame(now)
    assert parts(prompt_frame(now, last)) == parts(fresh)
    assert prompt_frame(now, fresh) is fresh


@given(LAYOUTS)
def test_a_tail_of_a_document_is_shown_in_its_prompts_only(layout: LayoutInput) -> None:
    tails = layout.project.tails.values()
    wanted = [tail.name for tail in tails if tail.key in ("", layout.document.key)]
    wanted = sorted(wanted, key="diff".__eq__)
    shown = [segment.label for segment in prompt_frame(layout).tails]
    if "diff" in wanted and layout.project.label(layout.document) in layout.project.tails["diff"].text:
        wanted.remove("diff")  # there is nothing in it but what is edited
    assert shown == wanted or (layout.limits.n_ctx == 256 and set(shown) <= set(wanted)), "there may be no room"


@given(LAYOUTS, LAYOUTS)
def test_while_somebody_types_a_diff_is_what_it_was(before: LayoutInput, now: LayoutInput) -> None:
    last, typing = prompt_frame(before), replace(now, is_idle=False)
    (*outputs,) = (tail for tail in now.project.tails.values() if not tail.is_diff)
    project = Project(now.project.root)
    project.show(now.document)
    for tail in (*outputs, *(tail for tail in before.project.tails.values() if tail.is_diff)):
        project.add_tail(tail)
    assert parts(prompt_frame(typing, last)) == parts(prompt_frame(replace(now, project=project)))
    assert parts(prompt_frame(typing)) == parts(prompt_frame(now)), "nothing was shown before"


@given(st.integers(0, 300), st.integers(1, 3))
def test_what_a_diff_grows_by_moves_little(n_lines: int, n_more: int) -> None:
    """What stands before it has the same room, but for a few steps."""

    def room(n: int) -> int:
        tail = Tail("diff", DIFF.format("two.py", "line\n" * n), once=False, is_diff=True)
        return prompt_frame(layout("/a/jay", "one.py", [tail], PLAIN, Limits(4096, 512))).room

    assert len({room(n) for n in range(n_lines, n_lines + n_more + 1)}) <= 2
    assert len({room(n) for n in range(0, 2000, 50)}) <= 5
