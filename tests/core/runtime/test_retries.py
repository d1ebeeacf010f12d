"""Priority, timeout and retries of jobs, with real workers."""

import os
import signal
from pathlib import Path

import pytest

from tests.core.runtime.harness import deployment, job, request, settings, until
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.engine import Engine
from wan_tui.core.errors import UsageError
from wan_tui.core.history import History
from wan_tui.core.planning.plan import Compatibility
from wan_tui.core.runtime import protocol
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.estimates import Estimator
from wan_tui.core.runtime.events import WorkerEvents
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.words import JobFailureReason, JobState, LoadState, Phase, Verdict


async def test_a_higher_priority_goes_first_and_equals_in_their_order(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        first = await engine.generate(request(steps=20))
        for priority in (0, -1, 3, 3, 0):
            await engine.generate(request(steps=1, frames=1, priority=priority))
        done = await until(engine, lambda s: s.jobs and all(found.state.ended for found in s.jobs))
        by_start = sorted(done.jobs, key=lambda found: found.started_at or 0)
        # All were queued while the model was loading, so even the first one had to wait for its betters.
        assert [found.id for found in by_start] == ["4", "5", first, "2", "6", "3"]


async def test_a_timeout_fails_the_job_and_the_worker_goes_on(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        slow = await engine.generate(request(steps=1000, timeout_seconds=1.0, retries=3))
        quick = await engine.generate(request(steps=1, frames=1, timeout_seconds=60.0))
        done = await until(engine, lambda s: job(s, quick).state.ended)
        failure = job(done, slow).failure
        assert failure is not None
        assert failure.reason is JobFailureReason.TIMEOUT
        assert failure.message == "not done within its timeout of 1 s"
        assert job(done, slow).retried == 0, "more of the same would not help"
        assert job(done, quick).state is JobState.FINISHED
        counts = {count.label: count.value for count in deployment(done).totals.jobs_failed}
        assert counts["timeout"] == 1
        assert deployment(done).totals.loads == 1


async def test_a_dead_worker_is_replaced_and_the_job_begins_again_before_all_others(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        unlucky = await engine.generate(request(steps=300, retries=1))
        other = await engine.generate(request(steps=1, frames=1, priority=50))
        await until(engine, lambda s: job(s, other).state.ended)
        behind = await engine.generate(request(steps=1, frames=1, priority=50))
        snapshot = await until(engine, lambda s: job(s, unlucky).step >= 1)
        worker = deployment(snapshot).worker
        assert worker is not None
        os.kill(worker.pid, signal.SIGKILL)
        waits = await until(engine, lambda s: job(s, unlucky).state is JobState.QUEUED, patience=5)
        assert job(waits, unlucky).retried == 1
        assert job(waits, unlucky).step == 0
        assert (
            job(waits, unlucky).notices[-1].startswith("retry 1 of 1 after worker_died: worker was killed by SIGKILL")
        )
        again = await until(engine, lambda s: job(s, unlucky).state is JobState.RUNNING)
        assert job(again, behind).state is JobState.QUEUED
        totals = deployment(again).totals
        assert totals.jobs_retried == 1
        assert sum(count.value for count in totals.jobs_failed) == 0


@pytest.mark.parametrize("reason", JobFailureReason)
def test_only_what_may_be_otherwise_the_next_time_is_tried_again(home: Path, reason: JobFailureReason) -> None:
    queue, events, pocket = parts(home)
    job_id = queue.submit(request(retries=2), ()).id
    attempts = 0
    while queue.get(job_id).state is JobState.QUEUED:
        queue.update(job_id, state=JobState.RUNNING)
        pocket.running_job = job_id
        events.handle(pocket, protocol.JobFailed(job=job_id, phase=Phase.VAE_DECODE, reason=reason, message="no luck"))
        attempts += 1
        assert pocket.running_job is None
    again = reason in (JobFailureReason.WORKER_DIED, JobFailureReason.OUT_OF_MEMORY, JobFailureReason.INTERNAL)
    assert attempts == (3 if again else 1)
    assert pocket.tallies.jobs_retried == attempts - 1
    assert pocket.tallies.jobs_failed[reason] == 1
    assert pocket.tallies.out_of_memory[Phase.VAE_DECODE] == (3 if reason is JobFailureReason.OUT_OF_MEMORY else 0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"priority": 101}, "priority 101: must be between -100 and 100"),
        ({"timeout_seconds": 0.0}, "timeout_seconds 0.0: must be more than 0"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds nan"),
        ({"retries": -1}, "retries -1: must be between 0 and 10"),
    ],
)
async def test_a_policy_that_makes_no_sense_is_refused(home: Path, changes: dict[str, object], says: str) -> None:
    async with Engine(settings(home)) as engine:
        with pytest.raises(UsageError, match=says):
            await engine.generate(request(**changes))


def test_peaks_that_torch_measured_are_taken_before_those_of_heartbeats(home: Path) -> None:
    queue, events, pocket = parts(home)
    seen: list[object] = []
    events._estimator.observed = lambda *arguments: seen.append(arguments[5])  # type: ignore[method-assign]
    job_id = queue.submit(request(), ()).id
    pocket.running_job = job_id
    peak = protocol.PhasePeak(phase=Phase.VAE_DECODE, allocated_bytes=5, reserved_bytes=7)
    finished = protocol.JobFinished(
        job=job_id, output="/x.mp4", seconds=1.0, stages=(), video_seconds=1.0, peaks=(peak,)
    )
    events.handle(pocket, finished)
    assert seen == [{Phase.VAE_DECODE: 7}]


def parts(home: Path) -> tuple[JobQueue, WorkerEvents, Deployment]:
    """A loaded deployment whose worker is the test."""
    queue = JobQueue(10)
    pocket = Deployment(
        name="pocket",
        settings=DeploymentSettings(model="t2v-pocket"),
        model=load_catalogue().find("t2v-pocket"),
        compatibility=Compatibility(verdict=Verdict.FITS, reason=""),
        wanted_loaded=True,
        state=LoadState.LOADED,
    )
    return queue, WorkerEvents(queue, Estimator(History(home / "h.sqlite3")), lambda *_: None), pocket


def test_a_job_that_is_queued_again_goes_before_a_higher_priority_whatever_the_reason() -> None:
    queue = JobQueue(10)
    begun, urgent = (queue.submit(request(priority=priority), ()).id for priority in (0, 100))
    queue.update(begun, state=JobState.RUNNING)
    queue.requeue(begun, "planned anew")
    assert [job.id for job in queue.queued("pocket")] == [begun, urgent]
