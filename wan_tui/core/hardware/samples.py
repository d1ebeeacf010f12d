"""What the hardware said: frozen samples of GPUs, the driver and the host.

A field that a device does not support is ``None``: absent, never 0. Sizes are bytes, times Unix seconds.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """One process that holds memory on a GPU (``used_memory_bytes`` is None where the driver hides it)."""

    pid: int
    used_memory_bytes: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class XidCount:
    """How often the driver reported one Xid on a GPU since the engine started, and when last (Unix seconds)."""

    xid: int
    count: int
    last_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MigDevice:
    """One slice of a GPU in MIG mode. ``profile`` is like ``1g.10gb``."""

    uuid: str
    gpu_instance_id: int
    compute_instance_id: int
    profile: str
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """One reading of one GPU. A lost or hanging GPU stays in the list with ``up=False`` and the ``error``.

    ``xid_errors`` are kept then too, since they say why; None where the driver reports none for this device.
    """

    index: int
    uuid: str
    name: str
    up: bool
    sampled_at: float
    error: str | None = None
    pci_bus_id: str | None = None
    compute_capability: str | None = None
    mig_mode: str | None = None
    memory_total_bytes: int | None = None
    memory_used_bytes: int | None = None
    memory_reserved_bytes: int | None = None
    memory_free_bytes: int | None = None
    utilization_ratio: float | None = None
    memory_activity_ratio: float | None = None
    temperature_celsius: float | None = None
    memory_temperature_celsius: float | None = None
    temperature_slowdown_celsius: float | None = None
    temperature_shutdown_celsius: float | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    energy_joules: float | None = None
    fan_speed_ratio: float | None = None
    sm_clock_hertz: float | None = None
    sm_clock_max_hertz: float | None = None
    memory_clock_hertz: float | None = None
    memory_clock_max_hertz: float | None = None
    throttle_reasons: tuple[str, ...] | None = None
    ecc_corrected_errors: int | None = None
    ecc_uncorrected_errors: int | None = None
    remapped_rows_pending: bool | None = None
    remapped_rows_failure: bool | None = None
    pcie_link_generation: int | None = None
    pcie_link_width: int | None = None
    pcie_transmit_bytes: int | None = None
    pcie_receive_bytes: int | None = None
    nvlink_transmit_bytes: int | None = None
    nvlink_receive_bytes: int | None = None
    processes: tuple[GpuProcess, ...] | None = None
    recovery_action: str | None = None
    mig_devices: tuple[MigDevice, ...] | None = None
    xid_errors: tuple[XidCount, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverStatus:
    """State of the NVIDIA driver. A host without one (``present`` False) is a normal case."""

    present: bool
    up: bool
    message: str
    driver_version: str | None = None
    nvml_version: str | None = None
    cuda_driver_version: str | None = None
    stuck_calls: int = 0


@dataclass(frozen=True, slots=True)
class HardwareSample:
    """Everything one poll of the driver returned; GPUs are in NVML index order."""

    driver: DriverStatus
    gpus: tuple[GpuSample, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumeSample:
    """Free space of the file system that holds ``path`` (volume: models, outputs or cache)."""

    volume: str
    path: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSample:
    """The host as a device: the CPU runs models too, and offload needs its memory (cgroup-aware).

    ``matmul_flop_per_second``: operations a second of an fp32 matrix product on all processors, if it was measured.
    """

    hostname: str
    cpu_name: str
    cpu_count: int
    cpu_utilization_ratio: float | None
    memory_total_bytes: int
    memory_available_bytes: int
    sampled_at: float
    volumes: tuple[VolumeSample, ...] = ()
    matmul_flop_per_second: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PollerStatus:
    """One background loop (nvml, host, manager): how often, how well, how long."""

    poller: str
    interval_seconds: float
    polls: int
    failed_polls: int
    last_success_at: float | None
    last_duration_seconds: float | None
