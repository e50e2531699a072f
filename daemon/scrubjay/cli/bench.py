"""`scrubjay bench`: the benchmark, which lives beside the tests and so needs a checkout of the source."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scrubjay.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]


def run_bench(arguments: Sequence[str], root: Path = ROOT) -> int:
    """Run it with these arguments; its exit status.

    Raises:
        UsageError: there is no checkout.
    """
    if not (root / "tests" / "benchmarks" / "__main__.py").exists():
        raise UsageError(
            "The benchmark is not part of the installed package; run it in a checkout of Scrubjay's source."
        )
    command = (sys.executable, "-m", "tests.benchmarks", *arguments)
    return subprocess.run(command, cwd=root, check=False).returncode
