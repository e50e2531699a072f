"""Several people on one daemon: what is one's is no other's, and a burst of one is nobody else's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scrubjay.completion.requests import Completion, RawRequest
from scrubjay.prompt.client_prompts import RawPrompt
from scrubjay.prompt.infill import InfillPrompt
from scrubjay.protocol.messages import PrefillDone, PrefillProgress, Sampling
from scrubjay.service.events import Generate
from scrubjay.service.service import Service
from scrubjay.service.settings import ServiceSettings
from scrubjay.service.status import StatusReport
from scrubjay.service.tenants import OWNER, Tenant
from scrubjay.service.why import RequestReport
from scrubjay.tokens import Tokens, as_tokens, common_length
from tests.support.engine_rig import MIB, random_tokens
from tests.support.gguf_models import tiny_model
from tests.support.service import LONG, engine_settings, running_service, source, until_state

ANNA, BOB, EVE = Tenant("anna", "team"), Tenant("bob", "team", 2.0), Tenant("eve", "eve")
EVERYBODY = (OWNER, ANNA, BOB, EVE)
TEXTS = [random_tokens(np.random.default_rng(seed), 400) for seed in range(2)]


async def asked(service: Service, tenant: Tenant, request: RawRequest) -> Completion:
    service.post(event := Generate(request, tenant=tenant))
    return await event.reply


def raw(tokens: Tokens, max_tokens: int = 3) -> RawRequest:
    how = Sampling(max_tokens=max_tokens, ignore_end=True, with_tokens=True)
    return RawRequest(RawPrompt(tuple(tokens.tolist())), sampling=how)


@asynccontextmanager
async def a_service(folder: Path, kind: str = "deltanet") -> AsyncIterator[Service]:
    """One that has few contexts and keeps records."""
    engine = replace(engine_settings(tiny_model(kind), 1024), max_contexts=2, store=str(folder))
    service = Service(ServiceSettings(engine, warm=False))
    service.start()
    await until_state(service, "ready")
    try:
        yield service
        service.dispatcher.scheduler.check_integrity()
    finally:
        await service.close()


# --- what is one's is no other's -------------------------------------------------------------------------------------


@dataclass
class World:
    """One daemon for all, and one for each group alone; what each group has had computed."""

    folder: Path
    stack: AsyncExitStack
    all: Service
    alone: dict[str, Service] = field(default_factory=dict)
    computed: dict[str, list[Tokens]] = field(default_factory=dict)

    async def ask(self, tenant: Tenant, tokens: Tokens) -> None:
        group = tenant.group
        if group not in self.alone:
            self.alone[group] = await self.stack.enter_async_context(a_service(self.folder / f"alone {group}"))
        together, alone = await asyncio.gather(
            asked(self.all, tenant, raw(tokens)), asked(self.alone[group], OWNER, raw(tokens))
        )
        assert together.items == alone.items
        own = self.computed.setdefault(group, [])
        most = max((common_length(tokens, known) for known in own), default=0)
        assert together.reuse.common <= most
        assert together.reuse.prompt - together.reuse.processed <= most
        assert together.reuse.paged <= most
        assert alone.reuse.common <= most
        own.append(as_tokens([*tokens.tolist(), *(token.choice.id for token in together.items[0].tokens)]))


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    with TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            service = await stack.enter_async_context(a_service(Path(folder) / "all"))
            yield World(Path(folder), stack, service)


STEP = st.tuples(
    st.sampled_from(EVERYBODY), st.integers(0, len(TEXTS) - 1), st.integers(60, 380), st.none() | st.integers(0, 379)
)


def prompt_of(text: int, n: int, edited: int | None) -> Tokens:
    tokens = TEXTS[text][:n].copy()
    if edited is not None and edited < n:
        tokens[edited] = (tokens[edited] + 1) % 200 + 5
    return as_tokens(tokens)


@pytest.mark.slow
@given(st.lists(STEP, min_size=6, max_size=24))
@settings(max_examples=6, deadline=None)
async def test_nobody_has_any_use_of_what_another_had_computed(
    steps: list[tuple[Tenant, int, int, int | None]],
) -> None:
    async with a_world() as world:
        for tenant, text, n, edited in steps:
            await world.ask(tenant, prompt_of(text, n, edited))


@pytest.mark.slow
async def test_records_are_of_one_group(tmp_path: Path) -> None:
    """What one had before the restart, he has after it; another has nothing of it."""
    async with a_service(tmp_path) as service:
        await asked(service, ANNA, raw(TEXTS[0]))
        await asked(service, EVE, raw(TEXTS[1]))
    async with a_service(tmp_path) as service:
        for tenant, tokens in ((EVE, TEXTS[0]), (OWNER, TEXTS[0]), (OWNER, TEXTS[1]), (BOB, TEXTS[1])):
            assert (await asked(service, tenant, raw(tokens))).reuse.common == 0
        for tenant, tokens in ((BOB, TEXTS[0]), (EVE, TEXTS[1])):
            assert (await asked(service, tenant, raw(tokens))).reuse.processed <= 64


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "max_contexts"), [("deltanet", 2), ("deltanet", 1), ("dense", 1)])
async def test_who_asks_for_much_leaves_others_what_they_have(kind: str, max_contexts: int) -> None:
    """One reads long texts again and again, more than memory holds; what another had read is there when he comes back."""
    rng = np.random.default_rng(3)
    engine = replace(engine_settings(tiny_model(kind), 1024), max_contexts=max_contexts, checkpoint_budget=4 * MIB)
    service = Service(ServiceSettings(engine, warm=False))
    service.start()
    try:
        await until_state(service, "ready")
        assert (await asked(service, ANNA, raw(TEXTS[0]))).reuse.reason == "cold"
        for _ in range(40):
            assert (await asked(service, EVE, raw(random_tokens(rng, 900)))).reuse.common == 0
        again = await asked(service, ANNA, raw(TEXTS[0]))
        assert again.reuse.processed <= 64
        service.dispatcher.scheduler.check_integrity()
    finally:
        await service.close()


async def test_windows_are_aligned_with_texts_of_the_same_group_only() -> None:
    """What a client's window no longer shows is remembered, and shown to the model: of the client's group."""
    text = source(60)
    async with running_service(tiny_model("deltanet"), layout="anchored") as service:
        await until_state(service, "ready")
        shown = {}
        for tenant in (ANNA, EVE, BOB):
            infill = InfillPrompt(text[-600:] if tenant is not ANNA else text, "", "")
            request = RawRequest(infill, sampling=Sampling(max_tokens=1))
            shown[tenant.name] = (await asked(service, tenant, request)).reuse.prompt
        assert shown["bob"] == shown["anna"] > 2 * shown["eve"]


async def test_nobody_sees_what_another_asked_for() -> None:
    async with running_service(tiny_model("deltanet")) as service:
        await until_state(service, "ready")
        news = service.broadcaster.subscribe()
        for tenant, n in ((OWNER, 300), (ANNA, 350), (BOB, 350), (EVE, 400)):
            answer = await asked(service, tenant, raw(TEXTS[0][:n]))
            assert answer.request == (2 if tenant is BOB else 1), "numbers are a group's own"
        report, status = RequestReport(service), StatusReport(service)
        status.tenants = (ANNA, BOB, EVE)
        for tenant, sizes in ((OWNER, [300]), (ANNA, [350, 350]), (BOB, [350, 350]), (EVE, [400])):
            requests = await report.requests(10, tenant.group)
            assert [request["reuse"]["prompt"] for request in requests] == sizes
            await service.models.first.ask_status()
            seen = status.status(tenant)
            assert [context["n_resident"] for context in seen["models"][0]["contexts"]] == [max(sizes) + 2]
            assert seen["totals"]["since_start"]["prompt"] == sum(sizes)
            own = [key["name"] for key in seen["keys"]]
            assert own == (
                ["anna", "bob", "eve"]
                if tenant is OWNER
                else [each.name for each in EVERYBODY if each.group == tenant.group]
            )
        [anna, bob, eve] = status.status()["keys"]
        assert (anna["prompt"], anna["processed"], anna["generated"], anna["n_requests"]) == (350, 350, 3, 1)
        assert (bob["prompt"], bob["processed"], bob["saved"]) == (350, 1, 349)
        assert (eve["prompt"], eve["processed"], eve["n_in_flight"], eve["n_refused"]) == (400, 400, 0, 0)
        service.broadcaster.close()
        told = [event async for event in news]
        assert len([event for event in told if event["type"] == "edit"]) == 1, "that of this machine's user"
        assert len({event["job"] for event in told if event["type"] in ("completion", "progress")}) == 1


# --- a burst of one is nobody else's -----------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_burst_does_not_delay_another_s_completion_by_more_than_one_decode() -> None:
    async with running_service(tiny_model("deltanet"), n_ctx=LONG) as service:
        await until_state(service, "ready")
        told: list[PrefillProgress | PrefillDone] = []
        is_told = asyncio.Event()
        handlers = dict(service.first.handlers)

        def note(message: PrefillProgress | PrefillDone) -> None:
            told.append(message)
            is_told.set()
            handlers[type(message)](message)

        service.first.handlers = {**handlers, PrefillProgress: note, PrefillDone: note}
        await asked(service, BOB, raw(TEXTS[1]))
        numbers = np.random.default_rng(3)
        burst = [asyncio.ensure_future(asked(service, EVE, raw(random_tokens(numbers, 5000)))) for _ in range(3)]
        for turn in range(1, 6):
            is_told.clear()
            await is_told.wait()
            n_before = len(told)
            answer = await asked(service, BOB, raw(as_tokens([*TEXTS[1].tolist(), turn])))
            assert not any(reply.done() for reply in burst)
            since = [type(message) for message in told[n_before:]]
            assert since.index(PrefillDone) <= 1, "what the burst has decoded before it"
            assert answer.reuse.processed <= 64
        others = await asyncio.gather(*burst)
        for other in others:
            assert (other.reuse.prompt, other.reuse.common) == (5000, 0)
            assert other.reuse.processed == other.timings.prompt_n >= 5000, "in all its runs"
            assert other.timings.own_ms < other.timings.prompt_ms
        assert service.models.first.status
        assert service.models.first.status.n_repaired == 0


@pytest.mark.slow
async def test_a_text_that_gives_way_goes_on_and_is_the_same() -> None:
    prompt, how = RawPrompt((source(20),)), Sampling(max_tokens=300, ignore_end=True, temperature=0.8, seed=4)
    async with running_service(tiny_model("deltanet")) as service:
        await until_state(service, "ready")
        undisturbed = await asked(service, OWNER, RawRequest(prompt, sampling=how))
    async with running_service(tiny_model("deltanet")) as service:
        await until_state(service, "ready")
        pieces: asyncio.Queue[str] = asyncio.Queue()
        streamed: list[str] = []

        def take(text: str) -> None:
            streamed.append(text)
            pieces.put_nowait(text)

        service.post(event := Generate(RawRequest(prompt, sampling=how), take, EVE))
        for turn in range(1, 4):
            for _ in range(10):
                await pieces.get()
            await asked(service, BOB, raw(TEXTS[1][: 60 + turn]))
            assert not event.reply.done()
        answer = await event.reply
        assert answer.items[0].text == undisturbed.items[0].text == "".join(streamed)
        assert answer.timings.predicted_n == 300
        assert answer.reuse.processed == undisturbed.reuse.processed
