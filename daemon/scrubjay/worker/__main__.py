"""The engine process: `python -m scrubjay.worker SOCKET_FD ABORT_FD`, started by the daemon only."""

import signal
import socket
import sys

from scrubjay.worker.abort_flag import AbortByte
from scrubjay.worker.loop import serve


def main() -> None:
    # A Ctrl-C in the terminal goes to the whole group; the daemon decides when its engine ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    socket_fd, abort_fd = (int(argument) for argument in sys.argv[1:3])
    with socket.socket(fileno=socket_fd) as connection:
        serve(connection, AbortByte(abort_fd))


if __name__ == "__main__":
    main()
