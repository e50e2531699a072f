"""llama.cpp's own server as a process: that of the wheel `xllamacpp`, or the one that `make bench-peer` has built."""

import importlib.util
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.peer import program

# The wheel has a llama.cpp of its own, which is never to be in one process with ours.
WHEEL = """
import sys
import xllamacpp
model, n_ctx, slots = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path = model
params.n_ctx = int(n_ctx)
params.n_parallel = 1
params.warmup = False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.port = 0
if slots:
    params.slot_save_path = slots
server = xllamacpp.Server(params)
print("listening on", server.listening_address, flush=True)
sys.stdin.read()
"""
# Its threads write into each other's lines.
LISTENING = re.compile(r"listening on (http://[\w.]+:\d+)\s")


def is_there() -> bool:
    """Whether this machine has such a server."""
    return program("llama-server") is not None or importlib.util.find_spec("xllamacpp") is not None


def which() -> str:
    """Which server that is; to be asked only where `is_there`."""
    built = program("llama-server")
    return str(built) if built else f"llama-server of xllamacpp {version('xllamacpp')}"


@contextmanager
def llama_server(
    model: Path, n_ctx: int = 4096, slots: Path | None = None, server: Path | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server with one slot, and its address; its model may still be loading.

    Args:
        slots: the folder where it may save its slot.
        server: another program than the one that is there.
    """
    built = server or program("llama-server")
    options = ["-c", str(n_ctx), "-np", "1", "-t", "1", "--no-warmup", "--host", "127.0.0.1", "--port", "0"]
    if slots:
        options += ["--slot-save-path", f"{slots}/"]
    command = (
        [str(built), "-m", str(model), *options]
        if built
        else [sys.executable, "-P", "-c", WHEEL, str(model), str(n_ctx), f"{slots}/" if slots else ""]
    )
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout
            url = next(found[1] for line in process.stdout if (found := LISTENING.search(line)))
            # What it writes has to be read, or it waits for ever when the pipe is full.
            threading.Thread(target=deque, args=(process.stdout, 0), daemon=True).start()
            yield process, url
        finally:
            process.kill()
