"""The options, and where they are set: a TOML file < environment variables `SCRUBJAY_...` < flags.

Every option is one field of `Config`: its name, with hyphens, is the flag and the key in the file; in capitals, the variable.
All values arrive as text, whatever their source, so each has one parser and one way to be wrong. A table `[models.NAME]` of the
file describes one model more, with options of its own; `--model NAME=MODEL` is the same with nothing but its source. A table
`[keys.NAME]` lets in somebody more.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar

from scrubjay.errors import UsageError
from scrubjay.key_tables import KeyTable, key_tables, parse_hash, parse_name, parse_weight
from scrubjay.loopback import VARIABLE as LOCAL_VARIABLE
from scrubjay.model_tables import MODEL_OPTIONS, PURPOSES, ModelTable, model_key, model_tables
from scrubjay.option_values import (
    one_of,
    parse_address,
    parse_draft,
    parse_flag,
    parse_path,
    parse_path_or_none,
    parse_share,
    parse_text,
    size_or,
    some_of,
    whole_from,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")
PREFIX = "SCRUBJAY_"
CONFIG_VARIABLE = "SCRUBJAY_CONFIG"
"""Names the TOML file, where `--config` does not."""
REMOTE_KEY_VARIABLE = "SCRUBJAY_REMOTE_KEY"  # the key itself; no option, so that no flag shows it

_TABLE = re.compile(r"(?P<kind>models|keys)\.(?P<name>.*)\.(?P<key>\w+)", re.DOTALL)
_OF_KEY = {"hash": parse_hash, "weight": parse_weight, "group": parse_name, "max_requests": whole_from(1)}
_DEFAULT_WORD = re.compile(r"\(default: (\w[\w.]*)")


# --- the options -----------------------------------------------------------------------------------------------------


def _option(default: T, parse: Callable[[str], T], metavar: str, help: str) -> T:
    option: T = field(default=default, metadata={"parse": parse, "metavar": metavar, "help": help})
    return option


def _place(help: str) -> Path:
    """An option without a default of its own: it depends on the machine."""
    place: Path = field(metadata={"parse": parse_path, "metavar": "PATH", "help": help})
    return place


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set for a daemon. 0 means "choose for me" in every count that says auto.

    Args:
        models: those that have names; the first of them completes code, unless `has_plain_model`.
        has_plain_model: whether there is one beside them: that of the option `model`.
        keys: who may use `http` beside this machine's user.
    """

    socket: Path = _place("the daemon's local socket")
    data_dir: Path = _place("folder for logs, and for what contexts held")
    model: str = _option(
        "starter",
        parse_text,
        "MODEL",
        "starter, PATH of a GGUF file, OWNER/REPO[:FILE-or-QUANT] on Hugging Face, remote:URL; NAME=MODEL for one more",
    )
    tokenizer: Path | None = _option(
        None, parse_path_or_none, "PATH", "tokenizer.json, or a GGUF file, with the vocabulary of a remote model"
    )
    remote_key_file: Path | None = _option(
        None, parse_path_or_none, "PATH", "file with the key of a remote model's server"
    )
    ctx: int = _option(0, whole_from(32, "auto"), "N", "tokens of context (default: auto)")
    threads: int = _option(
        0, whole_from(1, "auto"), "N", "threads of the model (default: auto, the physical cores that others leave free)"
    )
    interval: int = _option(0, whole_from(1, "auto"), "N", "tokens between checkpoints (default: auto)")
    checkpoint_budget: int = _option(
        0, size_or("auto"), "SIZE", "memory for checkpoints and branches in bytes, such as 2GiB (default: auto)"
    )
    store: int = _option(
        2 << 30,
        size_or("off", "none", "false"),
        "SIZE",
        "disk for what contexts held, kept over restarts; off: none (default: 2GiB)",
    )
    store_daily: int = _option(
        16 << 30, size_or(), "SIZE", "most bytes of it that are written in a day (default: 16GiB)"
    )
    gpu_layers: int = _option(-1, whole_from(0, "all", -1), "N", "layers on the GPU (default: all)")
    kv_type: Literal["f16", "q8_0"] = _option("f16", one_of("f16", "q8_0"), "TYPE", "type of the KV cache: f16 or q8_0")
    draft: int = _option(
        -1, parse_draft, "N", "longest draft that is tried ahead, in tokens; off: none (default: auto, as many as pay)"
    )
    context_budget: int = _option(0, whole_from(64, "auto"), "N", "most tokens of a project's prompt (default: auto)")
    layout: Literal["anchored", "plain"] = _option(
        "anchored", one_of("anchored", "plain"), "LAYOUT", "prompt layout: anchored (the most is reused) or plain"
    )
    prompt_style: Literal["auto", "fim", "plain", "chat"] = _option(
        "auto",
        one_of("auto", "fim", "plain", "chat"),
        "STYLE",
        "how the model is asked to fill in: by its own tokens (fim), as text that goes on (plain), in a chat, or auto",
    )
    rules: bool = _option(True, parse_flag, "", "end and trim completions by rules; off: show all that is written")
    confidence: float = _option(
        0.2,
        parse_share,
        "SHARE",
        "how likely a completion's beginning must be to be shown unasked; 0: show all (default: 0.2)",
    )
    latency_budget_ms: int = _option(
        0, whole_from(1, "auto"), "MS", "time budget of a prefill after the cursor jumps (default: auto)"
    )
    http: tuple[str, int] | None = _option(
        None, parse_address, "HOST:PORT", "also serve llama.cpp's and OpenAI's HTTP routes there (default: none)"
    )
    api_key: str = _option(
        "", parse_text, "KEY", "key that clients of --http must send; required if other machines can reach it"
    )
    anchor: bool = _option(
        True, parse_flag, "", "lay out /infill prompts so that consecutive ones share their beginning"
    )
    watch: bool = _option(True, parse_flag, "", "also show the model recently edited files that are not open")
    show_secrets: bool = _option(
        False, parse_flag, "", "show it also files that usually hold secrets: .env*, *.pem, id_* ..."
    )
    show_diff: bool = _option(
        False, parse_flag, "", "show it also what the branch has changed, as a diff of the files on disk"
    )
    eager_load: bool = _option(True, parse_flag, "", "read the whole model and warm up while loading")
    idle_unload: int = _option(
        0, whole_from(1, "never"), "MINUTES", "without a request for so long, free the model's memory (default: never)"
    )
    warm: bool = _option(True, parse_flag, "", "prefill prompts and prepare the next completion in the background")
    warm_on_battery: bool = _option(False, parse_flag, "", "prefill in the background on battery, too")
    warm_delay_ms: int = _option(
        300, whole_from(0), "MS", "how long a project must be unchanged before its prefill begins"
    )
    log_level: Literal["debug", "info", "warning", "error"] = _option(
        "info",
        one_of("debug", "info", "warning", "error"),
        "LEVEL",
        "what is logged: debug, info, warning or error",
    )
    log_format: Literal["text", "json"] = _option(
        "text", one_of("text", "json"), "FORM", "lines of text, or json: a JSON object a line"
    )
    models: tuple[ModelTable, ...] = ()
    has_plain_model: bool = True
    keys: tuple[KeyTable, ...] = ()

    @property
    def served(self) -> tuple[ModelTable, ...]:
        """All models, the one that completes code first; `model` is the source of that one."""
        if self.has_plain_model:
            return ModelTable("", self.model), *self.models
        return replace(self.models[0], source=self.model), *self.models[1:]

    def of(self, table: ModelTable) -> "Config":
        """The options that count for one model."""
        return replace(self, model=table.source, **table.options)

    def with_sources(self, sources: Mapping[str, str]) -> "Config":
        """The same with other sources of models, by their keys."""
        first, *others = (replace(table, source=sources.get(table.key, table.source)) for table in self.served)
        named = (first, *others) if first.name else tuple(others)
        return replace(self, model=first.source, models=named)


def options() -> tuple[Field[Any], ...]:
    """The options; their metadata holds `parse`, `metavar` ("" for switches) and `help`."""
    return tuple(each for each in fields(Config) if each.metadata)


# --- from sources to a Config ----------------------------------------------------------------------------------------


def build_config(toml: str, toml_name: str, environment: Mapping[str, str], flags: Mapping[str, str]) -> Config:
    """The configuration that the three sources add up to. Reads no file and no environment of its own.

    Args:
        toml: text of the TOML file, "" if there is none.
        toml_name: what to call that file in messages.
        environment: variables; those that do not begin with `SCRUBJAY_` do not count, and unknown ones are only warned of.
        flags: by option name.

    Raises:
        UsageError: something is unknown or wrong; one sentence that names the source.
    """
    values: dict[str, Any] = {}
    tables: dict[str, dict[str, dict[str, Any]]] = {"models": {}, "keys": {}}
    parsers = {option.name: option.metadata["parse"] for option in options()}
    of_model = {name: parsers[name] for name in MODEL_OPTIONS} | {"source": parse_text, "purposes": some_of(*PURPOSES)}
    for name, text, source in _settings(toml, toml_name, environment, flags):
        table = _TABLE.fullmatch(name)
        kind, key = (table["kind"], table["key"]) if table else ("", name)
        known: Mapping[str, Any] = {"models": of_model, "keys": _OF_KEY, "": parsers}[kind]
        if key not in known:
            what = f"no option of a {kind[:-1]}" if table else "no option of Scrubjay"
            sentence = f"{source} is {what}{_nearest(key, known)}"
            if source.startswith(PREFIX):
                # It may be of another version, or another program's: no reason to refuse every command.
                logger.warning("%s", sentence)
                continue
            raise UsageError(sentence)
        try:
            (tables[kind].setdefault(table["name"], {}) if table else values)[key] = known[key](text)
        except ValueError as error:
            raise UsageError(f"{source}: {text!r} is not {error}.") from error
    # Looked for only where nothing is said: on some machines there are none.
    for name, default in (("socket", default_socket), ("data_dir", default_data_dir)):
        if name not in values:
            values[name] = default(environment)
    models = model_tables(tables["models"])
    has_plain_model = "model" in values or not models or "complete" not in models[0].purposes
    if not has_plain_model:
        values["model"] = models[0].source
    return Config(**values, models=models, has_plain_model=has_plain_model, keys=key_tables(tables["keys"]))


def read_config(flags: Mapping[str, str] | None = None, file: Path | None = None) -> Config:
    """The configuration of this process's environment, the user's TOML file and `flags`.

    Args:
        file: the TOML file; None for `SCRUBJAY_CONFIG`, or else the usual place, where it may be missing.

    Raises:
        UsageError: as `build_config`, or the file cannot be read.
    """
    toml, name = _read_file(file)
    return build_config(toml, name, os.environ, flags or {})


def option_sources(flags: Mapping[str, str] | None = None, file: Path | None = None) -> dict[str, str]:
    """What sets each option, by name: a key of the file, a variable or a flag. Those that keep their defaults are not in it.

    Args, errors: as `read_config`, which is to be called before.
    """
    toml, toml_name = _read_file(file)
    return {name: source for name, _, source in _settings(toml, toml_name, os.environ, flags or {})}


def config_file(file: Path | None = None) -> Path | None:
    """The TOML file that `read_config` reads, which may be missing; None where there is no place for one."""
    if file:
        return file
    named = os.environ.get(CONFIG_VARIABLE)
    return Path(named) if named else _usual_file()


def value_text(option: Field[Any], value: object) -> str:
    """The value of an option as it may be written in the file, without quotation marks; "auto" for what is chosen."""
    if value == option.default and (said := _DEFAULT_WORD.search(option.metadata["help"])):
        return said[1]
    match value:
        case bool():
            return str(value).lower()
        case 0 if "off: none" in option.metadata["help"]:
            return "off"
        case (host, port):
            return f"{host}:{port}"
        case None:
            return "none"
    return str(value)


def _read_file(file: Path | None) -> tuple[str, str]:
    """Text and name of the TOML file."""
    is_named = bool(file or os.environ.get(CONFIG_VARIABLE))
    path = config_file(file)
    try:
        return (path.read_text("utf-8-sig") if path else ""), str(path)
    except FileNotFoundError:
        if is_named:
            raise UsageError(f"There is no configuration file {path}.") from None
        return "", str(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The configuration file {path} cannot be read: {error}.") from error


def _usual_file() -> Path | None:
    try:
        return _platform("user_config_path", "--config") / "config.toml"
    except UsageError:
        return None  # where there is no home folder, there is no file in it


def default_socket(environment: Mapping[str, str] | None = None) -> Path:
    """Where the daemon listens if nobody says otherwise.

    Raises:
        UsageError: this machine has no place for it.
    """
    environment = os.environ if environment is None else environment
    if named := environment.get("SCRUBJAY_SOCKET"):
        return parse_path(named)
    runtime = Path(environment.get("XDG_RUNTIME_DIR", ""))
    # Relative paths do not count, says the specification: they would mean another daemon in each folder.
    if runtime.is_absolute():
        return runtime / "scrubjay" / "daemon.sock"
    return _platform("user_runtime_path", "--socket") / "daemon.sock"


def default_data_dir(environment: Mapping[str, str]) -> Path:
    """Where the daemon keeps its files if nobody says otherwise.

    Raises:
        UsageError: this machine has no place for them.
    """
    data = Path(environment.get("XDG_DATA_HOME", ""))
    return data / "scrubjay" if data.is_absolute() else _platform("user_data_path", "--data-dir")


def _platform(name: str, option: str) -> Path:
    """The platform's folder for `scrubjay`, which `option` sets as well."""
    import warnings

    import platformdirs

    with warnings.catch_warnings(action="ignore"):  # it warns where XDG_RUNTIME_DIR is not set, which is nobody's fault
        try:
            folder: Path = getattr(platformdirs, name)("scrubjay", appauthor=False)
        except OSError as error:  # not even a folder for temporary files is there
            raise UsageError(f"This machine has no folder for {option} ({error.strerror}); name one.") from error
        except RuntimeError:
            folder = Path("~")
    if not folder.is_absolute():
        raise UsageError(f"The user has no home folder; set HOME, or {option}.")
    return folder


def _settings(
    toml: str, toml_name: str, environment: Mapping[str, str], flags: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Name, text and source of each setting, the strongest last."""
    for key, value in _flat(_parse_toml(toml, toml_name)):
        source = f"{toml_name}: {key}"
        table, dot, option = key.rpartition(".")
        yield *_keyed(f"{table}{dot}{option.replace('-', '_')}", _as_text(value, source)), source
    for key, value in environment.items():
        # An empty variable is how shells unset one.
        if key.startswith(PREFIX) and key not in (CONFIG_VARIABLE, REMOTE_KEY_VARIABLE, LOCAL_VARIABLE) and value:
            yield *_keyed(key.removeprefix(PREFIX).lower(), value), key
    for key, value in flags.items():
        yield *_keyed(key, value), f"--{key.replace('_', '-')}"


def _keyed(name: str, text: str) -> tuple[str, str]:
    return model_key(text) if name == "model" else (name, text)


def _flat(toml: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The keys of the file and their values; those of models and keys with the names of their tables before them."""
    for key, value in toml.items():
        tables = value if key in ("models", "keys") and isinstance(value, dict) else {}
        if not tables or not all(isinstance(table, dict) for table in tables.values()):
            yield key, value
        for name, table in tables.items():
            yield from ((f"{key}.{name}.{of_table}", each) for of_table, each in dict(table).items())


def _parse_toml(toml: str, name: str) -> dict[str, Any]:
    if not toml:
        return {}
    import tomllib

    try:
        return tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is not TOML: {error}.") from error


def _as_text(value: object, source: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and source.endswith(".purposes"):
        return ",".join(map(str, value))
    if not isinstance(value, str | int | float):
        raise UsageError(f"{source} must be a text, a number, true or false.")
    return str(value)


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0].replace('_', '-')!r}?" if close else "."
