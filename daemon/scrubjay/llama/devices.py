"""The GPUs that llama.cpp can use, and what of their memory is taken."""

import ctypes
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache

import llama_cpp as lib

from scrubjay.llama.backend import _Backend, _raw

_GPU, _INTEGRATED_GPU = 1, 2
"""ggml's numbers for sorts of devices."""
_KINDS = {"mtl": "metal"}
"""Where ggml's name of a kind is not what people call it."""
_FOR_CPUS = ("CPU", "BLAS", "RPC")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU. Sizes in bytes.

    Attributes:
        name: llama.cpp's, which numbers them: "CUDA0", "Vulkan1".
        description: what its driver calls it.
        total: of its memory.
        free: what its driver says that nobody uses; as much as `total` where it does not say.
        is_shared: whether its memory is that of the machine.
    """

    name: str
    description: str
    total: int
    free: int
    is_shared: bool

    @property
    def kind(self) -> str:
        """Such as "cuda", "metal" or "vulkan"."""
        kind = self.name.rstrip("0123456789").lower()
        return _KINDS.get(kind, kind)

    def part_of(self, buffers: Mapping[str, int]) -> int:
        """Of bytes by the names of buffers, as `backend.counted` gives them, those that this GPU has."""
        # Beside the usual ones, named as itself, a GPU may have special ones: MTL0_Private.
        return sum(n for name, n in buffers.items() if name == self.name or name.startswith(f"{self.name}_"))

    def room(self, taken: int) -> int:
        """Bytes that are free, if this process has `taken` on it."""
        return self.total - taken if self.free >= self.total else self.free


def describe() -> dict[str, object]:
    """What this llama.cpp is: its version, the features that it was built with, for what, and the GPUs that it finds."""
    system = lib.llama_print_system_info().decode(errors="replace")
    features = re.findall(r"(\w+) = 1\b", system)
    return {
        "version": lib.__version__,
        "features": features,
        "built_for": built_for(),
        "gpus": [{**asdict(gpu), "kind": gpu.kind} for gpu in gpus()],
    }


def built_for() -> str:
    """The GPUs that llama.cpp was built for, such as "Vulkan", whether or not there is one; "" if it was for CPUs only."""
    _declare()
    backends = map(_raw.ggml_backend_reg_get, range(_raw.ggml_backend_reg_count()))
    names = (_raw.ggml_backend_reg_name(backend).decode(errors="replace") for backend in backends)
    return ", ".join(name for name in names if name not in _FOR_CPUS)


def can_offload() -> bool:
    """Whether this llama.cpp has a GPU to put layers on."""
    return bool(gpus())


def gpus() -> list[Gpu]:
    """Those that llama.cpp puts layers on: integrated ones only where there are no others."""
    _declare()
    devices = list(map(_raw.ggml_backend_dev_get, range(_raw.ggml_backend_dev_count())))
    for kind in (_GPU, _INTEGRATED_GPU):
        if found := [_gpu(device, kind) for device in devices if _raw.ggml_backend_dev_type(device) == kind]:
            return found
    return []


def device(gpu_layers: int) -> str:
    """What runs a model: "cpu", or the kind of the first GPU, such as "cuda" or "metal"."""
    found = gpus() if gpu_layers else []
    return found[0].kind if found else "cpu"


def _gpu(handle: int, kind: int) -> Gpu:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    _raw.ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
    name, description = (
        text(handle).decode(errors="replace")
        for text in (_raw.ggml_backend_dev_name, _raw.ggml_backend_dev_description)
    )
    is_shared = kind == _INTEGRATED_GPU or (platform.system(), platform.machine()) == ("Darwin", "arm64")
    return Gpu(name, description, total.value, free.value, is_shared)


@cache
def _declare() -> None:
    """The types of functions that llama-cpp-python does not declare; what llama.cpp was built for is looked for once."""
    _Backend.start()  # or else what they say when they are looked for goes to standard error
    lib.llama_supports_gpu_offload()
    handle, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    size = ctypes.POINTER(ctypes.c_size_t)
    for name, result, *arguments in (
        ("ggml_backend_reg_count", number),
        ("ggml_backend_reg_get", handle, number),
        ("ggml_backend_reg_name", text, handle),
        ("ggml_backend_dev_count", number),
        ("ggml_backend_dev_get", handle, number),
        ("ggml_backend_dev_type", ctypes.c_int, handle),
        ("ggml_backend_dev_name", text, handle),
        ("ggml_backend_dev_description", text, handle),
        ("ggml_backend_dev_memory", None, handle, size, size),
    ):
        function = getattr(_raw, name)
        function.restype, function.argtypes = result, arguments
