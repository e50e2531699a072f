"""`GET /metrics`: what the status report says, under documented names."""

import re
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from scrubjay.completion.acceptance import Counts
from scrubjay.http.metrics import COUNTERS, OUTCOMES, metrics_text
from scrubjay.protocol.contexts import EngineStatus
from scrubjay.service.scheduler import Outcome
from scrubjay.service.tenants import TenantSums
from tests.support.api import BASE, running_api
from tests.support.gguf_models import tiny_model
from tests.support.service import source

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
DOCUMENTED = set(re.findall(r"^\| `((?:scrubjay|llamacpp)[\w:]+)", PAGE.read_text("utf-8"), re.MULTILINE))
SIZES = {"n_checkpoints", "n_branches"}
"""Counts of the engine that also become less."""


def samples(text: str) -> dict[tuple[str, str], float]:
    """Values by name and the value of the only label, "" without one."""
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, next(iter(sample.labels.values()), "")): sample.value for sample in found}


async def test_the_metrics_are_the_report_s(tmp_path: Path) -> None:
    async with running_api(tiny_model("deltanet"), tmp_path / "s") as (_, api):
        await api.open("file:///project/a.py", source())
        await api.complete("file:///project/a.py")
        report, again = (await api.get("/api/status"))[1], None
        while report["rss"] != again:  # the kernel counts memory that was touched a little later
            async with api.http.get(f"{BASE}/metrics") as response:
                assert response.content_type == "text/plain"
                got = samples(await response.text())
            report, again = (await api.get("/api/status"))[1], report["rss"]
        counters = report["counters"]
        for key, (name, _) in COUNTERS.items():
            assert got[f"scrubjay_{name}_total", ""] == counters[key], key
        for outcome in OUTCOMES:
            assert got["scrubjay_requests_ended_total", outcome] == counters.get(f"n_{outcome}", 0)
        assert got["scrubjay_tokens_decoded_total", ""] > 100
        assert got["scrubjay_checkpoint_bytes", ""] == report["checkpoints"]["bytes"] > 0
        assert got["scrubjay_context_tokens", ""] == report["contexts"][0]["n_resident"]
        assert got["scrubjay_documents_open", ""] == got["scrubjay_projects", ""] == got["scrubjay_ready", ""] == 1
        assert got["scrubjay_resident_memory_bytes", "engine"] == report["rss"]["engine"]


async def test_every_sample_is_in_the_report(tmp_path: Path) -> None:
    """Those of acceptance are in `tests/http/api/test_acceptance.py`."""
    async with running_api(tiny_model("deltanet"), tmp_path / "s") as (_, api):
        await api.open("file:///project/a.py", source())
        for line in (3, 3, 9):
            await api.complete("file:///project/a.py", line)
        report = {**(await api.get("/api/status"))[1], "acceptance": []}
    totals, counters, queue = report["totals"], report["counters"], report["queue"]
    checkpoints, branches, records = report["checkpoints"], report["branches"], report["records"] or {}
    sums, [model] = totals["since_start"], report["models"]
    by_hand: dict[str, Any] = {
        "scrubjay_info": 1,
        "scrubjay_ready": 1,
        "scrubjay_uptime_seconds": report["uptime_s"],
        "scrubjay_projects": 1,
        "scrubjay_documents_open": 1,
        "scrubjay_editors_connected": report["n_editors"],
        "llamacpp:requests_processing": 0,
        "llamacpp:requests_deferred": queue["queued"],
        "llamacpp:n_decode_total": counters["n_decodes"],
        "scrubjay_requests_running": 0,
        "scrubjay_requests_queued": queue["queued"],
        **{f"scrubjay_{name}_total": counters[key] for key, (name, _) in COUNTERS.items()},
        "scrubjay_checkpoints": checkpoints["count"],
        "scrubjay_checkpoint_bytes": checkpoints["bytes"],
        "scrubjay_checkpoint_budget_bytes": checkpoints["budget"],
        "scrubjay_branches": branches["count"],
        "scrubjay_branch_bytes": branches["bytes"],
        "scrubjay_branch_budget_bytes": branches["budget"],
        "scrubjay_records": records.get("count", 0),
        "scrubjay_record_bytes": records.get("bytes", 0),
        "scrubjay_record_budget_bytes": records.get("budget", 0),
        "scrubjay_record_bytes_written_today": records.get("bytes_today", 0),
        "scrubjay_contexts": len(report["contexts"]),
        "scrubjay_context_tokens": sum(context["n_resident"] for context in report["contexts"]),
        "scrubjay_completions_total": sums["n_requests"],
        "scrubjay_completions_known_total": sums["n_cached"],
        "scrubjay_prompt_tokens_total": sums["prompt"],
        "scrubjay_prompt_tokens_processed_total": sums["processed"],
        "scrubjay_prompt_tokens_processed_ahead_total": sums["processed_ahead"],
    }
    labelled: dict[tuple[str, str], Any] = {
        **{("scrubjay_requests_ended_total", name): counters.get(f"n_{name}", 0) for name in OUTCOMES},
        **{("scrubjay_resident_memory_bytes", process): n for process, n in report["rss"].items()},
        ("scrubjay_model_ready", model["name"]): 1,
        ("scrubjay_model_resident_memory_bytes", model["name"]): model["rss"],
        ("scrubjay_model_gpu_memory_bytes", model["name"]): model["on_gpus"],
        ("scrubjay_model_requests_running", model["name"]): 0,
        ("scrubjay_model_requests_queued", model["name"]): 0,
        ("scrubjay_model_tokens_decoded_total", model["name"]): counters["n_decoded"],
    }
    for name, key in (("first_token", "first_token_ms"), ("own", "own_ms")):
        counts, bounds = totals[key]["counts"], [*(str(ms / 1e3) for ms in totals["bounds_ms"]), "+Inf"]
        for n, bound in enumerate(bounds):
            labelled[f"scrubjay_{name}_seconds_bucket", bound] = sum(counts[: n + 1])
        labelled[f"scrubjay_{name}_seconds_count", ""] = sum(counts) == 3 and 3
        labelled[f"scrubjay_{name}_seconds_sum", ""] = totals[key]["sum"] / 1e3
    got = samples(metrics_text(report))
    info = {key: value for key, value in got.items() if key[0] == "scrubjay_info"}
    assert [*info.values()] == [1]
    assert {key: value for key, value in got.items() if key not in info} == {
        **{(name, ""): value for name, value in by_hand.items() if name != "scrubjay_info"},
        **labelled,
    }


async def test_every_metric_is_documented_and_named_as_prometheus_wants(tmp_path: Path) -> None:
    async with running_api(tiny_model("deltanet"), tmp_path / "s") as (_, api):
        report = (await api.get("/api/status"))[1]
    times = {"counts": [1, 2, 3], "sum": 1500.0}
    totals = {"since_start": {}, "bounds_ms": [1, 1000], "first_token_ms": times, "own_ms": times}
    row = {"root": "/a", "language": "python", **asdict(Counts())}
    key = {"name": "anna", "n_refused": 0, "n_in_flight": 1, **asdict(TenantSums())}
    text = metrics_text({**report, "totals": totals, "n_editors": 0, "acceptance": [row], "keys": [key]})
    names = {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}
    assert {re.sub("_(bucket|count|sum|created)$", "", name) for name in names} == DOCUMENTED
    assert all(re.fullmatch("[a-z]+(_[a-z]+)+", name) for name in names if not name.startswith("llamacpp:"))
    got = samples(text)
    assert [got["scrubjay_own_seconds_bucket", bound] for bound in ("0.001", "1.0", "+Inf")] == [1, 3, 6]
    assert got["scrubjay_own_seconds_sum", ""] == 1.5


def test_no_counter_of_the_report_is_left_out() -> None:
    counted = {field.name for field in fields(EngineStatus) if field.name.startswith("n_")} - SIZES
    assert counted <= COUNTERS.keys()
    assert set(OUTCOMES) == set(Outcome)
