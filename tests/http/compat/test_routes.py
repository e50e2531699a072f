"""Requests as llama.vim, llama.vscode, gptel, Continue and Tabby send them, and OpenAI's own package, on a hybrid model."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

import openai
import pytest
from aiohttp.test_utils import unused_port

from scrubjay.http.app import serving
from scrubjay.http.guard import Address
from tests.support.api import BASE, Api, connected, running_api
from tests.support.gguf_models import tiny_model
from tests.support.service import running_service, source, until_state

Json = dict[str, Any]
INTERVAL = 64
ACCEPTED_BY_VIM = re.compile(r'^\s*\{.*"content"\s*:"', re.DOTALL)
TIMINGS = [
    f"timings/{name}"
    for kind in ("prompt", "predicted")
    for name in (f"{kind}_n", f"{kind}_ms", f"{kind}_per_token_ms", f"{kind}_per_second")
]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with running_api(tiny_model("deltanet"), tmp_path / "s", n_ctx=16384) as (_, running):
        yield running


def vim(lines: list[str], line: int, column: int, **more: object) -> Json:
    """What llama.vim sends for a place of a file."""
    current = lines[line]
    return {
        "id_slot": 0,
        "input_prefix": "".join(f"{text}\n" for text in lines[max(line - 256, 0) : line]),
        "input_suffix": "".join(f"{text}\n" for text in [current[column:], *lines[line + 1 : line + 65]]),
        "input_extra": [{"text": source(60, seed=9), "time": [1, 2], "filename": "a.py"}],
        "prompt": current[:column],
        "n_predict": 4,
        "stop": [],
        "n_indent": 4,
        "top_k": 40,
        "top_p": 0.9,
        "samplers": ["top_k", "top_p", "infill"],
        "stream": False,
        "cache_prompt": True,
        "t_max_predict_ms": 250,
        "response_fields": ["content", *TIMINGS, "truncated", "tokens_cached"],
        "model": "",
        **more,
    }


@pytest.mark.slow
async def test_llama_vim_accepts_the_answer(api: Api) -> None:
    body = vim(source().splitlines(), 40, 4)
    async with api.http.post(BASE + "/infill", json=body, headers={"Authorization": "Bearer "}) as response:
        text = await response.text()
    assert response.status == 200
    assert ACCEPTED_BY_VIM.match(text)
    assert "\n" not in text
    answer = json.loads(text)
    assert answer.keys() == {*body["response_fields"]}
    assert all(isinstance(answer[name], int | float) for name in TIMINGS)


@pytest.mark.slow
async def test_preparing_answers_with_nothing_and_prepares(api: Api) -> None:
    lines = source().splitlines()
    nothing = {"input_prefix": "", "input_suffix": "", "prompt": "", "n_predict": 0, "response_fields": [""]}
    assert await api.post("/infill", vim(lines, 40, 0, **nothing, t_max_prompt_ms=1)) == (200, {})
    status, answer = await api.post("/infill", vim(lines, 40, 0, response_fields=None))
    assert status == 200
    assert answer["timings"]["cache_n"] > 0


@pytest.mark.slow
async def test_a_model_without_tokens_for_it_fills_in_by_chatting(tmp_path: Path) -> None:
    async with running_api(tiny_model("dense_plain"), tmp_path / "s") as (_, plain):
        forced = {"grammar": r'root ::= "x = 1\n```\nThat is it."', "response_fields": ["content"]}
        body = vim(source().splitlines(), 40, 0, **forced, t_max_predict_ms=None, n_predict=32)
        assert await plain.post("/infill", body) == (200, {"content": "x = 1\n"})


@pytest.mark.slow
async def test_llama_vscode_accepts_the_answer(api: Api) -> None:
    body = vim(source().splitlines(), 40, 4, response_fields=None, n_cmpl=3, model="google/gemini-2.5-flash", lora=[])
    status, answers = await api.post("/infill", body)
    assert status == 200
    for answer in answers if isinstance(answers, list) else [answers]:
        assert answer["generation_settings"]["n_ctx"] == 16384
        assert answer["timings"].keys() >= {name.removeprefix("timings/") for name in TIMINGS}


@pytest.mark.slow
async def test_an_answer_keeps_to_the_indentation_that_is_asked_for_and_does_not_repeat_what_is_there(api: Api) -> None:
    lines = source().splitlines()
    lines[40] = "    "
    forced = {
        "grammar": r'root ::= "    if a:\n\n      b\n    c\nd = 1"',
        "n_predict": 64,
        "response_fields": ["content"],
    }
    answers = [
        await api.post("/infill", vim(lines, 40, 4, **forced, n_indent=n_indent, t_max_predict_ms=None, anchor=anchor))
        for n_indent, anchor in ((4, True), (5, True), (4, False), (0, False))
    ]
    assert [answer["content"] for _, answer in answers] == [
        "if a:\n\n      b\n    c",
        "if a:\n\n      b",
        "    if a:\n\n      b\n    c",
        "    if a:\n\n      b\n    c\nd = 1",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "kept"), [(r"f(x))\ny = 1", "f(x)"), ("f(x))", "f(x)"), (r"x,\n  y)", "x,\n  y)"), ("g(x)", "g(x)")]
)
async def test_what_comes_after_the_cursor_is_not_written_again(api: Api, written: str, kept: str) -> None:
    body: Json = {
        "prompt": "a = 1\nprint(",
        "suffix": ")\nb = 2\n",
        "grammar": f'root ::= "{written}"',
        "max_tokens": 32,
    }
    _, answer = await api.post("/v1/completions", body)
    assert answer["choices"][0]["text"] == kept
    async with api.http.post(BASE + "/v1/completions", json={**body, "stream": True}) as response:
        lines = [line.removeprefix(b"data: ") async for line in response.content if line.strip()]
    assert "".join(json.loads(line)["choices"][0]["text"] for line in lines[:-1]) == kept
    filling = {"input_prefix": "a = 1\n", "prompt": "print(", "input_suffix": ")\nb = 2\n", "n_predict": 32}
    _, answer = await api.post("/infill", {**filling, "grammar": body["grammar"]})
    assert answer["content"] == kept
    segments = {"prefix": body["prompt"], "suffix": body["suffix"]}
    _, answer = await api.post("/v1/completions", {"segments": segments, "grammar": body["grammar"], "max_tokens": 32})
    assert answer["choices"][0]["text"] == kept


@pytest.mark.slow
async def test_keystrokes_in_a_long_file_cost_little(api: Api) -> None:
    """The window slides by a line at each Enter; most keys cost a few tokens all the same."""
    lines = source(600).splitlines()
    costs, line = [], 400
    for typed in ("    total = a + b", "    if total:", "        total += 1", "    return total"):
        lines.insert(line, "")
        for column in range(len(typed) + 1):
            lines[line] = typed[:column]
            _, answer = await api.post("/infill", vim(lines, line, column, response_fields=None))
            costs.append(answer["timings"]["prompt_n"])
        line += 1
    assert median(costs) <= 8
    _, answer = await api.post("/infill", vim(lines, line - 1, 4, response_fields=None, anchor=False))
    assert answer["timings"]["prompt_n"] > 1000


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
async def test_an_edit_in_one_long_message_costs_the_rest_and_an_interval(api: Api, share: float) -> None:
    """10,000 equal lines, then 9,000, in little; then an edit somewhere. What is needed is counted here, not believed."""

    async def cost(lines: list[str]) -> Json:
        body = {"messages": [{"role": "user", "content": "".join(lines)}], "max_tokens": 1, "temperature": 0}
        status, answer = await api.post("/v1/chat/completions", body)
        assert status == 200
        reuse: Json = answer["reuse"]
        assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == reuse["prompt"] - reuse["processed"]
        return reuse

    lines = ["a line\n"] * 1000
    n_whole = (await cost(lines))["prompt"]
    cut = await cost(lines[:900])
    n_tokens_a_line = (n_whole - cut["prompt"]) // 100
    assert cut["processed"] <= INTERVAL + 4 * n_tokens_a_line
    lines[int(share * 900)] = "another\n"
    edited = await cost(lines[:900])
    assert edited["excess"] <= INTERVAL
    assert edited["processed"] <= (900 - int(share * 900) + 4) * n_tokens_a_line + INTERVAL


@pytest.mark.slow
async def test_tails_over_one_trunk_cost_their_own_tokens(api: Api) -> None:
    trunk = source(300)
    for number, tail in enumerate(("rewrite this", "what is wrong?", "rewrite this", "name it")):
        _, answer = await api.post("/completion", {"prompt": trunk + tail, "n_predict": 2, "temperature": 0})
        if number:
            assert answer["reuse"]["processed"] <= 2 * INTERVAL


@pytest.mark.slow
async def test_identical_streams_share_the_prefill(api: Api) -> None:
    body = {"prompt": source(100), "max_tokens": 4, "stream": True}

    async def events() -> list[Json]:
        async with api.http.post(BASE + "/v1/completions", json=body) as response:
            lines = [line async for line in response.content if line.strip()]
        assert lines[-1] == b"data: [DONE]\n"
        return [json.loads(line.removeprefix(b"data: ")) for line in lines[:-1]]

    processed = sorted(
        stream[-1]["reuse"]["processed"] for stream in await asyncio.gather(*(events() for _ in range(3)))
    )
    assert processed[:2] == [1, 1]


async def test_tabby_finds_its_keys_in_every_event(api: Api) -> None:
    body = {"prompt": "def f(", "n_predict": 4, "stream": True, "seed": 1, "penalty_last_n": 0}
    async with api.http.post(BASE + "/completion", json=body) as response:
        events = [json.loads(line.removeprefix(b"data: ")) async for line in response.content if line.strip()]
    assert all(event.keys() >= {"content", "stop"} for event in events)
    assert [event["stop"] for event in events] == [False] * (len(events) - 1) + [True]
    segments = {"prefix": "def f(", "suffix": ")", "filepath": "a.py"}
    status, answer = await api.post("/v1/completions", {"language": "python", "segments": segments, "max_tokens": 4})
    assert (status, answer["choices"][0].keys()) == (200, {"index", "text"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/completion", {}, 400),
        ("/completion", {"prompt": "a" * 200_000}, 400),
        ("/completion", {"prompt": [10**9]}, 400),
        ("/completion", {"prompt": "a", "grammar": "root ::= ("}, 400),
        ("/completion", {"prompt": "a", "n_predict": 10**400}, 400),
        ("/v1/chat/completions", {"messages": []}, 400),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400),
        ("/v1/embeddings", {"input": "a"}, 501),
        ("/completion", {"prompt": "a", "n_predict": 1, "temperature": None, "n": 99, "id_slot": 77, "x": {}}, 200),
    ],
)
async def test_what_is_refused_and_what_is_not(api: Api, path: str, body: Json, status: int) -> None:
    got, answer = await api.post(path, data=json.dumps(body).encode())
    assert got == status
    assert got == 200 or answer["error"].keys() == {"code", "message", "type"}


async def test_a_model_that_loads_says_so(tmp_path: Path) -> None:
    async with running_api(tiny_model("deltanet"), tmp_path / "s", ready=False) as (_, api):
        status, answer = await api.get("/health")
    assert status == 503
    assert answer == {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}


# --- TCP -------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """A daemon on TCP, which wants no key."""
    number = unused_port()
    address = Address("127.0.0.1", number)
    async with running_service(tiny_model("deltanet"), 8192) as service, serving(service, tmp_path / "s", address):
        await until_state(service, "ready")
        yield number


async def test_openais_own_package(port: int) -> None:
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any") as client:
        assert [model.owned_by async for model in client.models.list()] == ["llamacpp"]
        completion = await client.completions.create(model="any", prompt="def f(", max_tokens=4, temperature=0)
        pieces = await client.completions.create(model="any", prompt="def f(", max_tokens=4, temperature=0, stream=True)
        assert "".join([chunk.choices[0].text async for chunk in pieces]) == completion.choices[0].text
        chat = await client.chat.completions.create(
            model="any",
            messages=[{"role": "user", "content": "Hello"}],
            max_tokens=4,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in chat]
        assert chunks[-1].usage
        assert chunks[-1].usage.completion_tokens == 4
        whole = await client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "Hello"}], max_tokens=4, temperature=0
        )
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert said == whole.choices[0].message.content


@pytest.mark.slow
async def test_tools_are_called_through_openais_package(port: int) -> None:
    """A model with random weights calls what it must, whole and streamed; what it may not know is the template's."""
    place = {
        "type": "object",
        "properties": {"city": {"$ref": "#/$defs/city"}},
        "required": ["city"],
        "$defs": {"city": {"enum": ["Bern", "Rom"]}},
    }
    now = {"type": "object", "properties": {"zone": {"$ref": "#/$defs/zone"}}, "$defs": {"zone": {"type": "integer"}}}
    functions = [{"name": "weather", "parameters": place}, {"name": "now", "parameters": now}, {"name": "date"}]
    ask: Json = {
        "model": "any",
        "messages": [{"role": "user", "content": "How is the weather?"}],
        "tools": [{"type": "function", "function": function} for function in functions],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "temperature": 0,
    }
    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any") as client:
        whole = (await client.chat.completions.create(**ask)).choices[0]
        assert (whole.finish_reason, whole.message.content) == ("tool_calls", None)
        (call,) = whole.message.model_dump()["tool_calls"]
        assert call["function"]["name"] == "weather"
        assert json.loads(call["function"]["arguments"])["city"] in ("Bern", "Rom")
        stream = await client.chat.completions.create(**ask, stream=True)
        choices = [chunk.choices[0].model_dump() async for chunk in stream]
        (streamed,) = [called for choice in choices for called in choice["delta"]["tool_calls"] or ()]
        assert (streamed["index"], streamed["function"]) == (0, call["function"])
        assert choices[-1]["finish_reason"] == "tool_calls"
        # The tools' answer goes back as it is usual.
        answered = [*ask["messages"], whole.message, {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}]
        after = await client.chat.completions.create(model="any", messages=answered, max_tokens=2, tools=ask["tools"])
        assert after.choices[0].message.content


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/health", {}, 200),
        ("/health", {"Host": "evil.example"}, 403),
        ("/health", {"Origin": "https://evil.example"}, 403),
        ("/health", {"Origin": "null"}, 403),
        ("/health", {"Sec-Fetch-Site": "cross-site"}, 403),
        ("/api/status", {}, 401),  # for the status page, which has a key
        ("/api/documents", {}, 404),
    ],
)
async def test_who_may_ask_for_what(tmp_path: Path, port: int, path: str, headers: dict[str, str], status: int) -> None:
    async with connected(tmp_path / "s") as local:
        assert (await local.get("/health"))[0] == 200
    async with openai.AsyncOpenAI(api_key="any")._client as client:
        assert (await client.get(f"http://127.0.0.1:{port}{path}", headers=headers)).status_code == status
