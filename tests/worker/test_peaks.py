"""Peaks of memory, phase by phase: of this process on a processor, and as the driver tells them."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from wan_tui.core.runtime.benching import DeviceBasis
from wan_tui.worker.peaks import _DriverMemory

MIB = 1 << 20


# In a process of its own: one that ran other tests has pages to reuse, and grows by less than it allocates.
GROWTH = """
import torch
from wan_tui.worker.peaks import PeakMeter
MIB = 1 << 20
meter = PeakMeter(torch.device("cpu"), None)
kept = torch.ones(64 * MIB, dtype=torch.uint8)
passing = torch.ones(128 * MIB, dtype=torch.uint8)
del passing
with_passing = meter.peak().resident_growth_bytes
meter.restart()
peak = meter.peak()
assert peak.allocated_bytes is None, "torch counts nothing on a processor"
print(with_passing, peak.resident_growth_bytes, len(kept))
"""


def test_a_phase_has_its_own_peak_on_top_of_what_is_kept() -> None:
    run = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    with_passing, without, kept = map(int, run.stdout.split())
    # The kernel counts pages in batches.
    assert 160 * MIB < with_passing < 240 * MIB
    assert kept - 8 * MIB < without < 96 * MIB


class FakeNvml(SimpleNamespace):
    """One card whose memory and processes a test sets."""

    NVMLError = RuntimeError

    def __init__(self) -> None:
        super().__init__(used=1000, processes=[], broken=False)

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(used=self.used)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        if self.broken:
            raise self.NVMLError("lost")
        return list(self.processes)


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)  # type: ignore[arg-type]
    return fake


def test_the_driver_tells_what_this_process_holds(nvml: FakeNvml) -> None:
    memory = _DriverMemory("GPU-1")
    nvml.processes = [SimpleNamespace(pid=1, usedGpuMemory=7), SimpleNamespace(pid=os.getpid(), usedGpuMemory=500)]
    assert (memory.used_bytes(), memory.basis) == (500, DeviceBasis.PROCESS)


def test_in_a_container_the_growth_of_the_device_stands_in(nvml: FakeNvml) -> None:
    memory = _DriverMemory("GPU-1")
    nvml.used = 1700
    nvml.processes = [SimpleNamespace(pid=-5, usedGpuMemory=600)]
    assert (memory.used_bytes(), memory.basis) == (700, DeviceBasis.DEVICE_GROWTH)


def test_a_driver_that_fails_or_is_missing_gives_no_figure(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = _DriverMemory("GPU-1")
    nvml.broken = True
    assert memory.used_bytes() is None
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert _DriverMemory("GPU-1").used_bytes() is None
