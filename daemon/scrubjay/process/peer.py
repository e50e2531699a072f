"""The way to a daemon: only to what this user's own process listens on, in a folder that nobody else can write to.

Where no runtime folder is set, another user of the machine can make the usual one first, and would be sent the source.
"""

import os
import socket
import stat
import struct
import sys
from pathlib import Path

from scrubjay.errors import DaemonError
from scrubjay.loopback import TokenFile, read_token_file

_ADVICE = "put the socket into a folder of your own (--socket PATH)"
_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1
"""macOS's names, which Python does not have."""
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group of Linux's `struct ucred`."""
_XUCRED = struct.Struct("2I")
"""The beginning of macOS's `struct xucred`: its version, and the user."""
_XUCRED_BYTES = 76


def connect(path: Path, timeout_s: float | None = None) -> tuple[socket.socket, dict[str, str]]:
    """A connection to the daemon on the socket, or of the token file, at `path`; and the headers that requests on it need.

    Args:
        timeout_s: of the connection, then and later; None for none.

    Raises:
        OSError: nobody listens there, or over TCP somebody else.
        DaemonError: it is, or may be, another user who does; nothing was sent.
    """
    if token_file := own_token_file(path):
        return token_file.connect(timeout_s), token_file.headers
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        require_own_peer(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection, {}


def own_token_file(path: Path) -> TokenFile | None:
    """What the token file at `path` says; None if there is none, and so a Unix socket or nothing.

    Raises:
        OSError, DaemonError: see `require_own_folder`; or there is nothing else on this system.
    """
    require_own_folder(path.parent)
    token_file = read_token_file(path)
    if token_file is None and not hasattr(socket, "AF_UNIX"):
        raise FileNotFoundError(f"{path} is no token file")
    return token_file


def require_own_folder(folder: Path) -> None:
    """See that nobody else can put a socket into `folder`. Windows' folders have no such bits: its user's own are his.

    Raises:
        OSError: there is no such folder, or it cannot be looked at.
        DaemonError: it belongs to another user, or others may write to it.
    """
    status = folder.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise DaemonError(f"{folder} is not a folder; {_ADVICE}.")
    if not hasattr(os, "geteuid"):
        return
    if status.st_uid != os.geteuid():
        raise DaemonError(f"The folder {folder} belongs to another user; {_ADVICE}.")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise DaemonError(f"Other users may write to {folder}; {_ADVICE}.")


def require_own_peer(connection: socket.socket, path: Path) -> None:
    """See that a process of this user listens at the other end.

    Raises:
        DaemonError: it is another user's.
    """
    user = peer_user(connection)
    if user not in (None, os.geteuid()):
        raise DaemonError(f"A program of another user (id {user}) listens on {path}; {_ADVICE}.")


def peer_user(connection: socket.socket) -> int | None:
    """The user id of the process at the other end; None where the system cannot tell."""
    if sys.platform == "linux":
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return int(_CREDENTIALS.unpack(data)[1])
    if sys.platform == "darwin":
        data = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES)
        return int(_XUCRED.unpack_from(data)[1])
    return None
