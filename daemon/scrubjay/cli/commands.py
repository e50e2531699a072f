"""The commands, one function each: takes the parsed arguments, returns the exit status."""

import argparse
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from scrubjay.cli.configuration import config, key
from scrubjay.cli.models import model, say
from scrubjay.cli.service import service
from scrubjay.cli.setup import setup
from scrubjay.cli.status import status_lines, why_lines
from scrubjay.config import Config, config_file, options, read_config, value_text
from scrubjay.errors import DaemonError, RequestError, UsageError
from scrubjay.model_tables import model_key, model_option
from scrubjay.process.client import Client, Json
from scrubjay.workspace.roots import find_root


def serve(arguments: argparse.Namespace) -> int:
    """Run the daemon in this process."""
    config = _config(arguments)
    if arguments.ready_fd is not None:
        from scrubjay.process.lifecycle import detach

        detach()
    import asyncio

    from scrubjay.process.about import About
    from scrubjay.process.lifecycle import tell_ready
    from scrubjay.process.log import log_file, set_up_log
    from scrubjay.process.model_files import with_files
    from scrubjay.process.run import run_daemon

    log = log_file(config) if arguments.ready_fd is not None else None
    set_up_log(config.log_level, config.log_format, log)
    config = with_files(config, say)
    given = flags_of(arguments) if arguments.given is None else json.loads(arguments.given)
    about = About(config, given, log, config_file(arguments.config))
    # Nothing is to be found in the working folder from here on, not even by a library that looks for plug-ins.
    os.chdir("/")
    listening = (lambda: tell_ready(arguments.ready_fd)) if arguments.ready_fd is not None else (lambda: None)
    asyncio.run(run_daemon(config, listening, about))
    return 0


def start(arguments: argparse.Namespace) -> int:
    """Start a daemon and wait for its model."""
    client, is_new = _started(arguments)
    print(f"Scrubjay {'listens' if is_new else 'listens already'} on {client.path}.")
    if not is_new and _is_outdated(client, arguments):
        say("Its configuration has changed since it was started; `scrubjay restart` makes that count.")
    return 0


def restart(arguments: argparse.Namespace) -> int:
    """End the daemon and start one, with these options over those that it had."""
    from scrubjay.process.lifecycle import restart_daemon

    config = _config(arguments)
    had_one = restart_daemon(config.socket, flags_of(arguments), arguments.config, tell=say)
    client = Client(config.socket)
    _require_own_start(client, flags_of(arguments))
    show_loading(client)
    print(f"Scrubjay {'listens again' if had_one else 'listens'} on {client.path}.")
    return 0


def stop(arguments: argparse.Namespace) -> int:
    """Stop the daemon."""
    from scrubjay.process.lifecycle import stop_daemon

    path = _config(arguments).socket
    if not stop_daemon(path):
        raise DaemonError(f"No daemon runs on {path}.")
    print("Scrubjay has stopped.")
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Show what the daemon does and holds."""
    client = Client(_config(arguments).socket)
    if arguments.open:
        import webbrowser

        url = client.post("page", {})["url"]
        is_open = webbrowser.open(url)
        print(f"The page is open in your browser, by this address, which is good once: {url}" if is_open else url)
        return 0
    report = client.get("status")
    print(json.dumps(report, separators=(",", ":")) if arguments.json else "\n".join(status_lines(report)))
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """Look for what is wrong with the installation."""
    from scrubjay.cli.doctor import doctor as examine

    return examine(arguments, _config)


def why(arguments: argparse.Namespace) -> int:
    """Say what the last requests cost, and for what reason: the last one last."""
    answer = Client(_config(arguments).socket).get("requests", last=str(arguments.count))
    if arguments.json:
        print(json.dumps(answer, separators=(",", ":")))
    else:
        print("\n".join(line for request in reversed(answer["requests"]) for line in why_lines(request)))
    return 0


def top(arguments: argparse.Namespace) -> int:
    """Show what the daemon does and holds, live."""
    from scrubjay.cli.top import run_top

    return run_top(Client(_config(arguments).socket))


def complete(arguments: argparse.Namespace) -> int:
    """Print the completion at a position of a file as it is generated."""
    path, line, column = parse_place(arguments.place)
    text = _text_of(path)
    client, _ = _started(arguments)
    # A copy of our own: an editor may have the same document open.
    document = {"uri": path.as_uri(), "owner": f"cli-{os.getpid()}"}
    client.post("documents/open", {**document, "text": text, "version": 1})
    try:
        place = {"position": {"line": line - 1, "character": column - 1}, "position_encoding": "utf-32"}
        request = {**document, **place, "max_tokens": arguments.max_tokens, "trigger": "invoked"}
        if arguments.json:
            print(json.dumps(client.post("complete", request), separators=(",", ":")))
        else:
            _write_texts(client.stream("complete", {**request, "stream": True}))
    finally:
        client.post("documents/close", document)
    return 0


def context(arguments: argparse.Namespace) -> int:
    """Print the prompt for a line of a file as the model gets it, and why each part is in it."""
    file, _, line = arguments.place.rpartition(":")
    if not file or not line.isdecimal() or int(line) < 1:
        raise UsageError(f"{arguments.place!r} is not FILE:LINE, such as main.py:12; LINE counts from 1.")
    path = Path(file).absolute()
    client, _ = _started(arguments)
    place = {"position": {"line": int(line) - 1, "character": 0}, "uri": path.as_uri()}
    try:
        shown = client.post("prompt", place)  # as an editor has the file open
    except RequestError as error:
        if error.status != 404:
            raise
        shown = _prompt_of_closed(client, path, place)
    if arguments.json:
        print(json.dumps(shown, separators=(",", ":")))
        return 0
    for part in shown["parts"]:
        print(f"--- {part['kind']} {part['label']}: {part['n_tokens']} tokens; {part['reason']}")
        print(part["text"])
    print(f"--- {shown['tokens']} tokens in all")
    if shown["problem"]:
        print(shown["problem"], file=sys.stderr)
    return 0


def _prompt_of_closed(client: Client, path: Path, place: Mapping[str, object]) -> Json:
    document = {"uri": path.as_uri(), "owner": f"cli-{os.getpid()}"}
    client.post("documents/open", {**document, "text": _text_of(path), "version": 1})
    try:
        return client.post("prompt", {**document, **place})
    finally:
        client.post("documents/close", document)


def warm(arguments: argparse.Namespace) -> int:
    """Process the prompts of files' projects."""
    paths = [path.absolute() for path in arguments.paths]
    texts = {path: _text_of(path) for path in paths}
    client, _ = _started(arguments)
    # Copies of our own, closed at the end: what the disk has later must count.
    owner = f"cli-{os.getpid()}"
    try:
        for path, text in texts.items():
            client.post("documents/open", {"uri": path.as_uri(), "owner": owner, "text": text})
        # One prompt holds all files of a project; the one named last is the current one.
        for root, path in {find_root(str(path)): path for path in paths}.items():
            cost = client.post("warm", {"uri": path.as_uri(), "owner": owner})["reuse"]
            n_reused = cost["prompt"] - cost["processed"]
            print(f"{root}: processed {cost['processed']} of {cost['prompt']} prompt tokens ({n_reused} reused)")
    finally:
        for path in texts:
            client.post("documents/close", {"uri": path.as_uri(), "owner": owner})
    return 0


def forget(arguments: argparse.Namespace) -> int:
    """Remove what is kept of a project, or of all."""
    from scrubjay.process.acceptance_file import acceptance_file, wipe_acceptance
    from scrubjay.process.claim import is_running
    from scrubjay.process.records import records_folder, wipe_records

    config = _config(arguments)
    root = str(arguments.root.resolve()) if arguments.root else ""
    folder, counts, n_records, n_bytes = records_folder(config), acceptance_file(config.data_dir), 0, 0
    held = ""
    if is_running(config.socket):
        client = Client(config.socket)
        told = client.post("forget", {"root": root})
        data = Path(client.get("status")["config"]["options"]["data_dir"])
        folder, counts, held = data / folder.name, data / counts.name, ", and what the engine held"
        n_records, n_bytes = told["records"], told["bytes"]
    else:
        wipe_acceptance(counts, root)
    # What the engine could not: there is none, or it is loading.
    wiped = wipe_records(folder, root)
    n_records, n_bytes = n_records + wiped.n_records, n_bytes + wiped.n_bytes
    records = f"{n_records} records ({n_bytes / (1 << 20):.1f} MiB) in {folder}"
    print(f"Removed, of {root or 'all projects'}: {records}{held}, and the counts of completions in {counts}.")
    return 0


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "serve": serve,
    "start": start,
    "stop": stop,
    "restart": restart,
    "status": status,
    "config": config,
    "key": key,
    "doctor": doctor,
    "why": why,
    "top": top,
    "service": service,
    "setup": setup,
    "complete": complete,
    "context": context,
    "warm": warm,
    "forget": forget,
    "model": model,
}


def parse_place(place: str) -> tuple[Path, int, int]:
    """FILE, LINE and COL of `FILE:LINE:COL`; FILE becomes absolute.

    Raises:
        UsageError: it is not of this form.
    """
    file, *numbers = place.rsplit(":", 2)
    if not file or len(numbers) != 2 or not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise UsageError(f"{place!r} is not FILE:LINE:COL, such as main.py:12:8; both numbers count from 1.")
    return Path(file).absolute(), int(numbers[0]), int(numbers[1])


def show_loading(client: Client) -> None:
    """Wait for the daemon's model, with a bar if there is a terminal to draw it on."""
    if not sys.stderr.isatty():
        for _ in client.wait_until_ready():
            pass
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task("Loading the model", total=1.0)
        for event in client.wait_until_ready():
            load = event["load"] or {"stage": "", "fraction": 0.0}
            progress.update(bar, completed=load["fraction"], description=f"Loading the model: {load['stage']}")


def flags_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The options of `Config` that were given, as text, by name; more models by their keys."""
    given = {option.name: getattr(arguments, option.name, None) for option in options() if option.name != "model"}
    models = dict(map(model_key, getattr(arguments, "model", None) or ()))
    return models | {
        name: str(value).lower() if value in (True, False) else value
        for name, value in given.items()
        if value is not None
    }


def _config(arguments: argparse.Namespace) -> Config:
    return read_config(flags_of(arguments), arguments.config)


def _started(arguments: argparse.Namespace) -> tuple[Client, bool]:
    """A client of a daemon whose model is loaded, and whether that daemon is new."""
    from scrubjay.process.lifecycle import start_daemon

    config, flags = _config(arguments), flags_of(arguments)
    is_new = start_daemon(config.socket, flags, arguments.config, say)
    client = Client(config.socket)
    if not is_new:
        _require_options(client, flags)
    show_loading(client)
    return client, is_new


def _require_options(client: Client, flags: Mapping[str, str]) -> None:
    """See that the daemon that runs has the options that were given.

    Raises:
        DaemonError: it has others.
    """
    from scrubjay.process.about import differences

    if found := differences(flags, client.get("status")):
        has = " and ".join(_option(name, value) for name, value in found)
        wanted = " ".join(_flag(name, flags[name]) for name, _ in found)
        raise DaemonError(f"A daemon runs already, with {has}; `scrubjay restart {wanted}` starts it again with yours.")


def _require_own_start(client: Client, flags: Mapping[str, str]) -> None:
    """See that the daemon was started by us and not, without these options, by a service manager that saw the old one end.

    Raises:
        DaemonError: it was.
    """
    from scrubjay.process.about import differences

    if differences(flags, client.get("status")):
        raise DaemonError(
            "The service has started it again, with the options of its configuration file; write yours into that, "
            "which `scrubjay config` shows."
        )


def _option(name: str, text: str) -> str:
    """An option and its value."""
    if name.startswith("models."):
        return f"--model {model_option(name, text)}"
    return f"--{name.replace('_', '-')} {text}"


def _flag(name: str, text: str) -> str:
    """An option as it is written on the command line."""
    if text in ("true", "false"):
        return _option(name, "").strip().replace("--", "--" if text == "true" else "--no-", 1)
    flag, _, value = _option(name, text).partition(" ")
    return f"{flag} {shlex.quote(value)}"


def _is_outdated(client: Client, arguments: argparse.Namespace) -> bool:
    """Whether a daemon that is started now would be another one than that which runs."""
    from scrubjay.process.about import differences

    status = client.get("status")
    running = status.get("config", {}).get("flags", {})
    wanted = read_config({**running, **flags_of(arguments)} if "api_key" not in running else {}, arguments.config)
    values = {option.name: value_text(option, getattr(wanted, option.name)) for option in options()}
    values |= {table.key: table.source for table in wanted.served}
    return bool(differences({name: text for name, text in values.items() if name != "api_key" and text}, status))


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise RequestError(f"{path} is not text in UTF-8.") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder; name a file in it, and its project is read with it.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


def _write_texts(answers: Iterator[Json]) -> None:
    written, answer = "", Json()
    for answer in answers:
        written += answer.get("text", "")
        sys.stdout.write(answer.get("text", ""))
        sys.stdout.flush()
    print()
    if not written:
        rules = ", ".join(answer.get("discarded", ()))
        say(
            "Nothing: "
            + (f"what the model wrote is not worth showing ({rules})." if rules else "the model has nothing to say.")
        )
