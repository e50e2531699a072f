"""On battery nothing is warmed unasked, unless the user wants it."""

from collections import namedtuple
from pathlib import Path

import psutil
import pytest

from scrubjay.service.power import is_on_battery
from tests.support.service import complete, model, open_document, running_service, source, until

SUPPLIES = Path("/sys/class/power_supply")
Battery = namedtuple("Battery", ["percent", "secsleft", "power_plugged"])  # as psutil has it


@pytest.mark.parametrize(("battery", "is_used"), [(None, False), (True, False), (False, True)])
def test_only_a_battery_that_is_used_counts(battery: bool | None, is_used: bool) -> None:
    assert is_on_battery(lambda: Battery(50, 3600, battery)) is is_used
    assert not is_on_battery(lambda: None), "a machine without one"


@pytest.mark.skipif(not SUPPLIES.is_dir(), reason="only Linux lists its power supplies there")
def test_this_machine_says_the_same_as_its_kernel() -> None:
    supplies = [
        {name: (path / name).read_text().strip() for name in ("type", "status", "online") if (path / name).exists()}
        for path in SUPPLIES.iterdir()
    ]
    has_battery = any(supply.get("type") == "Battery" for supply in supplies)
    mains = [supply["online"] for supply in supplies if supply.get("type") == "Mains" and "online" in supply]
    is_discharging = any(supply.get("status") == "Discharging" for supply in supplies)
    assert is_on_battery() == (has_battery and (mains == ["0"] if len(mains) == 1 else is_discharging))


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
