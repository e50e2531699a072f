"""Models of the Hugging Face hub: those on this machine, and how others are fetched.

Most of it imports the hub's client, which takes a moment: longer than it takes to see that there is no network.
"""

import shutil
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

import psutil

from scrubjay.errors import ModelRefused
from scrubjay.process.model_names import HubName, choose_files
from scrubjay.starter import model_path

if TYPE_CHECKING:
    from huggingface_hub import CachedFileInfo, CachedRepoInfo

REACH_S = 2.5
"""From the start of a command, until the hub has answered at all. Its client would try again and again for half a minute."""
LEAST_REACH_S = 1.5
"""What the hub has for it even if the command began long ago: a packet may be lost, and is sent again after a second."""
GIB = 1 << 30
SPARE_BYTES = GIB
"""What a download must leave of the disk."""
SPARE_MEMORY = 0.8
"""Of the machine's memory: a larger model leaves too little for its context and everything else."""


# --- on this machine -------------------------------------------------------------------------------------------------


def cached_models() -> list[tuple[str, Path, int]]:
    """Name, path and bytes of the models that are on this machine and need not be fetched."""
    starter = model_path()
    found = [("starter", starter, starter.stat().st_size)] if starter.exists() else []
    for repo in _cached_repos():
        found += [(f"hf:{repo.repo_id}:{file.file_name}", file.file_path, file.size_on_disk) for file in _models(repo)]
    return found


def cached(name: HubName) -> Path | None:
    """The model's first file, if all of its parts are on this machine."""
    from huggingface_hub.constants import HF_HUB_CACHE

    revisions = (Path(HF_HUB_CACHE).resolve() / f"models--{name.repo.replace('/', '--')}" / "snapshots").glob("*")
    for paths in sorted(map(_files, revisions), key=_last_modified, reverse=True):
        try:
            return paths[choose_files(paths, name.file)[0]]
        except ModelRefused:
            continue
    return None


def remove(name: HubName) -> int:
    """Delete a model that was downloaded, all parts of it; the bytes that are free then.

    Raises:
        ModelRefused: it is not on this machine.
    """
    repo = next((repo for repo in _cached_repos() if repo.repo_id == name.repo), None)
    files = {file.file_name: file for file in _models(repo)} if repo else {}
    if not files:
        raise ModelRefused(f"hf:{name.repo} is not on this machine; `scrubjay model list` shows what is.")
    chosen = {Path(path).name for path in choose_files(files, name.file)} if name.file else set(files)
    for file in (files[file_name] for file_name in chosen):
        # The entry of the snapshot is a link; the bytes are in a file that several snapshots may share.
        file.file_path.unlink(missing_ok=True)
        file.blob_path.unlink(missing_ok=True)
    if repo and chosen == set(files):
        shutil.rmtree(repo.repo_path, ignore_errors=True)
    return sum(files[file_name].size_on_disk for file_name in chosen)


def _files(revision: Path) -> dict[str, Path]:
    """What is there of one revision of a repository; a link whose bytes are gone is no file."""
    return {path.relative_to(revision).as_posix(): path for path in revision.rglob("*") if path.is_file()}


def _last_modified(files: dict[str, Path]) -> float:
    return max((path.stat().st_mtime for path in files.values()), default=0.0)


def _models(repo: "CachedRepoInfo") -> "list[CachedFileInfo]":
    """The GGUF files of a repository."""
    files = {file.file_name: file for revision in repo.revisions for file in revision.files}
    return [file for name, file in sorted(files.items()) if name.lower().endswith(".gguf")]


def _cached_repos() -> "list[CachedRepoInfo]":
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    return sorted(repos, key=lambda repo: repo.repo_id)


# --- from the network ------------------------------------------------------------------------------------------------


def fetch(name: HubName, tell: Callable[[str], None]) -> Path:
    """Download the model; its first file.

    Args:
        tell: hears what is downloaded, and how large it is.

    Raises:
        ModelRefused: there is no such model, no network, or no room for it.
    """
    try:
        _reach()
    except (OSError, ValueError) as error:
        raise _unreachable(name, str(error)) from error

    from huggingface_hub import hf_hub_download

    try:
        sizes = _sizes(name.repo)
        files = choose_files(sizes, name.file)
        n_bytes = sum(sizes[file] for file in files)
        require_room(name, n_bytes)
        tell(announcement(name, files[0], n_bytes, psutil.virtual_memory().total))
        paths = [hf_hub_download(name.repo, file) for file in files]
    except ModelRefused:
        raise
    except Exception as error:  # of classes that depend on which HTTP library the hub's client was built on
        raise _not_fetched(name, error) from error
    return Path(paths[0])


def require_room(name: HubName, n_bytes: int) -> None:
    """See that the disk has room for a download.

    Raises:
        ModelRefused: it has not.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = next(path for path in (Path(HF_HUB_CACHE), *Path(HF_HUB_CACHE).parents) if path.exists())
    free = shutil.disk_usage(folder).free
    if n_bytes + SPARE_BYTES > free:
        raise ModelRefused(
            f"hf:{name.repo} is {n_bytes / GIB:.1f} GiB, and {folder} has {free / GIB:.1f} GiB free; "
            "choose a smaller one, or another disk by HF_HOME."
        )


def announcement(name: HubName, file: str, n_bytes: int, memory: int) -> str:
    """What is said before a download, with a warning if the model is too large for a machine with so many bytes of memory."""
    what = f"Fetching {file} of hf:{name.repo}, {n_bytes / GIB:.1f} GiB"
    if n_bytes <= SPARE_MEMORY * memory:
        return f"{what}; this machine has {memory / GIB:.0f} GiB of memory."
    return (
        f"{what}. That is too large for this machine, which has {memory / GIB:.0f} GiB of memory: it will be very slow."
    )


def _sizes(repo: str) -> dict[str, int]:
    """Bytes of each file of a repository."""
    from huggingface_hub import HfApi

    return {file.rfilename: file.size or 0 for file in HfApi().model_info(repo, files_metadata=True).siblings or ()}


def _reach() -> None:
    """See that the hub answers at all, whatever it says.

    Raises:
        OSError: it does not.
        ValueError: its address, which a variable may set, cannot be one.
    """
    from huggingface_hub.constants import ENDPOINT, is_offline_mode

    if is_offline_mode():
        return  # its client says so
    patience = _patience()
    outcome: list[OSError | ValueError | None] = []

    def ask() -> None:
        try:
            _knock(ENDPOINT, patience)
        except (OSError, ValueError) as error:  # it is raised where it is waited for
            outcome.append(error)
        else:
            outcome.append(None)

    # The search for the host's address has no time limit of its own.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(patience)
    if not outcome or isinstance(outcome[0], TimeoutError):
        raise TimeoutError(f"{ENDPOINT} does not answer")
    if outcome[0]:
        raise outcome[0]


def _patience() -> float:
    """Seconds until a user has waited for `REACH_S` since the start of this process, on a machine however busy."""
    age = time() - psutil.Process().create_time()
    return min(max(REACH_S - age, LEAST_REACH_S), REACH_S)


def _knock(endpoint: str, timeout: float) -> None:
    """Have the server at a URL, or the proxy before it, say anything. Sends nothing that is anybody's.

    Raises:
        OSError: it did not within `timeout` seconds for each step; TimeoutError if it is just silent.
        ValueError: no URL is like that.
    """
    from urllib.parse import urlsplit
    from urllib.request import getproxies, proxy_bypass

    hub = urlsplit(endpoint)
    proxies = {} if proxy_bypass(hub.netloc) else getproxies()
    where = urlsplit(proxies.get(hub.scheme) or proxies.get("all") or endpoint)
    port = where.port or {"http": 80, "https": 443}.get(where.scheme, 1080)
    with socket.create_connection((where.hostname or "", port), timeout) as link:
        if where.scheme == "https":
            _shake_hands(link, where.hostname or "")
        elif where.scheme == "http":
            link.sendall(f"HEAD / HTTP/1.1\r\nHost: {hub.hostname}\r\nConnection: close\r\n\r\n".encode())
            link.recv(1)


def _shake_hands(link: socket.socket, host: str) -> None:
    """Begin encryption with whoever is there: the hub's client looks who it is, and says what is wrong."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        context.wrap_socket(link, server_hostname=host).close()
    except ssl.SSLError:
        return


def _not_fetched(name: HubName, error: Any) -> ModelRefused:
    """Why, in one sentence."""
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    repo = f"hf:{name.repo}"
    match error:
        case GatedRepoError():
            return ModelRefused(f"{repo} wants its licence accepted on its web page, and then `hf auth login`.")
        case RepositoryNotFoundError():
            return ModelRefused(f"There is no repository {repo}, or only for those who log in with `hf auth login`.")
        case OfflineModeIsEnabled():
            return ModelRefused(f"{repo} is not on this machine, and HF_HUB_OFFLINE forbids fetching it; unset that.")
        case _:
            return _unreachable(name, _first_line(str(error).splitlines()) or type(error).__name__)


def _unreachable(name: HubName, reason: str) -> ModelRefused:
    return ModelRefused(
        f"hf:{name.repo} is not on this machine and cannot be fetched ({reason}); "
        "check the network, or use --model starter or the PATH of a GGUF file."
    )


def _first_line(lines: Iterable[str]) -> str:
    return next((line.strip().rstrip(".") for line in lines if line.strip()), "")
