"""Prompts that clients make themselves: as they are sent, but those for filling in so that typing only adds tokens."""

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.prompt.client_prompts import RawPrompt, ReadyMadePrompt, find_ready_made
from scrubjay.prompt.fim import FimTemplate, find_template
from scrubjay.prompt.infill_history import InfillHistory
from scrubjay.prompt.layouts import Layouts
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.recipe import PromptTools
from scrubjay.prompt.segments import Prompt
from scrubjay.tokenizer.token_cache import TokenCache
from scrubjay.tokens import common_length
from tests.support.gguf_vocab import source_text
from tests.support.vocabularies import open_vocabulary

SOURCE = source_text("argparse")
QWEN = open_vocabulary("qwen2")
TEMPLATE = find_template(QWEN)


def tools(n_ctx: int = 8192, template: FimTemplate = TEMPLATE) -> PromptTools:
    cache = TokenCache(QWEN.tokenize, 1 << 22)
    return PromptTools(QWEN, template, cache, Layouts(), InfillHistory(), Limits(n_ctx, 512))


def asked(before: str, after: str, middle: str = "", anchor: bool = True) -> RawPrompt:
    return RawPrompt((f"<|fim_prefix|>{before}<|fim_suffix|>{after}<|fim_middle|>{middle}",), anchor)


def shown(prompt: Prompt) -> dict[str, str]:
    return {span.kind: QWEN.detokenize(prompt.tokens[span.start : span.end]) for span in prompt.segments}


def costs(windows: list[tuple[str, str]], own: PromptTools) -> list[int]:
    last, found = None, []
    for before, after in windows:
        tokens = asked(before, after).make(own).tokens
        if last is not None:
            found.append(len(tokens) - min(common_length(last, tokens), len(tokens) - 1))
        last = tokens
    return found


@pytest.mark.parametrize(("n_before", "n_after", "by_lines"), [(1_100, 500, True), (6_000, 2_000, False)])
def test_a_window_that_slides_costs_what_is_typed(n_before: int, n_after: int, by_lines: bool) -> None:
    text, after = SOURCE[:20_000].rpartition("\n")[0] + "\n    total = ", "\n\n\n" + SOURCE[20_000:30_000]
    windows = []
    for key in "sum(values) / len(values)":
        text += key
        window = text[-n_before:]
        windows.append((window[window.find("\n") + 1 :] if by_lines else window, after[:n_after]))
    found = costs(windows, tools())
    assert statistics.median(found) <= 3
    assert sorted(found)[len(found) * 95 // 100] <= 16


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(0, 3_000), st.integers(0, 2_000), st.sampled_from(["", "x = f(", "\n  "]))
def test_the_model_sees_what_the_client_sent(start: int, n_before: int, n_after: int, middle: str) -> None:
    before, after = SOURCE[start : start + n_before], SOURCE[start + n_before :][:n_after]
    prompt = asked(before, after, middle).make(tools())
    parts = shown(prompt)
    assert parts.get("prefix", "") + parts["middle"] == before + middle
    assert parts.get("suffix", "") == after
    assert prompt.segments[0].start == 0
    assert prompt.segments[-1].end == len(prompt.tokens)


def test_as_sent_it_is_as_sent() -> None:
    prompt = asked("a = 1\n", "\nc = 3\n", "b =", anchor=False).make(tools())
    assert prompt.tokens.tolist() == QWEN.tokenize(str(asked("a = 1\n", "\nc = 3\n", "b =").parts[0]), True).tolist()


@pytest.mark.parametrize(
    "text",
    [
        "def f():",
        "<|fim_prefix|>a<|fim_middle|>",
        "<|fim_suffix|>a<|fim_prefix|>b<|fim_middle|>",
        "<|fim_prefix|>a<|fim_prefix|>b<|fim_suffix|>c<|fim_middle|>",
    ],
)
def test_other_prompts_stay_as_they_are(text: str) -> None:
    assert find_ready_made(text, QWEN, TEMPLATE) is None
    assert RawPrompt((text,), anchor=True).make(tools()).tokens.tolist() == QWEN.tokenize(text, True).tolist()


def test_the_order_is_that_of_the_model() -> None:
    spm = FimTemplate("spm", TEMPLATE.prefix, TEMPLATE.suffix, TEMPLATE.middle)
    text = "<|repo_name|>x\n<|fim_suffix|>after<|fim_prefix|>before<|fim_middle|>middle"
    assert find_ready_made(text, QWEN, spm) == ReadyMadePrompt("<|repo_name|>x\n", "before", "after", "middle")
    prompt = RawPrompt((text,), anchor=True).make(tools(template=spm))
    assert [span.kind for span in prompt.segments] == ["path", "suffix", "prefix", "middle"]
