"""Next edits of a model, from the key to the edit in its place: a real engine, whose answers a grammar forces."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from scrubjay.http.app import serving
from scrubjay.nextedit.formats import EditPrompt
from scrubjay.nextedit.formats import asked as prompt_of
from scrubjay.protocol.messages import Sampling
from scrubjay.service import model_edits
from scrubjay.service.served_model import ServedModel
from scrubjay.service.service import Service
from scrubjay.workspace.context_rules import read_context_rules
from tests.service.test_models import other, running_models
from tests.support.api import Api, connected
from tests.support.service import until_state

A, B = "file:///project/a.py", "file:///project/b.py"
HEAD, NEW_HEAD = ("print('🙂')\ndef area(r):\n", "print('🙂')\ndef area(r, scale):\n")
BODY, WANTED = "    return '🙂', r * r\n", "    return '🙂', scale * r * r\n"
TAIL = "".join(f"value_{number} = {number}\n" for number in range(60))
END_OF_BLOCK = "".join(TAIL.splitlines(keepends=True)[:13])
ANSWER = f"<|marker_1|>{NEW_HEAD}{WANTED}{END_OF_BLOCK}<|marker_2|>"


@asynccontextmanager
async def running(tmp_path: Path, name: str = "zeta-2.1") -> AsyncIterator[tuple[Service, Api]]:
    socket = tmp_path / "socket"
    async with (
        running_models(other(name, "deltanet", "edit")) as service,
        serving(service, socket),
        connected(socket) as api,
    ):
        await until_state(service, "ready")
        yield service, api


def force(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Let the model write nothing else, but as much as there is room for."""
    grammar = f"root ::= {json.dumps(answer, ensure_ascii=False)}"
    monkeypatch.setattr(model_edits, "Sampling", partial(Sampling, grammar=grammar))


async def change(api: Api, version: int, line: int, columns: tuple[int, int], text: str, **more: object) -> None:
    place = {"start": {"line": line, "character": columns[0]}, "end": {"line": line, "character": columns[1]}}
    body = {"uri": A, "version": version, "changes": [{"range": place, "text": text}], **more}
    assert await api.post("/api/documents/change", body) == (200, {"version": version})


async def begin(api: Api) -> None:
    """Open the file, and give the function another parameter, which its body does not use yet."""
    await api.open(A, HEAD + BODY + TAIL)
    await change(api, 2, 1, (10, 10), ", scale")


async def ask(api: Api, uri: str = A, **more: object) -> dict:  # type: ignore[type-arg]
    while True:
        status, answer = await api.post("/api/next-edit", {"uri": uri, **more})
        assert status == 200, answer
        if answer["quiet"] != ["typing"]:
            return answer


def n_asked(model: ServedModel) -> int:
    return model.dispatcher.scheduler.n_accepted


@pytest.mark.parametrize(("encoding", "n_line"), [("utf-8", len(BODY.encode())), ("utf-16", len(BODY) + 1)])
async def test_from_the_key_to_the_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, n_line: int
) -> None:
    force(monkeypatch, ANSWER)
    async with running(tmp_path) as (service, api):
        await begin(api)
        edit = (await ask(api, position_encoding=encoding, version=2))["edit"]
        assert (edit["old"], edit["text"], edit["kind"]) == (BODY, WANTED, "model")
        assert edit["range"] == {"start": {"line": 2, "character": 0}, "end": {"line": 3, "character": 0}}
        model = service.models.all[1]
        assert (await ask(api, position_encoding=encoding))["edit"] == edit
        assert n_asked(model) == 1, "what is known is not asked for again"
        assert await api.post("/api/next-edit/outcome", {"id": edit["id"], "outcome": "accepted"}) == (200, {})
        await change(api, 3, 2, (0, n_line - 1), WANTED[:-1], position_encoding=encoding)
        _, document = await api.get(f"/api/documents?uri={A}")
        assert document["text"] == NEW_HEAD + WANTED + TAIL


async def test_a_rejected_edit_of_the_model_does_not_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, ANSWER)
    async with running(tmp_path) as (_, api):
        await begin(api)
        number = (await ask(api))["edit"]["id"]
        for outcome in ("shown", "rejected"):
            assert await api.post("/api/next-edit/outcome", {"id": number, "outcome": outcome}) == (200, {})
        answer = await ask(api)
        assert (answer["edit"], answer["quiet"]) == (None, ["passed_over"])


async def test_what_the_user_has_undone_is_not_proposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, ANSWER)
    async with running(tmp_path) as (_, api):
        await begin(api)
        number = (await ask(api))["edit"]["id"]
        assert await api.post("/api/next-edit/outcome", {"id": number, "outcome": "accepted"}) == (200, {})
        await change(api, 3, 2, (17, 17), "scale * ")
        await change(api, 4, 2, (17, 25), "")
        answer = await ask(api)
        assert (answer["edit"], answer["quiet"]) == (None, ["undo"])


async def test_an_edit_for_a_text_that_is_gone_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, ANSWER)
    async with running(tmp_path) as (service, api):
        await begin(api)
        asking = asyncio.create_task(ask(api))
        while not n_asked(service.models.all[1]):
            await asyncio.sleep(0)
        await change(api, 3, 5, (0, 0), "\n")
        answer = await asking
        assert (answer["edit"], answer["quiet"]) == (None, ["stale"])


async def test_an_answer_that_is_not_whole_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, ANSWER * 20)
    async with running(tmp_path) as (_, api):
        await begin(api)
        answer = await ask(api)
        assert (answer["edit"], answer["quiet"]) == (None, ["unfinished"])


async def test_the_model_sees_other_open_files_and_is_asked_about_that_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, ANSWER)
    async with running(tmp_path) as (service, api):
        await api.open(B, "from a import area\n")
        await begin(api)
        assert (await ask(api))["edit"]["uri"] == A
        requests = (await api.get("/api/requests"))[1]["requests"]
        assert [request["uri"] for request in requests] == [A]
        assert (await ask(api, B))["edit"]["uri"] == A, "it is known, wherever the user is"
        assert n_asked(service.models.all[1]) == 1


@pytest.mark.parametrize("name", ["talk", "zeta"])
async def test_a_model_of_no_known_format_is_not_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    async with running(tmp_path, name) as (service, api):
        assert f"The model {name} is for next edits, but its name says no format" in caplog.text
        await begin(api)
        assert (await ask(api))["edit"] is None
        assert n_asked(service.models.all[1]) == 0


@pytest.mark.parametrize("name", ["sweep", "zeta-2.1"])
async def test_typing_costs_the_model_what_was_typed_and_the_region(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What comes before the windows is reused from question to question, at any place inside of the region."""
    force(monkeypatch, "nothing")
    async with running(tmp_path, name) as (_, api):
        for number in range(6):
            await api.open(f"file:///project/other_{number}.py", "".join(f"v{number}_{n} = {n}\n" for n in range(60)))
        await begin(api)
        costs = []
        for version in range(3, 9):
            await ask(api)
            await change(api, version, 2, (10, 10), "x")
            request = (await api.get("/api/requests"))[1]["requests"][0]
            costs.append(request["reuse"])
        later = costs[2:]
        assert all(cost["processed"] < 0.3 * cost["prompt"] for cost in later), costs


async def test_the_model_sees_no_other_file_that_the_projects_rules_hide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(monkeypatch, ANSWER)
    asked = list[str]()
    monkeypatch.setattr(model_edits, "asked", lambda form, scene: _kept(asked, prompt_of(form, scene)))
    async with running(tmp_path) as (service, api):
        await api.open(B, "hidden = 1\n")
        place = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}}
        change_of_b = {"uri": B, "version": 2, "changes": [{"range": place, "text": "hidden = 2\n"}]}
        assert await api.post("/api/documents/change", change_of_b) == (200, {"version": 2})
        await begin(api)
        await ask(api)
        for project in service.projects:
            project.rules = read_context_rules('[context]\nnever = ["b.py"]\n')
        await change(api, 3, 1, (10, 10), "x")
        await ask(api)
    assert "hidden" in asked[0]
    assert "hidden" not in asked[-1] and "area" in asked[-1]


def _kept(asked: list[str], prompt: EditPrompt | None) -> EditPrompt | None:
    asked += [prompt.text] if prompt else []
    return prompt
