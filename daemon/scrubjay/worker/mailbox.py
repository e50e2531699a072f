"""Messages from and to the daemon."""

import select
import socket
from collections import deque
from time import monotonic

from scrubjay.protocol.codec import Decoder, encode
from scrubjay.protocol.messages import FromEngine, Message, Stop

_READ_SIZE = 1 << 16


class Disconnected(Exception):
    """The daemon closed its end."""


class Inbox:
    """Messages from the daemon, in order; `Stop`s take effect on arrival."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._decoder = Decoder()
        self._waiting: deque[Message] = deque()
        self._stopped: dict[int, bool] = {}

    def receive(self) -> Message:
        """The next message; waits for it.

        Raises:
            Disconnected: there is no more.
        """
        while not self._waiting:
            self._read()
        return self._waiting.popleft()

    def wait(self, seconds: float | None) -> bool:
        """Wait for something to receive, at most `seconds`, None for ever; whether there is something."""
        return bool(self._waiting or select.select([self._connection], [], [], seconds)[0])

    def is_stopped(self, job: int, seconds: float = 0.0) -> bool:
        """Whether `job` was asked to end; waits at most `seconds` for that."""
        until = monotonic() + seconds
        while job not in self._stopped:
            if not select.select([self._connection], [], [], max(0.0, until - monotonic()))[0]:
                return False
            self._read()
        return True

    def goes_on(self, job: int) -> bool:
        """Whether `job`, which was asked to end, is to go on later."""
        return self._stopped.get(job, False)

    def forget(self, job: int) -> None:
        """`job` has ended: a `Stop` for it means nothing any more."""
        self._stopped.pop(job, None)

    def _read(self) -> None:
        data = self._connection.recv(_READ_SIZE)
        if not data:
            raise Disconnected
        for message in self._decoder.feed(data):
            if isinstance(message, Stop):
                self._stopped[message.job] = message.goes_on
            else:
                self._waiting.append(message)


class Outbox:
    """Messages for the daemon. Those between two decodes leave in one piece: to wake it takes time from the model's threads."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._frames: list[bytes] = []

    def put(self, message: FromEngine) -> None:
        """Send `message` with the next `flush`."""
        self._frames.append(encode(message))

    def flush(self) -> None:
        if self._frames:
            self._connection.sendall(b"".join(self._frames))
            self._frames.clear()

    def send(self, message: FromEngine) -> None:
        """Send `message`, and what waits before it."""
        self.put(message)
        self.flush()
