"""A cache of the hub's client with models that nobody has downloaded."""

from collections.abc import Mapping
from pathlib import Path

COMMIT = "0123456789" * 4


def fill(cache: Path, repo: str, files: Mapping[str, int]) -> Path:
    """Put files of these sizes into the cache as parts of `repo`; the folder with them."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    snapshot = folder / "snapshots" / COMMIT
    for made in (snapshot, folder / "blobs", folder / "refs"):
        made.mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    for number, (name, size) in enumerate(files.items()):
        blob = folder / "blobs" / f"{number:040}"
        blob.write_bytes(b"GGUF\x03".ljust(size, b"\0"))
        (snapshot / name).symlink_to(blob)
    return snapshot
