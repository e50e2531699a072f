"""Whatever is sent to any route: no mistake of the daemon's, no crash of the engine, and it answers afterwards."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scrubjay.http.api.routes import NativeRoutes
from scrubjay.http.compat import compat_routes
from tests.llama.test_grammar_fuzz import N_CASES, cases
from tests.support.api import BASE
from tests.support.daemon_process import running_daemon
from tests.support.gguf_models import tiny_model

N_EXAMPLES = 300
N_CTX = 256
"""Small, so that what is to be generated without end comes to one soon."""
NOTHING = cast(Any, None)
ROUTES = sorted(
    {
        (route.method, route.path)
        for route in (*compat_routes(NOTHING, NOTHING), *NativeRoutes(NOTHING, NOTHING).routes())
    }
)
ENDLESS = "/api/events"

numbers = (
    st.integers(-5, 300)
    | st.sampled_from([2**31, -(2**63), 10**400])
    | st.floats()
    | st.sampled_from([0.0, 1e-9, 1e308])
)
texts = st.text(max_size=12) | st.sampled_from(
    ["", "def f(", "<|fim_prefix|>", "\ud800", "\0", "漢🎉", "a\r\n", "file:///a.py", "user", "json_schema", "x" * 3000]
)
scalars = st.none() | st.booleans() | numbers | texts
odd = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=5
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool"]) | odd, "content": texts | odd},
        optional={"tool_calls": odd, "name": odd},
    ),
    max_size=3,
)
tools = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("function"), "function": st.fixed_dictionaries({"name": texts}, optional={"parameters": odd})}
    ),
    max_size=2,
)
grammars = st.sampled_from(
    ["root ::= [a-z]+", 'root ::= "x"', "root ::= (", "root ::= root", "a ::= b", 'root ::= "a"{999999}', "root ::= .*"]
)
schemas = st.sampled_from(
    [{}, {"type": "object"}, {"type": "?"}, {"enum": []}, {"$ref": "#"}, {"$ref": "https://a.example/b"}, {"const": 1}]
)
change = st.fixed_dictionaries({"text": texts}, optional={"range": odd})
place = st.fixed_dictionaries({"line": st.integers(-1, 5), "character": st.integers(-1, 5)})

# What the routes know, mostly of the right sort.
KNOWN: dict[str, st.SearchStrategy[Any]] = {
    "prompt": texts | st.lists(st.integers(-1, 900) | texts, max_size=4),
    "messages": messages,
    "input_prefix": texts,
    "input_suffix": texts,
    "suffix": texts,
    "input_extra": st.lists(
        st.fixed_dictionaries({"text": texts}, optional={"filename": texts, "time": odd}), max_size=2
    ),
    "segments": st.fixed_dictionaries({"prefix": texts}, optional={"suffix": texts, "declarations": odd}),
    "content": texts,
    "tokens": st.lists(st.integers(-1, 900), max_size=4),
    "tools": tools,
    "tool_choice": st.sampled_from(["none", "auto", "required"]) | odd,
    "chat_template_kwargs": odd,
    "n_predict": st.integers(-1, 4),
    "max_tokens": st.integers(-1, 4),
    "stream": st.booleans(),
    "stream_options": st.just({"include_usage": True}),
    "grammar": grammars,
    "json_schema": schemas,
    "response_format": st.fixed_dictionaries({"type": texts}, optional={"json_schema": odd, "schema": schemas}),
    "logit_bias": st.dictionaries(st.integers(-1, 900).map(str), numbers, max_size=2) | odd,
    "stop": texts | st.lists(texts, max_size=2),
    "samplers": st.lists(st.sampled_from(["top_k", "top_p", "infill", "?"]), max_size=3),
    "response_fields": st.lists(texts | st.just("timings/prompt_n"), max_size=2),
    "n": numbers,
    "n_cmpl": numbers,
    **dict.fromkeys(("temperature", "top_k", "top_p", "min_p", "seed", "repeat_penalty", "repeat_last_n"), numbers),
    **dict.fromkeys(("t_max_prompt_ms", "t_max_predict_ms", "frequency_penalty", "presence_penalty"), numbers),
    "uri": st.sampled_from(["file:///project/a.py", "untitled:1"]) | texts,
    "root": st.just("/project") | texts,
    "text": texts,
    "version": st.integers(-1, 3),
    "position": place,
    "changes": st.lists(change, max_size=2),
    "position_encoding": st.sampled_from(["utf-8", "utf-16", "utf-32"]),
}
fields = st.sets(st.sampled_from(sorted(KNOWN)), max_size=12).flatmap(
    lambda chosen: st.fixed_dictionaries({name: KNOWN[name] for name in chosen})
)
WORKING = ("/infill", "/completion", "/v1/completions", "/v1/chat/completions", "/api/complete", "/api/documents/open")
"""The routes that do the most: every other request is for one of these."""
NEEDED = {
    "/infill": ("input_prefix", "input_suffix", "prompt"),
    "/v1/chat/completions": ("messages",),
    "/chat/completions": ("messages",),
    "/apply-template": ("messages",),
    "/tokenize": ("content",),
    "/detokenize": ("tokens",),
    "/api/complete": ("uri", "position", "max_tokens"),
    "/api/documents/open": ("uri", "text", "root"),
    "/api/documents/change": ("uri", "version", "changes"),
    "/api/documents/close": ("uri",),
    "/api/documents/save": ("uri",),
    "/api/documents/focus": ("uri",),
    "/api/warm": ("root",),
    "/api/tail": ("root", "text"),
}


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, bytes]:
    """A method, a path, and a body: JSON with known fields mostly."""
    method, path = draw(st.sampled_from(ROUTES) | st.sampled_from(WORKING).map(lambda path: ("POST", path)))
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(["GET", "POST", "PUT", "DELETE"])), path, draw(st.binary(max_size=20))
    body = {name: draw(KNOWN[name]) for name in NEEDED.get(path, ("prompt",))} | draw(fields)
    # With one odd field the rest of the request is still looked at.
    if draw(st.booleans()):
        body[draw(st.sampled_from(sorted(body)))] = draw(odd)
    return method, path, json.dumps(body).encode()


async def send(http: aiohttp.ClientSession, method: str, path: str, body: bytes) -> None:
    async with http.request(method, BASE + path, data=body if method != "GET" else None) as response:
        assert response.status < 500 or response.status in (501, 503), (await response.text(), body)
        if path == ENDLESS and response.status == 200:
            return
        # Not every answer is text.
        answer = await response.read()
        assert b'"code":500' not in answer, (answer, body)
        if response.status >= 400:
            assert json.loads(answer)["error"].keys() == {"code", "message", "type"}


@pytest.mark.slow
def test_no_request_does_harm(tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            daemon = runner.run(
                stack.enter_async_context(running_daemon(tiny_model("deltanet"), tmp_path / "s", N_CTX))
            )
            runner.run(daemon.ready())
            engine = daemon.engine()

            @settings(max_examples=N_EXAMPLES, suppress_health_check=list(HealthCheck))
            @given(requests())
            def fuzz(request: tuple[str, str, bytes]) -> None:
                runner.run(send(daemon.api.http, *request))

            fuzz()
            assert daemon.engine() == engine
            status, answer = runner.run(daemon.api.post("/completion", {"prompt": "def f(", "n_predict": 2}))
            assert (status, answer["tokens_predicted"]) == (200, 2)
        finally:
            runner.run(stack.aclose())


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_no_random_grammar_or_schema_ends_the_engine(tmp_path: Path) -> None:
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s", N_CTX) as daemon:
        await daemon.ready()
        engine, n_followed = daemon.engine(), 0
        for grammar, schema in cases(seed=1):
            asked = f'"grammar":{json.dumps(grammar)}' if grammar else f'"json_schema":{schema}'
            body = f'{{"prompt":"x","n_predict":8,{asked}}}'.encode(errors="replace")
            status, answer = await daemon.api.post("/completion", data=body)
            assert status in (200, 400), (answer, body)
            n_followed += status == 200
        assert N_CASES / 20 < n_followed < N_CASES
        assert daemon.engine() == engine
        lines: list[str] = []
        while not daemon.log.empty():
            lines.append(daemon.log.get_nowait())
        assert not any("Traceback" in line for line in lines), "".join(lines)
