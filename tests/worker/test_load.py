"""How a model's weights are read: what is told meanwhile, all parts of a split model, and what is no model."""

import os
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest

from scrubjay.errors import ModelRefused
from scrubjay.protocol.messages import EngineSettings
from scrubjay.worker.load import load_weights, split_parts
from tests.support.gguf_models import tiny_model


def split(model: Path, folder: Path, n_tensors: int) -> Path:
    """`model` in parts of `n_tensors` tensors; the first of them."""
    reader = gguf.GGUFReader(model)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(folder / "model.gguf", architecture, split_max_tensors=n_tensors)
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            sub_type = field.types[-1] if field.types[0] is gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), field.types[0], sub_type)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return min(folder.glob("model-*.gguf"))


def fractions(path: Path, n_free_bytes: int, eager_load: bool = True) -> list[float]:
    """What is told of the loading of `path`."""
    told: list[tuple[str, float]] = []
    settings = EngineSettings(str(path), eager_load=eager_load)
    load_weights(settings, lambda *progress: told.append(progress), n_free_bytes).close()
    assert {stage for stage, _ in told} == {"weights"}
    return [fraction for _, fraction in told]


@pytest.mark.parametrize("n_free_bytes", [0, 1 << 40], ids=["mapped", "in memory"])
@pytest.mark.parametrize("eager_load", [True, False])
def test_progress_never_goes_back(n_free_bytes: int, eager_load: bool) -> None:
    told = fractions(tiny_model("dense"), n_free_bytes, eager_load)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_all_parts_of_a_split_model_are_read_and_counted(tmp_path: Path) -> None:
    first = split(tiny_model("dense"), tmp_path, 20)
    parts = split_parts(first)
    assert len(parts) > 2
    assert sorted(parts) == sorted(tmp_path.glob("model-*.gguf"))
    told = fractions(first, 0)
    assert told == sorted(told)
    # One step for each part that is read ahead; they are smaller than what is read at once.
    sizes = [part.stat().st_size for part in parts]
    assert told[: len(parts)] == [sum(sizes[: n + 1]) / sum(sizes) / 2 for n in range(len(parts))]


def test_a_split_model_is_larger_than_its_first_part(tmp_path: Path) -> None:
    """The parts together do not fit into memory that holds the first one."""
    first = split(tiny_model("dense"), tmp_path, 20)
    assert fractions(first, 2 * first.stat().st_size)[0] < 0.5, "read ahead, because it is mapped"
    assert len(fractions(first, 1 << 40)) < len(fractions(first, 0))


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    first = split(tiny_model("dense"), tmp_path, 20)
    missing = split_parts(first)[1]
    missing.unlink()
    with pytest.raises(FileNotFoundError) as refused:
        fractions(first, 0)
    assert refused.value.filename == str(missing) or refused.value.filename == missing


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused_at_once(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    make(path)
    with pytest.raises(ModelRefused, match="is not a file"):
        fractions(path, 0)
