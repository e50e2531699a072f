"""`python -m tests.lsp.serve MODEL SOCKET`: the daemon alone, in one process with its engine as a child.

It says `listening` when it does. One thread, because tests share few cores with others.
"""

import asyncio
import sys
from pathlib import Path

from scrubjay.daemon import run_until, stop_on_signals
from scrubjay.messages import EngineSettings
from scrubjay.service import ServiceSettings


async def main(model: str, socket: str) -> None:
    """Serve until a signal comes."""
    settings = ServiceSettings(EngineSettings(model, n_ctx=8192, n_threads=1))
    serving = asyncio.create_task(run_until(stop_on_signals(), settings, Path(socket)))
    while not Path(socket).is_socket() and not serving.done():
        await asyncio.wait([serving], timeout=0.01)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    await serving


asyncio.run(main(*sys.argv[1:]))
