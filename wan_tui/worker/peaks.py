"""The most memory that this process held, phase by phase: torch's counters, the driver's, and the kernel's."""

import ctypes
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import torch

from wan_tui.core.runtime.benching import DeviceBasis, PeakMemory

SAMPLE_SECONDS = 0.05


class PeakMeter:
    """Peaks since the last ``restart``. On CUDA torch's counters are exact and NVML is sampled every 50 ms.

    Resident memory is exact where the kernel lets a process reset its high-water mark (Linux), else sampled as well.
    """

    def __init__(self, device: torch.device, gpu_uuid: str | None) -> None:
        """Growth counts from here: make it before anything is loaded."""
        self._device = device
        self._process = psutil.Process()
        self._before_bytes = self._process.memory_info().rss
        self._driver = _DriverMemory(gpu_uuid) if device.type == "cuda" and gpu_uuid else None
        if device.type == "cuda":
            torch.cuda.init()  # after the driver was asked what others hold: the context is ours
        self._lock = threading.Lock()
        self._resident = self._driver_peak = 0
        self._exact = False
        self.restart()
        threading.Thread(target=self._sample, name="peaks", daemon=True).start()

    def restart(self) -> None:
        """Forget the peaks; what is held now is where the next begin."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            _give_back()
        self._exact = _reset_high_water()
        with self._lock:
            self._resident = self._driver_peak = 0
        self._look()

    def peak(self) -> PeakMemory:
        """Peaks since the last restart."""
        self._look()
        with self._lock:
            resident, driver = self._resident, self._driver_peak
        if self._exact and (highest := _high_water()) is not None:
            resident = max(resident, highest)
        growth = max(resident - self._before_bytes, 0)
        if self._device.type != "cuda":
            return PeakMemory(resident_growth_bytes=growth)
        return PeakMemory(
            allocated_bytes=torch.cuda.max_memory_allocated(self._device),
            reserved_bytes=torch.cuda.max_memory_reserved(self._device),
            driver_bytes=driver or None,
            driver_basis=self._driver.basis if self._driver and driver else None,
            resident_growth_bytes=growth,
        )

    def _look(self) -> None:
        resident = self._process.memory_info().rss
        driver = self._driver.used_bytes() if self._driver else None
        with self._lock:
            self._resident = max(self._resident, resident)
            self._driver_peak = max(self._driver_peak, driver or 0)

    def _sample(self) -> None:
        pause = threading.Event()
        while not pause.wait(SAMPLE_SECONDS):
            self._look()


class _DriverMemory:
    """What NVML says that this process holds on one GPU.

    In a container NVML may name processes by other ids, or hide what they hold: then what the whole device holds above
    what it did at the beginning stands in for it.
    """

    def __init__(self, gpu_uuid: str) -> None:
        self.basis = DeviceBasis.PROCESS
        self._nvml: Any = None
        with suppress(Exception):  # no library, no driver, no such card: then there is no figure
            import pynvml

            pynvml.nvmlInit()
            self._handle = pynvml.nvmlDeviceGetHandleByUUID(gpu_uuid)
            self._before_bytes = int(pynvml.nvmlDeviceGetMemoryInfo(self._handle).used)
            self._nvml = pynvml

    def used_bytes(self) -> int | None:
        if self._nvml is None:
            return None
        try:
            for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle):
                if process.pid == os.getpid() and process.usedGpuMemory:
                    self.basis = DeviceBasis.PROCESS
                    return int(process.usedGpuMemory)
            self.basis = DeviceBasis.DEVICE_GROWTH
            return max(int(self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used) - self._before_bytes, 0)
        except self._nvml.NVMLError:
            return None


def _give_back() -> None:
    """Let the C library return what it keeps of freed memory, so that a phase does not count the one before (glibc)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _reset_high_water() -> bool:
    """Let the kernel's peak of resident memory begin anew (proc(5), clear_refs). False where it cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _high_water() -> int | None:
    """The kernel's peak of resident memory in bytes."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
