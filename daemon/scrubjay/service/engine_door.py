"""What the engine is told. It is lost if there is no engine."""

from collections import deque
from typing import Literal

from scrubjay.engine.interface import Engine
from scrubjay.protocol.messages import Run
from scrubjay.protocol.records import Forgotten
from scrubjay.service.events import ForgetRoot
from scrubjay.workspace.events import answer

State = Literal["loading", "ready", "unloaded", "failed"]

NOTHING = Forgotten(0, 0, ())


class EngineDoor:
    """The way to the engine, whichever process it is at present.

    Attributes:
        state: "ready" when the engine has the model and its vocabulary is open here; "unloaded" while there is none because
            nothing was asked for.
    """

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._forgetting: deque[ForgetRoot] = deque()
        self.state: State = "loading"

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"

    @property
    def pid(self) -> int | None:
        """Process id of the engine, None while there is none."""
        return self._engine.pid if self._engine else None

    def run(self, run: Run) -> None:
        if self._engine:
            self._engine.run(run)

    def stop(self, job: int) -> None:
        if self._engine:
            self._engine.stop(job)

    def end_early(self, job: int) -> None:
        if self._engine:
            self._engine.end_early(job)

    def ask_status(self) -> bool:
        """Ask the engine for its status; whether there is one to ask."""
        if self._engine and self.is_ready:
            self._engine.ask_status()
            return True
        return False

    def forget(self, event: ForgetRoot) -> None:
        """Have the engine forget what it holds, and reply with what it did."""
        if self._engine and self.is_ready:
            self._engine.forget(event.root)
            self._forgetting.append(event)
        else:
            answer(event.reply, NOTHING)

    def _on_forgotten(self, forgotten: Forgotten) -> None:
        answer(self._forgetting.popleft().reply, forgotten)

    def _is_gone(self) -> None:
        """There is no engine any more, and nothing that it held in memory."""
        self._engine = None
        while self._forgetting:
            self._on_forgotten(NOTHING)
