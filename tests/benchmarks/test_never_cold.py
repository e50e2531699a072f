"""The tool works, and its promises hold at a small size."""

import pytest

from tests.benchmarks.never_cold import main, measure_peer
from tests.support.gguf_models import tiny_model
from tests.support.llama_server import is_there


@pytest.mark.slow
def test_restarts_cost_no_more_than_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tiny", "--tokens=1500", "--interval=64"]) == 0
    assert capsys.readouterr().out.count("\n") == 8


@pytest.mark.slow
@pytest.mark.skipif(not is_there(), reason="no llama-server here")
def test_the_peer_is_asked_for_the_same() -> None:
    cold, *others = measure_peer(tiny_model("dense"), 300, None)
    assert cold == 300
    assert others[:2] == [1, 1], "a dense model's slot comes back whole"
