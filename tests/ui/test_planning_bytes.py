"""What the screens of planning send over a slow link."""

from dataclasses import replace

import pytest

from tests import snapshots
from tests.snapshot_parts import AT
from tests.ui.conftest import Drive
from tests.ui.planned import an_hour, profiles

SCREENS = {"deployments": ("2",), "page": ("2", "enter"), "compatibility": ("3",), "validation": ("4",)}


@pytest.mark.parametrize("name", SCREENS)
async def test_nothing_is_sent_when_nothing_changed(drive: Drive, name: str) -> None:
    snapshot = replace(snapshots.incompatible(), profiles=profiles())
    async with drive(snapshot) as it:
        it.client.timelines["draft"] = an_hour()
        for key in SCREENS[name]:
            await it.press(key)
        await it.pilot.pause(0.5)
        it.take_sent()
        await it.publish(replace(snapshot, number=snapshot.number + 1))
        await it.settle()
        assert it.take_sent() == ""


@pytest.mark.parametrize(("size", "most"), [((80, 24), 3000), ((160, 48), 10_000)])
@pytest.mark.parametrize("name", SCREENS)
async def test_a_refresh_stays_small(drive: Drive, name: str, size: tuple[int, int], most: int) -> None:
    """A minute later: ages are other ones."""
    snapshot = replace(snapshots.eight_gpus_one_lost(), profiles=profiles())
    later = replace(snapshots.eight_gpus_one_lost(), profiles=profiles(), number=999, taken_at=AT + 61)
    async with drive(snapshot, size=size) as it:
        it.client.timelines["story"] = an_hour()
        for key in SCREENS[name]:
            await it.press(key)
        await it.pilot.pause(0.5)
        it.take_sent()
        await it.publish(later)
        await it.settle()
        sent = len(it.take_sent().encode())
        assert sent <= most
        if name == "page":
            assert sent > 0, "how long it has been so"
