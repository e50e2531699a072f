"""Messages from and to the daemon."""

import os
import select
import socket
from collections import deque
from contextlib import suppress
from time import perf_counter

from scrubjay.protocol.codec import Decoder, encode
from scrubjay.protocol.messages import (
    FromEngine,
    Message,
    Stop,
    Wake,
)

_READ_SIZE = 1 << 16
AWAKE_S = 0.005  # making a prompt takes less, mostly


class Hangup(Exception):
    """The daemon closed its end."""


class Inbox:
    """Messages from the daemon, in order; `Stop`s take effect on arrival."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._decoder = Decoder()
        self._waiting: deque[Message] = deque()
        self._stopped: set[int] = set()
        self._awake_until = 0.0

    def receive(self) -> Message:
        """The next message; waits for it.

        Raises:
            Hangup: there is no more.
        """
        while not self._waiting:
            self._read()
        return self._waiting.popleft()

    def is_stopped(self, job: int) -> bool:
        """Whether `job` was asked to end; does not wait."""
        while select.select([self._connection], [], [], 0)[0]:
            self._read()
        return job in self._stopped

    def forget(self, job: int) -> None:
        """`job` has ended: a `Stop` for it means nothing any more."""
        self._stopped.discard(job)

    def _read(self) -> None:
        data = self._recv()
        if not data:
            raise Hangup
        for message in self._decoder.feed(data):
            match message:
                case Wake():
                    self._awake_until = perf_counter() + AWAKE_S
                case Stop():
                    self._stopped.add(message.job)
                case _:
                    self._waiting.append(message)

    def _recv(self) -> bytes:
        # To wake a process that sleeps takes longer than much of what is done for a keystroke.
        while perf_counter() < self._awake_until:
            with suppress(BlockingIOError):
                data = self._connection.recv(_READ_SIZE, socket.MSG_DONTWAIT)
                self._awake_until = 0.0
                return data
            os.sched_yield()
        return self._connection.recv(_READ_SIZE)


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
