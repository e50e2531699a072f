"""llama.cpp's library, initialised once, with its log.

One process uses a `Model`, `LlamaContext` or `Sampler` from one thread only. A `Vocabulary` may be used from any one thread at a
time; its calls release the GIL. Nothing here remembers what a context holds: that is what `contexts.Context` does.
"""

import ctypes
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import ClassVar

import llama_cpp as lib
import xxhash

_LOG_ERROR = 4

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
    """Initialises llama.cpp once per process; `is_quiet` while a decode may be aborted, which llama.cpp logs as an error."""

    ready: ClassVar[bool] = False
    is_quiet: ClassVar[bool] = False

    @classmethod
    def start(cls) -> None:
        if not cls.ready:
            lib.llama_log_set(_log, ctypes.c_void_p(0))
            lib.llama_backend_init()
            cls.ready = True


def describe() -> dict[str, object]:
    """What this llama.cpp is: its version, the features that it was built with, whether it has a GPU to use."""
    system = lib.llama_print_system_info().decode(errors="replace")
    features = re.findall(r"(\w+) = 1\b", system)
    return {"version": lib.__version__, "features": features, "can_offload": bool(lib.llama_supports_gpu_offload())}


@lib.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _user_data: object) -> None:
    if level >= _LOG_ERROR and not _Backend.is_quiet:
        sys.stderr.write(text.decode(errors="replace"))
