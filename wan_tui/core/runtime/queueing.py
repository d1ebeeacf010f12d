"""What an operator does to the order of the queue. Pure of workers: the queue and its priorities alone."""

import dataclasses
from collections.abc import Sequence

from wan_tui.core.errors import UsageError
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.state import Job
from wan_tui.core.validation.request import MAX_PRIORITY
from wan_tui.core.words import JobState


def moved(waiting: Sequence[Job], job_id: str, by: int) -> dict[str, int]:
    """New priorities that take ``job_id`` ``by`` places down (negative: up), for the jobs whose priority changes.

    ``waiting`` are the jobs of one deployment in the order in which they will run. Nobody's priority is lowered, so
    what was put first stays before what comes later. Raises UsageError where it cannot go further.
    """
    order = list(waiting)
    at = next(index for index, job in enumerate(order) if job.id == job_id)
    to = min(max(at + by, 0), len(order) - 1)
    job = order[at]
    if to == at:
        raise UsageError(f"job {job_id} is {'first' if by < 0 else 'last'} in the queue already")
    passed = order[to:at] if by < 0 else order[at + 1 : to + 1]
    if any(other.begun is not job.begun for other in passed):
        raise UsageError(f"job {job_id} cannot pass a job that had begun before: those go first, whatever the priority")
    order.insert(to, order.pop(at))
    place = {job.id: index for index, job in enumerate(sorted(waiting, key=lambda job: int(job.id)))}
    wanted: dict[str, int] = {}
    after: Job | None = None
    for job in reversed(order):
        least = job.request.priority
        if after is not None and after.begun is job.begun:
            behind = wanted[after.id]
            least = max(least, behind if place[job.id] < place[after.id] else behind + 1)
        wanted[job.id], after = least, job
    if max(wanted.values()) > MAX_PRIORITY:
        raise UsageError(f"job {job_id}: a priority above {MAX_PRIORITY} would be needed; cancel what comes before it")
    return {job.id: wanted[job.id] for job in order if wanted[job.id] != job.request.priority}


def move(queue: JobQueue, job_id: str, by: int) -> None:
    """Let a waiting job run earlier (``by`` < 0) or later. Raises UsageError for a job that does not wait."""
    job = queue.get(job_id)
    if job.state is not JobState.QUEUED:
        raise UsageError(f"job {job_id} is {job.state}: only a job that waits can be moved")
    for changed, priority in moved(queue.waiting(job.request.deployment), job_id, by).items():
        before = queue.get(changed)
        queue.rewrite(dataclasses.replace(before, request=dataclasses.replace(before.request, priority=priority)))


def remove(queue: JobQueue, job_id: str) -> Job:
    """Take a job that waits or has ended off the list; the history keeps what ran. Raises UsageError while it runs."""
    job = queue.get(job_id)
    if job.state is JobState.RUNNING:
        raise UsageError(f"job {job_id} runs: cancel it first")
    queue.remove(job_id)
    return job
