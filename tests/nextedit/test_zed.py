"""Zed's prompts: shown with the region that was shown before, and answered for the one that was sent."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.nextedit.zed import MARGIN, ZedPrompt, ZedRegions, read_prompt
from scrubjay.nextedit.zeta import CURSOR, MIDDLE, NEW, SUFFIX
from tests.support.zed import zed_prompt

TEXT = "".join(f"def function_{n}(argument):\n    return argument + {n}\n# {n}\n" for n in range(60))
HEAD = "<filename>edit_history\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a\n+b\n\n"
forms = pytest.mark.parametrize("is_marked", [False, True])


def at_line(n: int, text: str = TEXT) -> int:
    return sum(map(len, text.splitlines(keepends=True)[:n]))


def read(text: str) -> ZedPrompt:
    found = read_prompt(text)
    assert found
    return found


@forms
@pytest.mark.parametrize("line", [0, 70, 139])
def test_a_prompt_is_read_and_written_again(line: int, is_marked: bool) -> None:
    text = zed_prompt(TEXT, at_line(line), HEAD, is_marked)
    found = read(text)
    assert found.text == text
    assert found.path == "src/shapes.py"
    assert found.region + found.after in TEXT + "\n"
    for end in range(len(text)):
        assert read_prompt(text[:end]) is None
    assert read_prompt(text.replace(CURSOR, "")) is None
    assert read_prompt(text.replace(SUFFIX, "x" + SUFFIX)) is None
    assert read_prompt(text.replace(MIDDLE, f"and{MIDDLE}")) is None


@forms
def test_a_new_line_leaves_what_comes_first_as_it_is(is_marked: bool) -> None:
    regions, text, offset = ZedRegions(), TEXT, at_line(70)
    first = regions.anchored(read(zed_prompt(text, offset, HEAD, is_marked)), "").shown
    n_kept = 0
    for _ in range(40):
        text, offset = f"{text[:offset]}x = 1\n{text[offset:]}", offset + len("x = 1\n")
        sent = read(zed_prompt(text, offset, HEAD, is_marked))
        shown = regions.anchored(sent, "").shown
        n_kept += shown.below == first.below
        assert shown.region.count("\n", shown.region.index("x = 1")) >= MARGIN
        assert sent.region + sent.after in text
        first = shown
    assert n_kept >= 30


def test_nobody_is_shown_what_another_group_has() -> None:
    regions = ZedRegions()
    regions.anchored(read(zed_prompt(TEXT, at_line(70))), "a")
    sent = read(zed_prompt(TEXT, at_line(72)))
    assert regions.anchored(sent, "b").shown == sent
    assert regions.anchored(read(zed_prompt(TEXT, at_line(71))), "a").shown.below != sent.below


def made(prompt: ZedPrompt, answer: str) -> str:
    """The region of `prompt` and what follows it as Zed has them after `answer`."""
    if not prompt.is_marked:
        new = answer.partition(NEW)[0]
        return new.removesuffix("\n") + prompt.below if prompt.below else new
    (first, start), (last, end) = ((int(m[1]), m) for m in re.finditer(r"<\|marker_(\d+)\|>", answer))
    blocks = [block.replace(CURSOR, "") for block in prompt.blocks]
    if first != last:
        blocks[first - 1 : last - 1] = [answer[start.end() : end.start()]]
    region = "".join(blocks)
    return (region.removesuffix("\n") if last == len(prompt.blocks) + 1 and first != last else region) + prompt.below


@forms
@given(before=st.integers(30, 110), moved=st.integers(-8, 8), data=st.data())
def test_an_answer_makes_of_the_text_what_the_model_would_make_of_what_it_is_shown(
    is_marked: bool, before: int, moved: int, data: st.DataObject
) -> None:
    regions = ZedRegions()
    regions.anchored(read(zed_prompt(TEXT, at_line(before), HEAD, is_marked)), "")
    sent = read(zed_prompt(TEXT, at_line(before + moved), HEAD, is_marked))
    anchored = regions.anchored(sent, "")
    shown = anchored.shown
    starts = [0, *(sum(len(b.replace(CURSOR, "")) for b in shown.blocks[:n]) for n in range(1, len(shown.blocks) + 1))]
    block = data.draw(st.integers(1, len(shown.blocks)))
    old = (
        shown.region[starts[block - 1] : starts[block]]
        if block < len(shown.blocks)
        else shown.region[starts[block - 1] :]
    )
    lines = old.splitlines(keepends=True)
    line = data.draw(st.integers(0, len(lines) - 1))
    lines[line] = data.draw(st.sampled_from(["", "changed\n", "one\ntwo\n"]))
    new = "".join(lines)
    answer = f"<|marker_{block}|>{new}<|marker_{block + 1}|>" if is_marked else f"{new}{NEW}\n"
    got = made(sent, anchored.answer(answer))
    text = sent.region + sent.after
    wanted = shown.region[: starts[block - 1]] + new + text[starts[block - 1] + len(old) :]
    is_before = starts[block - 1] + len("".join(old.splitlines(keepends=True)[: line + 1])) < len(sent.region)
    if is_before or len(shown.region) <= len(sent.region):
        assert got.rstrip("\n") == wanted.rstrip("\n")
    else:  # what is beyond the end of Zed's region cannot be changed
        assert got.rstrip("\n") in (wanted.rstrip("\n"), text.rstrip("\n"))
