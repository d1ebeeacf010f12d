"""What every fault has to leave behind: nothing."""

import os
import signal
from pathlib import Path

import psutil

from tests.core.runtime.harness import until
from wan_tui.core.engine import Engine
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.video import read_mp4

SMALL = {"steps": 2, "frames": 5}


async def held(engine: Engine, place: str) -> Snapshot:
    """Once a worker stands still at ``place``."""
    return await until(engine, lambda s: any(event.message.startswith(f"held in {place} ") for event in s.log.events))


def said(snapshot: Snapshot) -> str:
    """The event log, one message a line."""
    return "\n".join(event.message for event in snapshot.log.events)


def files(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too."""
    return sorted(os.listdir(folder)) if folder.exists() else []


def assert_whole(folder: Path, videos: int) -> None:
    """So many videos that decode, each with its sidecar, and nothing else."""
    found = files(folder)
    names = [name for name in found if name.endswith(".mp4")]
    assert found == sorted(names + [name.replace(".mp4", ".json") for name in names])
    assert len(names) == videos
    for name in names:
        assert read_mp4(folder / name).frames >= 1


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
