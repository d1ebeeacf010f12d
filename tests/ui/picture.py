"""The pictures of the README, drawn from the fixed snapshots of the tests.

``python -m tests.ui.picture FOLDER`` writes overview.svg and generate.svg.
"""

import asyncio
import os
import sys
from pathlib import Path

from tests import snapshots
from tests.snapshot_parts import AT
from tests.ui.fake_client import FakeClient
from wan_tui.core.snapshot import Snapshot
from wan_tui.ui.app import WanTuiApp

SIZE = (100, 30)


async def draw(snapshot: Snapshot, keys: tuple[str, ...]) -> str:
    """The screen after ``keys`` as SVG."""
    client = FakeClient(snapshot)
    app = WanTuiApp(lambda: client, clock=lambda: AT + 0.4, ascii_only=False)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        await pilot.press(*keys)
        await pilot.pause()
        return app.export_screenshot(title="wan-tui")


def main(folder: Path) -> None:
    os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", TZ="UTC")
    folder.mkdir(parents=True, exist_ok=True)
    for name, snapshot, keys in (
        ("overview", snapshots.eight_gpus_one_lost(), ()),
        ("generate", snapshots.pocket_running(), ("5",)),
    ):
        (folder / f"{name}.svg").write_text(asyncio.run(draw(snapshot, keys)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
