"""Conversations as clients send them, and the prompts that they become."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, running_api
from tests.support.gguf_models import tiny_model

USER = {"role": "user", "content": "Hi"}
SAID = {"role": "assistant", "content": "I am"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "t", "arguments": "{}"}}],
}
START = "<|im_start|>"
ASKED = f"{START}user\nHi<|im_end|>\n"
OPEN = f"{ASKED}{START}assistant\n"
WHOLE = f"{OPEN}I am<|im_end|>\n"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tiny_model("deltanet"), tmp_path / "s") as (_, running):
        yield running


async def prompt(api: Api, *messages: dict[str, Any], **more: object) -> str:
    status, answer = await api.post("/apply-template", {"messages": messages, **more})
    text: str = answer["prompt"] if status == 200 else answer["error"]["message"]
    return text


async def test_where_the_assistants_last_message_ends(api: Api) -> None:
    assert await prompt(api, USER) == OPEN
    assert await prompt(api, USER, add_generation_prompt=False) == ASKED
    assert await prompt(api, USER, SAID) == OPEN + "I am"
    assert await prompt(api, USER, SAID, continue_final_message=True, add_generation_prompt=False) == OPEN + "I am"
    assert await prompt(api, USER, SAID, continue_final_message=True) == OPEN + "I am"
    assert await prompt(api, USER, SAID, add_generation_prompt=False) == WHOLE
    assert await prompt(api, USER, SAID, continue_final_message=False) == f"{WHOLE}{START}assistant\n"
    assert "needs a last message" in await prompt(api, USER, continue_final_message=True)
    assert "needs a last message" in await prompt(api, USER, CALL, continue_final_message=True)


async def test_what_is_gone_on_with_is_not_said_again(api: Api) -> None:
    body = {"messages": [USER, SAID], "max_tokens": 4, "temperature": 0}
    _, answer = await api.post("/v1/chat/completions", body)
    _, plain = await api.post("/completion", {"prompt": OPEN + "I am", "n_predict": 4, "temperature": 0})
    assert answer["choices"][0]["message"]["content"] == plain["content"]


async def test_a_developer_is_the_system(api: Api) -> None:
    brief = {"content": "Be brief."}
    system = await prompt(api, {"role": "system", **brief}, USER)
    assert await prompt(api, {"role": "developer", **brief}, USER) == system
    assert f"{START}system\nBe brief." in system


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "text"),
    [
        ({"type": "text", "text": "Yes."}, "Yes."),
        ({"type": "input_text", "text": "Yes."}, "Yes."),
        ({"type": "output_text", "text": "Yes."}, "Yes."),
        ({"type": "refusal", "refusal": "No."}, "No."),
        ({"text": "Yes."}, "Yes."),
    ],
)
async def test_parts_that_are_text(api: Api, part: dict[str, str], text: str) -> None:
    said = {"role": "assistant", "content": [part]}
    assert await prompt(api, USER, said) == OPEN + text
    assert await prompt(api, USER, said, USER) == f"{OPEN}{text}<|im_end|>\n{OPEN}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["image_url", "input_audio", "file"])
async def test_parts_that_are_none(api: Api, kind: str) -> None:
    assert f"'{kind}'" in await prompt(api, {"role": "user", "content": [{"type": kind}]})


async def test_calls_and_their_results(api: Api) -> None:
    for message in (CALL, {key: value for key, value in CALL.items() if key != "content"}):
        for result in ("42", [{"type": "text", "text": "42"}]):
            text = await prompt(api, USER, message, {"role": "tool", "tool_call_id": "1", "content": result})
            assert text.endswith(f"{START}tool\n42<|im_end|>\n{START}assistant\n")
    assert await prompt(api, {"role": "user"}) == f"{START}user\n<|im_end|>\n{START}assistant\n"
