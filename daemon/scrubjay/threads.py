"""Threads beside the event loop, which stand back for the threads of the model."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

NICENESS = 10


def stand_back() -> None:
    """Lower the priority of the calling thread.

    A decode is as slow as the slowest of its threads: one that shares its core with a busy thread of ours halves its speed.
    Only Linux gives threads priorities of their own; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))


def background_executor(name: str) -> ThreadPoolExecutor:
    """One thread that stands back, named `name`."""
    return ThreadPoolExecutor(1, thread_name_prefix=name, initializer=stand_back)
