"""The weights of a GGUF file."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp as lib

from scrubjay.llama.backend import NO_DEVICES, _Backend
from scrubjay.llama.devices import can_offload
from scrubjay.llama.vocabulary import Vocabulary, _load
from scrubjay.protocol.messages import EngineSettings

_FILE_TYPES = {
    str(number): name.removeprefix("LLAMA_FTYPE_").removeprefix("MOSTLY_").removeprefix("ALL_")
    for name, number in vars(lib).items()
    if name.startswith("LLAMA_FTYPE_") and isinstance(number, int)
}
"""llama.cpp's names of quantisations, by their numbers in a file."""


class Header:
    """What a GGUF file says of itself; no weights are read. To be used by `with`.

    Raises:
        ModelRefused: llama.cpp cannot read it.
    """

    def __init__(self, path: Path) -> None:
        self.vocabulary = Vocabulary.open(path)
        self.is_hybrid: bool = lib.llama_model_is_hybrid(self.vocabulary.model)
        self.is_recurrent: bool = lib.llama_model_is_recurrent(self.vocabulary.model)

    def __enter__(self) -> "Header":
        return self

    def __exit__(self, *_: object) -> None:
        self.vocabulary.close()

    def metadata(self, key: str) -> str:
        """The value of a GGUF key as text, or ""."""
        return _metadata(self.vocabulary.model, key)

    @property
    def quantization(self) -> str:
        """See `Model.quantization`."""
        return _quantization(self.vocabulary.model)


class Model:
    """The weights of a GGUF file.

    Args:
        path: the file, or the first part of a split one.
        settings: `gpu_layers` and `eager_load` are used here.
        mapped: map the file instead of reading it into memory of its own.
        on_progress: called with the loaded fraction, 0 to 1.

    Raises:
        ModelRefused: llama.cpp cannot load it. (Some damaged files make llama.cpp end the process instead.)
    """

    def __init__(
        self, path: Path, settings: EngineSettings, mapped: bool, on_progress: Callable[[float], None] = lambda _: None
    ) -> None:
        _Backend.start()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = settings.gpu_layers if settings.gpu_layers >= 0 else 9999
        if not settings.gpu_layers:
            # Without layers, too, a GPU would take part in long decodes; then their bits would not be those of a CPU.
            params.devices = NO_DEVICES
        params.load_mode = lib.LLAMA_LOAD_MODE_MMAP if mapped else lib.LLAMA_LOAD_MODE_NONE
        if settings.eager_load:
            params.lazy_mode = lib.LLAMA_LAZY_MODE_OFF

        @lib.llama_progress_callback  # type: ignore[untyped-decorator]
        def progress(fraction: float, _user_data: object) -> bool:
            on_progress(fraction)
            return True

        params.progress_callback = progress
        self.handle = _load(path, params)
        self.vocabulary = Vocabulary(self.handle)
        self.n_ctx_train: int = lib.llama_model_n_ctx_train(self.handle)
        self.n_swa: int = lib.llama_model_n_swa(self.handle)
        self.is_hybrid: bool = lib.llama_model_is_hybrid(self.handle)
        self.is_recurrent: bool = lib.llama_model_is_recurrent(self.handle)
        self.size: int = lib.llama_model_size(self.handle)
        self.n_params: int = lib.llama_model_n_params(self.handle)
        # Never AUTO, which may resolve differently elsewhere. On CPUs most do best without: docs/architecture.md has the figures.
        can_do_without = not self.n_swa and not self.is_recurrent and settings.kv_type == "f16"
        self.flash_attention = not can_do_without or bool(settings.gpu_layers and can_offload())

    def metadata(self, key: str) -> str:
        """The value of a GGUF key as text, or ""."""
        return _metadata(self.handle, key)

    @property
    def quantization(self) -> str:
        """How most of the weights are stored, such as "Q4_K_M"; "" if the file does not say."""
        return _quantization(self.handle)

    def close(self) -> None:
        lib.llama_model_free(self.handle)


def _metadata(handle: Any, key: str) -> str:
    buffer = ctypes.create_string_buffer(512)
    n = lib.llama_model_meta_val_str(handle, key.encode(), buffer, len(buffer))
    return buffer.value.decode(errors="replace") if n >= 0 else ""


def _quantization(handle: Any) -> str:
    return _FILE_TYPES.get(_metadata(handle, "general.file_type"), "")
