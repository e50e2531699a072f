"""The connection to the daemon, with starts that fail in every way: no request waits for ever."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from scrubjay.errors import DaemonError
from scrubjay_lsp.daemon_connection import DaemonConnection, Listeners, State
from scrubjay_lsp.daemon_reply import Reply
from tests.lsp.conftest import StartEditor
from tests.lsp.test_completions import PROGRAM
from tests.lsp.test_daemon import environment

FAILURES = [
    OSError(28, "No space left on device"),
    ValueError("embedded null byte"),
    RuntimeError(),
    DaemonError("It does not start."),
]
Open = Callable[[Callable[[], object] | None], DaemonConnection]


class Heard:
    """What the connection has told its listeners."""

    def __init__(self) -> None:
        self.troubles: list[str] = []
        self.states: list[State] = []


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest_asyncio.fixture
async def open_connection(tmp_path: Path, heard: Heard) -> AsyncIterator[Open]:
    """Opens a connection to a socket on which nobody listens."""
    opened: list[DaemonConnection] = []

    def open_connection(start: Callable[[], object] | None) -> DaemonConnection:
        def changed() -> None:
            heard.states.append(connection.state)

        connection = DaemonConnection(Listeners(lambda: None, lambda _: None, heard.troubles.append, changed))
        connection.open(str(tmp_path / "none.sock"), start)
        opened.append(connection)
        return connection

    yield open_connection
    for connection in opened:
        await connection.close()


def raising(failure: Exception) -> Callable[[], object]:
    def start() -> object:
        raise failure

    return start


async def refusal(reply: Reply) -> str:
    """The sentence with which `reply` was refused."""
    with pytest.raises(DaemonError) as refused:
        await reply
    return str(refused.value)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
async def test_a_start_that_fails_is_told_and_refuses_what_waits(
    open_connection: Open, heard: Heard, failure: Exception
) -> None:
    connection = open_connection(raising(failure))
    sentence = await refusal(connection.submit("complete", {}))
    assert (getattr(failure, "strerror", None) or str(failure) or type(failure).__name__) in sentence
    assert "\n" not in sentence
    assert heard.troubles == [sentence]
    assert (connection.state, connection.message) == ("failed", sentence)


async def test_after_a_failed_start_the_user_can_ask_for_another(open_connection: Open) -> None:
    n_starts = 0

    def start() -> None:
        nonlocal n_starts
        n_starts += 1
        raise OSError(28, f"No space left on device, {n_starts}")

    connection = open_connection(start)
    assert "device, 1" in await refusal(connection.submit("complete", {}))
    assert "device, 1" in await refusal(connection.submit("complete", {}))
    connection.restart()
    assert "device, 2" in await refusal(connection.submit("complete", {}))


async def test_closing_while_a_start_hangs_does_not_wait_for_it(open_connection: Open, heard: Heard) -> None:
    hanging = asyncio.Event()
    loop = asyncio.get_running_loop()
    release: list[Callable[[], object]] = []

    def start() -> None:
        released = threading.Event()
        release.append(released.set)
        loop.call_soon_threadsafe(hanging.set)
        released.wait(60)

    connection = open_connection(start)
    await hanging.wait()
    await connection.close()
    assert heard.states == ["starting"]
    release[0]()


@pytest.mark.slow
async def test_an_editor_is_answered_where_files_are_in_the_way(start: StartEditor, place: Path) -> None:
    place.with_name(place.name + ".starting").mkdir()
    editor = await start(socket=None, environment=environment(place))
    buffer = editor.open("shapes.py", PROGRAM)
    assert await buffer.inline() == []
    [message] = editor.client.messages
    assert "\n" not in message.message
    place.with_name(place.name + ".starting").rmdir()
    await editor.command("restart")
    assert (await editor.synchronised())["pid"]
