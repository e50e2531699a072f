"""What the engine process hears while it works."""

import socket
from threading import Thread

from scrubjay.protocol.codec import encode
from scrubjay.protocol.messages import AskStatus, Stop
from scrubjay.worker.mailbox import Inbox

LONG_S = 300.0


def test_a_stop_ends_a_pause_at_once_and_other_messages_wait() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        inbox = Inbox(theirs)
        data = b"".join(encode(message) for message in (AskStatus(), Stop(7), Stop(8)))
        sender = Thread(target=ours.sendall, args=(data,))
        sender.start()
        assert inbox.is_stopped(7, LONG_S)
        assert inbox.is_stopped(8, LONG_S)
        sender.join()
        assert isinstance(inbox.receive(), AskStatus)
        assert not inbox.is_stopped(9)
        inbox.forget(7)
        assert not inbox.is_stopped(7)


def test_a_pause_has_an_end() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not Inbox(theirs).is_stopped(1, 0.01)
