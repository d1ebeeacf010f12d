"""Promises about the code itself."""

import subprocess
import sys
from pathlib import Path

import wan_tui.ui

FOLDER = Path(wan_tui.ui.__file__).parent
HEAVY = {"pydantic", "aiohttp", "prometheus_client", "torch", "diffusers", "psutil", "pynvml", "PIL", "numpy"}


def test_modules_stay_small() -> None:
    for path in FOLDER.rglob("*.py"):
        limit = 300 if path.name == "app.py" else 400
        assert len(path.read_text().splitlines()) <= limit, path


def test_importing_the_ui_is_light_and_brings_no_engine() -> None:
    screens = ", ".join(f"wan_tui.ui.screens.{path.stem}" for path in (FOLDER / "screens").glob("*.py"))
    code = f"import sys, wan_tui.ui.app, {screens}; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {name for name in modules if name.split(".")[0] in HEAVY}
    engine = ("wan_tui.core.engine", "wan_tui.core.history", "wan_tui.core.config", "wan_tui.worker", "wan_tui.cli")
    assert not [name for name in modules if name.startswith(engine)]


def test_the_first_frame_waits_for_no_types_of_the_engine() -> None:
    code = "import sys, wan_tui.ui.launch, wan_tui.ui.screens.overview; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    slow = ("wan_tui.core.runtime.state", "wan_tui.core.planning.plan", "wan_tui.core.hardware.samples")
    assert not [name for name in modules if name in slow], "a tenth of a second of dataclasses, before anything is seen"


def test_the_ui_has_nothing_that_moves_by_itself() -> None:
    for path in FOLDER.rglob("*.py"):
        source = path.read_text()
        for banned in ("LoadingIndicator", "ProgressBar", ".loading =", "call_from_thread", "thread=True"):
            assert banned not in source, (path, banned)
