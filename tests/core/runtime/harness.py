"""A real engine with real workers, and patience for what it is about to show."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from wan_tui.core.config import DeploymentSettings, Settings
from wan_tui.core.config.settings import PathSettings, PollingSettings
from wan_tui.core.engine import Engine
from wan_tui.core.planning.plan import GenerationRequest
from wan_tui.core.runtime.state import DeploymentStatus, Job
from wan_tui.core.snapshot import Snapshot

# Importing torch on a busy machine is what takes so long.
PATIENCE_SECONDS = 90.0


def settings(home: Path, **deployments: DeploymentSettings) -> Settings:
    chosen = deployments or {"pocket": DeploymentSettings(model="t2v-pocket", profile="cpu")}
    paths = PathSettings(outputs=home / "outputs", history=home / "history.sqlite3")
    return Settings(paths=paths, polling=PollingSettings(interval_seconds=0.3), deployments=chosen)


def request(**changes: object) -> GenerationRequest:
    values: dict[str, object] = {
        "deployment": "pocket",
        "prompt": "a red circle moving right",
        "width": 64,
        "height": 64,
        "frames": 9,
        "steps": 4,
        "guidance": 4.0,
        "seed": 1,
    }
    return GenerationRequest(**{**values, **changes})  # type: ignore[arg-type]


async def until(
    engine: Engine, condition: Callable[[Snapshot], object], patience: float = PATIENCE_SECONDS
) -> Snapshot:
    """The first snapshot for which ``condition`` is true."""
    last: Snapshot | None = None
    try:
        async with asyncio.timeout(patience):
            async for last in engine.snapshots():
                if condition(last):
                    return last
    except TimeoutError:
        raise AssertionError(f"not seen in {patience} s; last log: {last and last.log.events[-5:]}") from None
    raise AssertionError("the engine ended")


def deployment(snapshot: Snapshot, name: str = "pocket") -> DeploymentStatus:
    found = snapshot.deployment(name)
    assert found is not None
    return found


def job(snapshot: Snapshot, job_id: str) -> Job:
    found = snapshot.job(job_id)
    assert found is not None
    return found
