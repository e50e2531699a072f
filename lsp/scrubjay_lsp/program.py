"""The program `scrubjay lsp`: its arguments, and the server between standard input and output."""

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Sequence

from scrubjay.errors import UsageError

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the editor at the other end of standard input and output; the exit status.

    Args:
        argv: arguments after `scrubjay lsp`; None for those of the process.
    """
    arguments = _parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=arguments.log_level.upper(), format="%(name)s: %(message)s")
    # pygls logs whole messages, which hold source code, and what it cannot read with a traceback; both are answered.
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
    try:
        return asyncio.run(_serve(arguments))
    except UsageError as error:
        logger.warning("%s", error)
        return 2
    except KeyboardInterrupt:
        return 130


async def _serve(arguments: argparse.Namespace) -> int:
    from scrubjay_lsp.features import open_server
    from scrubjay_lsp.stdio import open_stdio

    server = open_server()
    # The protocol's types are a quarter of a million objects that stay: to search them for garbage would take some
    # milliseconds at a keystroke.
    gc.freeze()
    server.socket = arguments.socket
    reader, writer = await open_stdio()
    if sys.stdin.isatty():
        logger.warning(
            "Editors start `scrubjay lsp` and talk to it on standard input, where it now waits; Ctrl-C ends it."
        )
    return await server.serve(reader, writer, editor_pid=_process_id(arguments.clientProcessId))


def _process_id(text: str | None) -> int | None:
    """The number in `text`; an editor that says it otherwise says it again in `initialize`."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 20 else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scrubjay lsp", description="Serve completions to an editor over LSP.")
    parser.add_argument("--stdio", action="store_true", help="what it always does; accepted because editors add it")
    parser.add_argument("--clientProcessId", metavar="PID", help="the editor's process, with which this one ends")
    parser.add_argument("--socket", default="", metavar="PATH", help="the daemon's socket")
    levels = ("debug", "info", "warning", "error")
    parser.add_argument("--log-level", default="warning", choices=levels, help="what goes to standard error")
    return parser
