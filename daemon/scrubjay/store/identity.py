"""What tells a file from another of the same name, without reading gigabytes."""

from collections.abc import Iterable
from pathlib import Path

import xxhash

WHOLE_BYTES = 1 << 24
"""Up to here a file is read whole, and the time of its last change says nothing: an upgrade writes the small model anew."""
EDGE_BYTES = 1 << 20
PAGE_BYTES = 4096
N_PAGES = 64


def file_identity(paths: Iterable[Path]) -> str:
    """Of a model's files: sizes, and a digest; of large ones times of change, beginnings, ends and pages in between.

    Raises:
        OSError: one of them cannot be read.
    """
    digest, facts = xxhash.xxh3_128(), []
    for path in paths:
        with path.open("rb", buffering=0) as file:
            status = path.stat()
            if status.st_size <= WHOLE_BYTES:
                digest.update(file.read())
                facts.append(str(status.st_size))
                continue
            facts.append(f"{status.st_size}@{status.st_mtime_ns}")
            step = max(status.st_size // N_PAGES, PAGE_BYTES)
            ends = ((0, EDGE_BYTES), (max(0, status.st_size - EDGE_BYTES), EDGE_BYTES))
            for at, size in (*ends, *((at, PAGE_BYTES) for at in range(0, status.st_size, step))):
                file.seek(at)
                digest.update(file.read(size))
    return " ".join((*facts, digest.hexdigest()))
