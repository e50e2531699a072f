"""Nothing is imported from the working folder: it may be a project that somebody only looks at, and no file of it is ever run.

Imports only what Python itself has loaded before the first line of a program runs, so this cannot be taken over either.
"""

import os
import sys


def leave_working_folder() -> None:
    """Take the working folder, and what depends on it, off `sys.path`; to be called before anything else is imported."""
    try:
        folder = os.getcwd()
    except OSError:
        return  # it is deleted: nothing can be imported from it
    if not sys.flags.safe_path and sys.path[:1] in ([folder], [""]):
        del sys.path[0]
    # `site` has made them absolute already.
    unsafe = {os.path.abspath(entry) for entry in _python_path() if not _is_safe(entry, folder)}
    sys.path[:] = [entry for entry in sys.path if os.path.isabs(entry) and os.path.abspath(entry) not in unsafe]


def python_command(*arguments: str) -> list[str]:
    """The command of another Python process: `-P` keeps the working folder off its path."""
    return [sys.executable, "-P", *arguments]


def safe_environment() -> dict[str, str]:
    """This process's environment for another one: without the entries of PYTHONPATH that depend on the working folder."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    try:
        folder = os.getcwd()
    except OSError:
        folder = ""
    kept = [entry for entry in _python_path() if _is_safe(entry, folder)]
    environment.pop("PYTHONPATH", None)
    return environment | ({"PYTHONPATH": os.pathsep.join(kept)} if kept else {})


def _python_path() -> list[str]:
    """The entries of PYTHONPATH; an empty one stands for the working folder."""
    given = os.environ.get("PYTHONPATH")
    return given.split(os.pathsep) if given else []


def _is_safe(entry: str, folder: str) -> bool:
    return os.path.isabs(entry) and os.path.normpath(entry) != folder
