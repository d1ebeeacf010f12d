"""The verdict: which plan a deployment gets on this host, and whether it fits."""

import dataclasses
from collections.abc import Iterable

from wan_tui.core.catalog import Model
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.config.settings import LimitSettings
from wan_tui.core.hardware.samples import GpuSample, HardwareSample, HostSample
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.memory import CUDA_CONTEXT_BYTES, GIB, estimate_memory, full_offload_floor_bytes
from wan_tui.core.planning.plan import Clip, Compatibility, ExecutionPlan, MemoryEstimate
from wan_tui.core.units import format_bytes
from wan_tui.core.words import OffloadMode, Precision, Verdict

# Below this share of the device a plan that fits is called tight: allocator slack takes 5 to 15 % of activations.
TIGHT_HEADROOM_RATIO = 0.05

# From fast to slow: the first that fits is taken.
_LADDER: tuple[tuple[OffloadMode, bool], ...] = (
    (OffloadMode.NONE, False),
    (OffloadMode.NONE, True),
    (OffloadMode.MODEL, False),
    (OffloadMode.MODEL, True),
    (OffloadMode.SEQUENTIAL, True),
)


def assess(
    model: Model,
    deployment: DeploymentSettings,
    hardware: HardwareSample,
    host: HostSample,
    own_pids: Iterable[int] = (),
) -> Compatibility:
    """Choose device and plan for the deployment's default clip and judge it.

    ``own_pids`` are worker processes of this engine: memory that they hold does not count as taken.
    """
    clip = default_clip(model, deployment.defaults)
    if deployment.profile == "cpu" or deployment.device == "cpu":
        return _assess_cpu(model, clip, host)
    if deployment.device == "auto" and not hardware.driver.present:
        return _assess_cpu(model, clip, host)
    own = frozenset(own_pids)
    if deployment.device == "auto":
        usable = [gpu for gpu in hardware.gpus if gpu.up and gpu.memory_total_bytes]
        if not usable:
            return _unknown(f"no GPU answers ({hardware.driver.message})")
        return _assess_gpu(model, clip, max(usable, key=lambda gpu: _available_bytes(gpu, own)), host, own)
    index = int(deployment.device.removeprefix("gpu:"))
    gpu = next((gpu for gpu in hardware.gpus if gpu.index == index), None)
    if gpu is None:
        if not hardware.driver.present or hardware.driver.up:
            known = ", ".join(f"gpu:{gpu.index}" for gpu in hardware.gpus) or "no GPU"
            reason = f"device {deployment.device} is not in this host (it has {known})"
            return Compatibility(verdict=Verdict.INCOMPATIBLE, reason=reason)
        return _unknown(f"{deployment.device} cannot be read ({hardware.driver.message})")
    if not gpu.up or not gpu.memory_total_bytes:
        return _unknown(f"{deployment.device} does not answer ({gpu.error or 'no memory reading'})")
    return _assess_gpu(model, clip, gpu, host, own)


def within_limits(hardware: HardwareSample, limits: LimitSettings) -> HardwareSample:
    """The GPUs as large as the configuration lets plans see them."""
    if limits.max_vram_gib is None:
        return hardware
    most = int(limits.max_vram_gib * GIB)
    gpus = (
        dataclasses.replace(gpu, memory_total_bytes=min(gpu.memory_total_bytes, most))
        if gpu.memory_total_bytes
        else gpu
        for gpu in hardware.gpus
    )
    return dataclasses.replace(hardware, gpus=tuple(gpus))


def _unknown(reason: str) -> Compatibility:
    return Compatibility(verdict=Verdict.UNKNOWN, reason=reason)


def _assess_cpu(model: Model, clip: Clip, host: HostSample) -> Compatibility:
    plan = ExecutionPlan(
        device="cpu",
        gpu_uuid=None,
        precision=Precision.FP32,
        vae_precision=Precision.FP32,
        offload=OffloadMode.NONE,
        vae_tiling=False,
    )
    memory = _memory(model, plan, clip)
    total, headroom = host.memory_total_bytes, host.memory_total_bytes - memory.peak_bytes
    free = format_bytes(host.memory_available_bytes)
    needs = f"needs {format_bytes(memory.peak_bytes)} of host memory in fp32"
    if headroom < 0:
        verdict, reason = Verdict.INCOMPATIBLE, f"{needs}, this host has {format_bytes(total)}"
    elif memory.peak_bytes > host.memory_available_bytes or headroom < TIGHT_HEADROOM_RATIO * total:
        verdict, reason = Verdict.TIGHT, f"{needs}, {free} of {format_bytes(total)} are free"
    else:
        verdict, reason = Verdict.FITS, f"{needs}, {free} are free"
    return Compatibility(verdict=verdict, reason=reason, plan=plan, memory=memory, headroom_bytes=headroom)


def _assess_gpu(model: Model, clip: Clip, gpu: GpuSample, host: HostSample, own: frozenset[int]) -> Compatibility:
    total = gpu.memory_total_bytes or 0
    where = f"gpu:{gpu.index} ({gpu.name}, {format_bytes(total)})"
    precision = _gpu_precision(gpu)
    floor = full_offload_floor_bytes(model, precision) + CUDA_CONTEXT_BYTES
    if floor > total:
        reason = (
            f"the largest weight of {model.id} and the CUDA context need {format_bytes(floor)}: "
            f"more than {where} has, even with full offload"
        )
        return Compatibility(verdict=Verdict.INCOMPATIBLE, reason=reason, headroom_bytes=total - floor)
    plan, memory = _first_that_fits(model, clip, gpu, precision, total)
    verdict, reason = _judge(plan, memory, where, total, _available_bytes(gpu, own), host)
    headroom = total - memory.peak_bytes
    return Compatibility(verdict=verdict, reason=reason, plan=plan, memory=memory, headroom_bytes=headroom)


def _judge(
    plan: ExecutionPlan, memory: MemoryEstimate, where: str, total: int, available: int, host: HostSample
) -> tuple[Verdict, str]:
    headroom = total - memory.peak_bytes
    peak = f"peak {format_bytes(memory.peak_bytes)} on {where}"
    if memory.host_bytes > host.memory_total_bytes:
        return Verdict.INCOMPATIBLE, (
            f"{plan.offload} offload keeps {format_bytes(memory.host_bytes)} of weights in host memory, "
            f"this host has {format_bytes(host.memory_total_bytes)}, and {where} cannot hold them"
        )
    if headroom < 0:
        return Verdict.TIGHT, f"the default clip needs {peak} even with {plan.offload} offload: only smaller clips fit"
    if memory.peak_bytes > available:
        return Verdict.TIGHT, f"{peak}, but other processes leave {format_bytes(available)}"
    if plan.offload is not OffloadMode.NONE:
        host_share = format_bytes(memory.host_bytes)
        return Verdict.OFFLOAD_REQUIRED, f"{peak} with {plan.offload} offload and {host_share} on the host"
    if headroom < TIGHT_HEADROOM_RATIO * total:
        return Verdict.TIGHT, f"{peak}, {format_bytes(headroom)} of headroom"
    return Verdict.FITS, f"{peak}, everything resident"


def _first_that_fits(
    model: Model, clip: Clip, gpu: GpuSample, precision: Precision, total: int
) -> tuple[ExecutionPlan, MemoryEstimate]:
    ladder = assess_ladder(model, precision, clip, device=f"gpu:{gpu.index}", gpu_uuid=gpu.uuid)
    return next((rung for rung in ladder if rung[1].peak_bytes <= total), ladder[-1])


def assess_ladder(
    model: Model, precision: Precision, clip: Clip | None = None, *, device: str = "gpu:0", gpu_uuid: str | None = None
) -> list[tuple[ExecutionPlan, MemoryEstimate]]:
    """Every plan for a GPU, from the fastest to the one that needs least memory, with the clip's memory.

    Without ``clip`` it is the model's default one.
    """
    clip = clip or default_clip(model)
    ladder = []
    for offload, tiling in _LADDER:
        plan = ExecutionPlan(
            device=device,
            gpu_uuid=gpu_uuid,
            precision=precision,
            vae_precision=Precision.FP32,
            offload=offload,
            vae_tiling=tiling,
        )
        ladder.append((plan, _memory(model, plan, clip)))
    return ladder


def _memory(model: Model, plan: ExecutionPlan, clip: Clip) -> MemoryEstimate:
    return estimate_memory(model, plan, clip.width, clip.height, clip.frames)


def _gpu_precision(gpu: GpuSample) -> Precision:
    """bf16 needs compute capability 8.0 (Ampere); older cards compute in fp16."""
    major = int(gpu.compute_capability.split(".")[0]) if gpu.compute_capability else 8
    return Precision.BF16 if major >= 8 else Precision.FP16


def _available_bytes(gpu: GpuSample, own: frozenset[int]) -> int:
    """Total memory minus what the driver and foreign processes hold."""
    ours = sum(p.used_memory_bytes or 0 for p in gpu.processes or () if p.pid in own)
    total = gpu.memory_total_bytes or 0
    free = gpu.memory_free_bytes if gpu.memory_free_bytes is not None else total
    return min(total, free + ours)
