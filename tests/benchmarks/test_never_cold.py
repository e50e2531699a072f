"""The tool works, and its promises hold at a small size."""

import pytest

from tests.benchmarks.never_cold import main


@pytest.mark.slow
def test_restarts_cost_no_more_than_promised(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--tiny", "--tokens=1500", "--interval=64"]) == 0
    assert capsys.readouterr().out.count("\n") == 8
