"""Hosts, GPUs, clips and plans for planning tests."""

import dataclasses

from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.catalog.gpus import GpuModel, gpu_table
from wan_tui.core.catalog.profiles import find_profile
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.hardware.samples import DriverStatus, GpuProcess, GpuSample, HardwareSample, HostSample
from wan_tui.core.planning.assess import assess
from wan_tui.core.planning.plan import Clip, Compatibility, ExecutionPlan
from wan_tui.core.planning.planner import HostRoom, Room, Task
from wan_tui.core.words import OffloadMode, Precision

GIB = 2**30
CATALOGUE = load_catalogue()
AMPLE_HOST = HostRoom(1 << 50, 1 << 50)
# Cards whose tensor cores are NVIDIA's: the table also has others, for the benchmark.
CARDS = tuple(card for card in gpu_table() if not card.architecture.startswith("cdna"))


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


def card_sample(card: GpuModel, *, index: int = 0, used_gib: float = 0.5, **changes: object) -> GpuSample:
    """A known card, as the driver would report it."""
    capability = "{}.{}".format(*card.compute_capability)
    free = max(card.memory_bytes - int(used_gib * GIB), 0)
    values = {
        "name": card.name,
        "compute_capability": capability,
        "memory_total_bytes": card.memory_bytes,
        "memory_free_bytes": free,
    }
    return gpu(1, index=index, **{**values, **changes})


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


def judged(
    model: str, machine: HardwareSample, memory: HostSample, *, own_pids: tuple[int, ...] = (), **deployment: object
) -> Compatibility:
    """The verdict for a deployment with these settings."""
    settings = DeploymentSettings(model=model, **deployment)  # type: ignore[arg-type]
    return assess(CATALOGUE.find(model), settings, machine, memory, own_pids=own_pids)


def room(card: GpuModel, *, free_bytes: int | None = None) -> Room:
    free = card.memory_bytes if free_bytes is None else free_bytes
    return Room(device="gpu:0", uuid="GPU-0", total_bytes=card.memory_bytes, free_bytes=free, gpu=card)


def clip(width: int = 832, height: int = 480, frames: int = 81, *, steps: int = 40, guidance: float = 4.0) -> Clip:
    return Clip(width=width, height=height, frames=frames, steps=steps, guidance=guidance)


def default_of(model: Model) -> Clip:
    width, height = model.default_size
    return clip(width, height, model.default_frames, steps=model.default_steps, guidance=model.default_guidance)


def task(model: str, wanted: Clip | None = None, *, profile: str = "auto", **changes: object) -> Task:
    entry = CATALOGUE.find(model)
    made = Task(model=entry, clip=wanted or default_of(entry), profile=find_profile(profile))
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def plan(offload: OffloadMode = OffloadMode.NONE, *, tiling: bool = False, **changes: object) -> ExecutionPlan:
    made = ExecutionPlan(
        device="gpu:0",
        gpu_uuid="GPU-0",
        precision=Precision.BF16,
        vae_precision=Precision.FP32,
        offload=offload,
        vae_tiling=tiling,
        offload_stream=offload in (OffloadMode.GROUP_BLOCK, OffloadMode.GROUP_LEAF),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


__all__ = [
    "AMPLE_HOST",
    "CARDS",
    "CATALOGUE",
    "GIB",
    "NO_DRIVER",
    "GpuProcess",
    "card_sample",
    "clip",
    "default_of",
    "gpu",
    "hardware",
    "host",
    "judged",
    "plan",
    "room",
    "task",
]
