"""Progress bars in the editor, for those that can show them."""

import asyncio
from collections.abc import Callable
from itertools import count

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer


class Bar:
    """One progress bar; it appears when the editor has agreed to it, and not at all if that is too late."""

    def __init__(self, server: LanguageServer, title: str, token: str) -> None:
        self._server = server
        self._title = title
        self._token = token
        self._message = ""
        self._percentage = 0
        self._changed = asyncio.Event()
        self._ended = False
        self._task = asyncio.get_running_loop().create_task(self._show())

    def report(self, percentage: int, message: str) -> None:
        """Progress is `percentage` (0 to 100), and `message` says of what; the editor is told of what it can show."""
        if (percentage, message) == (self._percentage, self._message):
            return
        self._percentage, self._message = percentage, message
        self._changed.set()

    def end(self) -> None:
        """It is done; the bar goes."""
        self._ended = True
        self._changed.set()

    async def _show(self) -> None:
        bars = self._server.work_done_progress
        try:
            await bars.create_async(self._token)
        except JsonRpcException:
            return
        if self._ended:
            return
        bars.begin(self._token, types.WorkDoneProgressBegin(self._title, percentage=0, cancellable=False))
        while not self._ended:
            self._changed.clear()
            bars.report(self._token, types.WorkDoneProgressReport(message=self._message, percentage=self._percentage))
            await self._changed.wait()
        bars.end(self._token, types.WorkDoneProgressEnd())


class Bars:
    """At most one bar for each title.

    Args:
        is_on: whether the user wants any.
    """

    def __init__(self, server: LanguageServer, is_on: Callable[[], bool]) -> None:
        self._server = server
        self._is_on = is_on
        self._bars: dict[str, Bar] = {}
        self._numbers = count(1)

    def report(self, title: str, fraction: float, message: str) -> None:
        """`fraction` (0 to 1) of `title` is done."""
        if not self._are_wanted:
            return
        if title not in self._bars:
            self._bars[title] = Bar(self._server, title, f"scrubjay-{next(self._numbers)}")
        self._bars[title].report(round(100 * min(max(fraction, 0.0), 1.0)), message)

    def end(self, title: str) -> None:
        """`title` is done, or has been given up."""
        if bar := self._bars.pop(title, None):
            bar.end()

    @property
    def _are_wanted(self) -> bool:
        window = self._server.client_capabilities.window
        return self._is_on() and bool(window and window.work_done_progress)
