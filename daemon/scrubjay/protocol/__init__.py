"""What the daemon and its engine process say to each other: `messages`, and `encode` and `Decoder` for the wire."""

from scrubjay.protocol import messages
from scrubjay.protocol.codec import Decoder, encode

__all__ = ["Decoder", "encode", "messages"]
