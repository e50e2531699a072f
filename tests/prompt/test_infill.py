"""What `/infill` makes of windows: the text as the client has it, in an order in which typing only adds tokens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.code_text import without_closers
from scrubjay.errors import RequestError
from scrubjay.prompt.fim import find_template
from scrubjay.prompt.infill import InfillPrompt, split_at_line
from scrubjay.prompt.infill_history import MAX_CLIENTS, MAX_OUTDATED, Extra, InfillHistory
from scrubjay.prompt.layouts import Layouts
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.recipe import PromptTools
from scrubjay.prompt.segments import Prompt
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.tokens import common_length
from tests.support.gguf_vocab import source_text
from tests.support.vocabularies import open_vocabulary

LINES = source_text("argparse").splitlines(keepends=True)


def kit(n_ctx: int = 8192, reserve: int = 512) -> PromptTools:
    vocabulary = open_vocabulary("qwen2")
    cache = TokenCache(vocabulary.tokenize, 1 << 22)
    return PromptTools(vocabulary, find_template(vocabulary), cache, Layouts(), InfillHistory(), Limits(n_ctx, reserve))


def shown(prompt: Prompt, kind: str) -> str:
    """The text of the segments of that kind, without special tokens."""
    parts = [prompt.tokens[span.start : span.end] for span in prompt.segments if span.kind == kind]
    return "".join(open_vocabulary("qwen2").detokenize(part) for part in parts)


def asked(line: int, typed: str = "", n_lines: int = 256, **more: object) -> InfillPrompt:
    """What llama.vim sends at the end of `typed`, put before that line."""
    prefix = "".join(LINES[max(line - n_lines, 0) : line])
    return InfillPrompt(prefix, "\n" + "".join(LINES[line : line + 64]), typed, **more)  # type: ignore[arg-type]


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(0, len(LINES) - 1), st.sampled_from(["", "    if x", "é漢🎉 = 1"]), st.booleans())
def test_the_model_sees_what_the_client_sends(line: int, typed: str, anchor: bool) -> None:
    recipe = asked(line, typed, anchor=anchor)
    prompt = recipe.make(kit())
    # What the prompt leaves out before the cursor, the model has to write.
    before = shown(prompt, "prefix") + shown(prompt, "middle") + recipe.typed
    assert (recipe.prefix + typed).endswith(before)
    assert before.endswith(typed)
    assert shown(recipe.unhealed.make(kit()), "middle").endswith(typed)
    assert recipe.suffix.endswith(shown(prompt, "suffix")) or shown(prompt, "suffix") in recipe.suffix


def test_typing_only_adds_tokens_though_the_window_slides() -> None:
    with_streams = kit()
    text, costs, last = [*LINES[:500]], list[int](), None
    for typed in ("    def walk(self):", "        for node in self:", "            yield node"):
        for end in range(1, len(typed) + 1):
            recipe = InfillPrompt("".join(text[-256:]), "\n" + "".join(LINES[500:564]), typed[:end])
            prompt = recipe.make(with_streams)
            if last is not None:
                costs.append(len(prompt.tokens) - common_length(last.tokens, prompt.tokens))
            last = prompt
        text.append(typed + "\n")
    assert max(costs) <= 8


def test_as_sent_it_is_the_prompt_of_llama_cpps_server() -> None:
    prompt = InfillPrompt("a = 1\n", "\nc = 3\n", "b =", (Extra("x.py", "import os\n"),), anchor=False).make(kit())
    text = "".join(open_vocabulary("qwen2").detokenize(prompt.tokens[:]))
    vocabulary = open_vocabulary("qwen2")
    expected = vocabulary.tokenize(
        "<|repo_name|>myproject\n<|file_sep|>x.py\nimport os\n<|file_sep|>filename\n"
        "<|fim_prefix|>a = 1\n<|fim_suffix|>\nc = 3\n<|fim_middle|>b =",
        special=True,
    )
    assert text == vocabulary.detokenize(expected)
    assert len(prompt.tokens) == len(expected)


def test_of_other_texts_the_last_ones_are_kept() -> None:
    extras = tuple(Extra(f"{number}.py", "".join(LINES[:100])) for number in range(20))
    prompt = asked(300, extras=extras).make(kit(n_ctx=4096))
    labels = [span.label for span in prompt.segments if span.kind == "file"]
    assert labels == [extra.filename for extra in extras[-len(labels) :]]
    assert 0 < len(labels) < 20
    assert len(prompt.tokens) <= 4096 - 512


def test_only_other_texts_are_a_beginning_of_the_prompt_that_comes() -> None:
    extras = (Extra("a.py", "import os\n"), Extra("b.py", "import re\n"))
    with_streams = kit()
    ring = InfillPrompt("", "", "", extras).make(with_streams)
    whole = asked(40, extras=extras).make(with_streams)
    assert common_length(ring.tokens, whole.tokens) == len(ring.tokens)


def test_a_context_that_is_too_small_is_refused() -> None:
    with pytest.raises(RequestError, match="--ctx"):
        asked(10).make(kit(n_ctx=32, reserve=8))


def test_only_so_many_texts_are_remembered() -> None:
    streams = InfillHistory()
    windows = [f"# text {number}\n" * 30 for number in range(MAX_CLIENTS + 1)]
    keys = [streams.extend(window).key for window in windows]
    assert len(set(keys)) == MAX_CLIENTS + 1
    assert streams.extend(windows[-1]).key == keys[-1]
    assert streams.extend(windows[0]).key not in keys


@pytest.mark.parametrize("rest", ["\n", ")\n", ""])
def test_behind_an_indentation_the_model_goes_on_from_the_start_of_the_line(rest: str) -> None:
    before = "".join(LINES[:40])
    indented, at_start = InfillPrompt(before, rest, "        "), InfillPrompt(before, rest)
    assert (indented.indent, at_start.indent) == ("        ", "")
    assert indented.make(kit()).tokens.tolist() == at_start.make(kit()).tokens.tolist()
    assert InfillPrompt(before + "        ", rest).indent == "        ", "wherever the client cuts"


def test_what_is_typed_or_as_sent_stays_before_the_answer() -> None:
    assert InfillPrompt("", "\n", "    x").indent == ""
    assert InfillPrompt("", "x\n", "    ").indent == "", "there are words after the cursor"
    sent = InfillPrompt("a = 1\n", "\n", "    ", anchor=False)
    assert sent.indent == ""
    assert shown(sent.make(kit()), "middle") == "    "


def test_closers_that_the_editor_has_already_are_not_written_twice() -> None:
    assert InfillPrompt("", ") \nmore", "print(").closers == ")"
    assert InfillPrompt("", ") + 1\n", "print(").closers == ""
    assert InfillPrompt("", ")\n", "print(", anchor=False).closers == ""
    assert without_closers("f(x)) ", ")") == "f(x)"
    assert without_closers("f(x)", ")") == without_closers("f(x)", "") == "f(x)"
    assert without_closers('"(")', ")") == '"("'
    assert without_closers('x"', '"') == "x"
    assert without_closers("x)\ny", ")") == "x)\ny"


@given(st.text("ab\n"))
def test_a_text_is_split_at_its_last_line(text: str) -> None:
    before, line = split_at_line(text)
    assert before + line == text
    assert "\n" not in line
    assert not before or before.endswith("\n")


RING_A = (Extra("a.py", "".join(LINES[600:640])), Extra("b.py", "".join(LINES[700:740])))
RING_B = (*RING_A, Extra("c.py", "".join(LINES[800:840])))


def test_new_texts_are_read_with_the_window_while_typing_goes_on_with_the_old_ones() -> None:
    tools = kit()
    before = asked(500, "    x", extras=RING_A).make(tools)
    ahead = InfillPrompt("", "", "", RING_B).make(tools)
    assert ahead.on_read
    typed = asked(500, "    xy", extras=RING_B).make(tools)
    assert len(typed.tokens) - common_length(before.tokens, typed.tokens) <= 3
    ahead.on_read()
    after = asked(500, "    xyz", extras=RING_B).make(tools)
    assert len(after.tokens) - common_length(ahead.tokens, after.tokens) <= 4
    assert "c.py" in shown(after, "file")


def test_texts_that_nobody_announced_are_shown_at_once() -> None:
    tools = kit()
    asked(500, "    x", extras=RING_A).make(tools)
    assert "c.py" in shown(asked(500, "    xy", extras=RING_B).make(tools), "file")


def test_texts_that_are_never_read_are_shown_all_the_same() -> None:
    tools = kit()
    asked(500, "    x", extras=RING_A).make(tools)
    InfillPrompt("", "", "", RING_B).make(tools)
    showing = [
        "c.py" in shown(asked(500, "    xy", extras=RING_B).make(tools), "file") for _ in range(MAX_OUTDATED + 1)
    ]
    assert showing == [False] * MAX_OUTDATED + [True]


def test_of_two_sets_that_are_read_the_newer_one_counts() -> None:
    tools = kit()
    asked(500, "    x", extras=RING_A).make(tools)
    older, newer = (InfillPrompt("", "", "", ring).make(tools) for ring in (RING_B, RING_B[1:]))
    assert older.on_read
    assert newer.on_read
    newer.on_read()
    older.on_read()
    last = asked(500, "    xy", extras=RING_B[1:]).make(tools)
    assert len(last.tokens) - common_length(newer.tokens, last.tokens) <= 3
