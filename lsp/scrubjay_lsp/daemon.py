"""Where the daemon listens, and how it is started and stopped. What is imported for that costs memory in every editor.

`start_daemon` and `restart_daemon` block.
"""

from typing import Any


def socket_path() -> str:
    """The daemon's socket, as the user's configuration has it.

    Raises:
        UsageError: the configuration is wrong.
    """
    from scrubjay.config import read_config

    return str(read_config().socket)


def start_daemon(path: str, model: str) -> None:
    """Start the daemon on the socket `path`, or find it started; it listens when this returns.

    Args:
        model: what it is started with; "" for what its own configuration says.

    Raises:
        ScrubjayError: it cannot be started.
    """
    from scrubjay.process.lifecycle import start_daemon as start

    start(path, {"model": model} if model else None)


def restart_daemon(path: str, model: str) -> None:
    """Stop the daemon on the socket `path`, if there is one, and start it with the options that it had; `model` as above.

    Raises:
        ScrubjayError: it does not end, or cannot be started.
    """
    from scrubjay.process.lifecycle import restart_daemon as restart

    restart(path, {"model": model} if model else None)


def has_other_model(status: "dict[str, Any]", model: str) -> bool:
    """Whether the daemon with that status was started with another model than `model`, which is not ""."""
    from scrubjay.process.about import differences

    return bool(differences({"model": model}, status))
