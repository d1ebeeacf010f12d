"""Hosts and GPUs for planning tests."""

from wan_tui.core.hardware.samples import DriverStatus, GpuProcess, GpuSample, HardwareSample, HostSample

GIB = 2**30


def gpu(gib: float, *, index: int = 0, used_gib: float = 0.5, **changes: object) -> GpuSample:
    total, used = int(gib * GIB), int(used_gib * GIB)
    values: dict[str, object] = {
        "index": index,
        "uuid": f"GPU-{index}",
        "name": f"Test {gib:g}",
        "up": True,
        "sampled_at": 0.0,
        "compute_capability": "8.9",
        "memory_total_bytes": total,
        "memory_used_bytes": used,
        "memory_free_bytes": total - used,
    }
    return GpuSample(**{**values, **changes})  # type: ignore[arg-type]


def host(gib: float, available_gib: float | None = None) -> HostSample:
    return HostSample(
        hostname="h",
        cpu_name="c",
        cpu_count=8,
        cpu_utilization_ratio=0.0,
        memory_total_bytes=int(gib * GIB),
        memory_available_bytes=int((gib if available_gib is None else available_gib) * GIB),
        sampled_at=0.0,
    )


def hardware(*gpus: GpuSample, up: bool = True) -> HardwareSample:
    return HardwareSample(DriverStatus(present=True, up=up, message="driver 580" if up else "driver is dead"), gpus)


NO_DRIVER = HardwareSample(DriverStatus(present=False, up=False, message="no NVIDIA driver"))

__all__ = ["GIB", "NO_DRIVER", "GpuProcess", "gpu", "hardware", "host"]
