"""How long prompts may be, by the model's speed."""

import pytest

from scrubjay.prompt.limits import MIN_WINDOW_TOKENS, window_limit


@pytest.mark.parametrize(
    ("latency_ms", "speed", "limit"),
    [(1000, 4096, 4096), (1000, 5000, 4096), (500, 4096, 2048), (0, 4096, 4096), (100, 100, MIN_WINDOW_TOKENS)],
)
def test_a_window_is_what_the_model_processes_in_time(latency_ms: float, speed: float, limit: int) -> None:
    assert window_limit(latency_ms, speed) == limit


def test_without_a_known_speed_there_is_no_limit() -> None:
    assert window_limit(1000, 0.0) == 0
