"""Where the daemon listens, and how it is started and stopped. What is imported for that costs memory in every editor."""

from collections.abc import Callable


def socket_path() -> str:
    """The daemon's socket, as the user's configuration has it.

    Raises:
        UsageError: the configuration is wrong.
    """
    from scrubjay.config import read_config

    return str(read_config().socket)


def starter(path: str) -> Callable[[], object]:
    """What starts the daemon on the socket `path`, or finds it started, and returns when it listens."""

    def start() -> None:
        from scrubjay.process.lifecycle import start_daemon

        start_daemon(path)

    return start


def stopper(path: str) -> Callable[[], object]:
    """What stops the daemon on the socket `path` and returns when it has ended."""

    def stop() -> None:
        from scrubjay.process.lifecycle import stop_daemon

        stop_daemon(path)

    return stop
