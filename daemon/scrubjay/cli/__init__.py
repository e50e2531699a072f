"""The command line: `main` runs one command."""

from scrubjay.cli.main import main

__all__ = ["main"]
