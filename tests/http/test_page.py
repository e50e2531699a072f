"""docs/http.md says what is true: every route is there, and every example is answered as it says, in shape."""

from pathlib import Path
from typing import Any, cast

import pytest

from scrubjay.http.api.routes import NativeRoutes
from scrubjay.http.compat import compat_routes
from tests.support.api import BASE, running_api
from tests.support.gguf_models import tiny_model
from tests.support.http_page import documented_routes, examples, send, session, values

NOTHING = cast(Any, None)
ELSEWHERE = {("GET", "/api/session"), ("GET", "/"), ("POST", "/api/page"), ("GET", "/vocabulary")}
"""Routes of `serving` itself: the first two have no example that curl could ask the socket for. One answers with a file."""
OPEN_KEYS = {"counters", "error"}
"""Objects whose fields depend on what has happened so far."""
OPTIONAL = {"debounce_ms", "discarded"}
"""Fields that are left out where they say nothing."""


def test_every_route_is_documented_and_nothing_else() -> None:
    registered = {
        (route.method, route.path)
        for route in (*compat_routes(NOTHING, NOTHING), *NativeRoutes(NOTHING, NOTHING).routes())
    }
    assert documented_routes() == registered | ELSEWHERE


def test_every_route_has_an_example() -> None:
    """One of the names that a route has."""
    shown = {(example.method, example.path.partition("?")[0]) for example in examples()}
    aliases = {
        "/v1/health",
        "/completions",
        "/fim/completions",
        "/chat/completions",
        "/models",
        "/embeddings",
        "/embedding",
    }
    missing = documented_routes() - shown - ELSEWHERE
    assert {path for _, path in missing} == aliases


def difference(documented: Any, got: Any, path: str = "") -> str:
    """Where two values are not of the same shape, "" if they are. Lists count by their first items, null for anything."""
    if documented is None or got is None:
        return ""
    if isinstance(documented, dict) and isinstance(got, dict):
        unshared = (documented.keys() ^ got.keys()) - OPTIONAL
        if unshared and path.rpartition("/")[2] not in OPEN_KEYS:
            return f"{path}: {sorted(unshared)} are only in one of them"
        both = documented.keys() & got.keys()
        return next((d for key in both if (d := difference(documented[key], got[key], f"{path}/{key}"))), "")
    if isinstance(documented, list) and isinstance(got, list):
        return difference(documented[0], got[0], f"{path}[0]") if documented and got else ""
    numbers = isinstance(documented, int | float) and isinstance(got, int | float)
    return "" if numbers or type(documented) is type(got) else f"{path}: {documented!r} and {got!r}"


def kinds(found: list[Any]) -> list[Any]:
    """The shapes of a stream's lines that differ from the one before."""
    different: list[Any] = []
    for value in found:
        if not different or difference(different[-1], value):
            different.append(value)
    return different


@pytest.mark.slow
async def test_the_examples(tmp_path: Path) -> None:
    async with running_api(tiny_model("deltanet"), tmp_path / "s") as (_, api):
        for example in examples():
            status, text = await send(api.http, example)
            assert status == example.status, (example.id, text)
            if example.form == "prometheus":
                assert set(values(example.form, example.answer)) <= set(values(example.form, text))
                continue
            documented, got = kinds(values(example.form, example.answer)), kinds(values(example.form, text))
            assert len(documented) == len(got), (example.id, documented, got)
            for one, other in zip(documented, got, strict=True):
                assert not (found := difference(one, other)), (example.id, found)


async def test_the_session(tmp_path: Path) -> None:
    async with (
        running_api(tiny_model("deltanet"), tmp_path / "s") as (_, api),
        api.http.ws_connect(BASE + "/api/session") as channel,
    ):
        for direction, message in session():
            if direction == ">":
                await channel.send_json(message)
                continue
            got = await channel.receive_json()
            while "event" in got and "event" not in message:
                got = await channel.receive_json()
            assert not (found := difference(message, got)), found
