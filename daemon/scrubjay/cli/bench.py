"""`scrubjay bench`: the benchmark, which lives beside the tests and so needs a checkout of the source."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from scrubjay.errors import UsageError
from scrubjay.isolation import python_command, safe_environment

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
    # Its own source is the one folder that it imports from.
    environment = safe_environment()
    path = os.pathsep.join([str(root), *filter(None, [environment.get("PYTHONPATH")])])
    command = python_command("-m", "tests.benchmarks", *arguments)
    return subprocess.run(command, cwd=root, env={**environment, "PYTHONPATH": path}, check=False).returncode
