"""The program `scrubjay lsp`: its arguments, and the server between standard input and output."""

import argparse
import asyncio
import gc
import logging
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the editor at the other end of standard input and output; the exit status.

    Args:
        argv: arguments after `scrubjay lsp`; None for those of the process.
    """
    arguments = _parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=arguments.log_level.upper(), format="%(name)s: %(message)s")
    # pygls logs whole messages, which hold source code, at INFO.
    logging.getLogger("pygls").setLevel(logging.ERROR)
    try:
        return asyncio.run(_serve(arguments.socket))
    except KeyboardInterrupt:
        return 130


async def _serve(socket: str) -> int:
    from scrubjay_lsp.features import open_server
    from scrubjay_lsp.stdio import open_stdio

    server = open_server()
    # The protocol's types are a quarter of a million objects that stay: to search them for garbage would take some
    # milliseconds at a keystroke.
    gc.freeze()
    server.socket = socket
    return await server.serve(*await open_stdio())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scrubjay lsp", description="Serve completions to an editor over LSP.")
    parser.add_argument("--stdio", action="store_true", help="what it always does; accepted because editors add it")
    parser.add_argument("--socket", default="", metavar="PATH", help="the daemon's socket")
    levels = ("debug", "info", "warning", "error")
    parser.add_argument("--log-level", default="warning", choices=levels, help="what goes to standard error")
    return parser
