"""The folder of records, as the command line sees it."""

from pathlib import Path
from time import time_ns

from scrubjay.config import Config
from scrubjay.errors import DaemonError
from scrubjay.store.record_store import RecordStore, StoreLimits, Wiped


def records_folder(config: Config) -> Path:
    """Where the records of contexts are."""
    return config.data_dir.absolute() / "records"


def wipe_records(folder: Path, root: str) -> Wiped:
    """Remove the records in `folder` of the project at `root`, or with "" all of them; no daemon is needed.

    Raises:
        DaemonError: some cannot be removed.
    """
    store = RecordStore(folder, {}, StoreLimits(0, 0), time_ns)
    wiped = store.forget(root)
    if store.error:
        raise DaemonError(store.error)
    return wiped
