"""The parts that the fixed snapshots are made of: samples, plans, jobs, totals and the catalogue."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from wan_tui.core.hardware.samples import GpuProcess, GpuSample, HostSample, VolumeSample, XidCount
from wan_tui.core.planning.plan import (
    Bounds,
    Clip,
    ExecutionPlan,
    GenerationRequest,
    MemoryEstimate,
    PhaseMemory,
    StageSeconds,
    TimeEstimate,
)
from wan_tui.core.runtime.state import (
    DeploymentTotals,
    Histogram,
    Job,
    LabelledCount,
    LabelledHistogram,
    Preview,
    SkippedRule,
    ValidationStatus,
    WorkerStatus,
)
from wan_tui.core.snapshot import ComponentSize, ModelSummary, PollerStatus
from wan_tui.core.words import (
    STAGES,
    Basis,
    Expert,
    JobFailureReason,
    JobState,
    LoadFailureReason,
    OffloadMode,
    Phase,
    Precision,
    Resolution,
    RestartReason,
    UnloadCause,
)

AT = 1_764_000_000.0
"""When the snapshots are taken unless ``at`` says otherwise: 2025-11-24 16:00:00 UTC."""

GIB = 2**30
MIB = 2**20

LOAD_BOUNDS = (5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1200.0)
QUEUE_BOUNDS = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0)
GENERATION_BOUNDS = tuple(
    float(s) for s in (10, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1200, 1800, 3600, 7200)
)
RATIO_BOUNDS = (0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 3.0)
STAGE_BOUNDS = (0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
STEP_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)


# --- parts ----------------------------------------------------------------------------------------------------------


def host(at: float = AT, cpus: int = 8, memory: int = 32 * GIB) -> HostSample:
    return HostSample(
        hostname="render-01",
        cpu_name="AMD EPYC 9654",
        cpu_count=cpus,
        cpu_utilization_ratio=0.21,
        memory_total_bytes=memory,
        memory_available_bytes=memory * 3 // 4,
        sampled_at=at - 0.5,
        volumes=(
            VolumeSample("models", "/var/lib/wan/models", 2048 * GIB, 812 * GIB),
            VolumeSample("outputs", "/var/lib/wan/outputs", 512 * GIB, 96 * GIB),
        ),
    )


def poller(
    name: str, at: float = AT, *, interval: float = 5.0, polls: int = 100, failed: int = 0, duration: float = 0.012
) -> PollerStatus:
    return PollerStatus(
        poller=name,
        interval_seconds=interval,
        polls=polls,
        failed_polls=failed,
        last_success_at=at - 0.5,
        last_duration_seconds=duration,
    )


def h100(index: int, at: float = AT) -> GpuSample:
    """An idle H100 SXM: passive, so without a fan."""
    total, reserved, used = 81_559 * MIB, 551 * MIB, 4 * MIB
    return GpuSample(
        index=index,
        uuid=f"GPU-0000000{index}-1111-4222-8333-444444444444",
        name="NVIDIA H100 80GB HBM3",
        up=True,
        sampled_at=at - 0.5,
        pci_bus_id=f"00000000:{0x18 + index * 8:02X}:00.0",
        compute_capability="9.0",
        mig_mode="disabled",
        memory_total_bytes=total,
        memory_used_bytes=used,
        memory_reserved_bytes=reserved,
        memory_free_bytes=total - reserved - used,
        utilization_ratio=0.0,
        memory_activity_ratio=0.0,
        temperature_celsius=34.0 + index,
        memory_temperature_celsius=41.0 + index,
        temperature_slowdown_celsius=87.0,
        temperature_shutdown_celsius=92.0,
        power_watts=72.5,
        power_limit_watts=700.0,
        energy_joules=1_234_567.5,
        sm_clock_hertz=1_980e6,
        sm_clock_max_hertz=1_980e6,
        memory_clock_hertz=2_619e6,
        memory_clock_max_hertz=2_619e6,
        throttle_reasons=("gpu_idle",),
        ecc_corrected_errors=0,
        ecc_uncorrected_errors=0,
        remapped_rows_pending=False,
        remapped_rows_failure=False,
        pcie_link_generation=5,
        pcie_link_width=16,
        pcie_transmit_bytes=3 * GIB,
        pcie_receive_bytes=120 * GIB,
        nvlink_transmit_bytes=0,
        nvlink_receive_bytes=0,
        processes=(),
        recovery_action="none",
        xid_errors=(),
    )


def holding(gpu: GpuSample, *processes: GpuProcess) -> GpuSample:
    """``gpu`` with ``processes`` on it and their memory counted as used."""
    used = (gpu.memory_used_bytes or 0) + sum(process.used_memory_bytes or 0 for process in processes)
    total, reserved = gpu.memory_total_bytes or 0, gpu.memory_reserved_bytes or 0
    return replace(
        gpu,
        processes=processes,
        memory_used_bytes=used,
        memory_free_bytes=total - reserved - used,
        throttle_reasons=("sw_power_cap",),
        temperature_celsius=68.0,
    )


def lost(gpu: GpuSample, at: float = AT) -> GpuSample:
    """``gpu`` after it fell off the bus: what it is stays known, what it does is not."""
    return GpuSample(
        index=gpu.index,
        uuid=gpu.uuid,
        name=gpu.name,
        up=False,
        sampled_at=at - 900,
        error="GPU is lost: it has fallen off the bus",
        pci_bus_id=gpu.pci_bus_id,
        compute_capability=gpu.compute_capability,
        xid_errors=(XidCount(79, 1, at - 900),),
    )


def gpu_plan(gpu: GpuSample, *, offload: OffloadMode = OffloadMode.NONE, tiling: bool = False) -> ExecutionPlan:
    return ExecutionPlan(
        device=f"gpu:{gpu.index}",
        gpu_uuid=gpu.uuid,
        precision=Precision.BF16,
        vae_precision=Precision.FP32,
        offload=offload,
        vae_tiling=tiling,
    )


def cpu_plan() -> ExecutionPlan:
    return ExecutionPlan(
        device="cpu",
        gpu_uuid=None,
        precision=Precision.FP32,
        vae_precision=Precision.FP32,
        offload=OffloadMode.NONE,
        vae_tiling=False,
    )


def memory_estimate(loaded: int, peak: int, plan_phase: Phase, host: int = 2 * GIB) -> MemoryEstimate:
    """An estimate whose peak is in ``plan_phase``."""
    context = min(loaded, GIB // 2)
    phases = tuple(
        PhaseMemory(
            phase=phase,
            weights_bytes=loaded - context,
            activation_bytes=(peak - loaded) // (1 if phase is plan_phase else 4),
            context_bytes=context,
        )
        for phase in (Phase.TEXT_ENCODE, Phase.DENOISE_HIGH_NOISE, Phase.DENOISE_LOW_NOISE, Phase.VAE_DECODE)
    )
    return MemoryEstimate(basis=Basis.MODELLED, loaded_bytes=loaded, peak_bytes=peak, host_bytes=host, phases=phases)


def time_estimate(seconds: float, basis: Basis = Basis.MODELLED) -> TimeEstimate:
    shares = {
        Phase.TEXT_ENCODE: 0.02,
        Phase.DENOISE_HIGH_NOISE: 0.5,
        Phase.DENOISE_LOW_NOISE: 0.4,
        Phase.VAE_DECODE: 0.07,
        Phase.WRITE_OUTPUT: 0.01,
    }
    return TimeEstimate(
        basis=basis,
        total_seconds=Bounds(seconds * 0.9, seconds, seconds * 1.2),
        stages=tuple(StageSeconds(stage, seconds * share) for stage, share in shares.items()),
    )


def request(deployment: str, prompt: str, width: int, height: int, frames: int, steps: int) -> GenerationRequest:
    return GenerationRequest(
        deployment=deployment,
        prompt=prompt,
        width=width,
        height=height,
        frames=frames,
        steps=steps,
        guidance=4.0,
        seed=42,
    )


def finished_job(id: str, deployment: str, started: float, seconds: float, output: str, steps: int = 4) -> Job:
    return Job(
        id=id,
        request=request(deployment, "a green triangle moving left", 64, 64, 17, steps),
        state=JobState.FINISHED,
        submitted_at=started - 0.2,
        started_at=started,
        ended_at=started + seconds,
        step=steps,
        progress_ratio=1.0,
        estimate=time_estimate(seconds * 0.95),
        step_seconds=seconds / steps,
        stages=time_estimate(seconds).stages,
        observed_seconds=seconds,
        output=output,
    )


def preview(width: int, height: int) -> Preview:
    """A diagonal gradient, so that a turned or mirrored picture shows."""
    rgb = bytes(
        channel
        for y in range(height)
        for x in range(width)
        for channel in (255 * x // (width - 1), 255 * y // (height - 1), 96)
    )
    return Preview(width, height, base64.b64encode(rgb).decode("ascii"))


def gpu_worker(pid: int, at: float, *, allocated: int, reserved: int, peak: int) -> WorkerStatus:
    return WorkerStatus(
        pid=pid,
        up=True,
        started_at=at - 7_300,
        last_progress_at=at - 4,
        resident_memory_bytes=9 * GIB,
        device_allocated_bytes=allocated,
        device_reserved_bytes=reserved,
        device_peak_bytes=peak,
        torch_version="2.13.0+cu130",
        diffusers_version="0.42.1",
        transformers_version="5.23.0",
        cuda_version="13.0",
    )


# --- totals ---------------------------------------------------------------------------------------------------------


def labelled(words: Iterable[StrEnum], values: dict[Any, float] | None = None) -> tuple[LabelledCount, ...]:
    """One count per word, 0 where ``values`` has none."""
    return tuple(LabelledCount(word.value, (values or {}).get(word, 0)) for word in words)


def histogram(bounds: tuple[float, ...], values: Sequence[float] = ()) -> Histogram:
    """The histogram of ``values``; counts are per bucket."""
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[next((i for i, bound in enumerate(bounds) if value <= bound), len(bounds))] += 1
    return Histogram(bounds, tuple(counts), float(sum(values)))


def no_totals() -> DeploymentTotals:
    """A deployment that never did anything: every bounded label is there, at 0."""
    return DeploymentTotals(
        loads=0,
        load_failures=labelled(LoadFailureReason),
        unloads=labelled(UnloadCause),
        worker_restarts=labelled(RestartReason),
        jobs_finished=0,
        jobs_cancelled=0,
        jobs_failed=labelled(JobFailureReason),
        out_of_memory=labelled(Phase),
        video_seconds=0.0,
        load_seconds=histogram(LOAD_BOUNDS),
        queue_seconds=histogram(QUEUE_BOUNDS),
        generation_seconds=tuple(LabelledHistogram(word, histogram(GENERATION_BOUNDS)) for word in Resolution),
        generation_estimated_seconds=labelled(Resolution),
        estimate_error_ratio=histogram(RATIO_BOUNDS),
        stage_seconds=tuple(LabelledHistogram(word, histogram(STAGE_BOUNDS)) for word in STAGES),
        step_seconds=tuple(LabelledHistogram(word, histogram(STEP_BOUNDS)) for word in Expert),
    )


def busy_totals(
    *, jobs: int, seconds: float, estimated: float, resolution: Resolution, load_seconds: float
) -> DeploymentTotals:
    """One load, then ``jobs`` equal generations of ``seconds`` each that were estimated at ``estimated``."""
    shares = {stage.stage: stage.seconds for stage in time_estimate(seconds).stages}
    return replace(
        no_totals(),
        loads=1,
        jobs_finished=jobs,
        jobs_cancelled=1,
        video_seconds=jobs * 5.0,
        load_seconds=histogram(LOAD_BOUNDS, [load_seconds]),
        queue_seconds=histogram(QUEUE_BOUNDS, [0.4] * jobs),
        generation_seconds=tuple(
            LabelledHistogram(word, histogram(GENERATION_BOUNDS, [seconds] * jobs if word is resolution else []))
            for word in Resolution
        ),
        generation_estimated_seconds=labelled(Resolution, {resolution: estimated * jobs}),
        estimate_error_ratio=histogram(RATIO_BOUNDS, [seconds / estimated] * jobs),
        stage_seconds=tuple(
            LabelledHistogram(word, histogram(STAGE_BOUNDS, [shares[word]] * jobs if word in shares else []))
            for word in STAGES
        ),
        step_seconds=(
            LabelledHistogram(Expert.HIGH_NOISE, histogram(STEP_BOUNDS, [seconds / 40] * 16 * jobs)),
            LabelledHistogram(Expert.LOW_NOISE, histogram(STEP_BOUNDS, [seconds / 45] * 24 * jobs)),
        ),
    )


# --- catalogue ------------------------------------------------------------------------------------------------------


def _wan(
    id: str, task: str, experts: int, parameters: int, size: tuple[int, int], frames: int, fps: int
) -> ModelSummary:
    return ModelSummary(
        id=id,
        title=f"Wan 2.2 {task} {id.split('-')[1]}",
        task=task,
        repository=f"Wan-AI/Wan2.2-{id.upper()}-Diffusers",
        parameters=parameters,
        components=(
            *(ComponentSize(name, parameters // experts * 4) for name in ("transformer", "transformer_2")[:experts]),
            ComponentSize("text_encoder", 11_361_845_248),
            ComponentSize("vae", 507_591_892 if experts == 2 else 2_818_760_536),
        ),
        size_multiple=16 if experts == 2 else 32,
        default_width=size[0],
        default_height=size[1],
        default_frames=frames,
        default_steps=40 if experts == 2 else 50,
        default_guidance=4.0 if experts == 2 else 5.0,
        max_frames=frames,
        max_pixels=1280 * 720,
        fps=fps,
    )


MODELS: tuple[ModelSummary, ...] = (
    _wan("t2v-A14B", "text-to-video", 2, 28_576_983_168, (832, 480), 81, 16),
    _wan("i2v-A14B", "image-to-video", 2, 28_577_802_368, (832, 480), 81, 16),
    _wan("ti2v-5B", "text-and-image-to-video", 1, 4_999_787_712, (1280, 704), 121, 24),
    ModelSummary(
        id="t2v-pocket",
        title="Pocket text-to-video, two experts as A14B",
        task="text-to-video",
        repository="wan-tui/t2v-pocket",
        parameters=3_081_419,
        components=(
            ComponentSize("transformer", 2_340_704),
            ComponentSize("transformer_2", 2_340_704),
            ComponentSize("text_encoder", 175_904),
            ComponentSize("vae", 1_351_518),
        ),
        size_multiple=16,
        default_width=64,
        default_height=64,
        default_frames=9,
        default_steps=4,
        default_guidance=4.0,
        max_frames=81,
        max_pixels=256 * 256,
        fps=16,
    ),
)


T2V_CLIP = Clip(width=832, height=480, frames=81, steps=40, guidance=4.0)
TI2V_CLIP = Clip(width=1280, height=704, frames=121, steps=50, guidance=5.0)


def validated(
    at: float, *, passed: tuple[str, ...] = (), failed: tuple[str, ...] = (), skipped: tuple[str, ...] = ()
) -> ValidationStatus:
    """Validated once, five minutes before ``at``."""
    return ValidationStatus(
        passed=passed,
        failed=failed,
        skipped=tuple(SkippedRule(code, "no checkpoint on this host") for code in skipped),
        runs=1,
        last_run_at=at - 300,
        last_duration_seconds=0.25,
    )
