"""Keys over TCP: who is let in, what each sees, how many requests each may have."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from scrubjay.http.app import serving
from scrubjay.http.guard import Address
from scrubjay.http.keys import KeyRing
from scrubjay.key_tables import KeyTable, digest_of
from scrubjay.process.client import Client
from scrubjay.process.lifecycle import stop_daemon
from scrubjay.service.tenants import OWNER
from tests.support.api import Api, connected
from tests.support.gguf_models import tiny_model
from tests.support.service import running_service, source, until_state
from tests.support.shared_daemon import a_daemon

KEYS = {"anna": "sj-anna", "bob": "sj-bob", "eve": "sj-eve"}
TABLES = (
    KeyTable("anna", digest_of(KEYS["anna"]), group="team"),
    KeyTable("bob", digest_of(KEYS["bob"]), group="team", weight=2.0),
    KeyTable("eve", digest_of(KEYS["eve"]), group="eve", max_requests=1),
)
PROMPT = source(40)
Json = dict[str, Any]


class Box:
    """A daemon that several people have keys for."""

    def __init__(self, url: str, http: aiohttp.ClientSession, socket: Api) -> None:
        self.url, self._http, self.socket = url, http, socket

    async def get(self, name: str, path: str) -> tuple[int, Any]:
        async with self._http.get(self.url + path, headers=bearer(name)) as response:
            return response.status, await read(response)

    async def post(self, name: str, path: str, body: Json) -> tuple[int, Any]:
        async with self._http.post(self.url + path, json=body, headers=bearer(name)) as response:
            return response.status, await read(response)

    def stream(self, name: str, body: Json) -> Any:
        return self._http.post(f"{self.url}/completion", json=body | {"stream": True}, headers=bearer(name))


async def read(response: aiohttp.ClientResponse) -> Any:
    return await response.json() if "json" in response.content_type else await response.text()


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS.get(name, name)}"} if name else {}


@asynccontextmanager
async def a_box(tmp_path: Path, api_key: str = "", n_ctx: int = 4096) -> AsyncIterator[Box]:
    address = Address("127.0.0.1", 0, api_key, TABLES)
    async with (
        running_service(tiny_model("deltanet"), n_ctx) as service,
        serving(service, tmp_path / "s", address) as listeners,
        connected(tmp_path / "s") as socket,
        aiohttp.ClientSession() as http,
    ):
        await until_state(service, "ready")
        yield Box(listeners.urls[0], http, socket)


# --- who is let in ---------------------------------------------------------------------------------------------------


async def test_every_request_needs_a_key(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        routes = ("/completion", "/infill", "/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/tokenize")
        wrong = ("", "sj-ann", "sj-annaa", "SJ-ANNA", "anna'", "\t", digest_of(KEYS["anna"]).hex())
        for key in wrong:
            for path in routes:
                status, answer = await box.post(key, path, {"prompt": "a"})
                assert (status, answer["error"]["type"]) == (401, "authentication_error"), (key, path)
                assert (answer["error"]["code"], KEYS["anna"] in str(answer)) == (401, False)
            for path in ("/v1/models", "/models", "/props", "/slots", "/metrics", "/api/status", "/api/requests"):
                assert (await box.get(key, path))[0] == 401, (key, path)
        assert (await box.get("", "/health"))[0] == (await box.get("", "/v1/health"))[0] == 200
        for name in KEYS:
            assert (await box.get(name, "/v1/models"))[0] == 200
        assert (await box.socket.get("/v1/models"))[0] == 200, "on the socket nobody asks for one"
        for path in ("/", "/api/context?root=/project", "/api/events"):
            assert (await box.get("anna", path))[0] in (401, 404), "the page is this machine's user's"
        for path in ("/api/documents/open", "/api/complete", "/api/forget", "/api/pause", "/api/page"):
            assert (await box.post("anna", path, {}))[0] == 404


async def test_the_api_key_is_this_machine_s_user_s(tmp_path: Path) -> None:
    async with a_box(tmp_path, api_key="mine") as box:
        body = {"prompt": PROMPT, "n_predict": 1}
        assert (await box.post("mine", "/completion", body))[1]["timings"]["cache_n"] == 0
        assert (await box.socket.post("/completion", body))[1]["timings"]["cache_n"] > 100
        assert (await box.post("anna", "/completion", body))[1]["timings"]["cache_n"] == 0


@pytest.mark.parametrize("given", [*KEYS.values(), "mine", "wrong", "sj-", ""])
def test_a_key_is_compared_with_all_whether_it_is_right_or_wrong(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = KeyRing(TABLES, "mine")
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    tenant = ring.find(given)
    assert len(compared) == len(TABLES) + 1
    assert {len(text) for pair in compared for text in pair} == {32}, "of one length, whatever was given"
    assert tenant == {**{KEYS[each.name]: each for each in ring.tenants}, "mine": OWNER}.get(given)


def test_other_machines_are_let_in_with_keys() -> None:
    Address("0.0.0.0", 8012, keys=TABLES).require_safe()


# --- what each sees --------------------------------------------------------------------------------------------------


async def test_each_sees_what_is_his(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        body = {"prompt": PROMPT, "n_predict": 2}
        for name, cached in (("anna", 0), ("eve", 0), ("bob", 100)):
            answer = (await box.post(name, "/completion", body))[1]
            assert answer["timings"]["cache_n"] >= cached
            assert (answer["timings"]["cache_n"] > 0) is (name == "bob")
        await box.socket.open("file:///project/a.py", source())
        await box.socket.complete("file:///project/a.py")
        for name, numbers in (("anna", [2, 1]), ("bob", [2, 1]), ("eve", [1])):
            requests = (await box.get(name, "/api/requests"))[1]["requests"]
            assert [request["number"] for request in requests] == numbers
            assert {(request["kind"], request["uri"]) for request in requests} == {("raw", "")}
            slots = (await box.get(name, "/slots"))[1]
            assert [slot["key"].rpartition("@")[2] for slot in slots] == ["eve" if name == "eve" else "team"]
            status = (await box.get(name, "/api/status"))[1]
            assert "/project" not in str(status)
            assert status["key"] == name
        [own] = (await box.socket.get("/api/requests"))[1]["requests"]
        assert own["uri"] == "file:///project/a.py"
        owner = (await box.socket.get("/api/status"))[1]
        assert {key["name"]: key["n_requests"] for key in owner["keys"]} == {"anna": 1, "bob": 1, "eve": 1}
        assert owner["totals"]["since_start"]["n_requests"] == 1
        assert [context["key"] for context in owner["contexts"]] == ["/project"]


async def test_metrics_of_keys(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        for name in ("anna", "eve", "bob"):
            await box.post(name, "/completion", {"prompt": PROMPT, "n_predict": 3, "ignore_eos": True})
        keys = {key["name"]: key for key in (await box.socket.get("/api/status"))[1]["keys"]}
        names = {
            "requests_total": "n_requests",
            "requests_refused_total": "n_refused",
            "requests_in_flight": "n_in_flight",
            "prompt_tokens_total": "prompt",
            "prompt_tokens_processed_total": "processed",
            "generated_tokens_total": "generated",
        }
        for who, seen in (("anna", ["anna", "bob"]), ("eve", ["eve"])):
            found = text_string_to_metric_families((await box.get(who, "/metrics"))[1])
            samples = [sample for family in found for sample in family.samples]
            of_keys = {(s.name, s.labels["key"]): s.value for s in samples if "key" in s.labels}
            for name, field in names.items():
                for key in seen:
                    assert of_keys[f"scrubjay_key_{name}", key] == keys[key][field], (name, key)
            assert {key for _, key in of_keys} == set(seen)
            assert not [s for s in samples if "project" in s.labels or "resident_memory" in s.name]
        assert keys["anna"]["generated"] == 3


# --- how many requests -----------------------------------------------------------------------------------------------


async def test_one_request_too_many(tmp_path: Path) -> None:
    async with a_box(tmp_path) as box:
        long = {"prompt": PROMPT, "n_predict": 2000, "ignore_eos": True}
        async with box.stream("eve", long) as running:
            await running.content.readline()
            status, answer = await box.post("eve", "/completion", {"prompt": "a", "n_predict": 1})
            assert (status, answer["error"]["type"]) == (429, "rate_limit_error")
            assert (await box.post("anna", "/completion", {"prompt": "a", "n_predict": 1}))[0] == 200
        keys = {key["name"]: key for key in (await box.socket.get("/api/status"))[1]["keys"]}
        assert (keys["eve"]["n_refused"], keys["anna"]["n_refused"]) == (1, 0)
        # The server sees that the client is gone when it writes to it next.
        while (await box.post("eve", "/completion", {"prompt": "a", "n_predict": 1}))[0] == 429:
            pass


# --- a daemon as users start it --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_key_is_in_no_log_and_no_list_of_processes(tmp_path: Path) -> None:
    tables = "".join(f'[keys.{name}]\nhash = "sha256:{digest_of(key).hex()}"\n' for name, key in KEYS.items())
    file = tmp_path / "config.toml"
    file.write_text(tables)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SCRUBJAY_CONFIG", str(file))
        daemon = a_daemon(tmp_path / "s", model=str(tiny_model("deltanet")), http="127.0.0.1:0")
    try:
        list(daemon.client.wait_until_ready())
        status = daemon.client.get("status")
        asyncio.run(_ask(status["config"]["http"][0]))
        said = json.dumps(status := daemon.client.get("status"))
        command = Path(f"/proc/{status['pid']}/cmdline")
        said += command.read_text() if command.exists() else ""
        assert Client(daemon.path).get("requests")["requests"] == []
    finally:
        stop_daemon(daemon.path)
    said += Path(status["config"]["log"]).read_text()
    assert "key anna" in said, "a line for each request says whose it is"
    for secret in (*KEYS.values(), *(digest_of(key).hex() for key in KEYS.values()), "wrong-key"):
        assert secret not in said


async def _ask(url: str) -> None:
    async with aiohttp.ClientSession() as http:
        for key, expected in ((KEYS["anna"], 200), ("wrong-key", 401)):
            body = {"prompt": "def f(", "n_predict": 1}
            async with http.post(f"{url}/completion", json=body, headers=bearer(key)) as response:
                assert response.status == expected
