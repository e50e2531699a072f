"""`scrubjay config`: the file, what counts, and where each value comes from; and writing one value into the file."""

import argparse
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import MISSING
from pathlib import Path

from scrubjay.config import Config, config_file, option_sources, options, read_config, value_text
from scrubjay.errors import UsageError
from scrubjay.key_tables import new_key


def config(arguments: argparse.Namespace) -> int:
    """Show the configuration."""
    if arguments.example:
        print("\n".join(_example()))
        return 0
    values, sources = read_config({}, arguments.config), option_sources({}, arguments.config)
    file = config_file(arguments.config)
    if arguments.json:
        print(json.dumps(_report(values, sources, file), separators=(",", ":")))
    else:
        print("\n".join(_lines(values, sources, file)))
    return 0


def key(arguments: argparse.Namespace) -> int:
    """Print a new key, and the lines that let in who has it: the only place where the key is."""
    made, lines = new_key(arguments.name)
    print(f"Key, for {arguments.name} alone: it is not shown again, and nothing keeps it.\n\n{made}\n")
    print(
        f"Lines for {config_file() or 'the configuration file'}; `scrubjay restart` makes them count:\n\n{lines}",
        end="",
    )
    return 0


def write_option(file: Path, name: str, value: str) -> None:
    """Set an option to a text in the TOML file, which is made if it is not there. All else in it stays as it is.

    Raises:
        UsageError: the file cannot be read or written, or is not TOML.
    """
    import tomllib

    key = name.replace("_", "-")
    line = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    try:
        text = file.read_text("utf-8") if file.exists() else ""
        new, n = re.subn(rf"(?m)^(?:{key}|{name})\s*=.*$", lambda _: line, text)
        new = new if n else f"{line}\n{text}"
        tomllib.loads(new)
        _replace(file, new)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not TOML ({error}); write {line} into it yourself.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The configuration file {file} cannot be changed: {error}.") from error


def _replace(file: Path, text: str) -> None:
    """Write `file` whole or not at all; where it is a link, what it leads to."""
    file = file.resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    with os.fdopen(fd, "w", encoding="utf-8") as written:
        written.write(text)
    if file.exists():
        Path(name).chmod(file.stat().st_mode & 0o777)
    Path(name).replace(file)


def _lines(values: Config, sources: Mapping[str, str], file: Path | None) -> Iterator[str]:
    there = "" if file and file.exists() else " (not there yet; `scrubjay config --example` prints one)"
    yield f"File: {file or 'none, because there is no home folder'}{there}"
    for option in options():
        key, value = option.name.replace("_", "-"), value_text(option, getattr(values, option.name))
        shown = ("set" if value else "none") if option.name == "api_key" else value
        yield f"{key:<20} {shown:<40} {sources.get(option.name, 'default')}"
    for table in values.models:
        yield f"models.{table.name:<13} {table.source:<40} {', '.join(table.purposes)}"
    for each in values.keys:
        yield f"keys.{each.name:<15} {f'group {each.group}, weight {each.weight:g}':<40} {each.max_requests} requests"


def _report(values: Config, sources: Mapping[str, str], file: Path | None) -> dict[str, object]:
    rows = {
        option.name: {
            "value": value_text(option, getattr(values, option.name)) if option.name != "api_key" else None,
            "source": sources.get(option.name, "default"),
        }
        for option in options()
    }
    models = [{"name": table.name, "source": table.source, "purposes": table.purposes} for table in values.models]
    keys = [
        {"name": each.name, "group": each.group, "weight": each.weight, "max_requests": each.max_requests}
        for each in values.keys
    ]
    return {"file": str(file) if file else None, "options": rows, "models": models, "keys": keys}


def _example() -> Iterator[str]:
    """A file with every option in it, each as a comment with its default."""
    yield f"# Options of Scrubjay's daemon, which reads them when it starts: {config_file() or 'name this file by --config'}"
    yield "# Take away the # before what you want to set. `scrubjay restart` makes it count."
    for option in options():
        key = option.name.replace("_", "-")
        yield f"\n# {option.metadata['help']}"
        if option.default is MISSING:
            yield f'# {key} = "/a/path"'
            continue
        text = value_text(option, option.default)
        is_bare = isinstance(option.default, bool) or text.replace(".", "", 1).isdecimal()
        yield f"# {key} = {text if is_bare else json.dumps(text)}"
