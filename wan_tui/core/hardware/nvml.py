"""The GPUs of this host, through NVML, such that no driver trouble reaches the caller's event loop."""

import asyncio
import functools
import time
from collections.abc import Iterable
from dataclasses import replace

from wan_tui.core.hardware.driver_thread import DriverThread, DriverUnanswered
from wan_tui.core.hardware.nvml_fields import (
    DriverError,
    DriverMissing,
    DriverReading,
    Reader,
    read_driver,
    read_gpu,
    shut_down,
)
from wan_tui.core.hardware.probe import GpuProbe
from wan_tui.core.hardware.samples import DriverStatus, GpuSample, HardwareSample, XidCount
from wan_tui.core.hardware.xid import XidEvents
from wan_tui.core.hardware.xid import counted as counted_xids

_FIRST_RETRY_SECONDS = 1.0
_LAST_RETRY_SECONDS = 30.0


class NvmlProbe(GpuProbe):
    """Samples all NVIDIA GPUs, each through a thread of its own and within ``deadline_seconds``.

    A GPU that fails or hangs is a row with ``up=False``; the others are read as ever. A GPU once seen keeps its row.
    While a call hangs, its GPU is reported down at once and counted in ``DriverStatus.stuck_calls``; nothing more is
    asked of it until the call answers, and the next sample then reads it anew. A driver that is absent or does not
    start is asked again on later samples, after 1, 2, 4 … 30 seconds.
    """

    def __init__(self, deadline_seconds: float = 2.0) -> None:
        self._deadline_seconds = deadline_seconds
        self._unanswered = f"driver call did not answer within {deadline_seconds} s"
        self._status = DriverStatus(present=False, up=False, message="not asked yet")
        self._initialized = False
        self._retry_at = 0.0
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._driver_thread = DriverThread("nvml-driver")
        self._gpu_threads: list[DriverThread] = []  # by NVML index, as the next two
        self._latest: list[GpuSample] = []
        self._count = 0
        self._known: dict[str, GpuSample] = {}  # every GPU ever identified, by UUID
        self._missing_readers: set[Reader] = set()
        self._events = XidEvents()
        self._events_thread = DriverThread("nvml-events")
        self._xids: dict[str, tuple[XidCount, ...]] = {}  # of every GPU whose events are watched, by UUID

    async def sample(self) -> HardwareSample:
        started = time.monotonic()
        known = range(self._count)
        # Side by side, so that a driver that hangs while it enumerates does not use up the GPUs' time.
        await asyncio.gather(self._ask_driver(), self._read_gpus(known, self._deadline_seconds))
        # GPUs that were only now found get the rest of the time; nvmlInit may have taken most of it.
        rest = max(self._deadline_seconds - (time.monotonic() - started), self._deadline_seconds / 2)
        await self._read_gpus(range(len(known), self._count), rest)
        await self._collect_xids(rest)
        stuck = sum(thread.busy for thread in self._threads)
        return HardwareSample(replace(self._status, stuck_calls=stuck), self._rows())

    def close(self) -> None:
        idle = not any(thread.busy for thread in self._threads)
        for thread in self._gpu_threads:
            thread.close()
        self._events_thread.close(last=self._events.close if idle and self._initialized else None)
        # NVML must not be shut down under a running call.
        self._driver_thread.close(last=shut_down if idle and self._initialized else None)

    @property
    def _threads(self) -> tuple[DriverThread, ...]:
        return (self._driver_thread, self._events_thread, *self._gpu_threads)

    async def _collect_xids(self, timeout_seconds: float) -> None:
        """Xid events are a help, not a need: a driver without them, or in trouble, takes nothing else away."""
        answering = [row.index for row in self._latest[: self._count] if row.up]
        if not self._initialized:
            return
        try:
            drain = functools.partial(self._events.drain, answering)
            events = await self._events_thread.call(drain, timeout_seconds)
        except Exception:
            return
        now = time.time()
        for uuid in self._events.watched | self._xids.keys():
            self._xids[uuid] = counted_xids(self._xids.get(uuid, ()), events, uuid, now)

    async def _ask_driver(self) -> None:
        if time.monotonic() < self._retry_at:
            return
        try:
            reading = await self._driver_thread.call(
                functools.partial(read_driver, initialize=not self._initialized), self._deadline_seconds
            )
        except DriverUnanswered:
            # The GPUs may well answer still, so their count stays.
            self._status = replace(self._status, present=True, up=False, message=self._unanswered)
        except Exception as error:
            present = not isinstance(error, DriverMissing)
            self._status = replace(self._status, present=present, up=False, message=_text(error))
            self._initialized = False
            self._count = 0
            self._retry_at = time.monotonic() + self._retry_seconds
            self._retry_seconds = min(2 * self._retry_seconds, _LAST_RETRY_SECONDS)
        else:
            self._status = _status(reading)
            self._initialized = True
            self._retry_seconds = _FIRST_RETRY_SECONDS
            self._count = reading.gpus
            for index in range(len(self._latest), reading.gpus):
                self._gpu_threads.append(DriverThread(f"nvml-gpu-{index}"))
                self._latest.append(GpuSample(index=index, uuid="", name="unknown GPU", up=False, sampled_at=0.0))

    async def _read_gpus(self, indices: Iterable[int], timeout_seconds: float) -> None:
        await asyncio.gather(*(self._read_gpu(index, timeout_seconds) for index in indices))

    async def _read_gpu(self, index: int, timeout_seconds: float) -> None:
        read = functools.partial(read_gpu, index, self._missing_readers)
        try:
            self._latest[index] = await self._gpu_threads[index].call(read, timeout_seconds)
        except DriverUnanswered:
            self._latest[index] = _down(self._latest[index], self._unanswered)
        except Exception as error:
            self._latest[index] = _down(self._latest[index], _text(error))

    def _rows(self) -> tuple[GpuSample, ...]:
        """The GPUs that the driver counts, and those it counted before: gone, but not forgotten."""
        counted = self._latest[: self._count]
        self._known |= {row.uuid: row for row in counted if row.uuid}
        present = {row.uuid for row in counted}
        reason = "no longer reported by the driver" if self._status.up else self._status.message
        gone = [_down(row, reason) for uuid, row in self._known.items() if uuid not in present]
        rows = sorted((*counted, *gone), key=lambda row: row.index)
        return tuple(replace(row, xid_errors=self._xids.get(row.uuid)) for row in rows)


def _status(reading: DriverReading) -> DriverStatus:
    return DriverStatus(
        present=True,
        up=True,
        message="ok",
        driver_version=reading.driver_version,
        nvml_version=reading.nvml_version,
        cuda_driver_version=reading.cuda_driver_version,
    )


def _down(row: GpuSample, error: str) -> GpuSample:
    """``row`` with its identity and without its readings, which no longer hold."""
    return GpuSample(
        index=row.index,
        uuid=row.uuid,
        name=row.name,
        up=False,
        sampled_at=time.time(),
        error=error,
        pci_bus_id=row.pci_bus_id,
        compute_capability=row.compute_capability,
        mig_mode=row.mig_mode,
        memory_total_bytes=row.memory_total_bytes,
    )


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, DriverError) else f"{type(error).__name__}: {error}"
