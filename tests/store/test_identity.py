"""What tells a model's file from another of its name."""

import os
from pathlib import Path

from scrubjay.store.identity import EDGE_BYTES, WHOLE_BYTES, file_identity


def test_a_small_file_is_what_is_in_it(tmp_path: Path) -> None:
    """Whenever it was written: an upgrade of Scrubjay must not forget what the small model has read."""
    path = tmp_path / "a.gguf"
    path.write_bytes(bytes(EDGE_BYTES))
    before = file_identity([path])
    os.utime(path, ns=(1, 1))
    assert file_identity([path]) == before
    with path.open("r+b") as file:
        file.seek(EDGE_BYTES // 2 + 1)
        file.write(b"x")
    os.utime(path, ns=(1, 1))
    assert file_identity([path]) != before


def test_a_large_file_is_another_once_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    with path.open("wb") as file:
        file.truncate(WHOLE_BYTES + 1)
    before = file_identity([path])
    assert file_identity([path]) == before
    os.utime(path, ns=(1, 1))
    assert file_identity([path]) != before
