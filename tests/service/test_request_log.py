"""Sums over requests equal a count by hand."""

from datetime import date

import pytest

from scrubjay.protocol.messages import PrefillCost
from scrubjay.service.request_log import BOUNDS_MS, Histogram, Totals
from scrubjay.service.status import StatusReport
from tests.support.gguf_models import tiny_model
from tests.support.service import complete, open_document, running_service, source, until_state, warm

URI = "file:///project/app.py"


def test_a_histogram_counts_each_time_once() -> None:
    histogram = Histogram()
    for ms in (0, 1, 1.5, 2, 10_000, 10_001):
        histogram.add(ms)
    assert histogram.counts == [2, 2, *[0] * (len(BOUNDS_MS) - 3), 1, 1]
    assert histogram.sum == 20_005.5


def test_a_new_day_begins_at_zero_and_the_sum_since_the_start_goes_on() -> None:
    totals, cost = Totals(), PrefillCost(100, 60, 0, 40, 40, "append")
    for day in (date(2026, 1, 1), date(2026, 1, 2)):
        totals.prefilled(cost, day, is_asked=True, is_first=True)
        totals.answered(day, is_known=False, first_token_ms=3, own_ms=1)
    assert (totals.today.prompt, totals.today.processed, totals.today.n_requests) == (100, 40, 1)
    assert (totals.all.prompt, totals.all.processed, totals.all.n_requests) == (200, 80, 2)
    assert totals.on_day(date(2026, 1, 3)).prompt == 0


@pytest.mark.slow
async def test_a_session_by_hand() -> None:
    async with running_service(tiny_model("deltanet"), rules=True) as service:
        await until_state(service, "ready")
        await open_document(service, URI, source(40))
        grammar = 'root ::= "value = compute(first, second)"'
        asked = [await complete(service, URI, line, max_tokens=24, grammar=grammar) for line in (10, 12, 20, 20)]
        ahead = await warm(service)
        await complete(service, URI, 20, cold=True)
        known = [answer for answer in asked if answer.reuse.reason == "cached"]
        assert len(known) == 1
        totals = StatusReport(service).status()["totals"]
        prompt, processed = (sum(getattr(answer.reuse, name) for answer in asked) for name in ("prompt", "processed"))
        assert (
            totals["today"]
            == totals["since_start"]
            == {
                "n_requests": 4,
                "n_cached": 1,
                "prompt": prompt,
                "processed": processed,
                "processed_ahead": ahead.reuse.processed,
                "saved": prompt - processed,
            }
        )
        assert sum(totals["first_token_ms"]["counts"]) == sum(totals["own_ms"]["counts"]) == 4
        own_ms = sum(answer.timings.own_ms for answer in asked)
        assert totals["own_ms"]["sum"] == pytest.approx(own_ms)
