"""The status page: who is let in, what it may do, and what a browser shows of a live daemon."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from scrubjay.http.app import serving
from scrubjay.http.guard import Address
from scrubjay.http.page import MAX_COOKIES, PATHS, TOKEN_S, PageAccess
from scrubjay.process.lifecycle import stop_daemon
from tests.editors.vscode import Browser, axe
from tests.support.api import Api, connected, running_api
from tests.support.gguf_models import tiny_model
from tests.support.service import running_service, source, until_state
from tests.support.shared_daemon import Daemon, a_daemon

ROOT = "/project"
URI = f"file://{ROOT}/app.py"
OUTCOMES = ("shown", "accepted", "accepted_in_part", "typed_out", "rejected")


# --- who is let in ---------------------------------------------------------------------------------------------------


def test_a_token_is_good_once_and_for_a_while() -> None:
    now = [0.0]
    access = PageAccess(lambda: now[0])
    token, late = access.new_token(), access.new_token()
    cookie = access.enter(token)
    assert cookie is not None
    assert access.is_known(cookie)
    assert access.enter(token) is None
    assert not access.is_known("")
    now[0] = TOKEN_S + 1
    assert access.enter(late) is None
    for _ in range(MAX_COOKIES):
        access.enter(access.new_token())
    assert not access.is_known(cookie)


@asynccontextmanager
async def a_page(tmp_path: Path) -> AsyncIterator[tuple[Api, str]]:
    """A daemon without --http, and the address that it gives."""
    async with running_api(tiny_model("deltanet"), tmp_path / "s") as (_, api):
        status, answer = await api.post("/api/page")
        assert status == 200
        yield api, answer["url"]


async def test_a_browser_is_let_in_once(tmp_path: Path) -> None:
    async with a_page(tmp_path) as (api, url), browser() as http:
        base = url.partition("/?")[0]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", base)
        for path in PATHS:
            async with http.get(base + path) as refused:
                assert refused.status == 401, path
        async with http.get(url, allow_redirects=False) as entered:
            assert (entered.status, entered.headers["Location"]) == (303, "/")
            cookie = entered.headers["Set-Cookie"]
            assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
        async with http.get(base + "/") as page:
            assert page.status == 200
            policy = page.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "connect-src 'self'" in policy
            text = await page.text()
            assert "NONCE" not in text
            assert not re.search(r"https?://", text), "it needs nothing from elsewhere"
        async with http.get(f"{base}/api/status") as data:
            assert (await data.json())["state"] == "ready"
        async with browser() as another, another.get(url) as used:
            assert used.status == 401
        assert (await api.post("/api/page"))[1]["url"].startswith(base)


async def test_the_page_is_not_for_other_sites_and_names(tmp_path: Path) -> None:
    async with a_page(tmp_path) as (_, url), browser() as http:
        async with http.get(url):
            pass
        base = url.partition("/?")[0]
        for headers in (
            {"Origin": "https://example.com"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Host": "example.com"},
        ):
            for path in PATHS:
                async with http.get(base + path, headers=headers) as refused:
                    assert refused.status == 403, (headers, path)


async def test_documents_are_not_there_for_browsers(tmp_path: Path) -> None:
    async with a_page(tmp_path) as (_, url), browser() as http:
        async with http.get(url):
            pass
        base = url.partition("/?")[0]
        for method, path in (("GET", f"/api/documents?uri={URI}"), ("POST", "/api/complete"), ("POST", "/api/page")):
            async with http.request(method, base + path) as missing:
                assert missing.status == 404, path


async def test_the_tcp_side_has_the_page_with_a_key_as_well(tmp_path: Path) -> None:
    address = Address("127.0.0.1", 0, api_key="secret")
    async with (
        running_service(tiny_model("deltanet")) as service,
        serving(service, tmp_path / "s", address) as listeners,
        connected(tmp_path / "s") as api,
        browser() as http,
    ):
        await until_state(service, "ready")
        url = (await api.post("/api/page"))[1]["url"]
        assert url.startswith(listeners.urls[0])
        async with http.get(f"{listeners.urls[0]}/api/status") as refused:
            assert refused.status == 401
        async with http.get(url) as page:
            assert page.status == 200
        async with http.get(f"{listeners.urls[0]}/props") as refused:
            assert refused.status == 401, "the cookie is no key"


def browser() -> aiohttp.ClientSession:
    """A client that keeps cookies, also for addresses that are numbers."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))


# --- what a browser shows --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Browser]]:
    """A daemon in use, and its page in a browser."""
    home = tmp_path_factory.mktemp("page")
    shown = Browser(home / "profile")
    daemon = a_daemon(home / "s", model=str(tiny_model("deltanet")))
    try:
        list(daemon.client.wait_until_ready())
        for name, seed in (("service.py", 1), ("app.py", 2)):
            text = source(60, seed)
            body = {"uri": f"file://{ROOT}/{name}", "text": text, "root": ROOT, "version": 1}
            daemon.client.post("documents/open", body)
        complete(daemon, 20)
        shown.do("open", url=daemon.client.post("page", {})["url"])
        shown.do("wait", selector="#last")
        yield daemon, shown
    finally:
        shown.close()
        stop_daemon(daemon.path)


def complete(daemon: Daemon, line: int) -> Any:
    question = {"uri": URI, "position": {"line": line, "character": 0}, "max_tokens": 4}
    return daemon.client.post("complete", question)


def text(shown: Browser, selector: str) -> str:
    script = f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent).join('\\n')"
    return str(shown.do("evaluate", script=script))


@pytest.mark.slow
def test_an_edit_appears(page: tuple[Daemon, Browser]) -> None:
    daemon, shown = page
    place = {"line": 9, "character": 4}
    change = {"range": {"start": place, "end": place}, "text": "<b>other</b> "}
    daemon.client.post("documents/change", {"uri": URI, "version": 2, "changes": [change]})
    answer = complete(daemon, 20)["reuse"]
    last = daemon.client.get("requests", last="1")["requests"][0]
    assert last["why"] == "app.py changed at line 10, before the cursor."
    shown.do("wait", selector=f"#requests li:first-child .why:has-text('{last['why']}')")
    assert "<b>other</b>" in text(shown, "#requests li:first-child code.now"), "what it says is text, not markup"
    cost = f"{answer['processed']:,} of {answer['prompt']:,} processed, {answer['needed']:,} needed."
    assert cost in text(shown, "#last").replace(" tokens", "")


@pytest.mark.slow
def test_every_figure_is_that_of_the_json(page: tuple[Daemon, Browser]) -> None:
    daemon, shown = page
    status, context = shown_state(daemon, shown)
    today, figures = status["totals"]["today"], text(shown, "#figures")
    for value in (today["saved"], today["n_cached"], today["processed_ahead"], status["checkpoints"]["count"]):
        assert f"{value:,}" in figures
    assert f"of {today['prompt']:,} in the prompts of {today['n_requests']:,} requests" in figures
    assert f"{context['n_resident']:,} tokens of at most {context['n_ctx']:,}" in text(shown, "#context p")
    assert f"{context['n_on_disk']:,} on disk as well" in text(shown, "#context p")
    assert f"{status['records']['count']:,} records" in figures
    rows = text(shown, "#context tbody tr").splitlines()
    assert len(rows) == len(context["segments"])
    for row, segment in zip(rows, context["segments"], strict=True):
        size = segment["end"] - segment["start"]
        assert row == f"{segment['kind']}{segment['label']}{segment['start']:,}{size:,}{segment['reason']}"
    n_first = sum(status["totals"]["first_token_ms"]["counts"])
    assert text(shown, "#first p").startswith(f"{n_first:,} request")
    requests = daemon.client.get("requests", last="20")["requests"]
    assert text(shown, "#requests .why").splitlines() == [request["why"] for request in requests]


@pytest.mark.slow
def test_whether_it_helps_is_that_of_the_json(page: tuple[Daemon, Browser]) -> None:
    daemon, shown = page
    for outcome in ("accepted", "rejected"):
        number = complete(daemon, 20)["request"]
        daemon.client.post("complete/outcome", {"request": number})
        daemon.client.post("complete/outcome", {"request": number, "outcome": outcome})
    [row] = daemon.client.get("status")["acceptance"]
    assert (row["shown"], row["accepted"], row["rejected"]) == (2, 1, 1)
    shown_again(shown)
    told = "Of the completions shown (2): 1 accepted, 0 in part, 0 typed by hand as proposed, 1 rejected."
    assert text(shown, "#helps p").startswith(told)
    cells = "[...document.querySelectorAll('#helps td')].map((e) => e.textContent).join('|')"
    *counts, _, _, ms, saved = shown.do("evaluate", script=cells).split("|")
    assert counts == [ROOT, "other", *(f"{row[name]:,}" for name in OUTCOMES)]
    assert saved == f"{row['tokens_saved']:,}"
    average = row["latency_ms"] / row["n_answers"]
    assert float(ms.split(" ")[0]) == pytest.approx(average / (1000 if ms.endswith(" s") else 1), abs=0.5)


def shown_state(daemon: Daemon, shown: Browser) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the JSON says, of a moment at which the page asked for it: what contexts hold goes to disk meanwhile."""
    while True:
        before = daemon.client.get("status")["records"]
        shown_again(shown)
        status, context = daemon.client.get("status"), daemon.client.get("context", root=ROOT)
        if status["records"] == before:
            return status, context


def shown_again(shown: Browser) -> None:
    """Let the page ask again, and wait until it has."""
    shown.do("evaluate", script="refresh().then(() => 'done')")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", ["400", "1400"])
def test_nothing_keeps_people_from_using_it(page: tuple[Daemon, Browser], scheme: str, width: str) -> None:
    _, shown = page
    source = axe()
    shown.do("look", scheme=scheme, width=width)
    shown_again(shown)
    shown.do("evaluate", script=f"{source}; 'ready'")
    script = "axe.run().then(({ violations, passes }) => JSON.stringify({ violations, n: passes.length }))"
    found = json.loads(shown.do("evaluate", script=script))
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert not serious, json.dumps(serious, indent=1)[:4000]
    assert found["n"] > 10
    overflow = "String(document.documentElement.scrollWidth - document.documentElement.clientWidth)"
    assert shown.do("evaluate", script=overflow) == "0", "it is to be read without scrolling sideways"
