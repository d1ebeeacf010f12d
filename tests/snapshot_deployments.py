"""The deployments of the host with eight GPUs."""

from dataclasses import replace

from tests.snapshot_parts import (
    GIB,
    T2V_CLIP,
    TI2V_CLIP,
    busy_totals,
    gpu_plan,
    gpu_worker,
    labelled,
    memory_estimate,
    no_totals,
    validated,
)
from wan_tui.core.hardware.samples import GpuSample
from wan_tui.core.planning.plan import (
    Compatibility,
)
from wan_tui.core.runtime.state import (
    DeploymentStatus,
)
from wan_tui.core.words import (
    JobFailureReason,
    LoadFailureReason,
    LoadState,
    Phase,
    Resolution,
    Verdict,
)

# --- situations -----------------------------------------------------------------------------------------------------


def story_deployment(gpu: GpuSample, at: float) -> DeploymentStatus:
    return DeploymentStatus(
        name="story",
        model="t2v-A14B",
        defaults=T2V_CLIP,
        validation=validated(at, passed=("WAN001", "WAN003", "WAN301", "WAN401")),
        profile="resident-bf16",
        wanted_loaded=True,
        state=LoadState.LOADED,
        state_changed_at=at - 7_200,
        compatibility=Compatibility(
            verdict=Verdict.FITS,
            reason="needs 70.9 GiB at the peak of 79.6 GiB",
            plan=gpu_plan(gpu),
            memory=memory_estimate(int(64.4 * GIB), int(70.9 * GIB), Phase.DENOISE_HIGH_NOISE),
            headroom_bytes=int(8.7 * GIB),
        ),
        totals=busy_totals(jobs=12, seconds=1190.0, estimated=1150.0, resolution=Resolution.P720, load_seconds=74.0),
        worker=gpu_worker(5001, at, allocated=int(66.1 * GIB), reserved=int(69.8 * GIB), peak=int(69.0 * GIB)),
        phase=Phase.DENOISE_HIGH_NOISE,
        running_job="job-102",
        queued_jobs=1,
        oldest_queued_at=at - 120,
        last_load_seconds=74.0,
        last_generation_seconds=1190.0,
        last_estimated_seconds=1150.0,
    )


def photo_deployment(gpu: GpuSample, at: float) -> DeploymentStatus:
    return replace(
        story_deployment(gpu, at),
        name="photo",
        model="i2v-A14B",
        compatibility=Compatibility(
            verdict=Verdict.TIGHT,
            reason="needs 71.3 GiB at the peak; another process holds 3.0 GiB, 1.9 GiB to spare",
            plan=gpu_plan(gpu),
            memory=memory_estimate(int(64.9 * GIB), int(71.3 * GIB), Phase.DENOISE_LOW_NOISE),
            headroom_bytes=int(1.9 * GIB),
        ),
        totals=busy_totals(jobs=5, seconds=402.0, estimated=330.0, resolution=Resolution.P480, load_seconds=81.0),
        worker=gpu_worker(5002, at, allocated=int(64.8 * GIB), reserved=int(68.9 * GIB), peak=int(68.2 * GIB)),
        phase=Phase.IDLE,
        running_job=None,
        queued_jobs=0,
        oldest_queued_at=None,
        last_load_seconds=81.0,
        last_generation_seconds=402.0,
        last_estimated_seconds=330.0,
    )


def draft_deployment(gpu: GpuSample, at: float) -> DeploymentStatus:
    return DeploymentStatus(
        name="draft",
        model="ti2v-5B",
        defaults=TI2V_CLIP,
        validation=validated(at, passed=("WAN001", "WAN003", "WAN301"), skipped=("WAN401",)),
        profile="auto",
        wanted_loaded=False,
        state=LoadState.UNLOADED,
        state_changed_at=at - 86_000,
        compatibility=Compatibility(
            verdict=Verdict.FITS,
            reason="needs 29.0 GiB at the peak of 79.6 GiB",
            plan=gpu_plan(gpu),
            memory=memory_estimate(int(22.5 * GIB), int(29.0 * GIB), Phase.VAE_DECODE),
            headroom_bytes=int(50.6 * GIB),
        ),
        totals=no_totals(),
    )


def archive_deployment(gpu: GpuSample, at: float) -> DeploymentStatus:
    return replace(
        draft_deployment(gpu, at),
        name="archive",
        wanted_loaded=True,
        state=LoadState.FAILED,
        state_changed_at=at - 900,
        compatibility=Compatibility(
            verdict=Verdict.UNKNOWN,
            reason="GPU 6 is lost: its memory cannot be read",
            plan=gpu_plan(gpu),
            memory=memory_estimate(int(22.5 * GIB), int(29.0 * GIB), Phase.VAE_DECODE),
        ),
        failure="the worker exited with signal 9 (GPU 6 is lost)",
        totals=replace(
            busy_totals(jobs=3, seconds=615.0, estimated=600.0, resolution=Resolution.P720, load_seconds=31.0),
            jobs_failed=labelled(JobFailureReason, {JobFailureReason.WORKER_DIED: 1}),
            loads=3,
            load_failures=labelled(LoadFailureReason, {LoadFailureReason.WORKER_DIED: 2}),
        ),
        last_load_seconds=31.0,
        last_generation_seconds=615.0,
        last_estimated_seconds=600.0,
    )
