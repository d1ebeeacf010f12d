"""The queue: every job from submission to its end, one after the other per deployment."""

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

from wan_tui.core.errors import UsageError, unknown_name
from wan_tui.core.planning.plan import GenerationRequest
from wan_tui.core.runtime.state import Job, JobFailure
from wan_tui.core.words import JobFailureReason, JobState, Phase

ENDED_JOBS_KEPT = 50
# What a run of a job leaves on it; a new run begins without.
_UNTOUCHED: dict[str, Any] = {
    "started_at": None,
    "ended_at": None,
    "phase": Phase.IDLE,
    "step": 0,
    "progress_ratio": 0.0,
    "estimated_end_at": None,
    "step_seconds": None,
    "failure": None,
    "preview": None,
}


class JobQueue:
    """Jobs in order of submission. Jobs are immutable; a change replaces the entry.

    ``changed`` is told every job that is new or has another state, ``forgotten`` the id of one that is left to the
    history. Numbers begin after ``last_number``.
    """

    def __init__(
        self,
        limit: int,
        *,
        changed: Callable[[Job], object] = lambda job: None,
        forgotten: Callable[[str], object] = lambda job_id: None,
        last_number: int = 0,
    ) -> None:
        self.limit = limit
        self._changed = changed
        self._forgotten = forgotten
        self._jobs: dict[str, Job] = {}
        self._numbers = itertools.count(last_number + 1)

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(self._jobs.values())

    def get(self, job_id: str) -> Job:
        """Raises UsageError for an id that is not (or no longer) known."""
        if job_id not in self._jobs:
            raise unknown_name("job", job_id, self._jobs)
        return self._jobs[job_id]

    def take_back(self, jobs: Iterable[Job]) -> None:
        """Put jobs of an earlier engine in their places, as they are."""
        for job in jobs:
            self._jobs[job.id] = job

    def submit(self, request: GenerationRequest, notices: tuple[str, ...]) -> Job:
        """Queue a normalised request. Raises UsageError when the queue is full."""
        waiting = sum(job.state is JobState.QUEUED for job in self._jobs.values())
        if waiting >= self.limit:
            raise UsageError(f"the queue is full ({waiting} jobs): cancel some or wait")
        job = Job(
            id=str(next(self._numbers)),
            request=request,
            state=JobState.QUEUED,
            submitted_at=time.time(),
            notices=notices,
        )
        self.replace(job)
        return job

    def update(self, job_id: str, **changes: Any) -> Job:
        """Replace fields of a job and return the new one."""
        return self.replace(dataclasses.replace(self._jobs[job_id], **changes))

    def replace(self, job: Job) -> Job:
        """Put a newer version of a job in its place."""
        before, self._jobs[job.id] = self._jobs.get(job.id), job
        if before is None or before.state is not job.state:
            self._changed(job)
        return job

    def rewrite(self, job: Job) -> None:
        """Put a newer version of a job in its place, and have it kept although its state is the same."""
        self._jobs[job.id] = job
        self._changed(job)

    def remove(self, job_id: str) -> None:
        """Take a job off the list for good."""
        del self._jobs[job_id]
        self._forgotten(job_id)

    def finish(self, job_id: str, **changes: Any) -> Job:
        return self._end(job_id, JobState.FINISHED, progress_ratio=1.0, **changes)

    def cancel(self, job_id: str) -> Job:
        return self._end(job_id, JobState.CANCELLED)

    def fail(self, job_id: str, reason: JobFailureReason, message: str) -> Job:
        return self._end(job_id, JobState.FAILED, failure=JobFailure(reason, message))

    def interrupt(self, job_id: str) -> Job:
        """The engine ends under a job: the next one decides what becomes of it."""
        interruptions = self._jobs[job_id].interruptions + 1
        return self._end(job_id, JobState.INTERRUPTED, interruptions=interruptions)

    def requeue(self, job_id: str, notice: str, **changes: Any) -> Job:
        """Queue a job again that had begun: before all that have not."""
        notices = (*self._jobs[job_id].notices, notice)
        return self.update(job_id, state=JobState.QUEUED, notices=notices, begun=True, **_UNTOUCHED, **changes)

    def waiting(self, deployment: str) -> tuple[Job, ...]:
        """Waiting jobs of a deployment, for whichever of its replicas, in the order in which they will begin."""
        found = [
            job for job in self._jobs.values() if job.state is JobState.QUEUED and job.request.deployment == deployment
        ]
        return tuple(sorted(found, key=lambda job: job.turn))

    def queued(self, replica: str) -> tuple[Job, ...]:
        """Waiting jobs that ``replica`` (a deployment, where it has no others) will run, in their order."""
        found = [
            job
            for job in self._jobs.values()
            if job.state is JobState.QUEUED and (job.replica or job.request.deployment) == replica
        ]
        return tuple(sorted(found, key=lambda job: job.turn))

    def _end(self, job_id: str, state: JobState, **changes: Any) -> Job:
        job = self.update(job_id, state=state, ended_at=time.time(), phase=Phase.IDLE, estimated_end_at=None, **changes)
        ended = sorted((job for job in self._jobs.values() if job.state.ended), key=lambda job: job.ended_at or 0.0)
        for old in ended[:-ENDED_JOBS_KEPT]:
            del self._jobs[old.id]
            self._forgotten(old.id)
        return job
