"""A remote model whose vocabulary is in a tokenizer.json: completions are those that its GGUF file makes."""

from pathlib import Path

import pytest

from scrubjay.protocol.messages import EngineSettings
from scrubjay.service.service import Service
from scrubjay.service.settings import ServiceSettings
from tests.support.gguf_models import TINY, tiny_model
from tests.support.hugging_face import written
from tests.support.llama_server import is_there, llama_server
from tests.support.service import complete, open_document, source, until_state

URI = "file:///project/a.py"


@pytest.mark.slow
@pytest.mark.skipif(not is_there(), reason="llama-server is not here: `make bench-peer` builds it")
async def test_either_file_makes_the_same_prompts_and_answers(tmp_path: Path) -> None:
    answers = []
    with llama_server(tiny_model("dense")) as (_, url):
        for file in (tiny_model("dense"), written("qwen2", tmp_path, TINY["dense"].n_vocab)):
            engine = EngineSettings(f"remote+llama:{url}", tokenizer=str(file))
            service = Service(ServiceSettings(engine, warm=False, layout="anchored", rules=False))
            service.start()
            try:
                await until_state(service, "ready")
                await open_document(service, URI, source(40))
                answers.append([await complete(service, URI, line) for line in (0, 20)])
            finally:
                await service.close()
    by_gguf, by_json = answers
    assert [answer.reuse.prompt for answer in by_gguf] == [answer.reuse.prompt for answer in by_json]
    assert [answer.items for answer in by_gguf] == [answer.items for answer in by_json]
