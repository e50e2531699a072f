"""Where the machine's power comes from."""

from collections.abc import Callable
from typing import Protocol

import psutil


class Battery(Protocol):
    """What of psutil's report counts; None where it cannot tell."""

    @property
    def power_plugged(self) -> bool | None: ...


def _battery() -> Battery | None:
    # psutil has no such function on systems whose batteries it cannot read, and stumbles over what some drivers say.
    sensors: Callable[[], Battery | None] = getattr(psutil, "sensors_battery", lambda: None)
    try:
        return sensors()
    except (OSError, ValueError, RuntimeError):
        return None


def is_on_battery(battery: Callable[[], Battery | None] = _battery) -> bool:
    """Whether the machine runs on its battery; a machine without one, or that does not tell, does not."""
    found = battery()
    return found is not None and found.power_plugged is False
