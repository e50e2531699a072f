"""What two requests tell of a prefix cache."""

import pytest
from aiohttp import web

from scrubjay.engine.remote.address import parse_remote
from scrubjay.engine.remote.dialects import Served
from scrubjay.engine.remote.probe import PrefixCache, block_size, probe
from scrubjay.engine.remote.wire import Wire
from tests.support.gguf_models import tiny_model
from tests.support.remote import ScriptedServer, events_of


@pytest.mark.parametrize("size", [1, 16, 32, 64, 128, 256, 512, 528])
def test_the_size_of_a_block_follows_from_what_was_cached(size: int) -> None:
    assert block_size(1024, 1023 // size * size) == size


def test_nothing_cached_tells_nothing() -> None:
    assert block_size(1024, 0) == 0


@pytest.mark.parametrize(("block", "takes_priority"), [(16, True), (128, False), (0, True)])
@pytest.mark.parametrize("warm_priority", [1, -1, 0])
async def test_a_server_is_found_out(block: int, takes_priority: bool, warm_priority: int) -> None:
    """The server keeps whole blocks of the prompts that it was sent, and refuses priorities if it has to."""
    sent: list[list[int]] = []

    async def completions(request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("priority") and not takes_priority:
            return web.json_response({"error": {"message": "Priority scheduling is not enabled"}}, status=400)
        prompt = body["prompt"]
        n_cached = (len(prompt) - 1) // block * block if block and prompt in sent else 0
        sent.append(prompt)
        details = {"cached_tokens": n_cached} if n_cached else None
        return web.json_response({"choices": [{"text": ""}], "usage": {"prompt_tokens_details": details}})

    server = ScriptedServer(tiny_model("dense"), events_of)
    server.more = (web.post("/v1/completions", completions),)
    await server.start()
    wire = Wire(parse_remote(f"remote:http://127.0.0.1:{server.port}/v1"))
    try:
        found = await probe(wire, Served("tiny", "openai", 4096, warm_priority=warm_priority), 768)
    finally:
        await wire.close()
        await server.stop()
    assert PrefixCache(found.block, found.warm_priority) == PrefixCache(block, warm_priority if takes_priority else 0)
    assert len(sent) == 2
