"""What users are told to write into their editors' configuration, for tests that run it as it stands there."""

import os
import re
import sys
from pathlib import Path

CLIENTS = Path(__file__).parents[2] / "clients"
README = CLIENTS / "README.md"
VIM = CLIENTS / "vim"


def snippet(heading: str, language: str, readme: Path = README) -> str:
    """The first code block in `language` of the section `heading`."""
    section = re.search(
        rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", readme.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    block = section and re.search(rf"^```{language}\n(.*?)^```$", section[1], re.DOTALL | re.MULTILINE)
    assert block, f"{readme} has no section {heading!r} with a block of {language}"
    return block[1]


def installed(folder: Path, socket: Path) -> dict[str, str]:
    """An environment in which the command `scrubjay` is the program under test, with its daemon on `socket`."""
    program = folder / "scrubjay"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m scrubjay "$@"\n')
    program.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "SCRUBJAY_SOCKET": str(socket)}
