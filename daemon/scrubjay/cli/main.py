"""The command line: its arguments, and where they lead. Exit status 2 for a wrong command, 1 for a failed one.

Nothing heavy is imported before a command needs it: `scrubjay status` answers at once.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn

from scrubjay import __version__
from scrubjay.config import options
from scrubjay.errors import ScrubjayError, UsageError

INTERRUPTED = 130
MODEL_ACTIONS = (
    ("pull", "fetch a model"),
    ("use", "write it into the configuration file; a running daemon takes it at once"),
    ("show", "what a model is like: size, quantisation, memory, whether it fills in the middle"),
    ("remove", "delete a model that was fetched"),
    ("path", "print the file of a model"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status.

    Args:
        argv: what follows `scrubjay`; None for the arguments of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, TextIOWrapper):
        # What is named may be no text: names of files are bytes, and terminals have encodings.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if arguments[:1] == ["lsp"]:
            # The language server reads its own arguments: editors give it some that are theirs.
            from scrubjay_lsp.program import main as serve_editor

            return serve_editor(arguments[1:])
        if arguments[:1] == ["bench"]:
            from scrubjay.cli.bench import run_bench

            return run_bench(arguments[1:])
        return _run(_parser().parse_args(arguments))
    except ScrubjayError as error:
        print(f"scrubjay: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output is gone; what is still buffered must not fail once more at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "demo":
        from scrubjay.cli.demo.run import run_demo

        return run_demo(arguments.edits)
    from scrubjay.cli.commands import COMMANDS

    return COMMANDS[arguments.command](arguments)


class _Parser(argparse.ArgumentParser):
    """One whose complaints are ours: one sentence, with the option that was meant."""

    def __init__(self, **settings: Any) -> None:
        # A part of a flag's name is not the flag: its meaning would change with the next option of the same beginning.
        super().__init__(**settings, allow_abbrev=False)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The arguments; each command's own parser refuses what it does not know."""
        return self.parse_known_args(args, namespace)[0]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """The arguments, with no unknown ones left.

        Raises:
            UsageError: one is unknown.
        """
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            raise UsageError(self._unknown(unknown[0].partition("=")[0]))
        return known, []

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        if named := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message):
            near = get_close_matches(named[1], re.findall(r"[\w-]+", named[2]), n=1)
            message = f"there is no {named[1]!r} here; did you mean {near[0]!r}?" if near else message
        raise UsageError(message if message.endswith("?") else f"{message.rstrip('.')}; see `{self.prog} --help`.")

    def _unknown(self, argument: str) -> str:
        if not argument.startswith("--"):
            return f"unknown argument {argument!r}; see `{self.prog} --help`."
        near = get_close_matches(argument, re.findall(r"--[\w-]+", self.format_help()), n=1)
        return f"unknown option {argument!r}; " + (
            f"did you mean {near[0]!r}?" if near else f"see `{self.prog} --help`."
        )


# --- the commands ----------------------------------------------------------------------------------------------------


def _parser() -> _Parser:
    parser = _Parser(prog="scrubjay", description="Keeps your project's model context warm.")
    parser.add_argument("--version", action="version", version=f"scrubjay {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    every = [option.name for option in options()]

    _add_daemon_commands(commands, every)

    doctor = _command(
        commands.add_parser,
        "doctor",
        "look for what is wrong with the installation; exit status 1 if something is broken",
        ["socket", "data_dir", "model"],
    )
    form = doctor.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="everything, as one line of JSON")
    form.add_argument("--report", action="store_true", help="a text for bug reports, without any name of yours")

    why = _command(commands.add_parser, "why", "say what the last requests cost, and for what reason", ["socket"])
    why.add_argument("count", nargs="?", type=_number, default=10, metavar="N", help="(default: %(default)s)")
    why.add_argument("--json", action="store_true", help="everything, as one line of JSON")

    _command(commands.add_parser, "top", "show what the daemon does and holds, live in the terminal", ["socket"])

    complete = _command(commands.add_parser, "complete", "print a completion; starts the daemon if none runs", every)
    complete.add_argument(
        "place", metavar="FILE:LINE:COL", help="position; LINE and COL count from 1, COL in characters"
    )
    complete.add_argument("--max-tokens", type=_number, default=128, metavar="N", help="(default: %(default)s)")
    complete.add_argument("--json", action="store_true", help="the whole answer, with its cost, as one line of JSON")

    context = _command(
        commands.add_parser,
        "context",
        "print what the model is shown for a line, and why; starts the daemon if none runs",
        every,
    )
    context.add_argument("place", metavar="FILE:LINE", help="LINE counts from 1")
    context.add_argument("--json", action="store_true", help="as one line of JSON")

    warm = _command(
        commands.add_parser, "warm", "process the prompts of files in advance; starts the daemon if none runs", every
    )
    warm.add_argument("paths", nargs="+", metavar="PATH", type=Path, help="files whose projects to prepare")

    demo = commands.add_parser("demo", help="show what an edit costs, on real files, without a network")
    demo.add_argument("--edits", type=_number, default=10, metavar="N", help="(default: %(default)s)")
    commands.add_parser("bench", help="compare with llama-server; in a checkout only", add_help=False)
    commands.add_parser("lsp", help="serve an editor over LSP, on standard input and output", add_help=False)

    config = commands.add_parser("config", help="show the configuration file, what counts, and why")
    config.add_argument("--config", type=Path, metavar="FILE", help="the TOML file")
    config.add_argument("--json", action="store_true", help="as one line of JSON")
    config.add_argument("--example", action="store_true", help="print a file with every option in it, to be changed")

    setup = commands.add_parser("setup", help="choose a model, connect editors, install the service, try it")
    setup.add_argument("--yes", action="store_true", help="ask nothing, take what is suggested")
    setup.add_argument("--model", metavar="MODEL", help=_help("model"))
    service = commands.add_parser("service", help="have the daemon start at login, and again after a crash")
    service.set_defaults(command="service")
    jobs = service.add_subparsers(dest="action", required=True, metavar="ACTION")
    jobs.add_parser("install", help="write the files of the service, and start it")
    jobs.add_parser("remove", help="stop it and delete its files")
    jobs.add_parser("status", help="show whether it is installed and runs")

    key = commands.add_parser("key", help="let in somebody more over --http")
    key.set_defaults(command="key")
    new = key.add_subparsers(dest="action", required=True, metavar="ACTION")
    new.add_parser("new", help="print a new key, and its lines for the configuration file").add_argument(
        "name", metavar="NAME"
    )

    model = commands.add_parser("model", help="list, fetch, show, use and remove models")
    model.set_defaults(command="model", config=None)
    actions = model.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="list the models on this machine")
    actions.add_parser("recommend", help="measure this machine and name models for it")
    for action, purpose in MODEL_ACTIONS:
        actions.add_parser(action, help=purpose).add_argument("name", metavar="MODEL", help=_help("model"))
    return parser


def _add_daemon_commands(commands: Any, every: list[str]) -> None:
    """Those that start and end a daemon, show it, and remove what it keeps."""
    serve = _command(commands.add_parser, "serve", "run the daemon in the foreground", every)
    serve.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    serve.add_argument("--given", help=argparse.SUPPRESS)
    _command(commands.add_parser, "start", "start the daemon unless it runs, and wait until its model is loaded", every)
    _command(commands.add_parser, "stop", "stop the daemon", ["socket"])
    _command(commands.add_parser, "restart", "start the daemon again, with these options over those it had", every)
    status = _command(commands.add_parser, "status", "show what the daemon does and holds", ["socket"])
    status.add_argument("--json", action="store_true", help="everything, as one line of JSON")
    status.add_argument("--open", action="store_true", help="show it in a browser, as it changes")
    _command(
        commands.add_parser,
        "forget",
        "remove what is kept of a project, or of all, from disk and memory",
        ["socket", "data_dir"],
    ).add_argument("root", nargs="?", metavar="ROOT", type=Path, help="folder of the project (default: all)")


def _command(add: Callable[..., _Parser], name: str, help: str, names: Iterable[str]) -> _Parser:
    """A command that takes the options of `Config` with these names."""
    parser = add(name, help=help, description=help[0].upper() + help[1:] + ".")
    group = parser.add_argument_group("options", "also in the TOML file, and in the environment as SCRUBJAY_...")
    group.add_argument("--config", type=Path, metavar="FILE", help="the TOML file")
    for option in options():
        if option.name not in names:
            continue
        flag, data = f"--{option.name.replace('_', '-')}", option.metadata
        if option.name == "model":
            group.add_argument(flag, metavar=data["metavar"], help=data["help"], action="append")
        elif data["metavar"]:
            group.add_argument(flag, metavar=data["metavar"], help=data["help"])
        else:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, help=data["help"])
    return parser


def _help(name: str) -> str:
    text: str = next(option for option in options() if option.name == name).metadata["help"]
    return text


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)
