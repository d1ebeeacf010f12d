"""How far a running job is and when it will end, from what its worker reports. Pure functions."""

from dataclasses import replace

from wan_tui.core.runtime.protocol import PhaseStarted, StepDone
from wan_tui.core.runtime.state import Job
from wan_tui.core.words import Phase

# Weight of the newest step in the running mean of step times.
NEWEST_STEP_WEIGHT = 0.3


def after_phase(job: Job, event: PhaseStarted, now: float) -> Job:
    """The job when a phase began."""
    return _timed(replace(job, phase=event.phase), now)


def after_step(job: Job, event: StepDone, now: float) -> Job:
    """The job when a denoising step ended."""
    mean = event.seconds
    if job.step_seconds is not None:
        mean = NEWEST_STEP_WEIGHT * event.seconds + (1 - NEWEST_STEP_WEIGHT) * job.step_seconds
    return _timed(replace(job, step=event.step, step_seconds=mean), now)


def _timed(job: Job, now: float) -> Job:
    remaining = _remaining_seconds(job)
    if job.started_at is None or remaining is None:
        return job
    elapsed = now - job.started_at
    ratio = elapsed / (elapsed + remaining) if remaining > 0 else 0.99
    return replace(job, estimated_end_at=now + remaining, progress_ratio=max(job.progress_ratio, min(ratio, 0.99)))


def _remaining_seconds(job: Job) -> float | None:
    """Seconds that are left: steps at the observed pace, later stages as estimated; None when neither is known."""
    estimated = {stage.stage: stage.seconds for stage in job.estimate.stages} if job.estimate else {}
    decode = estimated.get(Phase.VAE_DECODE, 0.0)
    if job.phase is Phase.WRITE_OUTPUT:
        return 0.0
    if job.phase is Phase.VAE_DECODE:
        return decode
    if job.step_seconds is not None:
        return (job.request.steps - job.step) * job.step_seconds + decode
    return sum(estimated.values()) if estimated else None
