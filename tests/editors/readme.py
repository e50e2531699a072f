"""What users are told to write into their editors' configuration, for tests that run it as it stands there."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def watched(project: Path) -> Iterator[None]:
    """See that no file of `project` is run: these have names that Python, and what Scrubjay is built on, import early."""
    ran = project / "ran"
    for name in ("token", "numpy", "asyncio", "secrets", "usercustomize"):
        (project / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write('{name} ')\n")
    yield
    assert not ran.exists(), ran.read_text()


def installed(folder: Path, socket: Path) -> dict[str, str]:
    """An environment in which the command `scrubjay` is the program under test, with its daemon on `socket`."""
    program = folder / "scrubjay"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m scrubjay "$@"\n')
    program.chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "SCRUBJAY_SOCKET": str(socket)}
