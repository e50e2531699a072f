"""What Prometheus reads: the daemon's counters, some also under the names that llama.cpp's server has for them."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

Json = dict[str, Any]
Family = CounterMetricFamily | GaugeMetricFamily


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
        queue, counters = self._report["queue"], self._report["counters"]
        checkpoints, rss = self._report["checkpoints"], self._report["rss"]
        yield _gauge("llamacpp:requests_processing", "Requests that are being answered.", int(bool(queue["running"])))
        yield _gauge("llamacpp:requests_deferred", "Requests that wait.", queue["queued"])
        yield _gauge("llamacpp:n_decode_total", "Calls of the model.", counters.get("n_decodes", 0))
        for name, value in sorted(counters.items()):
            yield CounterMetricFamily(f"scrubjay_{name.removeprefix('n_')}", f"Number: {name[2:]}.", value=value)
        for name, value in checkpoints.items():
            yield _gauge(f"scrubjay_checkpoint_{name}", f"Checkpoints: {name}.", value)
        for process, value in rss.items():
            yield _gauge(f"scrubjay_{process}_rss_bytes", f"Memory of the {process} process.", value or 0)
        yield _gauge("scrubjay_uptime_seconds", "Since the daemon started.", self._report["uptime_s"])
        yield _gauge("scrubjay_ready", "Whether the model is loaded.", int(self._report["state"] == "ready"))


def _gauge(name: str, help: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help, value=value)
