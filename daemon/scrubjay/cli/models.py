"""`scrubjay model`: which models there are, what they are like, and which one is used."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from scrubjay.cli.configuration import write_option
from scrubjay.cli.recommend import recommend
from scrubjay.config import config_file, option_sources, read_config
from scrubjay.engine.remote.address import is_remote
from scrubjay.errors import ModelRefused, UsageError
from scrubjay.process.claim import is_running
from scrubjay.process.client import Client
from scrubjay.process.model_files import find_model, known_model, model_argument
from scrubjay.process.model_names import is_hub_name, parse_hub_name, whole_name

MIB = 1 << 20
STYLES = {
    "fim": "fills in the middle: made for code completion",
    "chat": "has no tokens for filling in the middle; it is asked through its chat template, with worse completions",
    "plain": "has no tokens for filling in the middle, so it never sees what is after the cursor",
}


def model(arguments: argparse.Namespace) -> int:
    """Find, fetch, show, use and remove models."""
    return ACTIONS[arguments.action](arguments)


def show_models(_: argparse.Namespace) -> int:
    """List the models on this machine; those in use have a mark."""
    from scrubjay.process.hub import cached_models

    used = {known_model(table.source) for table in read_config().served}
    rows = [("  MODEL", "SIZE", "FILE")]
    for name, path, size in cached_models():
        mark = "*" if str(path) in used else " "
        rows.append((f"{mark} {name}", f"{size / MIB:.0f} MiB", str(path)))
    width = max(len(row[0]) for row in rows)
    for row in rows:
        print(f"{row[0]:<{width}}  {row[1]:>9}  {row[2]}")
    return 0


def find(arguments: argparse.Namespace) -> int:
    """Print the file of a model, fetched if need be."""
    print(find_model(arguments.name, say))
    return 0


def describe(arguments: argparse.Namespace) -> int:
    """Show what a model that is on this machine is like."""
    from scrubjay.process.model_facts import model_facts

    path = _here(arguments.name)
    facts = model_facts(path)
    size = sum(part.stat().st_size for part in _parts(path))
    print(f"Name       {facts.name}, {facts.architecture}")
    print(f"File       {path}")
    print(f"Size       {size / MIB:.0f} MiB, {facts.quantization or 'no quantisation named'}")
    print(f"Context    trained with {facts.n_ctx_train} tokens")
    print(f"Memory     {facts.kind}")
    print(f"Prompts    {STYLES[facts.style]}")
    print(f"Licence    {facts.licence or 'not said in the file'}")
    return 0


def use(arguments: argparse.Namespace) -> int:
    """Make a model the one that is used: in the configuration file, and at once by a daemon that runs."""
    found, name = model_argument(arguments.name, say), whole_name(arguments.name)
    file = config_file(arguments.config)
    if file is None:
        raise UsageError("There is no home folder for a configuration file; name one by --config.")
    write_option(file, "model", name)
    size = "" if is_remote(name) else f" ({Path(found).stat().st_size / MIB:.0f} MiB)"
    print(f"{file}: model = {name}{size}")
    source = option_sources({}, arguments.config)["model"]
    if source.startswith("SCRUBJAY_"):
        print(f"But the variable {source} says otherwise, and counts more; unset it.", file=sys.stderr)
    _restart_with_it(arguments.config)
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Delete a model that was downloaded."""
    if arguments.name == "starter":
        raise ModelRefused("The starter model comes with Scrubjay and is not removed alone.")
    if not is_hub_name(arguments.name):
        raise ModelRefused(f"{arguments.name} was not downloaded by Scrubjay; delete the file yourself.")
    from scrubjay.process.hub import remove as remove_from_cache

    _require_unused(arguments.name)
    n_bytes = remove_from_cache(parse_hub_name(arguments.name))
    print(f"{whole_name(arguments.name)} is gone; {n_bytes / MIB:.0f} MiB are free.")
    return 0


ACTIONS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "list": show_models,
    "recommend": recommend,
    "path": find,
    "pull": find,
    "show": describe,
    "use": use,
    "remove": remove,
}


def say(sentence: str) -> None:
    """Tell the user something that is not the answer."""
    print(sentence, file=sys.stderr)


def _here(name: str) -> Path:
    if (known := known_model(name)) is None:
        raise ModelRefused(f"{name} is not on this machine; `scrubjay model pull {name}` fetches it.")
    return find_model(known)


def _parts(path: Path) -> list[Path]:
    """All files of the model that begins at `path`."""
    stem, of, count = path.name.rpartition("-00001-of-")[0], "-of-", path.name.rpartition("-of-")[2]
    return sorted(path.parent.glob(f"{stem}-*{of}{count}")) if stem else [path]


def _require_unused(name: str) -> None:
    """See that no daemon has the model open: what it has mapped must not go away."""
    socket = read_config().socket
    if not is_running(socket):
        return
    running = {(model["model"] or {}).get("path") for model in Client(socket).get("status").get("models", ())}
    if known_model(name) in running - {None}:
        raise ModelRefused(f"The daemon uses {name}; `scrubjay model use` another one first, or `scrubjay stop`.")


def _restart_with_it(file: Path | None) -> None:
    from scrubjay.process.lifecycle import restart_daemon

    socket = read_config({}, file).socket
    if not is_running(socket):
        return
    print("The daemon is restarted with it.")
    restart_daemon(socket, {}, file, dropped={"model"})
    for _ in Client(socket).wait_until_ready():
        pass
