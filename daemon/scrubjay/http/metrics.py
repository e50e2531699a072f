"""What Prometheus reads: the status report as metrics, a few also under the names that llama.cpp's server has for them.

docs/http.md lists them all. Counters of the engine begin again at 0 when its process is started again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

Json = dict[str, Any]
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily | InfoMetricFamily

COUNTERS = {
    "n_accepted": ("requests_accepted", "Requests that were taken in."),
    "n_restarts": ("engine_restarts", "Engine processes started in the place of one that had died."),
    "n_saved": ("checkpoints_saved", "Checkpoints saved."),
    "n_restored": ("checkpoints_restored", "Checkpoints restored."),
    "n_evicted": ("checkpoints_evicted", "Checkpoints that made room for others."),
    "n_paged_in": ("branches_paged_in", "Branches that came back into a context."),
    "n_decoded": ("tokens_decoded", "Tokens put through the model."),
    "n_decodes": ("decodes", "Calls of the model."),
    "n_reused_graphs": ("graphs_reused", "Calls of the model for which no graph had to be built."),
    "n_aborted": ("decodes_aborted", "Calls of the model that were aborted."),
    "n_drafted": ("tokens_drafted", "Tokens that were decoded ahead of what was certain."),
    "n_draft_accepted": ("tokens_drafted_accepted", "Of these, right ones."),
    "n_repaired": ("prompts_repaired", "Prompts processed from their start because a restore or a decode failed."),
    "n_integrity_failures": ("integrity_failures", "Contexts cleared because a check of their books failed."),
}
"""By the name in the report: the metric's, without prefix and suffix, and what it counts."""
OUTCOMES = ("done", "cancelled", "failed")
_SUMS = {
    "n_requests": ("completions", "Completions that were asked for and answered."),
    "n_cached": ("completions_known", "Of these, answered without the model, because the text was known."),
    "prompt": ("prompt_tokens", "Tokens of their prompts."),
    "processed": ("prompt_tokens_processed", "Of these, put through the model; the others were reused."),
    "processed_ahead": ("prompt_tokens_processed_ahead", "Tokens of prompts processed before anybody asked."),
}
_OF_PROJECTS = {
    "shown": ("completions_shown", "Completions that editors showed.", 1),
    "n_answers": ("completion_answers", "Answers to requests for completions.", 1),
    "latency_ms": ("completion_answer_seconds", "How long these took.", 1e-3),
    "tokens_saved": ("completion_tokens_saved", "Tokens of their prompts that did not have to be processed.", 1),
}
"""By the name in the report: the metric's, what it counts, and in which unit."""
_OF_KEYS = {
    "n_requests": ("requests", "Answered requests of a key.", 1),
    "n_refused": (
        "requests_refused",
        "Requests of a key that were refused, because it had all in flight that it may.",
        1,
    ),
    "prompt": ("prompt_tokens", "Tokens of their prompts.", 1),
    "processed": ("prompt_tokens_processed", "Of these, put through the model; the others were reused.", 1),
    "generated": ("generated_tokens", "Tokens generated for a key.", 1),
    "queue_ms": ("wait_seconds", "How long its requests waited for the model.", 1e-3),
}
"""By the name in the report of a key: the metric's, what it counts, and in which unit."""
_BECAME = ("accepted", "accepted_in_part", "typed_out", "rejected")
_KEPT = {
    "characters": ("accepted_characters", "Characters of accepted completions that were looked at later."),
    "kept": ("accepted_characters_kept", "Of these, still there."),
}
_LOOKS = ("after_5_min", "at_save")

_OF_MODEL: Mapping[str, tuple[type[CounterMetricFamily | GaugeMetricFamily], str, Callable[[Json], float]]] = {
    "ready": (GaugeMetricFamily, "Whether a model is loaded.", lambda model: model["state"] == "ready"),
    "resident_memory_bytes": (GaugeMetricFamily, "Memory of its engine.", lambda model: model["rss"] or 0),
    "gpu_memory_bytes": (GaugeMetricFamily, "What it takes of GPUs' memory.", lambda model: model["on_gpus"]),
    "requests_running": (
        GaugeMetricFamily,
        "Requests that it works on.",
        lambda model: bool(model["queue"]["running"]),
    ),
    "requests_queued": (GaugeMetricFamily, "Requests that wait for it.", lambda model: model["queue"]["queued"]),
    "tokens_decoded": (
        CounterMetricFamily,
        "Tokens put through it.",
        lambda model: model["counters"].get("n_decoded", 0),
    ),
}
"""What differs between models."""


def metrics_text(report: Json) -> str:
    """The text of `GET /metrics`, for what `GET /api/status` would answer."""
    registry = CollectorRegistry()
    registry.register(_Report(report))
    return generate_latest(registry).decode()


class _Report(Collector):
    def __init__(self, report: Json) -> None:
        self._report = report

    def collect(self) -> Iterator[Family]:
        """One family for each number."""
        # Who has a key of his own sees what is his.
        is_whole = "uptime_s" in self._report
        if is_whole:
            yield from self._daemon()
            yield from self._requests()
            yield from self._memory()
            yield from _models(self._report.get("models", ()))
        if totals := self._report.get("totals"):
            yield from _totals(totals)
        yield from _keys(self._report.get("keys", []))
        if is_whole:
            yield from _acceptance(self._report.get("acceptance", []))

    def _daemon(self) -> Iterator[Family]:
        report, model = self._report, self._report["model"] or {}
        about = {"version": report["version"], "model": model.get("name", ""), "device": model.get("device", "")}
        yield InfoMetricFamily("scrubjay", "The daemon and its model.", about)
        yield _gauge("ready", "Whether the model is loaded.", report["state"] == "ready")
        yield _gauge("uptime_seconds", "Since the daemon started.", report["uptime_s"])
        yield _gauge("projects", "Projects that are open or kept warm.", len(report["projects"]))
        documents = sum(project["n_documents"] for project in report["projects"])
        yield _gauge("documents_open", "Documents that clients have open.", documents)
        if "n_editors" in report:
            yield _gauge("editors_connected", "Sessions of editors.", report["n_editors"])

    def _requests(self) -> Iterator[Family]:
        queue, counters = self._report["queue"], dict(self._report["counters"])
        running = int(bool(queue["running"]))
        yield GaugeMetricFamily("llamacpp:requests_processing", "Requests that are being answered.", running)
        yield GaugeMetricFamily("llamacpp:requests_deferred", "Requests that wait.", queue["queued"])
        yield GaugeMetricFamily("llamacpp:n_decode_total", "Calls of the model.", counters.get("n_decodes", 0))
        yield _gauge("requests_running", "Requests that the engine works on.", running)
        yield _gauge("requests_queued", "Requests that wait for it.", queue["queued"])
        ended = CounterMetricFamily("scrubjay_requests_ended", "Requests by how they ended.", labels=["outcome"])
        for outcome in OUTCOMES:
            ended.add_metric([outcome], counters.get(f"n_{outcome}", 0))
        yield ended
        yield from _counters(COUNTERS, counters)

    def _memory(self) -> Iterator[Family]:
        checkpoints, branches, contexts = (self._report[key] for key in ("checkpoints", "branches", "contexts"))
        yield _gauge("checkpoints", "Checkpoints in memory.", checkpoints["count"])
        yield _gauge("checkpoint_bytes", "What they take.", checkpoints["bytes"])
        yield _gauge("checkpoint_budget_bytes", "What they may take.", checkpoints["budget"])
        yield _gauge("branches", "Branches that contexts can come back to.", branches["count"])
        yield _gauge("branch_bytes", "What they take.", branches["bytes"])
        yield _gauge("branch_budget_bytes", "What they may take.", branches["budget"])
        records = self._report["records"] or {}
        yield _gauge("records", "Records of contexts on disk.", records.get("count", 0))
        yield _gauge("record_bytes", "What they take.", records.get("bytes", 0))
        yield _gauge("record_budget_bytes", "What they may take.", records.get("budget", 0))
        yield _gauge(
            "record_bytes_written_today", "Bytes of records that were written today.", records.get("bytes_today", 0)
        )
        yield _gauge("contexts", "Contexts that hold tokens.", len(contexts))
        yield _gauge("context_tokens", "Tokens that they hold.", sum(context["n_resident"] for context in contexts))
        memory = GaugeMetricFamily("scrubjay_resident_memory_bytes", "Memory by process.", labels=["process"])
        for process, value in self._report["rss"].items():
            memory.add_metric([process], value or 0)
        yield memory


def _models(models: Sequence[Json]) -> Iterator[Family]:
    for name, (kind, what, value) in _OF_MODEL.items():
        family = kind(f"scrubjay_model_{name}", what, labels=["model"])
        for model in models:
            family.add_metric([model["name"]], value(model))
        yield family


def _keys(keys: Sequence[Json]) -> Iterator[Family]:
    """What each has asked for who has a key of his own."""
    for field, (name, what, unit) in _OF_KEYS.items():
        family = CounterMetricFamily(f"scrubjay_key_{name}", what, labels=["key"])
        for key in keys:
            family.add_metric([key["name"]], unit * key[field])
        yield family
    in_flight = GaugeMetricFamily("scrubjay_key_requests_in_flight", "Requests of a key in flight.", labels=["key"])
    for key in keys:
        in_flight.add_metric([key["name"]], key["n_in_flight"])
    yield in_flight


def _totals(totals: Json) -> Iterator[Family]:
    yield from _counters(_SUMS, totals["since_start"])
    yield _histogram("first_token_seconds", "From a request to its first token.", totals, "first_token_ms")
    yield _histogram("own_seconds", "Time of a completion outside of the model.", totals, "own_ms")


def _acceptance(rows: list[Json]) -> Iterator[Family]:
    """Whether completions help, by project and language."""
    for key, (name, what, unit) in _OF_PROJECTS.items():
        yield _by_project(name, what, (((), row, unit * row[key]) for row in rows))
    outcomes = (((outcome,), row, row[outcome]) for row in rows for outcome in _BECAME)
    yield _by_project("completion_outcomes", "What became of them, as far as it is known.", outcomes, "outcome")
    for key, (name, what) in _KEPT.items():
        yield _by_project(name, what, (((look,), row, row[look][key]) for row in rows for look in _LOOKS), "when")


def _by_project(name: str, what: str, values: Iterable[tuple[tuple[str, ...], Json, float]], *labels: str) -> Family:
    """`values`, each of a row of the report, with the values of `labels`."""
    family = CounterMetricFamily(f"scrubjay_{name}", what, labels=["project", "language", *labels])
    for more, row, value in values:
        family.add_metric([row["root"], row["language"], *more], value)
    return family


def _counters(names: Mapping[str, tuple[str, str]], values: Json) -> Iterator[Family]:
    for key, (name, what) in names.items():
        yield CounterMetricFamily(f"scrubjay_{name}", what, value=values.get(key, 0))


def _gauge(name: str, help: str, value: float) -> Family:
    return GaugeMetricFamily(f"scrubjay_{name}", help, value=float(value))


def _histogram(name: str, help: str, totals: Json, key: str) -> Family:
    bounds = [*(str(bound / 1e3) for bound in totals["bounds_ms"]), "+Inf"]
    counts = accumulate(totals[key]["counts"])
    return HistogramMetricFamily(
        f"scrubjay_{name}", help, buckets=list(zip(bounds, counts, strict=True)), sum_value=totals[key]["sum"] / 1e3
    )
