"""The way to a daemon's socket: only to what this user's own process listens on, in a folder that nobody else can write to.

Where no runtime folder is set, another user of the machine can make the usual one first, and would be sent the source.
"""

import os
import socket
import stat
import struct
import sys
from pathlib import Path

from scrubjay.errors import DaemonError

_ADVICE = "put the socket into a folder of your own (--socket PATH)"
_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1
"""macOS's names, which Python does not have."""
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group of Linux's `struct ucred`."""
_XUCRED = struct.Struct("2I")
"""The beginning of macOS's `struct xucred`: its version, and the user."""
_XUCRED_BYTES = 76


def connect(path: Path, timeout_s: float | None = None) -> socket.socket:
    """A connection to the daemon on the socket at `path`.

    Args:
        timeout_s: of the connection, then and later; None for none.

    Raises:
        OSError: nobody listens there.
        DaemonError: it is, or may be, another user who does; nothing was sent.
    """
    require_own_folder(path.parent)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        require_own_peer(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def require_own_folder(folder: Path) -> None:
    """See that nobody else can put a socket into `folder`.

    Raises:
        OSError: there is no such folder, or it cannot be looked at.
        DaemonError: it belongs to another user, or others may write to it.
    """
    status = folder.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise DaemonError(f"{folder} is not a folder; {_ADVICE}.")
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
