"""Families about jobs: the queue, the running generation, what finished ones took and what was estimated."""

from collections.abc import Iterable, Sequence

from wan_exporter.families import Families, Labels, counter, gauge, histogram, one_of
from wan_exporter.families_deployment import DEPLOYMENT, labelled
from wan_tui.core.runtime.state import DeploymentStatus, Histogram, LabelledHistogram
from wan_tui.core.snapshot import Snapshot


def generation_families(snapshot: Snapshot) -> Families:
    yield from _queue(snapshot.deployments)
    yield from _running(snapshot)
    yield from _ended(snapshot.deployments)
    yield from _durations(snapshot.deployments)


def _queue(deployments: Sequence[DeploymentStatus]) -> Families:
    yield from gauge(
        "wantui_jobs_queued",
        "Jobs that wait for the deployment.",
        DEPLOYMENT,
        [((d.name,), d.queued_jobs) for d in deployments],
    )
    yield from gauge(
        "wantui_jobs_running",
        "Jobs that the deployment runs now.",
        DEPLOYMENT,
        [((d.name,), float(d.running_job is not None)) for d in deployments],
    )
    yield from gauge(
        "wantui_jobs_oldest_queued_timestamp_seconds",
        "Unix time at which the job that waits longest was submitted; absent when the queue is empty.",
        DEPLOYMENT,
        [((d.name,), d.oldest_queued_at) for d in deployments],
    )
    yield from histogram(
        "wantui_job_queue_duration_seconds",
        "How long jobs waited from submission to start.",
        DEPLOYMENT,
        [((d.name,), d.totals.queue_seconds) for d in deployments],
    )


def _running(snapshot: Snapshot) -> Families:
    yield from gauge(
        "wantui_job_phase",
        "What the worker of the deployment does now: exactly one phase is 1.",
        (*DEPLOYMENT, "phase"),
        [sample for d in snapshot.deployments for sample in one_of(d.phase, (d.name,))],
    )
    running = [
        ((d.name,), job)
        for d in snapshot.deployments
        if d.running_job is not None and (job := snapshot.job(d.running_job)) is not None
    ]
    yield from gauge(
        "wantui_job_progress_ratio",
        "Progress of the running job, from 0 to 1; absent when none runs.",
        DEPLOYMENT,
        [(labels, job.progress_ratio) for labels, job in running],
    )
    yield from gauge(
        "wantui_job_estimated_completion_timestamp_seconds",
        "Unix time at which the running job is expected to end; absent when none runs or nothing is known.",
        DEPLOYMENT,
        [(labels, job.estimated_end_at) for labels, job in running],
    )


def _ended(deployments: Sequence[DeploymentStatus]) -> Families:
    yield from counter(
        "wantui_jobs_finished_total",
        "Jobs that ended with a clip.",
        DEPLOYMENT,
        [((d.name,), d.totals.jobs_finished) for d in deployments],
    )
    yield from counter(
        "wantui_jobs_cancelled_total",
        "Jobs that were cancelled while they waited or ran.",
        DEPLOYMENT,
        [((d.name,), d.totals.jobs_cancelled) for d in deployments],
    )
    yield from counter(
        "wantui_jobs_interrupted_total",
        "Jobs under which their engine ended; counted by the engine that finds them.",
        DEPLOYMENT,
        [((d.name,), d.totals.jobs_interrupted) for d in deployments],
    )
    yield from counter(
        "wantui_jobs_retried_total",
        "Times that a job was queued again after a failure; such a failure is not counted as one.",
        DEPLOYMENT,
        [((d.name,), d.totals.jobs_retried) for d in deployments],
    )
    yield from counter(
        "wantui_jobs_failed_total",
        "Jobs that failed, by reason.",
        (*DEPLOYMENT, "reason"),
        labelled((d.name, d.totals.jobs_failed) for d in deployments),
    )
    yield from counter(
        "wantui_oom_errors_total",
        "Times that the device ran out of memory, by phase.",
        (*DEPLOYMENT, "phase"),
        labelled((d.name, d.totals.out_of_memory) for d in deployments),
    )
    yield from counter(
        "wantui_generation_video_seconds_total",
        "Length of all clips that were generated, in seconds of video.",
        DEPLOYMENT,
        [((d.name,), d.totals.video_seconds) for d in deployments],
    )


def _durations(deployments: Sequence[DeploymentStatus]) -> Families:
    """Loading and waiting are left out of every duration here, so observed and estimated seconds compare."""
    yield from histogram(
        "wantui_generation_duration_seconds",
        "How long finished generations took, without loading and waiting, by resolution.",
        (*DEPLOYMENT, "resolution"),
        _histograms((d.name, d.totals.generation_seconds) for d in deployments),
    )
    yield from counter(
        "wantui_generation_estimated_seconds_total",
        "Sum of the estimates of finished generations, added when each finishes: divide the rate of the observed sum "
        "by the rate of this to see how far estimates are off.",
        (*DEPLOYMENT, "resolution"),
        labelled((d.name, d.totals.generation_estimated_seconds) for d in deployments),
    )
    yield from gauge(
        "wantui_generation_last_duration_seconds",
        "How long the last finished generation took, without loading and waiting; absent before the first one.",
        DEPLOYMENT,
        [((d.name,), d.last_generation_seconds) for d in deployments],
    )
    yield from gauge(
        "wantui_generation_last_estimated_duration_seconds",
        "What was estimated for the last finished generation; absent before the first one.",
        DEPLOYMENT,
        [((d.name,), d.last_estimated_seconds) for d in deployments],
    )
    yield from histogram(
        "wantui_generation_estimate_error_ratio",
        "Observed seconds of finished generations divided by their estimate; 1 is a perfect estimate.",
        DEPLOYMENT,
        [((d.name,), d.totals.estimate_error_ratio) for d in deployments],
    )
    yield from histogram(
        "wantui_generation_stage_duration_seconds",
        "How long the stages of generations took.",
        (*DEPLOYMENT, "stage"),
        _histograms((d.name, d.totals.stage_seconds) for d in deployments),
    )
    yield from histogram(
        "wantui_generation_step_duration_seconds",
        "How long one denoising step took, by expert; it compares across clip lengths and step counts of one size.",
        (*DEPLOYMENT, "expert"),
        _histograms((d.name, d.totals.step_seconds) for d in deployments),
    )


def _histograms(
    deployments: Iterable[tuple[str, Iterable[LabelledHistogram]]],
) -> Iterable[tuple[Labels, Histogram]]:
    return (((name, entry.label), entry.histogram) for name, entries in deployments for entry in entries)
