"""The working day as a tool, in a small context; and what its prompts alone decide: that going back is going back."""

import pytest

from tests.benchmarks.working_day import INTERVAL, lines, measure
from tests.support.gguf_models import tiny_model


@pytest.mark.slow
async def test_the_prompts_of_a_working_day_come_back() -> None:
    rows = await measure(tiny_model("deltanet"), n_ctx=3072)
    returns = [row for row in rows if row.goal == INTERVAL and "10 lines" not in row.name]
    assert len(returns) > 25
    assert {row.name: row.known for row in returns if row.known > (row.limit or 0)} == {}
    assert all(row.answers[0].reuse.prompt <= 3072 for row in rows)
    table = list(lines("deltanet", rows))
    assert len(table) > len(rows)
    assert any(line.startswith("Goals met:") for line in table)
