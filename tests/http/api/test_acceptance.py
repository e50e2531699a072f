"""Whether completions help, from a client's messages to the counts: in the report, in the metrics, in the file, forgotten."""

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scrubjay.process.acceptance_file import acceptance_file, read_acceptance, wipe_acceptance
from tests.support.acceptance import BY_HAND, ROUNDS, counted, first_word
from tests.support.api import BASE, Api, running_api
from tests.support.daemon_process import running_daemon
from tests.support.gguf_models import tiny_model

ROOT, URI = "/project", "file:///project/a.py"
TEXT = "def area(width, height):\n"


class User:
    """Types at the end of a document, and is shown what comes for it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._version = 1
        self._column = 0

    async def open(self) -> None:
        await self._api.open(URI, TEXT, ROOT)

    async def insert(self, text: str) -> None:
        place = {"line": 1, "character": self._column}
        await self._change({"range": {"start": place, "end": place}, "text": text})
        self._column += len(text)

    async def erase(self) -> None:
        await self._change({"text": TEXT})
        self._column = 0

    async def show(self) -> tuple[int, str]:
        """The number of the request, and the text that is shown for it, which is on one line."""
        place = {"line": 1, "character": self._column}
        question = {"uri": URI, "position": place, "max_tokens": 6, "stop": ["\n", "\r"], "rules": False}
        status, answer = await self._api.post("/api/complete", question)
        assert status == 200
        await self.tell(answer["request"], "shown")
        return answer["request"], answer["items"][0]["text"].rstrip()

    async def tell(self, request: int, outcome: str) -> None:
        told = {"request": request, "outcome": outcome}
        assert await self._api.post("/api/complete/outcome", told) == (200, {})

    async def _change(self, change: dict[str, Any]) -> None:
        self._version += 1
        body = {"uri": URI, "version": self._version, "changes": [change]}
        assert (await self._api.post("/api/documents/change", body))[0] == 200


async def session(api: Api) -> None:
    user = User(api)
    await user.open()
    for what in ROUNDS:
        await user.insert("return ")
        number, text = await user.show()
        if what == "accepted":
            await user.insert(text)
            await user.tell(number, "accepted")
        elif what == "in part":
            await user.insert(first_word(text))
        elif what == "typed out":
            for character in text:
                await user.insert(character)
        else:
            await user.tell(number, "rejected")
        await user.erase()


async def acceptance(api: Api) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await api.get("/api/status"))[1]["acceptance"]
    return rows


async def test_a_session_is_counted_as_by_hand(tmp_path: Path) -> None:
    async with running_api(tiny_model("deltanet"), tmp_path / "s") as (_, api):
        await session(api)
        status = (await api.get("/api/status"))[1]
        assert counted(status, ROOT) == BY_HAND
        [row] = status["acceptance"]
        today = status["totals"]["today"]
        assert (row["root"], row["language"], row["n_answers"]) == (ROOT, "python", today["n_requests"])
        assert row["tokens_saved"] == today["saved"]
        assert row["latency_ms"] > 0
        await is_in_the_metrics(api, row)
        await api.post("/api/forget", {"root": "/another"})
        assert await acceptance(api) == [row]
        await api.post("/api/forget", {"root": ROOT})
        assert await acceptance(api) == []


async def is_in_the_metrics(api: Api, row: dict[str, Any]) -> None:
    async with api.http.get(f"{BASE}/metrics") as response:
        families = text_string_to_metric_families(await response.text())
    got: dict[tuple[str, ...], float] = {}
    for sample in (sample for family in families for sample in family.samples if "project" in sample.labels):
        assert (sample.labels.pop("project"), sample.labels.pop("language")) == (row["root"], row["language"])
        got[sample.name.removeprefix("scrubjay_").removesuffix("_total"), *sample.labels.values()] = sample.value
    outcomes = ("accepted", "accepted_in_part", "typed_out", "rejected")
    expected: dict[tuple[str, ...], Any] = {
        ("completions_shown",): row["shown"],
        ("completion_answers",): row["n_answers"],
        ("completion_answer_seconds",): pytest.approx(row["latency_ms"] / 1e3),
        ("completion_tokens_saved",): row["tokens_saved"],
        **{("completion_outcomes", name): row[name] for name in outcomes},
        **{("accepted_characters", look): row[look]["characters"] for look in ("after_5_min", "at_save")},
        **{("accepted_characters_kept", look): row[look]["kept"] for look in ("after_5_min", "at_save")},
    }
    assert got == expected


async def test_what_is_kept_at_save(tmp_path: Path) -> None:
    async with running_api(tiny_model("deltanet"), tmp_path / "s") as (_, api):
        user = User(api)
        await user.open()
        number, text = await user.show()
        await user.insert(text)
        await user.tell(number, "accepted")
        await user.insert(" + 1")
        assert (await api.post("/api/documents/save", {"uri": URI}))[0] == 200
        n = len("".join(text.split()))
        assert (await acceptance(api))[0]["at_save"] == {"characters": n, "kept": n}


async def test_what_cannot_be(tmp_path: Path) -> None:
    async with running_api(tiny_model("deltanet"), tmp_path / "s") as (_, api):
        user = User(api)
        await user.open()
        for outcome in ("shown", "accepted", "rejected"):
            await user.tell(99, outcome)
        number, _ = await user.show()
        await user.tell(number, "shown")
        await api.post("/api/documents/close", {"uri": URI})
        await user.tell(number, "accepted")
        assert counted((await api.get("/api/status"))[1], ROOT)["shown"] == 1
        status, answer = await api.post("/api/complete/outcome", {"request": 1, "outcome": "liked"})
        assert (status, "outcome" in answer["error"]["message"]) == (400, True)


@pytest.mark.slow
async def test_it_is_kept_over_restarts_for_this_user_only_and_forgotten(tmp_path: Path) -> None:
    path = acceptance_file(tmp_path)
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s") as daemon:
        await daemon.ready()
        await session(daemon.api)
        [row] = await acceptance(daemon.api)
        assert counted({"acceptance": [row]}, ROOT) == BY_HAND
        daemon.process.terminate()
        await daemon.process.wait()
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text()) == [row]
    assert TEXT not in path.read_text()
    async with running_daemon(tiny_model("deltanet"), tmp_path / "s") as daemon:
        assert await acceptance(daemon.api) == [row]
        await daemon.api.post("/api/forget", {"root": ROOT})
        assert json.loads(path.read_text()) == []


@pytest.mark.slow
async def test_two_daemons_with_one_file(tmp_path: Path) -> None:
    path = acceptance_file(tmp_path)
    async with (
        running_daemon(tiny_model("deltanet"), tmp_path / "a") as one,
        running_daemon(tiny_model("deltanet"), tmp_path / "b") as other,
    ):
        for daemon in (one, other):
            await daemon.ready()
            await session(daemon.api)
        for daemon in (one, other):
            daemon.process.terminate()
            await daemon.process.wait()
    assert counted({"acceptance": json.loads(path.read_text())}, ROOT) == {name: 2 * n for name, n in BY_HAND.items()}
    async with (
        running_daemon(tiny_model("deltanet"), tmp_path / "a") as one,
        running_daemon(tiny_model("deltanet"), tmp_path / "b") as other,
    ):
        await one.api.post("/api/forget")
        assert json.loads(path.read_text()) == []
        other.process.terminate()
        await other.process.wait()
        assert json.loads(path.read_text()) == [], "what another daemon has read before does not come back"


def test_a_file_that_nobody_here_has_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = acceptance_file(tmp_path)
    assert not [*read_acceptance(path)]
    assert not caplog.records
    for content in (b"", b"\xff", b"[" * 100_000, b"{}", b"[{}]"):
        path.write_bytes(content)
        assert not [*read_acceptance(path)]
    assert "counting begins again" in caplog.text


def test_forgetting_without_a_daemon(tmp_path: Path) -> None:
    path = acceptance_file(tmp_path)
    wipe_acceptance(path, "")
    assert not path.exists()
    table = read_acceptance(path)
    for root in ("/a", "/b"):
        table.at(root, "python").answered(1.0, 2)
    path.write_text(json.dumps(table.as_json()))
    wipe_acceptance(path, "/a")
    assert [root for root, _, _ in read_acceptance(path)] == ["/b"]
