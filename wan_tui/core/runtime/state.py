"""Deployments and jobs as everyone outside the runtime sees them: frozen, complete, serialisable."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from wan_tui.core.planning.plan import (
    Clip,
    Compatibility,
    ExecutionPlan,
    GenerationRequest,
    MemoryEstimate,
    StageSeconds,
    TimeEstimate,
)
from wan_tui.core.validation.findings import Finding
from wan_tui.core.words import JobFailureReason, JobState, LoadState, Phase, ReplanReason


@dataclass(frozen=True, slots=True)
class Preview:
    """A small picture of the running job: ``rgb`` is base64 of height x width x 3 bytes, row by row."""

    width: int
    height: int
    rgb: str


@dataclass(frozen=True, slots=True)
class JobFailure:
    reason: JobFailureReason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One generation from submission to its end.

    ``observed_seconds`` and ``stages`` leave out loading and waiting, so they compare with ``estimate``.
    ``retried`` counts failures after which it was queued again, ``interruptions`` engines that ended under it;
    ``begun`` says that it ran before it was queued again, for whatever reason. ``target`` is where its last run was to
    put the video, which may have got a number behind its name; ``output`` is where a finished one is. Of several videos
    the others are at ``more_targets`` and ``more_outputs``. ``replica`` is which replica of its deployment runs it, or
    will as far as can be predicted; None where there is only one.
    """

    id: str
    request: GenerationRequest
    state: JobState
    submitted_at: float
    started_at: float | None = None
    ended_at: float | None = None
    phase: Phase = Phase.IDLE
    step: int = 0
    progress_ratio: float = 0.0
    estimate: TimeEstimate | None = None
    estimated_end_at: float | None = None
    step_seconds: float | None = None
    stages: tuple[StageSeconds, ...] = ()
    observed_seconds: float | None = None
    output: str | None = None
    failure: JobFailure | None = None
    notices: tuple[str, ...] = ()
    preview: Preview | None = None
    retried: int = 0
    interruptions: int = 0
    begun: bool = False
    target: str | None = None
    replica: str | None = None
    more_targets: tuple[str, ...] = ()
    more_outputs: tuple[str, ...] = ()

    @property
    def turn(self) -> tuple[bool, int]:
        """Sorts waiting jobs: those that had begun before, then by priority; equals stay as they came."""
        return (not self.begun, -self.request.priority)


def by_turn(jobs: Iterable[Job]) -> list[Job]:
    """What runs, then what waits in the order in which it will run, then what ended, the newest first."""
    known = list(jobs)
    running = [job for job in known if job.state is JobState.RUNNING]
    queued = sorted((job for job in known if job.state is JobState.QUEUED), key=lambda job: job.turn)
    ended = [job for job in known if job.state.ended]
    return running + queued + sorted(ended, key=lambda job: job.ended_at or job.submitted_at, reverse=True)


@dataclass(frozen=True, slots=True)
class Histogram:
    """A classic histogram: ``counts[i]`` observations at or below ``bounds[i]`` and above the one before;
    the last count is for everything above the last bound."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float


@dataclass(frozen=True, slots=True)
class LabelledHistogram:
    """A histogram of one label value (a stage, an expert, a resolution)."""

    label: str
    histogram: Histogram


@dataclass(frozen=True, slots=True)
class LabelledCount:
    label: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentTotals:
    """Counters of one deployment since the engine started; bounded labels are all present, from 0.

    ``loads`` counts every load that began, those that failed included.
    """

    loads: int
    load_failures: tuple[LabelledCount, ...]
    unloads: tuple[LabelledCount, ...]
    worker_restarts: tuple[LabelledCount, ...]
    jobs_finished: int
    jobs_cancelled: int
    jobs_failed: tuple[LabelledCount, ...]
    out_of_memory: tuple[LabelledCount, ...]
    video_seconds: float
    load_seconds: Histogram
    queue_seconds: Histogram
    generation_seconds: tuple[LabelledHistogram, ...]
    generation_estimated_seconds: tuple[LabelledCount, ...]
    estimate_error_ratio: Histogram
    stage_seconds: tuple[LabelledHistogram, ...]
    step_seconds: tuple[LabelledHistogram, ...]
    jobs_retried: int = 0
    jobs_interrupted: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """The worker process of a deployment. Memory is of that process; device figures are torch's own."""

    pid: int
    up: bool
    started_at: float
    last_progress_at: float
    resident_memory_bytes: int | None = None
    device_allocated_bytes: int | None = None
    device_reserved_bytes: int | None = None
    device_peak_bytes: int | None = None
    torch_version: str | None = None
    diffusers_version: str | None = None
    transformers_version: str | None = None
    cuda_version: str | None = None


@dataclass(frozen=True, slots=True)
class SkippedRule:
    """A validation rule that could not be evaluated, and why."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationStatus:
    """How the validation rules came out for a deployment, and when all of them were last evaluated.

    ``failed`` has a finding for each code. ``failed_runs`` are runs that could not be completed.
    """

    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    skipped: tuple[SkippedRule, ...] = ()
    runs: int = 0
    failed_runs: int = 0
    last_run_at: float | None = None
    last_duration_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class PlanChange:
    """Another plan that a loaded deployment is to get, and why; ``due`` means before its next job."""

    plan: ExecutionPlan
    reason: ReplanReason
    text: str
    due: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentStatus:
    """One deployment now: what is wanted, what is, what would be.

    ``plan`` is the one that its worker runs, while ``compatibility`` has the one that it would get now; ``next_plan``
    is a change that the engine considers, ``replanned_at`` the last one (Unix seconds). ``replica_of`` is the
    deployment whose jobs it shares with others, None for one that has no replicas.
    """

    name: str
    model: str
    profile: str
    wanted_loaded: bool
    state: LoadState
    state_changed_at: float
    compatibility: Compatibility
    totals: DeploymentTotals
    defaults: Clip
    findings: tuple[Finding, ...] = ()
    validation: ValidationStatus = field(default_factory=ValidationStatus)
    failure: str | None = None
    load_stage: str | None = None
    load_progress_ratio: float | None = None
    worker: WorkerStatus | None = None
    phase: Phase = Phase.IDLE
    running_job: str | None = None
    queued_jobs: int = 0
    oldest_queued_at: float | None = None
    pinned: bool = False
    idle_unload_at: float | None = None
    unreleased_bytes: int | None = None
    last_load_seconds: float | None = None
    last_generation_seconds: float | None = None
    last_estimated_seconds: float | None = None
    plan: ExecutionPlan | None = None
    next_plan: PlanChange | None = None
    replanned_at: float | None = None
    replica_of: str | None = None

    @property
    def memory_in_force(self) -> MemoryEstimate | None:
        """The estimate for what runs, or would; None while the worker runs another plan than it is made for."""
        found = self.compatibility
        return found.memory if self.plan is None or self.plan == found.plan else None


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One line of what happened; ``level`` is info, warning or error, ``source`` a deployment or a part."""

    at: float
    level: str
    source: str
    message: str


@dataclass(frozen=True, slots=True)
class EventLog:
    """The newest events, oldest first, and how many older ones were dropped."""

    events: tuple[LogEvent, ...] = field(default=())
    dropped: int = 0
