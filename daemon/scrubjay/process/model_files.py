"""Which file a model's name means: the starter model, a path, or a repository of the Hugging Face hub.

GGUF files of one repository differ in how they are quantised; big ones come in parts.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scrubjay.errors import ModelRefused, UsageError
from scrubjay.starter import model_path

if TYPE_CHECKING:
    from huggingface_hub import CachedRepoInfo


PREFERRED = ("Q8_0", "Q4_K_M")
"""Quantisations to take if none is named, the best first: nothing lost, then the usual compromise."""

_MAGIC = b"GGUF"
_HUB_NAME = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(?::(?P<file>.+))?")
_PART = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HubName:
    """`hf:OWNER/REPO[:FILE-or-QUANT]`; `file` is "" if it is left out."""

    repo: str
    file: str = ""


def find_model(name: str) -> Path:
    """The file of the model called `name`, fetched if need be; of one in parts, the first.

    Progress of a download is shown on standard error; an interrupted one goes on where it was.

    Raises:
        UsageError: the name has no meaning.
        ModelRefused: there is no such model, or it cannot be fetched.
    """
    if name == "starter":
        return _checked(model_path())
    if name.startswith("hf:"):
        return _fetch(parse_hub_name(name))
    return _checked(Path(name).expanduser().absolute())


def parse_hub_name(name: str) -> HubName:
    """The parts of `hf:OWNER/REPO[:FILE-or-QUANT]`.

    Raises:
        UsageError: it is not of this form.
    """
    match = _HUB_NAME.fullmatch(name)
    if not match:
        raise UsageError(f"{name!r} is not of the form hf:OWNER/REPO or hf:OWNER/REPO:FILE-or-QUANT.")
    return HubName(match["repo"], match["file"] or "")


def choose_files(files: Iterable[str], wanted: str = "") -> list[str]:
    """The GGUF file that is `wanted`, or all its parts in order.

    Args:
        files: what the repository holds.
        wanted: a file's name, or a quantisation such as Q4_K_M; "" for the best of `PREFERRED`, or the only one there is.

    Raises:
        ModelRefused: none fits, or several do; the message says which there are.
    """
    models = sorted(name for name in files if name.lower().endswith(".gguf") and not _is_projector(name))
    firsts = [name for name in models if not (part := _PART.fullmatch(name)) or int(part["number"]) == 1]
    chosen = _choose(firsts, wanted)
    part = _PART.fullmatch(chosen)
    return _all_parts(part, models) if part else [chosen]


def cached_models() -> list[tuple[str, Path, int]]:
    """Name, path and bytes of the models that are on this machine and need not be fetched."""
    starter = model_path()
    found = [("starter", starter, starter.stat().st_size)] if starter.exists() else []
    for repo in _cached_repos():
        files = {file.file_name: file for revision in repo.revisions for file in revision.files}
        models = [file for name, file in sorted(files.items()) if name.lower().endswith(".gguf")]
        found += [(f"hf:{repo.repo_id}:{file.file_name}", file.file_path, file.size_on_disk) for file in models]
    return found


def _is_projector(name: str) -> bool:
    """Whether the file is the picture side of a model that can see, which is no model by itself."""
    return Path(name).name.lower().startswith("mmproj")


def _choose(firsts: Sequence[str], wanted: str) -> str:
    if not firsts:
        raise ModelRefused("The repository has no GGUF file; choose one whose name ends in GGUF, as a rule.")
    if not wanted:
        return next((fit for quant in PREFERRED if (fit := _smallest(firsts, quant))), firsts[0])
    exact = [name for name in firsts if wanted in (name, Path(name).name)]
    fit = exact[0] if exact else _smallest(firsts, wanted)
    if not fit:
        raise ModelRefused(f"The repository has no {wanted!r}; it has {', '.join(firsts)}.")
    return fit


def _smallest(names: Iterable[str], quant: str) -> str | None:
    """The shortest name with that quantisation in it as a word: others have additions, such as a date or a language."""
    word = re.compile(rf"(?<![A-Za-z0-9_]){re.escape(quant)}(?![A-Za-z0-9_])", re.IGNORECASE)
    return min((name for name in names if word.search(name)), key=len, default=None)


def _all_parts(first: re.Match[str], models: Sequence[str]) -> list[str]:
    n_parts = int(first["count"])
    parts = [f"{first['stem']}-{number:05}-of-{n_parts:05}.gguf" for number in range(1, n_parts + 1)]
    present = {name.lower() for name in models}
    if missing := [part for part in parts if part.lower() not in present]:
        raise ModelRefused(f"The repository lacks {missing[0]}, a part of that model.")
    return [next(name for name in models if name.lower() == part.lower()) for part in parts]


def _checked(path: Path) -> Path:
    """`path`, if it is a GGUF file as far as its first bytes tell."""
    if not path.exists():
        raise ModelRefused(f"There is no model file {path}.")
    if not path.is_file():
        raise ModelRefused(f"{path} is no file; name the .gguf file itself.")
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise ModelRefused(f"The model file {path} cannot be read: {error.strerror}.") from error
    if magic != _MAGIC:
        raise ModelRefused(f"{path} is not a GGUF file; Scrubjay runs models in llama.cpp's format.")
    return path


# --- the hub ---------------------------------------------------------------------------------------------------------


def _fetch(name: HubName) -> Path:
    """The model's first file: as it is on this machine, or else from the network."""
    from huggingface_hub import hf_hub_download

    if (cached := _cached(name)) is not None:
        return _checked(cached)
    try:
        paths = [hf_hub_download(name.repo, file) for file in choose_files(_listed(name.repo), name.file)]
    except ModelRefused:
        raise
    except Exception as error:  # of classes that depend on which HTTP library the hub's client was built on
        raise _not_fetched(name, error) from error
    return _checked(Path(paths[0]))


def _listed(repo: str) -> list[str]:
    from huggingface_hub import HfApi

    return HfApi().list_repo_files(repo)


def _cached(name: HubName) -> Path | None:
    """The model's first file, if all of its parts are on this machine."""
    for repo in _cached_repos():
        if repo.repo_id != name.repo:
            continue
        for revision in sorted(repo.revisions, key=lambda revision: revision.last_modified, reverse=True):
            paths = {str(file.file_path.relative_to(revision.snapshot_path)): file.file_path for file in revision.files}
            try:
                return paths[choose_files(paths, name.file)[0]]
            except ModelRefused:
                continue
    return None


def _cached_repos() -> "list[CachedRepoInfo]":
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    return sorted(repos, key=lambda repo: repo.repo_id)


def _not_fetched(name: HubName, error: Exception) -> ModelRefused:
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
            reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
            return ModelRefused(
                f"{repo} is not on this machine and cannot be fetched ({reason}); "
                "check the network, or use --model starter or the PATH of a GGUF file."
            )
