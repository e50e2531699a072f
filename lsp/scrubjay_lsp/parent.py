"""Noticing that the editor has died, even when another process still holds its end of the pipe."""

import asyncio
import os
from collections.abc import Callable


def watch(pid: int | None, on_death: Callable[[], object]) -> None:
    """Call `on_death` once when the process `pid` ends; where that cannot be known, never."""
    if pid is None or not hasattr(os, "pidfd_open"):
        return
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, OverflowError):
        # No such process here: the editor is on another machine, or in another container.
        return
    loop = asyncio.get_running_loop()

    def died() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        on_death()

    loop.add_reader(descriptor, died)
