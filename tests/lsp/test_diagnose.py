"""`scrubjay.diagnose`: the first finding that is not ok is the reason."""

from pathlib import Path
from typing import Any

import pytest

from scrubjay.http.app import serving
from scrubjay.service.service import Service
from scrubjay.service.settings import ServiceSettings
from tests.lsp.conftest import StartEditor
from tests.support.lsp_editor import Editor
from tests.support.service import engine_settings, model, until_state
from tests.support.shared_daemon import Daemon

PROGRAM = "def area(width, height):\n    return width * height\n\n\ndef perimeter(width, height):\n    ret"
END = {"line": 5, "character": 7}


def wrong(findings: list[dict[str, Any]]) -> list[str]:
    """What is not ok, and what helps."""
    return [f"{finding['what']}: {finding['help']}" for finding in findings if not finding["ok"]]


@pytest.mark.slow
async def test_nothing_is_wrong(start: StartEditor, shared_daemon: Daemon) -> None:
    editor = await start()
    buffer = editor.open("a.py", PROGRAM)
    await editor.synchronised()
    findings = await editor.command("diagnose", buffer.uri, END)
    assert not wrong(findings)
    assert [finding for finding in findings if "`scrubjay model recommend` names better ones" in finding["what"]]
    assert findings[-1]["what"].startswith("the model has a text for this place: '")
    assert all(finding["help"] == "" for finding in findings)


@pytest.mark.slow
async def test_a_model_whose_memory_was_freed_is_nothing_wrong(start: StartEditor, tmp_path: Path) -> None:
    settings = ServiceSettings(engine_settings(model()), warm=False, rules=False, idle_unload_s=0.1)
    service, path = Service(settings), tmp_path / "s"
    service.start()
    try:
        async with serving(service, path):
            editor = await start(socket=path)
            buffer = editor.open("a.py", PROGRAM)
            await editor.synchronised()
            await until_state(service, "unloaded")
            findings = await editor.command("diagnose", buffer.uri, END)
            assert not wrong(findings)
            assert [finding for finding in findings if finding["what"].endswith("is unloaded until something is asked")]
            await editor.stop()
    finally:
        await service.close()


@pytest.mark.slow
async def test_a_language_that_is_off_and_a_file_that_is_not_known(start: StartEditor) -> None:
    editor = await start(options={"languages": {"python": False}})
    buffer = editor.open("a.py", PROGRAM)
    await editor.synchronised()
    assert "languages" in wrong(await editor.command("diagnose", buffer.uri, END))[0]
    assert "file:///nowhere.py is known" in wrong(await editor.command("diagnose", "file:///nowhere.py"))[0]
    assert await editor.command("diagnose", 7, "x"), "what makes no sense is passed over"


@pytest.mark.slow
async def test_no_daemon(tmp_path: Path) -> None:
    editor = await Editor.start(tmp_path, tmp_path / "none.sock", options={"startDaemon": False})
    buffer = editor.open("a.py", PROGRAM)
    [problem] = wrong(await editor.command("diagnose", buffer.uri, END))
    assert str(tmp_path / "none.sock") in problem
    await editor.stop()
