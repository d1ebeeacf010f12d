"""The device memory of a deployment over the last hour, beside what was estimated for what it did."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wan_tui.core.words import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wan_tui.core.hardware.samples import HardwareSample
    from wan_tui.core.runtime.deployment import Deployment
    from wan_tui.core.runtime.jobs import JobQueue

STEP_SECONDS = 2.0
POINTS_KEPT = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPoint:
    """``STEP_SECONDS`` from ``at``: the most that was used, what was estimated for the phase, and the phase.

    ``used_bytes`` is what the driver books for the worker, else what torch holds, on a processor the memory of the
    process; None without a worker.
    """

    at: float
    used_bytes: int | None
    estimated_bytes: int | None
    phase: Phase = Phase.IDLE


@dataclass(frozen=True, slots=True)
class Timeline:
    """Points, the oldest first; times between them without any are times when nothing was looked at."""

    points: tuple[MemoryPoint, ...] = ()
    step_seconds: float = STEP_SECONDS


@dataclass(slots=True)
class MemoryRing:
    """The last hour in steps: of what falls into one step the largest use is kept."""

    _points: deque[MemoryPoint] = field(default_factory=lambda: deque(maxlen=POINTS_KEPT))

    def add(self, point: MemoryPoint) -> None:
        last = self._points[-1] if self._points else None
        if last is None or point.at - last.at >= STEP_SECONDS:
            self._points.append(point)
        elif (point.used_bytes or 0) >= (last.used_bytes or 0):
            self._points[-1] = MemoryPoint(
                at=last.at, used_bytes=point.used_bytes, estimated_bytes=point.estimated_bytes, phase=point.phase
            )

    def frozen(self) -> Timeline:
        return Timeline(tuple(self._points))


def record_memory(deployments: Iterable[Deployment], queue: JobQueue, hardware: HardwareSample, at: float) -> None:
    """Add what every deployment uses now to its ring; part of every poll."""
    for deployment in deployments:
        phase = queue.get(deployment.running_job).phase if deployment.running_job else Phase.IDLE
        used = _used(deployment, hardware)
        deployment.timeline.add(
            MemoryPoint(
                at=at,
                used_bytes=used,
                estimated_bytes=None if used is None else _estimated(deployment, phase),
                phase=phase,
            )
        )


def _used(deployment: Deployment, hardware: HardwareSample) -> int | None:
    if deployment.worker is None:
        return None
    pid, worker = deployment.worker.pid, deployment.worker_status
    booked = [
        process.used_memory_bytes
        for gpu in hardware.gpus
        for process in gpu.processes or ()
        if process.pid == pid and process.used_memory_bytes is not None
    ]
    if booked:
        return sum(booked)
    if worker is None:
        return None
    on_cpu = deployment.plan is not None and deployment.plan.device == "cpu"
    return worker.resident_memory_bytes if on_cpu else worker.device_reserved_bytes


def _estimated(deployment: Deployment, phase: Phase) -> int | None:
    memory = deployment.compatibility.memory
    if memory is None:
        return None
    return next((one.total_bytes for one in memory.phases if one.phase is phase), memory.loaded_bytes)
