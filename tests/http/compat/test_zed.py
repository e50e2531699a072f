"""Zed's requests for next edits: what the second one costs, and what answers it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scrubjay.nextedit.zed import ZedRegions, read_prompt
from tests.support.api import Api, running_api
from tests.support.gguf_models import tiny_model
from tests.support.service import source
from tests.support.zed import zed_prompt

HEAD = f"<filename>other.py\n{source(60, seed=3)}\n<filename>edit_history\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a\n+b"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tiny_model("deltanet"), tmp_path / "s", n_ctx=8192) as (_, running):
        yield running


def body(prompt: str, **more: Any) -> dict[str, Any]:
    """What Zed posts."""
    return {"model": "zeta", "prompt": prompt, "max_tokens": 8, "temperature": 0.0, "stop": [], **more}


def keys(n: int, is_marked: bool) -> list[str]:
    """The prompts after each of `n` keys, each in the next line: the history grows with each, as in Zed."""
    text = source(200, seed=1)
    offset = text.index("\n", len(text) // 2) + 1
    prompts = []
    for number in range(n):
        prompts.append(zed_prompt(text, offset, f"{HEAD}{'+' * number}\n\n", is_marked))
        text = f"{text[:offset]}#{text[offset:]}"
        offset = text.index("\n", offset) + 1
    return prompts


@pytest.mark.slow
@pytest.mark.parametrize("is_marked", [False, True])
async def test_a_key_costs_what_comes_after_the_history(api: Api, is_marked: bool) -> None:
    first, second = keys(2, is_marked)
    costs = {}
    for anchor in (False, True):
        for prompt in (first, second):
            status, answer = await api.post("/v1/completions", body(prompt, anchor=anchor))
            assert status == 200
        costs[anchor] = answer["reuse"]["needed"], answer["reuse"]["prompt"]
    assert costs[False][0] > 0.95 * costs[False][1], "what follows the region has moved"
    assert costs[True][0] < 0.5 * costs[True][1]
    regions = ZedRegions()
    for prompt in (first, second):
        known = read_prompt(prompt)
        assert known
        shown = regions.anchored(known, "").shown.text
    cold = (await api.post("/v1/completions", body(shown, anchor=False, cold=True)))[1]
    assert answer["choices"][0]["finish_reason"] == cold["choices"][0]["finish_reason"] == "length"
    assert answer["choices"][0]["text"] == cold["choices"][0]["text"]


@pytest.mark.slow
async def test_the_answer_is_one_for_the_region_that_was_sent(api: Api) -> None:
    first, second = keys(2, is_marked=False)
    await api.post("/v1/completions", body(first))
    sent = read_prompt(second)
    assert sent
    region = sent.region.split("\n")
    grammar = 'root ::= "new\\n>>>>>>> UPDATED"'
    answer = (await api.post("/v1/completions", body(second, max_tokens=200, grammar=grammar)))[1]["choices"][0]
    assert answer["finish_reason"] == "stop"
    lines = answer["text"].split("\n")
    assert lines[0] == "new" and lines[-1] == ">>>>>>> UPDATED"
    assert lines[1:-1] == region[-len(lines[1:-1]) - 1 : -1] != [], (
        "the last lines of what Zed sent, which were not shown in it"
    )
