"""Prompts made at once or in a thread are the same, and made of what was there when they were asked for."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scrubjay.errors import EngineError, ModelRefused
from scrubjay.prompt.document import DocumentRecipe
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.view import ProjectView
from scrubjay.service.prompt_builder import PromptBuilder
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.text import Change, Position
from tests.support.gguf_models import corrupt_model, tiny_model
from tests.support.prompts import making
from tests.support.service import source

LIMITS = Limits(8192, 512)
URI = "file:///project/file_2.py"


@pytest.fixture
async def maker() -> AsyncIterator[PromptBuilder]:
    maker = PromptBuilder()
    await maker.open(tiny_model("dense"), "test")
    yield maker
    await maker.close()


@pytest.fixture
def projects() -> Projects:
    projects = Projects()
    for number in range(3):
        projects.open(f"file:///project/file_{number}.py", "python", 1, source(150, number), "/project", str)
    return projects


def view(projects: Projects, offset: int = 500) -> DocumentRecipe:
    return DocumentRecipe(ProjectView.of(projects.project_of(URI), projects.document(URI), offset))


def edit(projects: Projects, version: int, text: str) -> None:
    projects.change(URI, version, [Change(text, Position(10, 0), Position(10, 0))])


async def test_much_text_goes_to_the_thread_and_a_keystroke_does_not(maker: PromptBuilder, projects: Projects) -> None:
    first = making(maker, view(projects), LIMITS)
    assert not first.done()
    await first
    for version, text in enumerate("def f(x):\n", start=2):
        edit(projects, version, text)
        made = making(maker, view(projects), LIMITS)
        assert made.done()
        fresh = PromptBuilder()
        await fresh.open(tiny_model("dense"), "test")
        expected = await making(fresh, view(projects), LIMITS)
        assert made.result().tokens.tolist() == expected.tokens.tolist()
        assert made.result().segments == expected.segments
        await fresh.close()


async def test_a_long_rest_of_a_file_that_no_prompt_shows_sends_no_keystroke_to_the_thread(
    maker: PromptBuilder,
) -> None:
    projects = Projects()
    projects.open(URI, "python", 1, source(2000), "/project", str)
    await making(maker, view(projects), LIMITS)
    for version, text in enumerate("def f(x):\n", start=2):
        edit(projects, version, text)
        assert making(maker, view(projects), LIMITS).done()


async def test_prompts_keep_their_order_while_the_thread_has_work(maker: PromptBuilder, projects: Projects) -> None:
    large = making(maker, view(projects), LIMITS)
    small = making(maker, view(projects), LIMITS)
    assert not small.done()
    assert (await small).tokens.tolist() == (await large).tokens.tolist()
    assert making(maker, view(projects), LIMITS).done()


async def test_a_view_does_not_see_later_edits(maker: PromptBuilder, projects: Projects) -> None:
    before = view(projects)
    expected = await making(maker, before, LIMITS)
    edit(projects, 2, "x = 1\n")
    assert (await making(maker, before, LIMITS)).tokens.tolist() == expected.tokens.tolist()
    assert (await making(maker, view(projects), LIMITS)).tokens.tolist() != expected.tokens.tolist()


async def test_no_room_is_said_so_both_ways(maker: PromptBuilder, projects: Projects) -> None:
    for _ in ("in the thread", "at once"):
        with pytest.raises(EngineError, match="room"):
            await making(maker, view(projects), Limits(64, 60))
        await making(maker, view(projects), LIMITS)


async def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    maker = PromptBuilder()
    broken = corrupt_model(tiny_model("dense"), "magic", tmp_path / "broken.gguf")
    with pytest.raises(ModelRefused):
        await maker.open(broken, "test")
    assert maker.fim_template is None
    await maker.close()
