"""What SGLang is told, and what it says, in its own fields: those of its sources, not of a running SGLang."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from scrubjay.engine.remote.address import parse_remote
from scrubjay.engine.remote.dialects import DIALECTS, Sender, Served
from scrubjay.engine.remote.job import RemoteJob
from scrubjay.engine.remote.questions import ask_served
from scrubjay.engine.remote.wire import Wire
from scrubjay.errors import RemoteFailed
from scrubjay.protocol.messages import Done, FromEngine, Piece, Run, Sampling
from tests.support.gguf_models import tiny_model
from tests.support.remote import Json, ScriptedServer, events_of, tokens_of

OPTIONS = {"enable_priority_scheduling": True, "tokenizer_path": "owner/coder"}
TWO_TOKENS = {"text": "ab", "logprobs": {"token_logprobs": [-0.5, -0.25]}, "finish_reason": None, "matched_stop": None}
STOPPED = {"text": "", "logprobs": None, "finish_reason": "stop", "matched_stop": "\n\n"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 2}}
ASKED = Sampling(max_tokens=8, stop=("\n\n",), with_confidence=True, grammar='root ::= "ab"')


@dataclass
class SgLang:
    """Answers with `choices`, one an event."""

    choices: list[Json]
    options: Json
    path: str = "/server_info"
    bodies: list[Json] = field(default_factory=list)

    async def info(self, _: web.Request) -> web.Response:
        return web.json_response(self.options)

    async def completions(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json())
        events: list[Json] = [{"choices": [choice]} for choice in self.choices]
        lines = [json.dumps(event).encode() for event in (*events, {"choices": [], "usage": USAGE})]
        return await events_of(request, *lines, b"[DONE]")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        server = ScriptedServer(tiny_model("dense"), self.completions, card={"owned_by": "sglang", "root": "coder"})
        server.more = (web.get(self.path, self.info), web.post("/v1/completions", self.completions))
        await server.start()
        try:
            yield f"remote:http://127.0.0.1:{server.port}/v1"
        finally:
            await server.stop()

    async def asked(self, sampling: Sampling | None) -> tuple[Served, Done, list[FromEngine]]:
        async with self.serving() as name:
            address, seen = parse_remote(name), list[FromEngine]()
            wire = Wire(address)
            try:
                served = await ask_served(wire, address)
                job = RemoteJob(Run(1, "/project", tokens_of(1, 2, 3), sampling=sampling), 0, "/project", seen.append)
                return served, await job.do(wire, DIALECTS["openai"], served, Sender("s1")), seen
            finally:
                await wire.close()


async def test_sglang_is_heard() -> None:
    server = SgLang([TWO_TOKENS, STOPPED], OPTIONS)
    served, done, seen = await server.asked(ASKED)
    assert (served.name, served.software, served.path) == ("tiny", "sglang", "owner/coder")
    assert [(piece.text, piece.n_tokens, piece.logprob) for piece in seen if isinstance(piece, Piece)] == [
        ("ab", 2, -0.75)
    ]
    assert (done.stop_reason, done.stop_word, done.n_generated) == ("stop", "\n\n", 2)
    assert done.cost
    assert done.cost.processed == 1
    assert server.bodies[0]["ebnf"] == ASKED.grammar
    assert "structured_outputs" not in server.bodies[0]


async def test_a_text_that_sglang_gives_up_is_not_whole() -> None:
    with pytest.raises(RemoteFailed):
        await SgLang([TWO_TOKENS, STOPPED | {"finish_reason": "abort"}], OPTIONS).asked(ASKED)


@pytest.mark.parametrize("path", ["/server_info", "/get_server_info", "/elsewhere"])
@pytest.mark.parametrize(
    ("more", "priority"),
    [
        ({}, -1),
        ({"schedule_low_priority_values_first": True}, 1),
        ({"enable_priority_scheduling": False}, None),
    ],
)
async def test_sglang_is_told_what_is_urgent_as_it_was_started(path: str, more: Json, priority: int | None) -> None:
    server = SgLang([STOPPED], OPTIONS | more, path)
    for sampling in (None, ASKED):
        await server.asked(sampling)
    wanted = [None, None] if path == "/elsewhere" or priority is None else [priority, 0]
    assert [body.get("priority") for body in server.bodies] == wanted
