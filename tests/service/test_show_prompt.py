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
from tests.support.service import open_document, running_service, source, until_state

ROOT = "/project"
URI = f"file://{ROOT}/now.py"
NOW = "from nests import Nest\n\nnest = Nest(\n"


async def show(service: Service, line: int = 2) -> ShownPrompt:
    event = ShowPrompt(URI, Position(line, 0))
    service.post(event)
    return await event.reply


async def test_it_is_shown_what_the_model_gets_and_why() -> None:
    async with running_service(tiny_model("dense"), layout="anchored") as service:
        await until_state(service, "ready")
        await open_document(service, URI, NOW, ROOT)
        files = (File(f"{ROOT}/nests.py", "class Nest:\n    pass\n"), File(f"{ROOT}/py.typed", "Marker\n"))
        service.post(FilesChanged(ROOT, files, True, read_context_rules("[contexts]\n")))
        shown = await show(service)
        texts = {part.label: part.text for part in shown.parts if part.kind == "file"}
        assert texts.keys() == {"nests.py"}
        assert "class Nest:" in texts["nests.py"]
        assert all(part.reason and part.n_tokens for part in shown.parts)
        assert "'contexts'" in shown.problem
        assert service.dispatcher.residency.of(ROOT).prompt is None, "nothing was processed"
        assert (await show(service)).parts == shown.parts


async def test_a_long_file_is_cut_in_a_thread() -> None:
    async with running_service(tiny_model("dense"), n_ctx=2_048, layout="anchored") as service:
        await until_state(service, "ready")
        await open_document(service, f"file://{ROOT}/long.py", source(2_000), ROOT)
        await open_document(service, URI, NOW, ROOT)
        assert sum(part.n_tokens for part in (await show(service)).parts) <= 2_048


async def test_a_place_that_is_not_open_is_refused() -> None:
    async with running_service(tiny_model("dense"), layout="anchored") as service:
        await until_state(service, "ready")
        with pytest.raises(RequestError, match="not open"):
            await show(service)
