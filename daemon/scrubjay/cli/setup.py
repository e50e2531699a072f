"""`scrubjay setup`: a model, the editors, the service and a first completion, after three questions at most.

What is right already stays as it is: a second run changes nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from scrubjay.cli.configuration import write_option
from scrubjay.cli.editors import Change, changes
from scrubjay.cli.models import say
from scrubjay.cli.recommend import GIB, best, measure
from scrubjay.cli.service import has_manager, install, is_installed, write_service
from scrubjay.config import config_file, option_sources, read_config
from scrubjay.errors import ModelRefused, ScrubjayError, UsageError
from scrubjay.process.client import Client
from scrubjay.process.lifecycle import restart_daemon, start_daemon
from scrubjay.process.model_files import model_argument
from scrubjay.process.model_names import is_hub_name, whole_name

STARTER = "starter"
SAMPLE = "class Point:\n    def __init__(self, x: int, y: int) -> None:\n        self.x = x\n        self."


class Questions:
    """Asks, or takes the first answer to everything."""

    def __init__(self, takes_defaults: bool) -> None:
        self._takes_defaults = takes_defaults

    def choose(self, question: str, default: str) -> str:
        """A text."""
        if self._takes_defaults:
            print(f"{question}: {default}")
            return default
        return input(f"{question} [{default}]: ").strip() or default

    def agree(self, question: str) -> bool:
        """Yes or no."""
        return self.choose(f"{question} (y/n)", "y").lower().startswith("y")


def setup(arguments: argparse.Namespace) -> int:
    """Set everything up."""
    if not (arguments.yes or sys.stdin.isatty()):
        raise UsageError("There is no terminal to ask questions on; `scrubjay setup --yes` asks none.")
    questions = Questions(arguments.yes)
    changed = [
        _set_model(arguments.model, questions),
        _connect_editors(questions),
        _set_service(questions),
    ]
    _first_completion()
    print("Nothing had to be changed." if not any(changed) else "That is all. Open a file in your editor and type.")
    return 0


def _set_model(wanted: str | None, questions: Questions) -> bool:
    """Have a model in the configuration; whether that is new."""
    file = config_file()
    if file is None:
        raise UsageError("There is no home folder for a configuration file.")
    source = option_sources().get("model")
    if source and not wanted:
        print(f"Model: {read_config().model}, as {source} says.")
        return False
    suggested = wanted or _suggestion()
    name = whole_name(wanted or questions.choose("Model", suggested or STARTER))
    if source and read_config().model == name:
        print(f"Model: {name}, as {source} says.")
        return False
    if not suggested and name == STARTER:
        return False  # nobody chose it: written, it would be there for good
    try:
        model_argument(name, say)
    except ModelRefused as error:
        if wanted or not is_hub_name(name):
            raise
        # All else can be done without a network; and as nothing is written, the next setup tries this again.
        print(
            f"{error}\nUntil then the small model that comes with Scrubjay is used; `scrubjay model use {name}` ends that."
        )
        return False
    write_option(file, "model", name)
    print(f"{file}: model = {name}")
    return True


def _suggestion() -> str:
    """The model that is best here; "" if none has room and is quick, as may be while others want the machine."""
    entry = best(measure())
    if entry is None:
        print(
            "No model that `scrubjay model recommend` knows has room here and is quick; the small one that comes with Scrubjay "
            "is used until another is chosen: the next `scrubjay setup` measures again, `scrubjay model use MODEL` takes any."
        )
        return ""
    print(
        f"For this machine: {entry.name}, about {entry.n_bytes / GIB:.1f} GiB to download, licence {entry.licence}. "
        "`starter` is small and comes with Scrubjay."
    )
    return entry.repo


def _connect_editors(questions: Questions) -> bool:
    """Connect the editors that are found; whether one was."""
    found = list(changes(Path.home()))
    for sentence in found:
        if isinstance(sentence, str):
            print(sentence)
    wanted = [change for change in found if isinstance(change, Change)]
    if not found:
        print("No editor was found; clients/README.md has how to connect one.")
    for change in wanted:
        where = f"to be added to {change.file}" if change.file else "to be run"
        copies = "".join(f"\n    (and {target} is copied)" for _, target in change.copies)
        print(f"{change.editor}, {where}:{copies}\n    " + change.text.rstrip().replace("\n", "\n    "))
    return bool(wanted) and questions.agree("Connect these editors") and _made(wanted)


def _made(wanted: Sequence[Change]) -> bool:
    """Make the changes; one that fails is told and keeps no other from being made."""
    n_made = 0
    for change in wanted:
        try:
            change.make()
        except (ScrubjayError, OSError) as error:
            print(f"{change.editor}: {error}")
        else:
            n_made += 1
            print(f"{change.editor} is connected.")
    return n_made > 0


def _set_service(questions: Questions) -> bool:
    """Install the service where there is a manager for it; whether that is new."""
    if is_installed():
        print("The service is installed.")
        return bool(write_service())
    if not has_manager():
        print("There is no service manager here; editors start the daemon.")
        return False
    if not questions.agree("Start the daemon at login, as a service"):
        return False
    return install(argparse.Namespace()) == 0


def _first_completion() -> None:
    """Ask for one, as an editor would; the daemon has the configured model then."""
    config = read_config()
    model = model_argument(config.model, say)
    if not start_daemon(config.socket, tell=say):
        running = Client(config.socket).get("status").get("config", {}).get("options", {}).get("model")
        if running != model:
            restart_daemon(config.socket, dropped={"model"})
    client = Client(config.socket)
    for _ in client.wait_until_ready():
        pass
    document = {"uri": (Path.home() / "scrubjay-setup" / "shapes.py").as_uri(), "owner": "setup"}
    client.post("documents/open", {**document, "text": SAMPLE, "version": 1})
    try:
        begun = perf_counter()
        place = {"position": {"line": 3, "character": 13}, "trigger": "invoked", "max_tokens": 24}
        answer = client.post("complete", {**document, **place})
    finally:
        client.post("documents/close", document)
    text = answer["items"][0]["text"].strip().partition("\n")[0] if answer["items"] else ""
    print(f"First completion, after {perf_counter() - begun:.1f} s: self.\x1b[2m{text or '(nothing)'}\x1b[0m")
