"""A remote model whose vocabulary is in a tokenizer.json: it is found, and read as the server reads it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from scrubjay.engine.remote.address import parse_remote
from scrubjay.engine.remote.dialects import Served
from scrubjay.engine.remote.vocabulary import SAMPLES, find_vocabulary
from scrubjay.engine.remote.wire import Wire
from scrubjay.errors import RemoteFailed
from scrubjay.llama.vocabulary import Vocabulary
from tests.support.gguf_vocab import source_text
from tests.support.hugging_face import SPLITS, tokenizer_of, written
from tests.support.remote import ScriptedServer, events_of
from tests.support.vocabularies import N_TOKENS


@asynccontextmanager
async def cutting(kind: str) -> AsyncIterator[ScriptedServer]:
    """A server that cuts texts as Hugging Face's library does, as vLLM and SGLang do; not at all if `kind` is none."""

    async def tokenize(request: web.Request) -> web.Response:
        if not kind:
            return web.Response(status=404)
        text = (await request.json())["prompt"]
        return web.json_response({"tokens": tokenizer_of(kind).encode(text, add_special_tokens=False).ids})

    server = ScriptedServer(Path("/nowhere"), events_of, more=(web.post("/tokenize", tokenize),))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def found(server: ScriptedServer, served: Served, named: str, folder: Path) -> tuple[Path, int]:
    address = parse_remote(f"remote:http://127.0.0.1:{server.port}/v1")
    wire = Wire(address)
    try:
        return await find_vocabulary(wire, address, served, named, folder)
    finally:
        await wire.close()


@pytest.mark.parametrize("kind", [*SPLITS, "sentencepiece"])
async def test_a_tokenizer_json_is_read_as_the_server_reads_it(kind: str, tmp_path: Path) -> None:
    """Whether the user names the file, or its folder, or it is the model's own."""
    own, made = tmp_path / "own", tmp_path / "made"
    own.mkdir()
    made.mkdir()
    file = written(kind, own)
    async with cutting(kind) as server:
        for named, path in ((str(file), ""), (str(own), ""), ("", str(own))):
            where, n_tokens = await found(server, Served("coder", "openai", 4096, path), named, made)
            assert where.parent == made
            vocabulary = Vocabulary.open(where)
            for text in (source_text()[:4000], *SAMPLES):
                assert (
                    vocabulary.tokenize(text).tolist() == tokenizer_of(kind).encode(text, add_special_tokens=False).ids
                )
            assert n_tokens == vocabulary.n_tokens
            vocabulary.close()


@pytest.mark.parametrize(
    ("theirs", "says"), [("sentencepiece", "not the vocabulary"), ("", "does not say how it cuts texts")]
)
async def test_a_tokenizer_json_that_may_be_another_s_is_refused(theirs: str, says: str, tmp_path: Path) -> None:
    file = written("qwen2", tmp_path)
    async with cutting(theirs) as server:
        with pytest.raises(RemoteFailed, match=says) as failed:
            await found(server, Served("coder", "openai", 4096), str(file), tmp_path)
    assert failed.value.kind == "final"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("owner/coder", "`hf download owner/coder tokenizer.json"),
        ("/models/coder", "on this machine; name its"),
        ("a b/$(c)", "; name its"),
    ],
)
async def test_what_is_nowhere_can_be_brought(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    async with cutting("qwen2") as server:
        with pytest.raises(RemoteFailed) as failed:
            await found(server, Served(name, "openai", 4096), "", tmp_path)
    assert says in str(failed.value)


async def test_a_model_may_have_more_tokens_than_its_tokenizer_and_not_fewer(tmp_path: Path) -> None:
    file = written("qwen2", tmp_path)
    async with cutting("qwen2") as server:
        for n_vocab in (N_TOKENS, N_TOKENS + 72):
            assert (await found(server, Served("coder", "openai", 4096, n_vocab=n_vocab), str(file), tmp_path))[
                1
            ] == N_TOKENS
        with pytest.raises(RemoteFailed, match="tokens and not"):
            await found(server, Served("coder", "openai", 4096, n_vocab=N_TOKENS - 1), str(file), tmp_path)


async def test_a_tokenizer_json_that_was_downloaded_is_found_by_the_model_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for number, kind in enumerate(("sentencepiece", "qwen2", "llama-bpe")):
        folder = tmp_path / f"models--owner--coder{'-more' * number}" / "snapshots" / "ab12"
        folder.mkdir(parents=True)
        written(kind, folder)
    async with cutting("qwen2") as server:
        where, _ = await found(server, Served("owner/coder", "openai", 4096), "", tmp_path)
    vocabulary = Vocabulary.open(where)
    assert vocabulary.special("<|fim_prefix|>") is not None
    vocabulary.close()
