"""The daemon's loop with a real engine: what becomes of requests, whatever happens to them, to others and to the engine."""

import asyncio
import statistics
from dataclasses import replace

import pytest

from scrubjay.errors import RequestError
from scrubjay.service.events import Complete, RequestStatus, Warm
from scrubjay.service.scheduler import Outcome
from scrubjay.service.status import StatusReport
from scrubjay.workspace.events import ChangeDocument, CloseDocument, CloseOwner, FocusDocument
from scrubjay.workspace.text import Change, Position
from tests.support.service import (
    LONG,
    complete,
    completion,
    generating,
    is_progress,
    model,
    open_document,
    open_long_project,
    prefilling,
    running_service,
    source,
    until,
    until_state,
    warm,
)

URI = "file:///project/a.py"


# --- answers ---------------------------------------------------------------------------------------------------------


async def test_a_completion_says_what_it_cost_and_the_next_one_costs_a_token() -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        first = await complete(service, URI, line=20)
        assert first.reuse.reason == "cold"
        assert first.reuse.processed == first.reuse.prompt == first.timings.prompt_n
        assert [(item.stop_reason, item.n_tokens) for item in first.items] == [("length", 4)]
        again = await complete(service, URI, line=20)
        assert again.reuse.processed == again.reuse.needed == 1
        assert again.items == first.items
        assert again.model == "scrubjay-test-deltanet"
        assert again.version == 1


@pytest.mark.slow
async def test_a_cold_completion_reuses_nothing_and_says_the_same() -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        await complete(service, URI, line=20)
        warm_one = await complete(service, URI, line=21, max_tokens=16)
        cold_one = await complete(service, URI, line=21, max_tokens=16, cold=True)
        assert cold_one.reuse.processed == cold_one.reuse.prompt
        assert cold_one.items == warm_one.items
        after = await complete(service, URI, line=21)
        assert after.reuse.processed == 1


async def test_alternatives_are_distinct_and_share_one_prefill() -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        answer = await complete(service, URI, line=20, max_tokens=12, n=4)
        texts = [item.text for item in answer.items]
        assert 1 < len(texts) <= 4
        assert len(set(texts)) == len(texts)
        assert answer.timings.prompt_n == answer.reuse.prompt + 3
        greedy = await complete(service, URI, line=20, max_tokens=12)
        assert greedy.items[0] == answer.items[0]


async def test_identical_prompts_of_several_clients_share_one_prefill() -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        events = [completion(URI, 20, client=f"client-{number}") for number in range(3)]
        for event in events:
            service.post(event)
        answers = await asyncio.gather(*(event.reply for event in events))
        assert sorted(answer.reuse.processed for answer in answers) == [1, 1, answers[0].reuse.prompt]


async def test_max_tokens_zero_only_warms() -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        answer = await complete(service, URI, line=20, max_tokens=0)
        assert answer.items == ()
        assert answer.reuse.state == "ready"
        assert (await complete(service, URI, line=20)).reuse.processed == 1


async def test_warming_a_project_makes_its_next_completion_cheap() -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        focus = FocusDocument(URI, Position(20, 0))
        service.post(focus)
        await focus.reply
        assert (await warm(service)).reuse.reason == "cold"
        assert (await complete(service, URI, line=20)).reuse.processed == 1


async def test_an_edit_that_settles_is_warmed_unasked() -> None:
    async with running_service(model(), warm=True) as service:
        news = service.broadcaster.subscribe()
        await open_document(service, URI, source())
        await until(news, lambda event: event["type"] == "edit")
        change = ChangeDocument(URI, 2, (Change("    x = 1\n", Position(20, 0), Position(20, 0)),))
        service.post(change)
        assert await change.reply == 2
        cost = await until(news, lambda event: event["type"] == "edit")
        assert cost["uri"] == URI
        answer = await complete(service, URI, line=21)
        assert answer.reuse.processed == 1


@pytest.mark.slow
async def test_a_project_that_had_to_make_room_is_warmed_again_when_its_user_comes_back() -> None:
    async with running_service(model(), warm=True, max_contexts=2) as service:
        uris = [f"file:///project{number}/a.py" for number in range(3)]
        for number, uri in enumerate(uris):
            await open_document(service, uri, source(seed=number), f"/project{number}")
            service.post(warming := Warm(uri=uri, position=Position(20, 0)))
            await warming.reply
        service.post(look := RequestStatus())
        await look.reply
        assert service.models.first.status
        assert [context.key for context in service.models.first.status.contexts] == ["/project2", "/project1"]
        news = service.broadcaster.subscribe()
        service.post(FocusDocument(uris[0], Position(20, 0)))
        cost = await until(news, lambda event: event["type"] == "edit")
        assert (cost["root"], cost["reason"]) == ("/project0", "paged")
        assert (await complete(service, uris[0], 20)).reuse.processed == 1


@pytest.mark.slow
async def test_a_warming_that_nobody_asked_for_gives_way_to_a_completion_of_its_project() -> None:
    async with running_service(model(), n_ctx=LONG, warm=True) as service:
        news = service.broadcaster.subscribe()
        uri = await open_long_project(service)
        await until(news, is_progress)
        assert (await complete(service, uri, 10)).items
        assert service.dispatcher.is_idle, "the completion has done its work"


@pytest.mark.slow
async def test_typing_in_the_anchored_layout_costs_what_is_typed() -> None:
    async with running_service(model(), layout="anchored") as service:
        await open_document(service, URI, source())
        await complete(service, URI, 40)
        costs = []
        for number, character in enumerate("value = function_3(a, b)"):
            change = ChangeDocument(URI, number + 2, (Change(character, at := Position(40, number), at),))
            service.post(change)
            event = Complete(replace(completion(URI).request, position=Position(40, number + 1)))
            service.post(event)
            costs.append((await event.reply).reuse.processed)
        assert statistics.median(costs) <= 4


async def test_the_report_shows_what_a_project_holds() -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        answer = await complete(service, URI, line=20)
        look = RequestStatus()
        service.post(look)
        await look.reply
        reporter = StatusReport(service)
        context = reporter.context("/project")
        assert context["segments"][0]["start"] == 0
        assert context["segments"][-1]["end"] == answer.reuse.prompt
        assert context["n_resident"] >= answer.reuse.prompt
        assert len(context["checkpoints"]) > 1
        assert [edit["processed"] for edit in context["edits"]] == [answer.reuse.processed]
        status = reporter.status()
        assert status["state"] == "ready"
        assert status["projects"][0]["focus"]["uri"] == URI
        assert status["counters"]["n_done"] == 1
        assert status["queue"] == {"running": None, "queued": 0}


# --- refusals --------------------------------------------------------------------------------------------------------


async def test_requests_that_cannot_be_served_as_sent() -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, "one line")
        cases: list[tuple[Complete | Warm | CloseDocument | ChangeDocument, int]] = [
            (completion("file:///project/other.py"), 404),
            (completion(URI, line=-1), 400),
            (completion(URI, version=3), 409),
            (Warm(root="/elsewhere"), 404),
            (Warm(), 400),
            (CloseDocument("file:///project/other.py"), 404),
            (ChangeDocument(URI, 1, (Change("x"),)), 409),
        ]
        for event, status in cases:
            service.post(event)
            with pytest.raises(RequestError) as caught:
                await event.reply
            assert caught.value.status == status
        assert (await complete(service, URI)).reuse.state == "ready"


# --- superseding, preempting, cancelling -----------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_newer_request_supersedes_those_of_the_same_client_and_document_only() -> None:
    async with running_service(model(), n_ctx=LONG) as service:
        uri = await open_long_project(service)
        await prefilling(service, first := completion(uri, 10, client="editor"))
        others = [completion(uri, 11, client="other"), completion(uri, 12)]
        for event in (*others, last := completion(uri, 13, client="editor")):
            service.post(event)
        with pytest.raises(RequestError) as caught:
            await first.reply
        assert (caught.value.status, caught.value.kind) == (409, "superseded")
        answers = await asyncio.gather(last.reply, *(event.reply for event in others))
        assert all(answer.items for answer in answers)


@pytest.mark.slow
async def test_an_answer_known_already_ends_the_progress_of_what_it_supersedes() -> None:
    async with running_service(model(), n_ctx=LONG, rules=True) as service:
        uri = await open_long_project(service)
        written = 'root ::= "value = " [0-9]+ [a-z]+'
        assert (await complete(service, uri, 10, grammar=written)).items
        await prefilling(service, old := completion(uri, 11, client="editor", cold=True))
        news = service.broadcaster.subscribe(["progress"])
        assert (await complete(service, uri, 10, grammar=written, client="editor")).reuse.reason == "cached"
        with pytest.raises(RequestError, match="superseded"):
            await old.reply
        service.broadcaster.close()
        told = [event async for event in news]
        assert told
        assert told[-1]["done"] == told[-1]["total"]


@pytest.mark.slow
async def test_a_completion_preempts_warming_which_is_not_lost() -> None:
    async with running_service(model(), n_ctx=LONG) as service:
        await open_long_project(service)
        await open_document(service, "file:///small/a.py", source(4), root="/small")
        await prefilling(service, warming := Warm(root="/project"))
        answer = await complete(service, "file:///small/a.py")
        assert answer.items
        assert not warming.reply.done()
        warmed = await warming.reply
        assert warmed.reuse.prompt > 4000
        assert warmed.reuse.common > 0, "what was done before the preemption is kept"
        assert service.dispatcher.scheduler.ended == {Outcome.DONE: 2}


@pytest.mark.slow
async def test_a_warming_that_supersedes_another_answers_for_both() -> None:
    async with running_service(model(), n_ctx=LONG) as service:
        uri = await open_long_project(service)
        await prefilling(service, old := Warm(root="/project"))
        service.post(new := Warm(uri=uri, position=Position(3, 0)))
        assert await old.reply is await new.reply
        assert service.dispatcher.scheduler.ended == {Outcome.CANCELLED: 1, Outcome.DONE: 1}


@pytest.mark.slow
async def test_an_abandoned_prefill_is_ended_and_its_work_kept() -> None:
    async with running_service(model(), n_ctx=LONG) as service:
        uri = await open_long_project(service)
        await prefilling(service, event := completion(uri, 10))
        event.reply.cancel()
        answer = await complete(service, uri, 10)
        assert answer.reuse.common > 0
        assert answer.reuse.processed == answer.reuse.prompt - answer.reuse.common
        assert service.dispatcher.scheduler.ended == {Outcome.CANCELLED: 1, Outcome.DONE: 1}


async def test_a_generation_ends_when_it_is_abandoned() -> None:
    async with running_service(model(), n_ctx=LONG) as service:
        await open_document(service, URI, source())
        event = await generating(service, URI)
        event.reply.cancel()
        assert (await complete(service, URI)).reuse.processed == 1


async def test_closing_an_owner_closes_what_it_had_open() -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        service.post(close := CloseOwner("somebody else"))
        await close.reply
        assert (await complete(service, URI)).items
        service.post(close := CloseOwner(""))
        await close.reply
        with pytest.raises(RequestError, match="not open"):
            await complete(service, URI)


# --- time limits -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_prompt_that_takes_too_long_is_answered_in_time_and_warmed() -> None:
    async with running_service(model(), n_ctx=LONG) as service:
        uri = await open_long_project(service)
        await until_state(service, "ready")
        news = service.broadcaster.subscribe()
        answer = await complete(service, uri, 10, t_max_prompt_ms=1)
        assert answer.items == ()
        assert (answer.reuse.state, answer.reuse.reason) == ("warming", "estimated")
        await until(news, lambda event: event["type"] == "edit")
        assert (await complete(service, uri, 10, t_max_prompt_ms=60_000)).reuse.processed == 1


async def test_a_time_limit_holds_while_the_model_is_loading() -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        news = service.broadcaster.subscribe()
        answer = await complete(service, URI, t_max_prompt_ms=0)
        assert answer.reuse.state == "warming"
        await until(news, lambda event: event["type"] == "edit")
        assert (await complete(service, URI)).reuse.processed == 1
