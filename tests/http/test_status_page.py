"""The status page: who is let in, what it may do, and what a browser shows of a live daemon."""

import json
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from math import floor
from pathlib import Path
from types import FrameType
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


COMPUTED = ("service/status.py", "service/why.py", "service/prompt_change.py", "http/metrics.py", "http/page.py")
"""What is only there for those who look."""


async def test_nothing_is_computed_where_nobody_looks(tmp_path: Path) -> None:
    calls: Counter[str] = Counter()

    def note(frame: FrameType, what: str, _: object) -> None:
        calls[frame.f_code.co_filename.rpartition("/scrubjay/")[2]] += what == "call"

    async with running_api(tiny_model("deltanet"), tmp_path / "s") as (_, api):
        await api.open(URI, source(20))
        sys.setprofile(note)
        try:
            for version in range(2, 6):
                place = {"line": 10, "character": 0}
                changes = [{"range": {"start": place, "end": place}, "text": "x = 1\n"}]
                await api.post("/api/documents/change", {"uri": URI, "version": version, "changes": changes})
                assert (await api.complete(URI, 11))[0] == 200
            assert calls["service/dispatcher.py"]
            assert not [name for name in COMPUTED if calls[name]]
            await api.get("/api/status")
            await api.get("/api/requests")
        finally:
            sys.setprofile(None)
    assert calls["service/status.py"]
    assert calls["service/why.py"]


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
    status, context, requests = shown_state(shown)
    assert text(shown, "#state") == status["state"] == "ready"
    model, today, checkpoints = status["model"], status["totals"]["today"], status["checkpoints"]
    assert (
        text(shown, "#model")
        == f"{model['name']}, {model['memory_class']} memory, {model['n_ctx']:,} tokens of context"
    )
    records, rss, queue = status["records"], status["rss"], status["queue"]
    n_projects = f"{len(status['projects']):,} project{'s' * (len(status['projects']) != 1)}"
    assert text(shown, "#figures > div").splitlines() == [
        f"Tokens saved today{today['saved']:,}of {today['prompt']:,} in the prompts of {today['n_requests']:,} requests",
        f"Known without the model{today['n_cached']:,}of {today['n_requests']:,} requests today",
        f"Processed ahead{today['processed_ahead']:,}tokens today, before they were asked for",
        f"Checkpoints{mib(checkpoints['bytes'])}{checkpoints['count']:,} of them; at most {mib(checkpoints['budget'])}",
        f"On disk{mib(records['bytes'])}{records['count']:,} records; at most {mib(records['budget'])}",
        f"Memory{mib(rss['daemon'] + rss['engine'])}model {mib(rss['engine'])}, daemon {mib(rss['daemon'])}",
        f"Queue{queue['queued']:,}waiting; nothing is running",
        f"Editors{status['n_editors']:,}connected; {n_projects}",
    ]
    assert text(shown, "#context > p").splitlines()[0] == (
        f"{context['n_resident']:,} tokens of at most {context['n_ctx']:,} are in memory, {context['n_on_disk']:,} on disk as "
        f"well; {len(context['checkpoints']):,} checkpoints, one every {context['interval']:,} tokens."
    )
    assert [*map(float, places(shown, "#context .mark"))] == pytest.approx(
        [100 * n / max(context["n_resident"], context["segments"][-1]["end"]) for n in context["checkpoints"]], abs=0.01
    )
    rows = text(shown, "#context tbody tr").splitlines()
    assert len(rows) == len(context["segments"])
    for row, segment in zip(rows, context["segments"], strict=True):
        size = segment["end"] - segment["start"]
        assert row == f"{segment['kind']}{segment['label']}{segment['start']:,}{size:,}{segment['reason']}"
    for place, name in (("first", "first_token_ms"), ("own", "own_ms")):
        counts = status["totals"][name]["counts"]
        assert text(shown, f"#{place} p").startswith(f"{sum(counts):,} request")
        assert text(shown, f"#{place} td.n").splitlines() == [f"{n:,}" for n in counts]
    costs = [one["reuse"] for one in requests if one["reuse"]]
    assert text(shown, ".costs .n").splitlines() == [f"{cost['processed']:,} of {cost['prompt']:,}" for cost in costs]
    assert text(shown, "#requests .why").splitlines() == [request["why"] for request in requests]
    assert requests == daemon.client.get("requests", last="20")["requests"]


def mib(n_bytes: int) -> str:
    """As the page has it."""
    size = n_bytes / (1 << 20)
    return f"{size:.1f} MiB" if size < 10 else f"{floor(size + 0.5):,} MiB"


def places(shown: Browser, selector: str) -> list[str]:
    """Where on the strip these elements are, in percent."""
    script = f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => parseFloat(e.style.left)).join(' ')"
    return str(shown.do("evaluate", script=script)).split()


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
    assert counts == [ROOT, "python", *(f"{row[name]:,}" for name in OUTCOMES)]
    assert saved == f"{row['tokens_saved']:,}"
    average = row["latency_ms"] / row["n_answers"]
    assert float(ms.split(" ")[0]) == pytest.approx(average / (1000 if ms.endswith(" s") else 1), abs=0.5)


def shown_state(shown: Browser) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """The JSON that the page has just shown: status, context, requests."""
    keep = (
        "(window.asked = fetch, window.got = {}, window.fetch = async (path) => { const answer = await asked(path);"
        " got[path.split('?')[0]] = await answer.clone().json(); return answer; }, 'kept')"
    )
    shown.do("evaluate", script=keep)
    shown_again(shown)
    got = json.loads(shown.do("evaluate", script="(window.fetch = asked, JSON.stringify(got))"))
    return got["/api/status"], got["/api/context"], got["/api/requests"]["requests"]


def shown_again(shown: Browser) -> None:
    """Let the page ask again, and wait until it has. While it is asking already, it would leave that for later."""
    asked = "while (isBusy) await new Promise((done) => setTimeout(done, 10)); await refresh(); return 'done';"
    assert shown.do("evaluate", script=f"(async () => {{ {asked} }})()") == "done"


@pytest.mark.slow
def test_a_page_that_is_not_seen_asks_for_nothing(page: tuple[Daemon, Browser]) -> None:
    daemon, shown = page
    shown_again(shown)
    turn = "(Object.defineProperty(document, 'hidden', {{ configurable: true, get: () => {} }}), {}, 'turned')"
    shown.do("evaluate", script=turn.format("true", "document.dispatchEvent(new Event('visibilitychange'))"))
    n_asked = "String(performance.getEntriesByType('resource').length)"
    before = shown.do("evaluate", script=n_asked)
    assert shown.do("evaluate", script="String(events)") == "undefined"
    complete(daemon, 20)
    shown_again(shown)
    assert shown.do("evaluate", script=n_asked) == before
    shown.do("evaluate", script=turn.format("false", "document.dispatchEvent(new Event('visibilitychange'))"))
    last = daemon.client.get("requests", last="1")["requests"][0]["number"]
    shown.do("wait", selector=f"body[data-shown='{last}']")


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
