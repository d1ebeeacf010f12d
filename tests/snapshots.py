"""Realistic fixed snapshots for tests: one function per situation, the same bytes on every call.

``empty_host()``            no NVIDIA driver, no deployment: a fresh install on a CPU machine
``pocket_running()``        CPU host, the pocket deployment loaded, its job at step 2 of 4 with a preview
``eight_gpus_one_lost()``   eight H100, GPU 6 off the bus; four deployments, one generating, one failed with its GPU
``incompatible()``          one RTX 4080; a wanted deployment that cannot fit, and one that fits with offload

Every function takes ``at`` (Unix seconds) for tests that need a snapshot taken now.
"""

from dataclasses import replace

from tests.snapshot_deployments import archive_deployment, draft_deployment, photo_deployment, story_deployment
from tests.snapshot_parts import (
    AT,
    GIB,
    MIB,
    MODELS,
    T2V_CLIP,
    TI2V_CLIP,
    busy_totals,
    cpu_plan,
    finished_job,
    gpu_plan,
    h100,
    holding,
    host,
    labelled,
    lost,
    memory_estimate,
    no_totals,
    poller,
    preview,
    request,
    time_estimate,
    validated,
)
from wan_tui.core.hardware.samples import DriverStatus, GpuProcess
from wan_tui.core.planning.plan import (
    Clip,
    Compatibility,
    Remedy,
    StageSeconds,
)
from wan_tui.core.runtime.state import (
    DeploymentStatus,
    EventLog,
    Job,
    JobFailure,
    LogEvent,
    WorkerStatus,
)
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.validation.findings import Finding
from wan_tui.core.words import (
    Basis,
    JobFailureReason,
    JobState,
    LoadFailureReason,
    LoadState,
    OffloadMode,
    Phase,
    Resolution,
    Severity,
    Verdict,
)

# --- situations -----------------------------------------------------------------------------------------------------


def empty_host(at: float = AT) -> Snapshot:
    """A CPU machine on which nothing is configured: no driver, no GPU, no deployment, no job."""
    return Snapshot(
        number=1,
        taken_at=at,
        started_at=at - 12,
        version="0.1.0",
        host=host(at),
        driver=DriverStatus(present=False, up=False, message="no NVIDIA driver on this host"),
        gpus=(),
        models=MODELS,
        deployments=(),
        jobs=(),
        log=EventLog(events=(LogEvent(at - 12, "info", "engine", "started"),)),
        pollers=(poller("host", at), poller("manager", at)),
        output_directory="/var/lib/wan/outputs",
    )


def pocket_running(at: float = AT) -> Snapshot:
    """The pocket model on the CPU, generating its second clip: step 2 of 4, with a preview."""
    plan = cpu_plan()
    memory = memory_estimate(loaded=18 * MIB, peak=96 * MIB, plan_phase=Phase.DENOISE_HIGH_NOISE)
    running = Job(
        id="job-2",
        request=request("pocket", "a red circle moving right on a black background", 64, 64, 17, 4),
        state=JobState.RUNNING,
        submitted_at=at - 3.0,
        started_at=at - 2.0,
        phase=Phase.DENOISE_LOW_NOISE,
        step=2,
        progress_ratio=0.5,
        estimate=time_estimate(4.0, Basis.CALIBRATED),
        estimated_end_at=at + 2.0,
        step_seconds=0.6,
        stages=(StageSeconds(Phase.TEXT_ENCODE, 0.1), StageSeconds(Phase.DENOISE_HIGH_NOISE, 1.2)),
        preview=preview(16, 16),
    )
    queued = Job(
        id="job-3",
        request=request("pocket", "a blue square moving up", 64, 64, 17, 4),
        state=JobState.QUEUED,
        submitted_at=at - 1.5,
        estimate=time_estimate(4.0, Basis.CALIBRATED),
        estimated_end_at=at + 6.0,
        notices=("frames: 16 rounded to 17 (4k+1)",),
    )
    finished = finished_job("job-1", "pocket", at - 20, 4.4, "/var/lib/wan/outputs/job-1.mp4")
    deployment = DeploymentStatus(
        name="pocket",
        model="t2v-pocket",
        defaults=Clip(width=64, height=64, frames=9, steps=4, guidance=4.0),
        validation=validated(at, passed=("WAN001", "WAN003", "WAN301"), skipped=("WAN005",)),
        profile="cpu",
        wanted_loaded=True,
        state=LoadState.LOADED,
        state_changed_at=at - 30,
        compatibility=Compatibility(
            verdict=Verdict.FITS,
            reason="needs 96 MiB, 24.0 GiB of host memory are free",
            plan=plan,
            memory=memory,
            headroom_bytes=23 * GIB,
        ),
        totals=busy_totals(jobs=1, seconds=4.4, estimated=4.0, resolution=Resolution.OTHER, load_seconds=6.5),
        worker=WorkerStatus(
            pid=4321,
            up=True,
            started_at=at - 38,
            last_progress_at=at - 0.4,
            resident_memory_bytes=640 * MIB,
            torch_version="2.13.0+cpu",
            diffusers_version="0.42.1",
            transformers_version="5.23.0",
        ),
        phase=Phase.DENOISE_LOW_NOISE,
        running_job="job-2",
        queued_jobs=1,
        oldest_queued_at=at - 1.5,
        last_load_seconds=6.5,
        last_generation_seconds=4.4,
        last_estimated_seconds=4.0,
    )
    return replace(
        empty_host(at),
        number=57,
        started_at=at - 60,
        deployments=(deployment,),
        jobs=(finished, running, queued),
        log=EventLog(
            events=(
                LogEvent(at - 60, "info", "engine", "started"),
                LogEvent(at - 37, "info", "pocket", "loading t2v-pocket on cpu"),
                LogEvent(at - 30, "info", "pocket", "loaded in 6.5 s"),
                LogEvent(at - 16, "info", "pocket", "job-1 finished in 4.4 s"),
            )
        ),
    )


def eight_gpus_one_lost(at: float = AT) -> Snapshot:
    """Eight H100, the one at index 6 fallen off the bus with its deployment; 0 generates, 1 is idle, 2 is unloaded."""
    gpus = tuple(h100(index, at) for index in range(8))
    story, photo, draft, archive = gpus[0], gpus[1], gpus[2], gpus[6]
    stranger = GpuProcess(pid=9001, used_memory_bytes=3 * GIB, name="python3")
    gpus = (
        replace(holding(story, GpuProcess(5001, 71 * GIB, "wan-worker")), utilization_ratio=0.98, power_watts=655.0),
        holding(photo, GpuProcess(5002, 70 * GIB, "wan-worker"), stranger),
        *gpus[2:6],
        lost(archive, at),
        gpus[7],
    )
    return replace(
        empty_host(at),
        number=90210,
        started_at=at - 86_400,
        host=host(at, cpus=96, memory=1024 * GIB),
        driver=DriverStatus(
            present=True,
            up=True,
            message="7 of 8 GPUs answer",
            driver_version="570.86.15",
            nvml_version="12.570.86.15",
            cuda_driver_version="12.8",
        ),
        gpus=gpus,
        deployments=(
            story_deployment(story, at),
            photo_deployment(photo, at),
            draft_deployment(draft, at),
            archive_deployment(archive, at),
        ),
        jobs=(
            finished_job("job-101", "story", at - 2400, 1190.0, "/var/lib/wan/outputs/job-101.mp4", steps=40),
            Job(
                id="job-102",
                request=request("story", "a lighthouse in a storm, waves, night", 1280, 720, 81, 40),
                state=JobState.RUNNING,
                submitted_at=at - 700,
                started_at=at - 480,
                phase=Phase.DENOISE_HIGH_NOISE,
                step=14,
                progress_ratio=0.37,
                estimate=time_estimate(1150.0, Basis.CALIBRATED),
                estimated_end_at=at + 712,
                step_seconds=28.4,
                stages=(StageSeconds(Phase.TEXT_ENCODE, 2.1), StageSeconds(Phase.DENOISE_HIGH_NOISE, 398.0)),
                preview=preview(40, 24),
            ),
            Job(
                id="job-103",
                request=request("story", "a street market in the rain", 832, 480, 81, 40),
                state=JobState.QUEUED,
                submitted_at=at - 120,
                estimate=time_estimate(310.0, Basis.CALIBRATED),
                estimated_end_at=at + 1022,
            ),
            Job(
                id="job-77",
                request=request("archive", "a slow pan over a map", 1280, 704, 121, 50),
                state=JobState.FAILED,
                submitted_at=at - 1300,
                started_at=at - 1290,
                ended_at=at - 900,
                phase=Phase.IDLE,
                step=31,
                progress_ratio=0.6,
                estimate=time_estimate(600.0),
                failure=JobFailure(JobFailureReason.WORKER_DIED, "the worker exited with signal 9 at step 31 of 50"),
            ),
        ),
        log=EventLog(
            events=(
                LogEvent(at - 900, "error", "gpu:6", "GPU is lost: it has fallen off the bus"),
                LogEvent(at - 900, "error", "archive", "job-77 failed: the worker exited with signal 9"),
                LogEvent(at - 480, "info", "story", "job-102 started"),
            ),
            dropped=1432,
        ),
        pollers=(poller("nvml", at, interval=1.0, polls=86_400, failed=3), *empty_host(at).pollers),
    )


def incompatible(at: float = AT) -> Snapshot:
    """One RTX 4080: ``cinema`` is wanted and can never fit; ``draft`` fits when components leave the device."""
    gpu = replace(
        h100(0, at),
        uuid="GPU-4080aaaa-0000-4000-8000-000000000000",
        name="NVIDIA GeForce RTX 4080",
        compute_capability="8.9",
        mig_mode=None,
        memory_total_bytes=16_376 * MIB,
        memory_used_bytes=1_024 * MIB,
        memory_reserved_bytes=420 * MIB,
        memory_free_bytes=14_932 * MIB,
        memory_temperature_celsius=None,
        power_watts=31.0,
        power_limit_watts=320.0,
        fan_speed_ratio=0.3,
        ecc_corrected_errors=None,
        ecc_uncorrected_errors=None,
        remapped_rows_pending=None,
        remapped_rows_failure=None,
        recovery_action=None,
        pcie_link_generation=4,
        nvlink_transmit_bytes=None,
        nvlink_receive_bytes=None,
    )
    cinema = DeploymentStatus(
        name="cinema",
        model="t2v-A14B",
        defaults=T2V_CLIP,
        validation=validated(at, passed=("WAN301",), failed=("WAN001",), skipped=("WAN003", "WAN401")),
        profile="resident-bf16",
        wanted_loaded=True,
        state=LoadState.FAILED,
        state_changed_at=at - 300,
        compatibility=Compatibility(
            verdict=Verdict.INCOMPATIBLE,
            reason="needs 70.9 GiB at the peak, GPU 0 has 15.6 GiB: short by 55.3 GiB",
            plan=gpu_plan(gpu, offload=OffloadMode.NONE),
            memory=memory_estimate(int(64.4 * GIB), int(70.9 * GIB), Phase.DENOISE_HIGH_NOISE),
            headroom_bytes=-int(55.3 * GIB),
            limiting_phase=Phase.DENOISE_HIGH_NOISE,
            remedies=(
                Remedy(
                    title="profile rtx-4080: peak 9.6 GiB on gpu:0 with group block offload",
                    changes=(("profile", "rtx-4080"),),
                    verdict=Verdict.OFFLOAD_REQUIRED,
                    headroom_bytes=int(6.0 * GIB),
                    seconds=1835.0,
                ),
            ),
        ),
        findings=(
            Finding(
                code="WAN001",
                severity=Severity.ERROR,
                where="deployment cinema",
                message="t2v-A14B with resident-bf16 needs 70.9 GiB, GPU 0 (RTX 4080) has 15.6 GiB",
                fix="choose the profile rtx-4080 or a GPU with at least 80 GiB",
            ),
        ),
        failure="t2v-A14B does not fit on GPU 0: short by 55.3 GiB",
        totals=replace(no_totals(), load_failures=labelled(LoadFailureReason, {LoadFailureReason.INCOMPATIBLE: 1})),
    )
    draft = replace(
        cinema,
        name="draft",
        model="ti2v-5B",
        defaults=TI2V_CLIP,
        validation=validated(at, passed=("WAN001", "WAN003", "WAN301"), skipped=("WAN401",)),
        profile="rtx-4080",
        wanted_loaded=False,
        state=LoadState.UNLOADED,
        compatibility=Compatibility(
            verdict=Verdict.OFFLOAD_REQUIRED,
            reason="fits with model offload: 12.4 GiB at the peak, 3.2 GiB to spare",
            plan=gpu_plan(gpu, offload=OffloadMode.MODEL, tiling=True),
            memory=memory_estimate(int(0.5 * GIB), int(12.4 * GIB), Phase.VAE_DECODE, host=int(21 * GIB)),
            headroom_bytes=int(3.2 * GIB),
        ),
        findings=(),
        failure=None,
        totals=no_totals(),
    )
    return replace(
        empty_host(at),
        number=301,
        started_at=at - 320,
        driver=DriverStatus(
            present=True,
            up=True,
            message="1 GPU answers",
            driver_version="580.95.05",
            nvml_version="13.580.95.05",
            cuda_driver_version="13.0",
        ),
        gpus=(gpu,),
        deployments=(cinema, draft),
        log=EventLog(events=(LogEvent(at - 300, "error", "cinema", "load refused: short by 55.3 GiB on GPU 0"),)),
        pollers=(poller("nvml", at, interval=1.0), *empty_host(at).pollers),
    )
