"""A simulated NVIDIA driver: any number of GPUs on a machine without one, which fail and hang when told to.

    library = simnvml.build(directory)                    # the folder with a libnvidia-ml.so.1
    scenario = Scenario(gpus=[SimGpu(), SimGpu()])
    scenario.write(path)
    subprocess.Popen(…, env=simnvml.environment(library, path))
    scenario.gpus[1].lost = True                          # while the process runs
    scenario.write(path)

The dynamic loader reads LD_LIBRARY_PATH when a process starts, so it takes a process of its own to see these GPUs.
"""

import dataclasses
import functools
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

GIB = 1024**3
LIBRARY = "libnvidia-ml.so.1"
SOURCE = Path(__file__).with_name("simnvml.c")

# Some nvmlReturn_t, for ``errors``.
UNINITIALIZED = 1
NOT_SUPPORTED = 3
NO_PERMISSION = 4
DRIVER_NOT_LOADED = 9
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
LIB_RM_VERSION_MISMATCH = 18
UNKNOWN = 999


@dataclass
class SimProcess:
    """A process on a GPU; ``used_bytes`` None is memory that the driver does not tell, ``name`` None a hidden one."""

    pid: int
    used_bytes: int | None
    name: str | None = None
    graphics: bool = False


@dataclass
class SimSlice:
    """One MIG device of a GPU; ``index`` may leave gaps, as instances that were destroyed do."""

    index: int
    profile: str
    gpu_instance_id: int
    memory_total_bytes: int | None = 10 * GIB
    memory_used_bytes: int | None = 1 * GIB

    def lines(self, gpu: int, name: str) -> Iterator[str]:
        yield f"[mig {gpu} {self.index}]"
        yield f"uuid = MIG-{gpu:04x}{self.index:04x}-0000-4000-8000-000000000000"
        yield f"name = {name} MIG {self.profile}"
        yield f"gpu_instance_id = {self.gpu_instance_id}"
        yield "compute_instance_id = 0"
        for key in ("memory_total_bytes", "memory_used_bytes"):
            if (value := getattr(self, key)) is not None:
                yield f"{key} = {value}"


@dataclass
class SimGpu:
    """One GPU in NVML's own units; None is a field that it does not support.

    ``errors`` makes single functions fail (name -> nvmlReturn_t), ``hang`` names one that does not return as long as
    the scenario says so ("*": all of them), ``lost`` makes every call say that the GPU is lost.
    """

    name: str = "NVIDIA GeForce RTX 4090"
    uuid: str | None = None  # None: made from the index
    pci_bus_id: str | None = None  # likewise
    compute_capability: str | None = "8.9"
    memory_total_bytes: int | None = 24 * GIB
    memory_used_bytes: int | None = 1 * GIB
    memory_reserved_bytes: int | None = 512 * 1024**2
    utilization_percent: int | None = 42
    memory_activity_percent: int | None = 17
    temperature_celsius: int | None = 51
    temperature_slowdown_celsius: int | None = 88
    temperature_shutdown_celsius: int | None = 92
    memory_temperature_celsius: int | None = 64
    power_milliwatts: int | None = 123_456
    power_limit_milliwatts: int | None = 450_000
    energy_millijoules: int | None = 7_000_500
    fan_speed_percent: int | None = 35
    sm_clock_megahertz: int | None = 2520
    sm_clock_max_megahertz: int | None = 3105
    memory_clock_megahertz: int | None = 10501
    memory_clock_max_megahertz: int | None = 10501
    throttle_mask: int | None = 0
    ecc_corrected_errors: int | None = 0
    ecc_uncorrected_errors: int | None = 0
    remapped_rows_pending: int | None = 0
    remapped_rows_failure: int | None = 0
    pcie_link_generation: int | None = 4
    pcie_link_width: int | None = 16
    pcie_transmit_bytes: int | None = 3 * GIB
    pcie_receive_bytes: int | None = 90 * GIB
    pcie_counters_of_32_bits: int | None = None
    nvlink_transmit_kibibytes: int | None = 5
    nvlink_receive_kibibytes: int | None = 6
    mig_mode: int | None = None
    recovery_action: int | None = 0
    slices: list[SimSlice] = field(default_factory=list)
    xids: list[int] = field(default_factory=list)  # those appended while the process runs are new events
    processes: list[SimProcess] = field(default_factory=list)
    lost: bool = False
    hang: str | None = None
    errors: dict[str, int] = field(default_factory=dict)

    def _lines(self, index: int) -> Iterator[str]:
        special = {"processes", "lost", "errors", "slices", "xids"}
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in special}
        values["uuid"] = self.uuid or f"GPU-{index:08x}-0000-4000-8000-000000000000"
        values["pci_bus_id"] = self.pci_bus_id or f"00000000:{index + 1:02X}:00.0"
        yield f"[gpu {index}]"
        yield from (f"{key} = {value}" for key, value in values.items() if value is not None)
        for process in self.processes:
            used = "-" if process.used_bytes is None else process.used_bytes
            yield f"{'graphics' if process.graphics else 'compute'}_process = {process.pid} {used}"
        yield from (f"error.{function} = {code}" for function, code in self.errors.items())
        yield from (f"xid = {xid}" for xid in self.xids)
        if self.lost:
            yield f"error.* = {GPU_IS_LOST}"
        for part in self.slices:
            yield from part.lines(index, self.name)


@dataclass
class Scenario:
    """What the driver says; ``errors`` and ``hang`` as for a GPU, of the functions that no GPU is given to."""

    gpus: list[SimGpu] = field(default_factory=list)
    driver_version: str | None = "550.54.15"
    nvml_version: str | None = "12.550.54.15"
    cuda_version: int | None = 12040
    latency_milliseconds: int | None = None
    hang: str | None = None
    errors: dict[str, int] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Replace the scenario file atomically: a running simulated driver follows at its next call."""
        partial = path.with_suffix(".partial")
        partial.write_text("\n".join(self._lines()) + "\n")
        os.replace(partial, path)

    def _lines(self) -> Iterator[str]:
        yield "[driver]"
        for key in ("driver_version", "nvml_version", "cuda_version", "latency_milliseconds", "hang"):
            if (value := getattr(self, key)) is not None:
                yield f"{key} = {value}"
        yield from (f"error.{function} = {code}" for function, code in self.errors.items())
        names = {p.pid: p.name for gpu in self.gpus for p in gpu.processes if p.name}
        yield from (f"process_name.{pid} = {name}" for pid, name in names.items())
        for index, gpu in enumerate(self.gpus):
            yield from gpu._lines(index)


def compiler() -> str | None:
    """The C compiler, None on a machine without one (tests that need the simulator skip there)."""
    return shutil.which("cc")


@functools.cache
def build(directory: Path) -> Path:
    """Compile the simulated driver into ``directory``, once per process, and return the folder."""
    directory.mkdir(parents=True, exist_ok=True)
    output = ["-o", str(directory / LIBRARY), str(SOURCE), "-lpthread"]
    command = ["cc", "-O1", "-Wall", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}", *output]
    subprocess.run(command, check=True)
    return directory


def environment(library: Path, scenario: Path) -> dict[str, str]:
    """The environment of a process that is to see the GPUs of ``scenario``, with ``library`` from ``build``."""
    path = os.pathsep.join(filter(None, (str(library), os.environ.get("LD_LIBRARY_PATH"))))
    return {**os.environ, "LD_LIBRARY_PATH": path, "SIMNVML_SCENARIO": str(scenario)}


def environment_without_driver(directory: Path) -> dict[str, str]:
    """The environment of a process that finds no NVIDIA driver, not even this machine's own."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / LIBRARY).write_bytes(b"")  # the loader takes the first one that it finds, and this is no library
    return environment(directory, directory / "none")
