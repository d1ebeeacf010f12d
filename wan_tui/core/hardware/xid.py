"""Xid events: what the driver says went wrong on a GPU, collected without waiting. May block: driver thread only."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pynvml

from wan_tui.core.hardware.samples import XidCount

# At most so many in one go: a GPU that reports without end must not keep its reader for ever.
DRAIN = 256


@dataclass(frozen=True, slots=True)
class XidEvent:
    uuid: str
    xid: int


class XidEvents:
    """An NVML event set of all GPUs. ``drain`` and ``close`` run in one thread, never at the same time."""

    def __init__(self) -> None:
        self._set: Any = None
        self._asked: set[int] = set()
        self.watched: set[str] = set()
        """UUIDs of the GPUs whose events come; a device that has none is not among them."""

    def drain(self, indices: Iterable[int]) -> list[XidEvent]:
        """What happened since the last call. GPUs at ``indices``, which answer, are watched from now on.

        Raises ``pynvml.NVMLError``, and begins anew.
        """
        try:
            return self._drain(indices)
        except pynvml.NVMLError:
            self.close()
            raise

    def _drain(self, indices: Iterable[int]) -> list[XidEvent]:
        if self._set is None:
            self._set = pynvml.nvmlEventSetCreate()
        for index in indices:
            with contextlib.suppress(pynvml.NVMLError):  # lost meanwhile, or a device without events
                self._watch(index)
        found: list[XidEvent] = []
        while len(found) < DRAIN and (event := self._next()) is not None:
            if event.eventType == pynvml.nvmlEventTypeXidCriticalError:
                found.append(XidEvent(pynvml.nvmlDeviceGetUUID(event.device), int(event.eventData)))
        return found

    def _next(self) -> Any:
        """The next event that waits, None without one."""
        try:
            return pynvml.nvmlEventSetWait_v2(self._set, 0)
        except pynvml.NVMLError as error:
            if error.value in (pynvml.NVML_ERROR_TIMEOUT, pynvml.NVML_ERROR_GPU_IS_LOST):
                return None
            raise

    def close(self) -> None:
        """Forget the set, before NVML is shut down or after it failed."""
        if self._set is not None:
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlEventSetFree(self._set)
        self._set = None
        self.watched, self._asked = set(), set()

    def _watch(self, index: int) -> None:
        if index in self._asked:
            return
        self._asked.add(index)
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        uuid = pynvml.nvmlDeviceGetUUID(handle)
        pynvml.nvmlDeviceRegisterEvents(handle, pynvml.nvmlEventTypeXidCriticalError, self._set)
        self.watched.add(uuid)


def counted(before: tuple[XidCount, ...], events: list[XidEvent], uuid: str, at: float) -> tuple[XidCount, ...]:
    """``before`` with those of ``events`` that are of the GPU ``uuid``, seen at ``at``; in the order of the numbers."""
    counts = {entry.xid: entry for entry in before}
    for event in events:
        if event.uuid == uuid:
            known = counts.get(event.xid)
            counts[event.xid] = XidCount(event.xid, (known.count if known else 0) + 1, at)
    return tuple(counts[xid] for xid in sorted(counts))
