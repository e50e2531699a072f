"""What the records of a model are made with: all that has to be the same for their bytes to mean the same."""

from pathlib import Path

from scrubjay.llama.backend import library_identity
from scrubjay.store.identity import file_identity
from scrubjay.store.record_file import Origin
from scrubjay.worker.load import LoadedModel, split_parts


def origin_of(loaded: LoadedModel) -> Origin:
    """The origin of the records of `loaded`.

    The size of the context, the interval and the number of threads are not in it: states do not depend on them.

    Raises:
        OSError: the model's file cannot be read any more.
    """
    settings, info = loaded.settings, loaded.info
    return {
        "model": settings.model,
        "file": file_identity(split_parts(Path(settings.model))),
        "library": library_identity(),
        "architecture": info.architecture,
        "memory": loaded.memory_class,
        "n_params": info.n_params,
        "n_vocab": info.n_vocab,
        "n_swa": info.n_swa,
        "swa_full": loaded.swa_full,
        "kv_type": settings.kv_type,
        "flash_attention": loaded.model.flash_attention,
        "device": info.device,
        "gpu_layers": settings.gpu_layers if info.device != "cpu" else 0,
    }
