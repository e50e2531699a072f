"""What OpenAI's clients ask for beyond text: probabilities, the prompt itself, reasons for the end."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp.test_utils import unused_port

from scrubjay.http.app import serving
from scrubjay.http.guard import Address
from tests.support.gguf_models import tiny_model
from tests.support.service import running_service, until_state

COMPLETION: dict[str, Any] = {"model": "any", "prompt": "def f(", "max_tokens": 5, "temperature": 0}
CHAT: dict[str, Any] = {"model": "any", "max_tokens": 5, "temperature": 0}
MESSAGES: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    port = unused_port()
    address = Address("127.0.0.1", port)
    async with running_service(tiny_model("deltanet"), 4096) as service, serving(service, tmp_path / "s", address):
        await until_state(service, "ready")
        async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any") as client:
            yield client


async def test_probabilities_of_a_completion(client: openai.AsyncOpenAI) -> None:
    choice = (await client.completions.create(**COMPLETION, logprobs=3)).choices[0]
    found = choice.logprobs
    assert found
    assert found.tokens and found.token_logprobs and found.top_logprobs and found.text_offset
    assert "".join(found.tokens) == choice.text
    assert len(found.tokens) == len(found.token_logprobs) == len(found.top_logprobs) == len(found.text_offset)
    assert all(len(top) <= 3 and value <= 0 for top in found.top_logprobs for value in top.values())
    assert [
        choice.text[offset:].startswith(token) for offset, token in zip(found.text_offset, found.tokens, strict=True)
    ]
    assert (await client.completions.create(**COMPLETION)).choices[0].logprobs is None
    with pytest.raises(openai.BadRequestError, match="stream"):
        await client.completions.create(**COMPLETION, logprobs=3, stream=True)


@pytest.mark.slow
async def test_probabilities_of_a_message(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(**CHAT, messages=MESSAGES, logprobs=True, top_logprobs=2)
    choice = answer.choices[0]
    assert choice.logprobs and choice.logprobs.content
    assert len(choice.logprobs.content) == 5
    assert all(len(token.top_logprobs) == 2 for token in choice.logprobs.content)
    assert b"".join(bytes(token.bytes or []) for token in choice.logprobs.content).decode() == choice.message.content
    bare = await client.chat.completions.create(**CHAT, messages=MESSAGES, logprobs=True)
    assert bare.choices[0].logprobs and bare.choices[0].logprobs.content
    assert all(token.top_logprobs == [] for token in bare.choices[0].logprobs.content)
    with pytest.raises(openai.BadRequestError, match="logprobs: true"):
        await client.chat.completions.create(**CHAT, messages=MESSAGES, top_logprobs=2)


async def test_the_prompt_comes_first_if_it_is_asked_for(client: openai.AsyncOpenAI) -> None:
    plain = (await client.completions.create(**COMPLETION)).choices[0].text
    assert (await client.completions.create(**COMPLETION, echo=True)).choices[0].text == "def f(" + plain
    stream = await client.completions.create(**COMPLETION, echo=True, stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == "def f(" + plain
    several = {**COMPLETION, "prompt": ["a", "b = "]}
    texts = [choice.text for choice in (await client.completions.create(**several, echo=True)).choices]
    assert [texts[0][:1], texts[1][:4]] == ["a", "b = "]
    with pytest.raises(openai.BadRequestError, match="echo"):
        await client.completions.create(**COMPLETION, echo=True, logprobs=1)


async def test_a_prompt_of_tokens_comes_first_as_text(client: openai.AsyncOpenAI) -> None:
    numbers = await client.post("/../tokenize", body={"content": "größe = ("}, cast_to=object)
    tokens = numbers["tokens"]  # type: ignore[index]
    answer = await client.completions.create(**{**COMPLETION, "prompt": tokens}, echo=True)
    assert answer.choices[0].text.startswith("größe = (")


async def test_the_usage_is_that_of_all_prompts(client: openai.AsyncOpenAI) -> None:
    one = (await client.completions.create(**COMPLETION)).usage
    two = (await client.completions.create(**{**COMPLETION, "prompt": ["def f(", "def f("]})).usage
    assert one and two
    assert (two.prompt_tokens, two.completion_tokens) == (2 * one.prompt_tokens, 2 * one.completion_tokens)


async def test_no_room_for_text_ends_by_length(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(**{**COMPLETION, "max_tokens": 0})
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("", "length")


@pytest.mark.slow
async def test_a_prediction_saves_decodes_and_changes_nothing(tmp_path: Path) -> None:
    """Right or wrong, in parts or alone, streamed or not; and what it was good for is told."""
    port = unused_port()
    address = Address("127.0.0.1", port)
    async with (
        running_service(tiny_model("dense"), 4096, draft=8) as service,
        serving(service, tmp_path / "s", address),
        openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any") as client,
    ):
        await until_state(service, "ready")

        async def drafted(prediction: Any) -> tuple[str, int, int]:
            answer = await client.chat.completions.create(
                **CHAT | {"max_tokens": 40}, messages=MESSAGES, prediction={"type": "content", "content": prediction}
            )
            details = answer.usage.completion_tokens_details if answer.usage else None
            assert details
            n_right, n_wrong = details.accepted_prediction_tokens or 0, details.rejected_prediction_tokens or 0
            assert answer.timings["draft_n"] == n_right + n_wrong
            return answer.choices[0].message.content or "", n_right, n_wrong

        text, _, n_wrong = await drafted("nothing of that")
        assert n_wrong > 0
        again, n_right, n_wrong = await drafted(text)
        assert again == text
        assert n_right >= 10
        parts: Any = [{"type": "text", "text": text[:20]}, {"type": "text", "text": text[20:]}]
        assert (await drafted(parts))[0] == text
