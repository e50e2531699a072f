"""When the model's memory is freed: nothing was asked of it for a while."""

import asyncio

from scrubjay.service.events import Post, UnloadDue


class IdleClock:
    """Posts `UnloadDue` when the engine was not used for a while.

    Args:
        seconds: how long; 0 for never.
    """

    def __init__(self, post: Post, seconds: float) -> None:
        self._post = post
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def used(self) -> None:
        """The engine is used: the time begins again."""
        self.close()
        if self._seconds:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._post, UnloadDue())

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
