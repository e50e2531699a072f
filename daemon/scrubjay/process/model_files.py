"""Which file a model's name means: the starter model, a path, or a repository of the Hugging Face hub. Remote ones have none."""

from collections.abc import Callable
from pathlib import Path

from scrubjay.config import Config
from scrubjay.engine.remote.address import is_remote, parse_remote
from scrubjay.errors import ModelRefused, UsageError
from scrubjay.process.model_names import is_hub_name, parse_hub_name
from scrubjay.starter import model_path

_MAGIC = b"GGUF"


def nobody(_sentence: str) -> None:
    """Hears what `find_model` has to tell where nobody listens."""


def model_argument(name: str, tell: Callable[[str], None] = nobody) -> str:
    """What a daemon is told of the model called `name`: the path of its file, see `find_model`; or the name of a remote one."""
    if is_remote(name):
        parse_remote(name)
        return name
    return str(find_model(name, tell))


def find_model(name: str, tell: Callable[[str], None] = nobody) -> Path:
    """The file of the model called `name`, fetched if need be; of one in parts, the first.

    Progress of a download is shown on standard error; an interrupted one goes on where it was.

    Args:
        tell: hears a sentence about each download before it begins.

    Raises:
        UsageError: the name has no meaning.
        ModelRefused: there is no such model, or it cannot be fetched.
    """
    if is_remote(name):
        raise UsageError(f"{parse_remote(name).url} runs that model; it has no file here.")
    if name == "starter":
        return checked(model_path())
    if not is_hub_name(name):
        return checked(Path(name).expanduser().absolute())
    from scrubjay.process import hub

    hub_name = parse_hub_name(name)
    return checked(hub.cached(hub_name) or hub.fetch(hub_name, tell))


def with_files(config: Config, tell: Callable[[str], None] = nobody) -> Config:
    """`config` with the files of its models in the place of their names, fetched if need be.

    Raises:
        UsageError, ModelRefused: as `model_argument`.
    """
    return config.with_sources({table.key: model_argument(table.source, tell) for table in config.served})


def known_model(name: str) -> str | None:
    """What `model_argument` says of the model called `name` if it is on this machine, or remote, without asking the network."""
    if is_remote(name):
        return name
    if name == "starter":
        return str(model_path())
    if not is_hub_name(name):
        return str(Path(name).expanduser().absolute())
    from scrubjay.process import hub

    path = hub.cached(parse_hub_name(name))
    return str(path) if path else None


def checked(path: Path) -> Path:
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
