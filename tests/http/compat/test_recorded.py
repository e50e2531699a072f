"""Requests recorded from the real llama.vim and llama.vscode, their texts shortened, replayed against a daemon on TCP.

What these clients need of an answer is written down here as they check it: patterns, keys, types.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import unused_port

from tests.support.daemon_process import OPTIONS, running_daemon
from tests.support.gguf_models import tiny_model

Json = dict[str, Any]
RECORDED = Path(__file__).parent / "recorded"
N_CTX = 4096

# llama.vim shows an answer only if both match; there may be no space between the colon and the text.
IS_OBJECT, HAS_CONTENT = re.compile(r"^\s*\{"), re.compile(r'"content"\s*:"')
NUMBERS_OF_VIM = ("prompt_n", "prompt_ms", "prompt_per_second", "predicted_n", "predicted_ms", "predicted_per_second")


def recorded(client: str) -> Iterator[Json]:
    for line in (RECORDED / f"{client}.jsonl").read_text("utf-8").splitlines():
        yield json.loads(line)


@asynccontextmanager
async def listening(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a daemon with a hybrid model."""
    address = f"127.0.0.1:{unused_port()}"
    model = tiny_model("deltanet")
    async with running_daemon(model, tmp_path / "s", N_CTX, (*OPTIONS, f"--http={address}")) as daemon:
        await daemon.ready()
        yield f"http://{address}"


async def answer_to(base: str, request: Json) -> str:
    """The body of the answer, each request on a connection of its own, as these clients do it."""
    data = json.dumps(request["body"]).encode()
    async with (
        aiohttp.ClientSession() as http,
        http.request(request["method"], base + request["path"], data=data, headers=request["headers"]) as response,
    ):
        assert response.status == 200
        return await response.text()


async def events_of(base: str, request: Json, n_events: int) -> list[str]:
    """The first lines of a stream, after which the client ends the connection."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(base + request["path"], json=request["body"], headers=request["headers"]) as response,
    ):
        lines = (line.decode() async for line in response.content)
        return [await anext(lines) for _ in range(2 * n_events)]


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def require_vim_accepts(body: Json, text: str) -> None:
    """As llama.vim looks at an answer, one line at a time."""
    assert "\n" not in text
    assert IS_OBJECT.search(text)
    if body["response_fields"] == [""]:
        assert json.loads(text) == {}
        return
    assert HAS_CONTENT.search(text)
    answer = json.loads(text)
    assert set(answer) == set(body["response_fields"])
    assert isinstance(answer["content"], str)
    assert isinstance(answer["tokens_cached"], int)
    assert all(is_number(answer[f"timings/{name}"]) for name in NUMBERS_OF_VIM)


def require_vim_accepts_stream(lines: list[str]) -> None:
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.strip()]
    assert all(line.startswith("data: ") or not line.strip() for line in lines)
    deltas = [event["choices"][0]["delta"] for event in events]
    assert any(delta.get("content") for delta in deltas)


def require_vscode_accepts(text: str) -> None:
    """Whatever is missing here ends in a TypeError there."""
    answers = json.loads(text)
    if isinstance(answers, list):
        assert len({answer["content"] for answer in answers}) == len(answers) > 1
    for answer in answers if isinstance(answers, list) else [answers]:
        assert isinstance(answer["content"], str)
        assert isinstance(answer["tokens_cached"], int)
        assert answer["generation_settings"]["n_ctx"] == N_CTX
        assert all(is_number(answer["timings"][name]) for name in NUMBERS_OF_VIM)


@pytest.mark.slow
async def test_llama_vim(tmp_path: Path) -> None:
    async with listening(tmp_path) as base:
        for request in recorded("llama_vim"):
            if request["body"]["stream"]:
                require_vim_accepts_stream(await events_of(base, request, 4))
            else:
                require_vim_accepts(request["body"], await answer_to(base, request))


@pytest.mark.slow
async def test_llama_vscode(tmp_path: Path) -> None:
    async with listening(tmp_path) as base:
        for request in recorded("llama_vscode"):
            require_vscode_accepts(await answer_to(base, request))


@pytest.mark.slow
async def test_llama_vscode_looking_ahead_gets_one_object(tmp_path: Path) -> None:
    """It cannot read an array there; it asks as if the suggestion it has just shown had been accepted."""
    *_, request = recorded("llama_vscode")
    body = request["body"]
    # The answers of a hurried daemon may be empty; this one has time.
    body |= {"t_max_prompt_ms": None, "n_predict": 16}
    async with listening(tmp_path) as base:
        answers = json.loads(await answer_to(base, request))
        shown = answers[0] if isinstance(answers, list) else answers
        if not shown["content"].strip():
            pytest.fail("The model wrote nothing to look ahead from.")
        accepted = body["input_prefix"] + body["prompt"] + shown["content"]
        line = accepted.rfind("\n") + 1
        ahead = {**request, "body": {**body, "input_prefix": accepted[:line], "prompt": accepted[line:]}}
        assert isinstance(json.loads(await answer_to(base, ahead)), dict)
