"""Where the daemon listens, and how it is started and stopped. What is imported here costs memory in every editor."""

from collections.abc import Callable


def socket_path() -> str:
    """The daemon's usual socket."""
    from scrubjay.config import default_socket

    return str(default_socket())


def starter(path: str) -> Callable[[], object]:
    """What starts the daemon on the socket `path` and returns when it listens."""

    def start() -> None:
        from scrubjay.lifecycle import start_daemon

        start_daemon(path)

    return start


def stopper(path: str) -> Callable[[], object]:
    """What stops the daemon on the socket `path` and returns when it has ended."""

    def stop() -> None:
        from scrubjay.lifecycle import stop_daemon

        stop_daemon(path)

    return stop
