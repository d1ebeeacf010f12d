"""What becomes of the jobs that an earlier engine left behind. Pure of any disk."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.loading import Log
from wan_tui.core.runtime.state import Job
from wan_tui.core.words import JobFailureReason, JobState

# A job that ends its engine every time must not do so for ever.
MOST_INTERRUPTIONS = 3


def restore(
    queue: JobQueue,
    jobs: Iterable[Job],
    deployments: Collection[Deployment],
    log: Log,
    whole: Mapping[str, Path] | None = None,
) -> None:
    """Put ``jobs`` back: what waited waits again, what ran is interrupted, and queued again if its policy says so.

    ``whole``: videos, by job, that were done although the engine did not live to hear of it.
    """
    kept = list(jobs)
    queue.take_back(kept)
    known = {deployment.name: deployment for deployment in deployments}
    for job in kept:
        deployment = known.get(job.request.deployment)
        if job.state is JobState.RUNNING and whole and job.id in whole:
            job = queue.finish(job.id, output=str(whole[job.id]))
            log("info", job.request.deployment, f"job {job.id} had finished when its engine ended: {whole[job.id]}")
        if job.state is JobState.RUNNING:
            job = queue.interrupt(job.id)
        if job.state is JobState.INTERRUPTED and job.request.requeue:
            _requeue(queue, job, deployment, log)
        elif job.state is JobState.QUEUED and deployment is None:
            _refuse(queue, job, log)
        elif job.state is JobState.QUEUED:
            log("info", job.request.deployment, f"job {job.id} still waits from before the restart")


def _requeue(queue: JobQueue, job: Job, deployment: Deployment | None, log: Log) -> None:
    name = job.request.deployment
    if deployment is None:
        _refuse(queue, job, log)
        return
    if job.interruptions > MOST_INTERRUPTIONS:
        log("warning", name, f"job {job.id} was interrupted {job.interruptions} times: it is not queued again")
        return
    notice = "interrupted when its engine ended; it begins again"
    queue.requeue(job.id, notice)
    deployment.tallies.jobs_interrupted += 1
    log("warning", name, f"job {job.id} {notice}")


def _refuse(queue: JobQueue, job: Job, log: Log) -> None:
    message = f"deployment {job.request.deployment} is no longer configured: configure it again and resubmit"
    queue.fail(job.id, JobFailureReason.INVALID_REQUEST, message)
    log("error", job.request.deployment, f"job {job.id} failed: {message}")
