"""What the model would be shown at a place, part by part, without asking it anything."""

import pytest

from scrubjay.errors import RequestError
from scrubjay.service.events import ShownPrompt, ShowPrompt
from scrubjay.service.service import Service
from scrubjay.workspace.context_rules import read_context_rules
from scrubjay.workspace.events import FilesChanged
from scrubjay.workspace.project import File
from scrubjay.workspace.text import Position
from tests.support.gguf_models import tiny_model
from tests.support.service import open_document, running_service, source, until_state, warm

ROOT = "/project"
URI = f"file://{ROOT}/now.py"
NOW = "from nests import Nest\n\nnest = Nest(\n"
OTHER = FilesChanged(ROOT, (File(f"{ROOT}/nests.py", "class Nest:\n    é = '🙂'\n"),), is_first=True)


async def show(service: Service, line: int = 2) -> ShownPrompt:
    event = ShowPrompt(URI, Position(line, 0))
    service.post(event)
    return await event.reply


async def test_it_is_what_the_model_gets_and_nothing_is_processed_for_it() -> None:
    async with running_service(tiny_model("dense"), layout="anchored") as service:
        await until_state(service, "ready")
        await open_document(service, URI, NOW, ROOT)
        service.post(OTHER)
        shown = await show(service, line=3)
        assert service.dispatcher.residency.of(ROOT).prompt is None
        assert {part.label for part in shown.parts if part.kind == "file"} == {"nests.py"}
        assert "class Nest:\n    é = '🙂'\n" in next(part.text for part in shown.parts if part.kind == "file")
        assert all(part.reason and part.n_tokens for part in shown.parts)
        project = service.projects.by_root(ROOT)
        project.cursor = (f"{ROOT}/now.py", len(NOW))
        await warm(service)
        prompt = service.dispatcher.residency.of(ROOT).prompt
        assert prompt is not None
        spans = [(span.kind, span.label, span.end - span.start) for span in prompt.segments]
        assert [(part.kind, part.label, part.n_tokens) for part in shown.parts] == spans
        tokenize = service.first.builder._require_open().vocabulary.tokenize
        texts = "".join(part.text for part in shown.parts)
        assert tokenize(texts, special=True).tolist() == prompt.tokens.tolist(), (
            "special tokens are there by their names"
        )
        assert await show(service, line=3) == shown


async def test_what_is_wrong_in_the_projects_rules_is_said() -> None:
    async with running_service(tiny_model("dense"), layout="anchored") as service:
        await until_state(service, "ready")
        await open_document(service, URI, NOW, ROOT)
        assert (await show(service)).problem == ""
        project = service.projects.by_root(ROOT)
        project.rules = read_context_rules("[contexts]\n")
        assert "'contexts'" in (await show(service)).problem


async def test_a_long_file_is_cut_in_a_thread() -> None:
    async with running_service(tiny_model("dense"), n_ctx=2_048, layout="anchored") as service:
        await until_state(service, "ready")
        await open_document(service, f"file://{ROOT}/long.py", source(2_000), ROOT)
        await open_document(service, URI, NOW, ROOT)
        parts = (await show(service)).parts
        assert "long.py" in {part.label for part in parts if part.kind == "file"}
        assert sum(part.n_tokens for part in parts) <= 2_048


async def test_a_place_that_is_not_open_is_refused() -> None:
    async with running_service(tiny_model("dense"), layout="anchored") as service:
        await until_state(service, "ready")
        with pytest.raises(RequestError, match="not open"):
            await show(service)
