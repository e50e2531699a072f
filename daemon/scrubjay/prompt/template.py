"""Chat templates, in a process of their own.

They come with models from strangers, and they are programs: jinja2's sandbox keeps them from the machine, but not from loops and
texts without an end. So they may take a few seconds and some memory, and then it is their process that ends.
"""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from multiprocessing.connection import Connection, Pipe
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from scrubjay.errors import RequestError
from scrubjay.isolation import python_command, safe_environment

MAX_RENDER_S = 5.0
"""For one prompt, with the start of the process: templates take milliseconds."""
MAX_MEMORY_BYTES = 2 << 30
"""Of address space, most of which Python itself only reserves."""
Json = Mapping[str, Any]
_TOO_MUCH = "The model's chat template takes too much time or memory; send fewer messages, or use another model."
_TOO_DEEP = "The messages are nested too deeply for the model's chat template."


def render(source: str, variables: Json) -> str:
    """What the template `source` makes of `variables`, which are JSON.

    Raises:
        RequestError: the template is broken, refuses them, or takes too long or too much memory.
    """
    try:
        question = json.dumps({"source": source, "variables": variables}).encode()
    except RecursionError as error:
        raise RequestError(_TOO_DEEP) from error
    answer = (process := _process()).ask(question)
    # Only a process that has answered is asked again.
    _idle.append(process)
    if "error" in answer:
        raise RequestError(answer["error"])
    return str(answer["text"])


def _process() -> "_Process":
    while _idle:
        if (process := _idle.pop()).is_alive:
            return process
    return _Process()


class _Process:
    """A process that renders, until this one ends."""

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        self._popen = subprocess.Popen(
            python_command("-m", "scrubjay.prompt.template", str(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            env=safe_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def ask(self, question: bytes) -> dict[str, str]:
        """The answer to a question as `serve` has it."""
        with suppress(OSError, EOFError):
            self._connection.send_bytes(question)
            if self._connection.poll(MAX_RENDER_S):
                answer: dict[str, str] = json.loads(self._connection.recv_bytes())
                return answer
        self._popen.kill()
        self._popen.wait()
        self._connection.close()
        raise RequestError(
            "The model's chat template takes too long, or too much memory; send fewer messages or use another model."
        )


_idle: list[_Process] = []
"""Taken and given back whole, so that two threads never ask the same one."""


def serve(connection: Connection) -> None:
    """Render what is asked for at the other end of `connection`, until it is closed."""
    with suppress(EOFError):
        while True:
            connection.send_bytes(json.dumps(_answer(connection.recv_bytes())).encode())


def _answer(question: bytes) -> dict[str, str]:
    try:
        asked = json.loads(question)
        return {"text": rendered(asked["source"], asked["variables"])}
    except RequestError as error:
        return {"error": str(error)}
    except RecursionError:
        return {"error": _TOO_DEEP}
    except MemoryError:
        return {"error": _TOO_MUCH}


def rendered(source: str, variables: Json) -> str:
    """What the template `source` makes of `variables`.

    Raises:
        RequestError: the template is broken, or refuses them.
    """
    try:
        return _compiled(source).render(variables)
    except RecursionError as error:
        raise RequestError(_TOO_DEEP) from error
    except (TemplateError, TypeError, ValueError, ArithmeticError, AttributeError, LookupError, RuntimeError) as error:
        # Templates are programs: what they make of messages that they do not expect may be anything.
        raise RequestError(f"The model's chat template does not take these messages: {error}.") from error


@lru_cache(maxsize=8)
def _compiled(source: str) -> Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(raise_exception=_refuse, strftime_now=_strftime_now)
    return environment.from_string(source)


class _Generation(Extension):
    """The tag `generation`, with which some templates mark what the model has written; it means nothing here."""

    tags = {"generation"}  # noqa: RUF012  # jinja2 declares it so

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _to_json(value: object, indent: int | None = None, ensure_ascii: bool = False, **_: object) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)


def _refuse(message: str) -> str:
    raise TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)


if __name__ == "__main__":
    # A Ctrl-C in the terminal goes to the whole group; this one ends with the daemon.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    serve(Connection(int(sys.argv[1])))
