"""What clients ask of llama.cpp's own routes is given, or refused in a sentence."""

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from scrubjay.http.compat.reading import MAX_PROMPTS
from tests.support.api import Api, running_api
from tests.support.gguf_models import tiny_model
from tests.support.service import source

PROMPT = source(10)
PLAIN = {"prompt": PROMPT, "n_predict": 6, "temperature": 0, "ignore_eos": True}
Json = dict[str, Any]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tiny_model("deltanet"), tmp_path / "s") as (_, running):
        yield running


async def complete(api: Api, status: int = 200, **more: object) -> Json:
    got, answer = await api.post("/completion", {**PLAIN, **more})
    assert got == status, answer
    return answer


async def refusal(api: Api, **more: object) -> str:
    sentence: str = (await complete(api, 400, **more))["error"]["message"]
    return sentence


async def tokens_of(api: Api, text: str, **more: object) -> list[int]:
    tokens: list[int] = (await api.post("/tokenize", {"content": text, **more}))[1]["tokens"]
    return tokens


@pytest.mark.slow
async def test_the_tokens_that_were_generated(api: Api) -> None:
    plain = await complete(api)
    assert plain["tokens"] == []
    answer = await complete(api, return_tokens=True)
    assert answer["content"] == plain["content"]
    assert len(answer["tokens"]) == answer["tokens_predicted"] == 6
    assert (await api.post("/detokenize", {"tokens": answer["tokens"]}))[1]["content"] == plain["content"]


async def test_how_likely_they_were(api: Api) -> None:
    answer = await complete(api, n_probs=5, return_tokens=True)
    probabilities = answer["completion_probabilities"]
    assert [each["id"] for each in probabilities] == answer["tokens"]
    assert b"".join(bytes(each["bytes"]) for each in probabilities).decode(errors="replace") == answer["content"]
    for each in probabilities:
        top = [other["logprob"] for other in each["top_logprobs"]]
        assert len(top) == 5
        assert top == sorted(top, reverse=True)
        assert sum(map(math.exp, top)) <= 1 + 1e-6
        assert each["top_logprobs"][0]["id"] == each["id"], "greedy takes the likeliest"
        assert each["logprob"] == top[0]
    assert answer["generation_settings"]["n_probs"] == 5
    assert "completion_probabilities" not in await complete(api)


async def test_all_probabilities_together_are_one(api: Api) -> None:
    """The numbers are those of the whole vocabulary: as many as may be asked for are all of it, but for a rest."""
    answer = await complete(api, n_probs=100, n_predict=1)
    [each] = answer["completion_probabilities"]
    n_tokens = (await api.get("/v1/models"))[1]["data"][0]["meta"]["n_vocab"]
    known = sum(math.exp(other["logprob"]) for other in each["top_logprobs"])
    least = math.exp(each["top_logprobs"][-1]["logprob"])
    assert known <= 1 + 1e-6
    assert known + (n_tokens - 100) * least >= 1 - 1e-6


async def test_what_cannot_be_given_is_refused(api: Api) -> None:
    assert "stream" in await refusal(api, n_probs=2, stream=True)
    assert "stream" in await refusal(api, return_tokens=True, stream=True)
    assert "post_sampling_probs" in await refusal(api, n_probs=2, post_sampling_probs=True)


async def test_a_bias_by_text_by_token_and_by_name(api: Api) -> None:
    first = (await complete(api, return_tokens=True, n_predict=1))["tokens"][0]
    [probability] = (await complete(api, n_probs=1, n_predict=1))["completion_probabilities"]
    text = probability["token"]
    for bias in ([[first, False]], {str(first): -100}, [[text, False]], {text: -100}, [[first, -1e30]]):
        assert (await complete(api, n_predict=1, return_tokens=True, logit_bias=bias))["tokens"] != [first], bias
    other = first - 1 if first else first + 1
    assert (await complete(api, n_predict=1, return_tokens=True, logit_bias=[[other, 1000]]))["tokens"] == [other]
    assert (await complete(api, n_predict=1, return_tokens=True, logit_bias=[]))["tokens"] == [first]


@pytest.mark.slow
@pytest.mark.parametrize("token", [2**32, -(2**20), 10**6, 2**70])
async def test_a_number_that_is_no_token_is_no_other_token_either(api: Api, token: int) -> None:
    first = (await complete(api, return_tokens=True, n_predict=1))["tokens"][0]
    assert f"{first + token} is no token" in await refusal(api, logit_bias=[[first + token, False]])
    assert "is no token" in await refusal(api, prompt=[first + token])


@pytest.mark.slow
@pytest.mark.parametrize(
    "bias", [5, "x", [1], [[1]], [[1, "x"]], [[True, 1]], [[1.5, 1]], [[1, float("nan")]], {"1": {}}]
)
async def test_a_bias_that_is_none(api: Api, bias: object) -> None:
    assert "logit_bias" in await refusal(api, logit_bias=bias)


async def test_penalties_may_look_at_the_whole_context(api: Api) -> None:
    strong: Json = {"frequency_penalty": 100.0, "n_predict": 90}
    nowhere = await complete(api, **strong, repeat_last_n=0)
    everywhere = await complete(api, **strong, repeat_last_n=-1, return_tokens=True)
    assert everywhere["content"] != nowhere["content"]
    assert len(set(everywhere["tokens"])) == 90, "no token comes twice"
    settings = everywhere["generation_settings"]
    assert settings["repeat_last_n"] == settings["n_ctx"]


async def test_special_tokens_are_added_and_read_as_asked(tmp_path: Path) -> None:
    async with running_api(tiny_model("dense_spm"), tmp_path / "s") as (_, api):
        bos = 1
        assert await tokens_of(api, "a", add_special=True) == [bos, *(plain := await tokens_of(api, "a"))]
        assert await tokens_of(api, "a", add_special=True, parse_special=False) == [bos, *plain]
        assert await tokens_of(api, "<s>") == [bos]
        assert len(await tokens_of(api, "<s>", parse_special=False)) > 1


async def test_a_piece_that_is_no_text_is_given_as_bytes(api: Api) -> None:
    pieces = (await api.post("/tokenize", {"content": "漢a", "with_pieces": True}))[1]["tokens"]
    parts = [piece["piece"].encode() if isinstance(piece["piece"], str) else bytes(piece["piece"]) for piece in pieces]
    assert b"".join(parts).decode() == "漢a"
    assert any(isinstance(piece["piece"], list) for piece in pieces)


async def test_prompts_have_a_limit(api: Api) -> None:
    assert len(await complete(api, prompt=["a"] * 3, n_predict=1)) == 3
    sentence = await refusal(api, prompt=["a"] * 20_000, n_predict=1)
    assert sentence == f"`prompt` has 20000 prompts; send at most {MAX_PROMPTS} in one request."


async def test_health_names_what_runs_the_model(api: Api) -> None:
    for path in ("/health", "/v1/health"):
        assert (await api.get(path))[1]["device"] == "cpu", "these models have no GPU"
    assert (await api.get("/api/status"))[1]["model"]["device"] == "cpu"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"prompt": [1] * 300_000}, "`prompt` has 300000 tokens and strings"),
        ({"stop": ["x"] * 2000}, "`stop` has 2000 items"),
        ({"logit_bias": [[1, 1]] * 20_000}, "`logit_bias` has 20000 items"),
        ({"logit_bias": {str(n): 1 for n in range(20_000)}}, "`logit_bias` has 20000 items"),
    ],
)
async def test_arrays_have_limits(api: Api, body: Json, sentence: str) -> None:
    assert sentence in await refusal(api, **body)


async def test_messages_have_a_limit(api: Api) -> None:
    messages = [{"role": "user", "content": "a"}]
    status, answer = await api.post("/v1/chat/completions", {"messages": messages * 5000, "max_tokens": 1})
    assert (status, "`messages` has 5000 items" in answer["error"]["message"]) == (400, True)
    status, answer = await api.post("/v1/chat/completions", {"messages": messages * 20_000, "max_tokens": 1})
    assert (status, "`messages` has 20000 items" in answer["error"]["message"]) == (400, True)


async def test_a_long_text_is_tokenized_whole(api: Api) -> None:
    text = source(600)
    tokens = await tokens_of(api, text)
    assert len(tokens) > 2 * 4096
    assert (await api.post("/detokenize", {"tokens": tokens}))[1]["content"] == text
    assert await tokens_of(api, "") == []
    pieces = (await api.post("/tokenize", {"content": text, "with_pieces": True}))[1]["tokens"]
    assert [piece["id"] for piece in pieces] == tokens
