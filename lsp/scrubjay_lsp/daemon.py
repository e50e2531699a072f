"""Where the daemon listens, and how it is started and stopped. What is imported for that costs memory in every editor.

`start_daemon` and `stop_daemon` block.
"""


def socket_path() -> str:
    """The daemon's socket, as the user's configuration has it.

    Raises:
        UsageError: the configuration is wrong.
    """
    from scrubjay.config import read_config

    return str(read_config().socket)


def start_daemon(path: str) -> None:
    """Start the daemon on the socket `path`, or find it started; it listens when this returns.

    Raises:
        ScrubjayError: it cannot be started.
    """
    from scrubjay.process.lifecycle import start_daemon as start

    start(path)


def stop_daemon(path: str) -> None:
    """Stop the daemon on the socket `path`; it has ended when this returns.

    Raises:
        ScrubjayError: it does not end.
    """
    from scrubjay.process.lifecycle import stop_daemon as stop

    stop(path)
