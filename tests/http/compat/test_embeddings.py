"""Vectors of texts: those that llama.cpp makes by itself, in the forms of OpenAI and of llama.cpp's server."""

import struct
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from math import hypot, isclose
from pathlib import Path

import llama_cpp
import numpy as np
import pytest

from scrubjay.http.app import serving
from scrubjay.service.service import Service
from scrubjay.service.settings import ModelSettings, ServiceSettings
from tests.support.api import Api, connected
from tests.support.gguf_models import tiny_model
from tests.support.service import engine_settings, until_state

TEXTS = ["def area(width, height):", "a much longer text about nothing in particular " * 8, "x"]


@asynccontextmanager
async def embedding_api(socket: Path, n_ctx: int = 256) -> AsyncIterator[Api]:
    """A daemon that completes code with one model and makes vectors with another, which is not loaded yet."""
    vectors = replace(engine_settings(tiny_model("dense"), n_ctx), embeds=True)
    others = (ModelSettings(vectors, "vectors", ("embed",)),)
    settings = ServiceSettings(engine_settings(tiny_model("deltanet")), warm=False, rules=False, others=others)
    service = Service(settings)
    service.start()
    try:
        async with serving(service, socket), connected(socket) as api:
            await until_state(service, "ready")
            yield api
    finally:
        await service.close()


def reference(texts: list[str]) -> list[list[float]]:
    """What llama.cpp makes of `texts` without Scrubjay."""
    model = llama_cpp.Llama(
        str(tiny_model("dense")),
        n_ctx=256,
        n_batch=256,
        n_ubatch=256,
        n_threads=1,
        embedding=True,
        pooling_type=llama_cpp.LLAMA_POOLING_TYPE_MEAN,
        verbose=False,
    )
    return [model.embed(text, normalize=True) for text in texts]


@pytest.mark.slow
async def test_the_vectors_are_those_of_llama_cpp(tmp_path: Path) -> None:
    async with embedding_api(tmp_path / "s") as api:
        status, answer = await api.post("/v1/embeddings", {"input": TEXTS, "model": "text-embedding-3-small"})
        assert status == 200, answer
        assert (answer["object"], answer["model"]) == ("list", "vectors")
        assert [item["index"] for item in answer["data"]] == [0, 1, 2]
        for item, right in zip(answer["data"], reference(TEXTS), strict=True):
            # Another form of the attention rounds otherwise.
            assert np.dot(item["embedding"], right) > 0.99999
            assert isclose(hypot(*item["embedding"]), 1.0, abs_tol=1e-5)
        assert np.dot(*(item["embedding"] for item in answer["data"][:2])) < 0.999
        assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 100
        status, models = await api.get("/v1/models")
        assert [model["id"] for model in models["data"]] == ["scrubjay-test-deltanet", "vectors"]


@pytest.mark.slow
async def test_the_forms_of_a_vector(tmp_path: Path) -> None:
    async with embedding_api(tmp_path / "s") as api:
        whole = (await api.post("/v1/embeddings", {"input": TEXTS[0]}))[1]["data"][0]["embedding"]
        coded = (await api.post("/embeddings", {"input": TEXTS[0], "encoding_format": "base64"}))[1]
        assert np.allclose(struct.unpack(f"<{len(whole)}f", b64decode(coded["data"][0]["embedding"])), whole, atol=1e-6)
        short = (await api.post("/v1/embeddings", {"input": TEXTS[0], "dimensions": 8}))[1]["data"][0]["embedding"]
        assert np.allclose(short, np.array(whole[:8]) / hypot(*whole[:8]), atol=1e-5)
        native: object = (await api.post("/embedding", {"content": TEXTS[:1]}))[1]
        assert native == [{"index": 0, "embedding": [whole]}]
        tokens = (await api.post("/tokenize", {"content": TEXTS[0], "model": "vectors"}))[1]["tokens"]
        assert (await api.post("/v1/embeddings", {"input": tokens}))[1]["data"][0]["embedding"] == whole


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "`input` is missing"),
        ({"input": ""}, "empty"),
        ({"input": "word " * 2000}, "tokens"),
        ({"input": "a", "encoding_format": "int8"}, "one of float, base64"),
        ({"input": "a", "dimensions": 4096}, "the model's vectors have 64"),
        ({"input": [[999_999]]}, "is no token"),
    ],
)
async def test_what_cannot_be_a_vector_is_said(tmp_path: Path, body: dict[str, object], says: str) -> None:
    async with embedding_api(tmp_path / "s") as api:
        status, answer = await api.post("/v1/embeddings", body)
        assert status == 400
        assert says in answer["error"]["message"]
        assert (await api.post("/v1/embeddings", {"input": "a"}))[0] == 200
