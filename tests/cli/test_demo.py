"""`scrubjay demo` as a user runs it, on the real files, with a real daemon."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

COMMAND = [sys.executable, "-m", "scrubjay", "demo"]
N_EDITS = 2


@pytest.mark.slow
def test_every_edit_is_cheap_and_every_answer_equal(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "SCRUBJAY_THREADS": "1"}
    shown = subprocess.run(
        [*COMMAND, "--edits", str(N_EDITS)], env=environment, capture_output=True, text=True, check=False
    )
    assert (shown.returncode, shown.stderr) == (0, ""), shown.stdout
    *_, excess, equal = shown.stdout.splitlines()
    assert excess.startswith("Largest excess")
    assert excess.endswith("are allowed: yes.")
    assert equal.startswith("Every warm answer equals the cold one: yes.")
    for row in ("segments", "saved", "processed", "warm:", "cold:"):
        assert shown.stdout.count(f"\n     {row} ") == N_EDITS, row
    assert max(map(len, shown.stdout.splitlines())) <= 100
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"


def test_it_ends_its_daemon_when_it_is_ended(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout
        next(line for line in demo.stdout if line.startswith("Model:"))
        (lock,) = tmp_path.glob("*/daemon.sock.lock")
        daemon = psutil.Process(int(lock.read_text()))
        demo.send_signal(signal.SIGTERM)
        demo.communicate()
    assert demo.returncode == 128 + signal.SIGTERM
    psutil.wait_procs([daemon], timeout=30)
    assert not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE
    assert list(tmp_path.iterdir()) == []
