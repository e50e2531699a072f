"""On battery nothing is warmed unasked, unless the user wants it."""

from collections import namedtuple

import psutil
import pytest

from scrubjay.service.power import is_on_battery
from tests.support.service import complete, model, open_document, running_service, source, until

Battery = namedtuple("Battery", ["percent", "secsleft", "power_plugged"])  # as psutil has it


@pytest.mark.parametrize(("battery", "is_used"), [(None, False), (True, False), (False, True)])
def test_only_a_battery_that_is_used_counts(battery: bool | None, is_used: bool) -> None:
    assert is_on_battery(lambda: Battery(50, 3600, battery)) is is_used
    assert not is_on_battery(lambda: None), "a machine without one"


def test_this_machine_can_be_asked() -> None:
    battery = getattr(psutil, "sensors_battery", lambda: None)()
    assert is_on_battery() == (battery is not None and battery.power_plugged is False)


@pytest.mark.parametrize("is_wanted", [True, False])
async def test_on_battery_nothing_is_warmed_unless_asked(is_wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: Battery(50, 3600, False), raising=False)
    async with running_service(model(), warm=True, warm_on_battery=is_wanted) as service:
        news = service.broadcaster.subscribe()
        await open_document(service, "file:///project/a.py", source())
        if is_wanted:
            await until(news, lambda event: event["type"] == "edit")
        else:
            # Projects are settled when the model is ready at the latest, so before this is answered.
            await complete(service, "file:///project/a.py")
            assert service.dispatcher.scheduler.n_accepted == 1
