"""llama.cpp's library, initialised once, with its log.

One process uses a `Model`, `LlamaContext` or `Sampler` from one thread only. A `Vocabulary` may be used from any one thread at a
time; its calls release the GIL. Nothing here remembers what a context holds: that is what `contexts.Context` does.
"""

import ctypes
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import ClassVar

import llama_cpp as lib
import xxhash

_LOG_ERROR = 4
_BUFFER = re.compile(rb"\s(\S+)\s[\w ]*buffer size = +([\d.]+) MiB")

_devices = (ctypes.c_void_p * 1)(None)
NO_DEVICES = ctypes.addressof(_devices)
"""A list of the GPUs that are to be used, without any."""

_raw = ctypes.CDLL(lib.llama_cpp._lib._name)
_raw.llama_set_abort_callback.argtypes = [ctypes.c_void_p] * 3
_raw.llama_set_abort_callback.restype = None


@cache
def library_identity() -> str:
    """Which llama.cpp this is, and what it makes of this machine: states that it saves mean the same to no other one."""
    code = xxhash.xxh3_128_hexdigest(Path(_raw._name).read_bytes())
    chosen = sorted(f"{name}={value}" for name, value in os.environ.items() if name.startswith(("LLAMA_", "GGML_")))
    return " ".join((lib.__version__, code, lib.llama_print_system_info().decode(errors="replace"), *chosen))


class _Backend:
    """Initialises llama.cpp once per process.

    Attributes:
        is_quiet: while a decode may be aborted, which llama.cpp logs as an error.
        buffers: bytes of what llama.cpp has allocated since `counted` began, by the names of buffers.
    """

    ready: ClassVar[bool] = False
    is_quiet: ClassVar[bool] = False
    buffers: ClassVar[Counter[str]] = Counter()

    @classmethod
    def start(cls) -> None:
        if not cls.ready:
            lib.llama_log_set(_log, ctypes.c_void_p(0))
            lib.llama_backend_init()
            cls.ready = True


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count bytes that llama.cpp allocates meanwhile, by the names of its buffers, such as "CPU", "CUDA0", "Vulkan_Host".

    Only its log says them, to a hundredth of a MiB: of a GPU's memory the process itself knows nothing, and not every driver says
    how much is used.
    """
    _Backend.start()
    lib.llama_log_set(_log, ctypes.c_void_p(0))  # the log is the process's: others may have taken it
    buffers: Counter[str] = Counter()
    _Backend.buffers = buffers
    yield buffers
    _Backend.buffers = Counter()


@lib.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _user_data: object) -> None:
    if found := _BUFFER.search(text):
        _Backend.buffers[found[1].decode(errors="replace")] += round(float(found[2]) * (1 << 20))
    if level >= _LOG_ERROR and not _Backend.is_quiet:
        sys.stderr.write(text.decode(errors="replace"))
