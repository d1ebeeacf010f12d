"""Room on a device: one load at a time, idle deployments make way, and memory is seen to come back."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence

from wan_tui.core.hardware.samples import HardwareSample
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.words import LoadState, Verdict

# The driver takes a moment to give memory back after a process is gone.
RELEASE_PATIENCE_SECONDS = 5.0


class Gates:
    """A lock for each device: two loads at once would each count on memory that the other takes."""

    def __init__(self) -> None:
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def of(self, device: str) -> asyncio.Lock:
        return self._locks[device]


def makes_way(asking: Deployment, others: Iterable[Deployment]) -> list[Deployment]:
    """Deployments that would have to be unloaded so that ``asking`` fits; nothing when that would not help.

    Only those that nobody pinned, that run nothing and that are on the same GPU; the one that was idle longest first.
    """
    found, plan = asking.compatibility, asking.compatibility.plan
    short = -(found.headroom_bytes or 0)
    if plan is None or plan.gpu_uuid is None or short <= 0:
        return []
    idle = [
        other
        for other in others
        if other is not asking
        and other.state is LoadState.LOADED
        and other.running_job is None
        and not other.pinned
        and other.plan is not None
        and other.plan.gpu_uuid == plan.gpu_uuid
    ]
    chosen: list[Deployment] = []
    for other in sorted(idle, key=lambda one: one.vitals.idle_since):
        if short <= 0:
            break
        chosen.append(other)
        short -= other.peak_bytes
    return chosen if short <= 0 else []


def cannot_run(deployment: Deployment) -> bool:
    """Whether its verdict forbids to load it."""
    found = deployment.compatibility
    return found.plan is None or found.verdict is Verdict.INCOMPATIBLE


def no_room_for_another(asking: Deployment, others: Sequence[Deployment]) -> str | None:
    """Why a further replica is not loaded: what runs already would only run out of memory with it."""
    found = asking.compatibility
    loaded = (LoadState.LOADING, LoadState.LOADED)
    up = [one for one in others if one is not asking and one.queue == asking.queue and one.state in loaded]
    if not up or found.plan is None or found.plan.gpu_uuid is None or (found.headroom_bytes or 0) >= 0:
        return None
    return None if makes_way(asking, others) else f"no room beside {', '.join(one.name for one in up)}: {found.reason}"


def held_bytes(hardware: HardwareSample, gpu_uuid: str | None, pid: int) -> int:
    """What the driver still books for a process that is gone."""
    return sum(
        process.used_memory_bytes or 0
        for gpu in hardware.gpus
        if gpu.uuid == gpu_uuid
        for process in gpu.processes or ()
        if process.pid == pid
    )


def sampled_after(hardware: HardwareSample, gpu_uuid: str, at: float) -> bool:
    """Whether the GPU was read after ``at`` (Unix seconds); one that is no longer there counts as read."""
    return all(gpu.sampled_at > at for gpu in hardware.gpus if gpu.uuid == gpu_uuid)
