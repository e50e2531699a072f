"""Tail blocks: texts such as a compiler's output that a project's prompts show after its files, for as long as is wanted."""

import pytest

from scrubjay.http.api.methods import tail
from scrubjay.http.params import Params
from scrubjay.prompt.segments import Span
from scrubjay.service.service import Service
from scrubjay.workspace.project import MAX_TAILS, Project, Tail
from tests.support.service import complete, model, open_document, running_service, source, warm

URI = "file:///project/a.py"
DIFF = "diff --git a/0.py b/0.py\n@@ -1 +1 @@\n-old\n+new\n"
OUTPUT = "a.py:3: error: nothing is called total\n" * 4


async def add(service: Service, name: str, text: str, once: bool = True) -> None:
    event = tail(Params({"root": "/project", "name": name, "text": text, "once": once}))()
    service.post(event)
    await event.reply


def segments(service: Service) -> tuple[Span, ...]:
    prompt = service.dispatcher.residency.of("/project").prompt
    return prompt.segments if prompt else ()


def n_current(service: Service) -> int:
    """Tokens of the current file in the last prompt, and its path."""
    return sum(span.end - span.start for span in segments(service) if span.kind not in ("repo", "file", "tail"))


@pytest.mark.slow
async def test_a_tail_costs_itself_and_the_current_file_when_it_comes_and_goes() -> None:
    async with running_service(model(), layout="anchored") as service:
        for number in range(3):
            await open_document(service, f"file:///project/{number}.py", source(40, seed=number))
        await open_document(service, URI, source(20, seed=9))
        before = await complete(service, URI, line=10)
        await add(service, "compiler", OUTPUT)
        shown = await complete(service, URI, line=10)
        (span,) = (span for span in segments(service) if span.kind == "tail")
        assert (span.label, shown.reuse.prompt) == ("compiler", before.reuse.prompt + span.end - span.start)
        interval = 64
        assert shown.reuse.processed <= span.end - span.start + n_current(service) + interval < before.reuse.prompt
        # It was to be shown once.
        after = await complete(service, URI, line=10)
        assert after.reuse.prompt == before.reuse.prompt
        assert after.reuse.processed <= n_current(service) + interval


@pytest.mark.slow
async def test_a_diff_that_changes_costs_nothing_while_somebody_types() -> None:
    """And when there is time, itself and what comes after it."""
    async with running_service(model(), layout="anchored") as service:
        for number in range(3):
            await open_document(service, f"file:///project/{number}.py", source(40, seed=number))
        await open_document(service, URI, source(20, seed=9))
        project = service.projects.by_root("/project")
        project.add_tail(Tail("working.diff", DIFF, once=False, is_diff=True))
        await complete(service, URI, line=10)
        await warm(service)
        before = await complete(service, URI, line=10)
        assert any(span.kind == "tail" for span in segments(service))
        project.add_tail(Tail("working.diff", f"{DIFF}+one line more\n", once=False, is_diff=True))
        typed = await complete(service, URI, line=10)
        assert (typed.reuse.prompt, typed.reuse.processed) == (before.reuse.prompt, before.reuse.processed)
        warmed = await warm(service)
        (span,) = (span for span in segments(service) if span.kind == "tail")
        interval = 64
        assert warmed.reuse.prompt > before.reuse.prompt
        assert 0 < warmed.reuse.processed <= span.end - span.start + n_current(service) + interval < before.reuse.prompt


async def test_a_tail_that_stays_is_shown_until_it_is_taken_away() -> None:
    async with running_service(model(), layout="plain") as service:
        await open_document(service, URI, source(20))
        first = await complete(service, URI, line=10)
        await add(service, "notes", OUTPUT, once=False)
        for _ in range(2):
            assert (await complete(service, URI, line=10)).reuse.prompt > first.reuse.prompt
        await add(service, "notes", "")
        assert (await complete(service, URI, line=10)).reuse.prompt == first.reuse.prompt


async def test_only_the_end_of_a_long_tail_is_shown() -> None:
    async with running_service(model(), n_ctx=2048) as service:
        await open_document(service, URI, source(20))
        await add(service, "log", OUTPUT * 500)
        answer = await complete(service, URI, line=10)
        assert answer.reuse.prompt < 1024
        assert any(span.kind == "tail" for span in segments(service))


def test_tails_are_few_and_one_that_has_changed_is_not_used_up() -> None:
    project = Project("/project")
    for number in range(MAX_TAILS + 2):
        project.add_tail(Tail(str(number), "text"))
    assert list(project.tails) == [str(number) for number in range(2, MAX_TAILS + 2)]
    shown = dict(project.tails)
    project.add_tail(Tail("5", "newer"))
    project.use_up(shown)
    assert [tail.text for tail in project.tails.values()] == ["newer"]
