"""What users are told to write into their editors' configuration, for tests that run it as it stands there."""

import os
import re
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "clients" / "README.md"


def snippet(heading: str, language: str) -> str:
    """The first code block in `language` of the section `heading`."""
    section = re.search(
        rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", README.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    block = section and re.search(rf"^```{language}\n(.*?)^```$", section[1], re.DOTALL | re.MULTILINE)
    assert block, f"{README.name} has no section {heading!r} with a block of {language}"
    return block[1]


def installed(folder: Path, socket: Path) -> dict[str, str]:
    """An environment in which the command `scrubjay` is the program under test, with its daemon on `socket`."""
    program = folder / "scrubjay"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m scrubjay "$@"\n')
    program.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "SCRUBJAY_SOCKET": str(socket)}
