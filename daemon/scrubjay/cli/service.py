"""`scrubjay service`: the daemon as a service of the user, which starts at login, when its socket is used, and after a crash."""

import argparse
import os
import plistlib
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import which
from typing import Any

from scrubjay.config import read_config
from scrubjay.errors import DaemonError, UsageError

LABEL = "scrubjay"
UNITS = (f"{LABEL}.socket", f"{LABEL}.service")
_SOCKET = """\
[Unit]
Description=The socket of Scrubjay, which keeps model contexts warm for code completion

[Socket]
ListenStream={socket}
SocketMode=0600
DirectoryMode=0700

[Install]
WantedBy=sockets.target
"""
_SERVICE = """\
[Unit]
Description=Scrubjay, which keeps model contexts warm for code completion
Requires={label}.socket
After={label}.socket

[Service]
ExecStart={program} serve
Restart=on-failure
RestartSec=2
TimeoutStopSec=45

[Install]
WantedBy=default.target
Also={label}.socket
"""


def service(arguments: argparse.Namespace) -> int:
    """Install, remove or show the service."""
    return ACTIONS[arguments.action](arguments)


def install(_: argparse.Namespace) -> int:
    """Write the service's files and start it. Files that are there as they should be stay."""
    for path in write_service():
        print(f"Written: {path}")
    print(_start())
    return 0


def remove(_: argparse.Namespace) -> int:
    """Stop the service and delete its files."""
    present = [path for path in service_files() if path.exists()]
    if not present:
        raise DaemonError("The service is not installed.")
    _stop()
    for path in present:
        path.unlink()
        print(f"Removed: {path}")
    if sys.platform == "linux" and has_manager():
        _systemctl("daemon-reload")
    return 0


def show(_: argparse.Namespace) -> int:
    """Show whether it is installed, and what the service manager says of it; status 1 if it is not installed."""
    if not is_installed():
        print("The service is not installed; `scrubjay service install` does it.")
        return 1
    for path, text in service_files().items():
        print(f"{path}{'' if path.read_text('utf-8') == text else ' (not as this version would write it)'}")
    if not has_manager():
        print("No service manager of this user can be reached here.")
    elif sys.platform == "linux":
        for unit in UNITS:
            print(
                f"{unit}: {_systemctl('is-enabled', unit) or 'unknown'}, {_systemctl('is-active', unit) or 'unknown'}"
            )
    else:
        print(_run("launchctl", "print", f"{_domain()}/{LABEL}").partition("\n")[0])
    return 0


ACTIONS: Mapping[str, Callable[[argparse.Namespace], int]] = {"install": install, "remove": remove, "status": show}


def service_files(platform: str = sys.platform) -> dict[Path, str]:
    """The files of the service on a platform, and what is to be in them.

    Raises:
        UsageError: there are no services of users that we know.
    """
    config = read_config()
    if platform == "linux":
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"
        program = " ".join(map(_quoted, own_program()))
        return {
            folder / UNITS[0]: _SOCKET.format(socket=str(config.socket).replace("%", "%%")),
            folder / UNITS[1]: _SERVICE.format(program=program, label=LABEL),
        }
    if platform == "darwin":
        path = Path.home() / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        return {path: plistlib.dumps(_job(config.data_dir / "log" / "service.log")).decode()}
    raise UsageError(f"Scrubjay has no service for {platform}; start it by `scrubjay start`.")


def write_service() -> list[Path]:
    """Write the files that are not there, or not as they should be; which ones."""
    changed = [path for path, text in service_files().items() if not path.exists() or path.read_text("utf-8") != text]
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(service_files()[path], "utf-8")
    return changed


def is_installed() -> bool:
    """Whether all files of the service are there."""
    return all(path.exists() for path in service_files())


def has_manager() -> bool:
    """Whether there is a service manager of this user that can be told something."""
    if sys.platform == "linux":
        return which("systemctl") is not None and bool(_systemctl("show-environment"))
    return which("launchctl") is not None


def own_program() -> list[str]:
    """The beginning of a command line that runs this program, wherever it is run."""
    script = Path(sys.executable).with_name("scrubjay")
    return [str(script)] if script.exists() else [sys.executable, "-P", "-m", "scrubjay"]


def _job(log: Path) -> dict[str, Any]:
    """What launchd is told."""
    return {
        "Label": LABEL,
        "ProgramArguments": [*own_program(), "serve"],
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "StandardErrorPath": str(log),
    }


def _start() -> str:
    """Have the service manager take it over; what came of it."""
    from scrubjay.process.lifecycle import stop_daemon

    if not has_manager():
        return "No service manager of this user can be reached here; it will find the service at the next login."
    # The socket is to be the service manager's.
    stop_daemon(read_config().socket)
    if sys.platform == "linux":
        _systemctl("daemon-reload")
        _systemctl("enable", *UNITS)
        _systemctl("restart", *UNITS)
        return f"{LABEL}.service is {_systemctl('is-active', UNITS[1])}."
    (path,) = service_files()
    return _run("launchctl", "bootstrap", _domain(), str(path)) or "The service runs."


def _stop() -> None:
    if not has_manager():
        return
    if sys.platform == "linux":
        _systemctl("disable", "--now", *UNITS)
    else:
        _run("launchctl", "bootout", f"{_domain()}/{LABEL}")


def _systemctl(*arguments: str) -> str:
    return _run("systemctl", "--user", *arguments)


def _domain() -> str:
    return f"gui/{os.getuid()}"


def _run(*command: str) -> str:
    """What a command writes; "" if it fails silently."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
    return done.stdout.strip()


def _quoted(word: str) -> str:
    """A word of a unit's command line."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or " " in word else word
