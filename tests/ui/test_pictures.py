"""Pictures of every tab from fixed snapshots: what an operator sees, to the cell.

A tab that joins the registry joins here. ``pytest tests/ui/test_pictures.py --snapshot-update`` draws them anew, on
the Python and Textual of constraints.txt; look at what changed before you commit it.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import textual
from textual.pilot import Pilot

from tests import snapshots
from tests.snapshot_parts import AT
from tests.ui.conftest import FakeClock, RecordingApp
from tests.ui.fake_client import FakeClient
from wan_tui.core.alerts.watch import AlertWatch
from wan_tui.core.snapshot import Snapshot
from wan_tui.ui.options import UiOptions
from wan_tui.ui.screens.registry import TABS

pytestmark = [
    pytest.mark.skipif(textual.__version__ != "8.2.8", reason="the pictures were drawn with textual 8.2.8"),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the pictures are compared on Python 3.11"),
]

SIZES = {"80x24": (80, 24), "160x48": (160, 48)}
COLOURS = ("dark", "light", "no-colour")
Compare = Callable[..., bool]


def eight() -> Snapshot:
    """Eight GPUs, one of them lost, with the alerts that this leads to."""
    snapshot, watch = snapshots.eight_gpus_one_lost(), AlertWatch()
    watch.look(replace(snapshot, taken_at=AT - 3600))
    return replace(snapshot, alerts=watch.look(snapshot))


SITUATIONS: dict[str, Callable[[], Snapshot]] = {
    "eight": eight,
    "incompatible": snapshots.incompatible,
    "running": snapshots.pocket_running,
    "empty": snapshots.empty_host,
}
# Every tab in every size and colour with the fullest snapshot; the other situations once each.
CASES = [(tab.mode, "eight", size, colours) for tab in TABS for size in SIZES for colours in COLOURS]
CASES += [(tab.mode, name, "80x24", "dark") for tab in TABS for name in SITUATIONS if name != "eight"]
CASES += [(TABS[0].mode, name, "160x48", "dark") for name in SITUATIONS if name != "eight"]


@pytest.mark.parametrize(
    ("mode", "situation", "size", "colours"), [pytest.param(*case, id="-".join(case)) for case in CASES]
)
def test_picture(
    mode: str, situation: str, size: str, colours: str, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    if colours == "no-colour":
        monkeypatch.setenv("NO_COLOR", "1")
    client = FakeClient(SITUATIONS[situation]())
    options = UiOptions(refresh_seconds=0, theme="light" if colours == "light" else "dark")
    app = RecordingApp(lambda: client, clock=FakeClock(), ascii_only=False, retry_seconds=60.0, options=options)
    assert snap_compare(app, terminal_size=SIZES[size], run_before=partial(_open, mode))


async def _open(mode: str, pilot: Pilot[None]) -> None:
    """Go there, and wait until nothing changes any more: what the tab asks for comes a little later."""
    app = pilot.app
    assert isinstance(app, RecordingApp)
    await pilot.pause()
    app.action_show(mode)
    seen: list[str] = []
    while len(seen) < 3 or seen[-1] != seen[-2] or seen[-2] != seen[-3]:
        await pilot.pause(0.02)
        seen.append(repr([list(strip) for strip in app.screen._compositor.render_strips()]))
        assert len(seen) < 200, "it never comes to rest"
