"""The queue: every job from submission to its end, one after the other per deployment."""

import dataclasses
import itertools
import time
from typing import Any

from wan_tui.core.errors import UsageError, unknown_name
from wan_tui.core.planning.plan import GenerationRequest
from wan_tui.core.runtime.state import Job, JobFailure
from wan_tui.core.words import JobFailureReason, JobState, Phase

ENDED_JOBS_KEPT = 50


class JobQueue:
    """Jobs in order of submission. Jobs are immutable; a change replaces the entry."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count(1)

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(self._jobs.values())

    def get(self, job_id: str) -> Job:
        """Raises UsageError for an id that is not (or no longer) known."""
        if job_id not in self._jobs:
            raise unknown_name("job", job_id, self._jobs)
        return self._jobs[job_id]

    def submit(self, request: GenerationRequest, notices: tuple[str, ...]) -> Job:
        """Queue a normalised request. Raises UsageError when the queue is full."""
        waiting = sum(job.state is JobState.QUEUED for job in self._jobs.values())
        if waiting >= self._limit:
            raise UsageError(f"the queue is full ({waiting} jobs): cancel some or wait")
        job = Job(
            id=str(next(self._numbers)),
            request=request,
            state=JobState.QUEUED,
            submitted_at=time.time(),
            notices=notices,
        )
        self._jobs[job.id] = job
        return job

    def update(self, job_id: str, **changes: Any) -> Job:
        """Replace fields of a job and return the new one."""
        job = self._jobs[job_id] = dataclasses.replace(self._jobs[job_id], **changes)
        return job

    def replace(self, job: Job) -> None:
        """Put a newer version of a known job in its place."""
        self._jobs[job.id] = job

    def finish(self, job_id: str, **changes: Any) -> Job:
        return self._end(job_id, JobState.FINISHED, progress_ratio=1.0, **changes)

    def cancel(self, job_id: str) -> Job:
        return self._end(job_id, JobState.CANCELLED)

    def fail(self, job_id: str, reason: JobFailureReason, message: str) -> Job:
        return self._end(job_id, JobState.FAILED, failure=JobFailure(reason, message))

    def queued(self, deployment: str) -> tuple[Job, ...]:
        """Waiting jobs of a deployment, oldest first."""
        return tuple(
            job for job in self._jobs.values() if job.state is JobState.QUEUED and job.request.deployment == deployment
        )

    def _end(self, job_id: str, state: JobState, **changes: Any) -> Job:
        job = self.update(job_id, state=state, ended_at=time.time(), phase=Phase.IDLE, estimated_end_at=None, **changes)
        ended = [job.id for job in self._jobs.values() if job.state.ended]
        for old in ended[:-ENDED_JOBS_KEPT]:
            del self._jobs[old]
        return job
