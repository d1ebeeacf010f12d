"""Jobs as a plain table."""

from collections.abc import Sequence

from wan_tui.cli.text import columns
from wan_tui.core.runtime.state import Job
from wan_tui.core.units import MISSING, format_change, format_seconds
from wan_tui.core.words import JobState

HEADER = ("JOB", "DEPLOYMENT", "CLIP", "STATE", "PRIORITY", "ESTIMATED", "TOOK", "ERROR", "OUTPUT OR REASON")


def jobs_text(jobs: Sequence[Job]) -> str:
    return columns(HEADER, [_cells(job) for job in jobs])


def _cells(job: Job) -> list[str]:
    request = job.request
    estimate = job.estimate.total_seconds.expected if job.estimate else None
    state = f"{job.state} {job.step}/{request.steps}" if job.state is JobState.RUNNING else job.state.value
    why = f"{job.failure.reason}: {job.failure.message}" if job.failure else job.output or ""
    return [
        job.id,
        request.deployment,
        f"{request.width}x{request.height}x{request.frames}",
        state,
        str(request.priority),
        format_seconds(estimate),
        format_seconds(job.observed_seconds),
        format_change(job.observed_seconds, estimate) if job.state is JobState.FINISHED else MISSING,
        " ".join(why.split()),
    ]
