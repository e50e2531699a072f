"""What tells a file from another of the same name, without reading gigabytes."""

from collections.abc import Iterable
from pathlib import Path

import xxhash

EDGE_BYTES = 1 << 20
PAGE_BYTES = 4096
N_PAGES = 64


def file_identity(paths: Iterable[Path]) -> str:
    """Of a model's files: sizes, times of change, and a digest of their beginnings, ends and pages in between.

    Raises:
        OSError: one of them cannot be read.
    """
    digest, facts = xxhash.xxh3_128(), []
    for path in paths:
        with path.open("rb", buffering=0) as file:
            status = path.stat()
            facts.append(f"{status.st_size}@{status.st_mtime_ns}")
            step = max(status.st_size // N_PAGES, PAGE_BYTES)
            ends = ((0, EDGE_BYTES), (max(0, status.st_size - EDGE_BYTES), EDGE_BYTES))
            for at, size in (*ends, *((at, PAGE_BYTES) for at in range(0, status.st_size, step))):
                file.seek(at)
                digest.update(file.read(size))
    return " ".join((*facts, digest.hexdigest()))
