"""The engine process: `python -m scrubjay.worker SOCKET_FD ABORT_BYTE`, started by the daemon only."""

import signal
import socket
import sys

from scrubjay.abort_byte import AbortByte
from scrubjay.worker.loop import serve


def main() -> None:
    # A Ctrl-C in the terminal goes to the whole group; the daemon decides when its engine ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    socket_fd, abort = sys.argv[1:3]
    with socket.socket(fileno=int(socket_fd)) as connection:
        serve(connection, AbortByte.open(abort))


if __name__ == "__main__":
    main()
