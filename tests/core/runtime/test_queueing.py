"""The order of the queue in an operator's hands: priorities say it, so that it survives a restart."""

from dataclasses import replace

import pytest

from tests.core.runtime.harness import request
from wan_tui.core.errors import UsageError
from wan_tui.core.runtime import queueing
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.state import Job
from wan_tui.core.words import JobState


def queue_of(*priorities: int) -> JobQueue:
    queue = JobQueue(100)
    for priority in priorities:
        queue.submit(request(priority=priority), ())
    return queue


def order(queue: JobQueue) -> str:
    return " ".join(job.id for job in queue.queued("pocket"))


def as_after_a_restart(queue: JobQueue) -> JobQueue:
    again = JobQueue(100)
    again.take_back(sorted(queue.jobs, key=lambda job: int(job.id)))
    return again


def test_a_job_goes_up_one_place_and_only_that() -> None:
    queue = queue_of(0, 0, 0, 0)
    queueing.move(queue, "3", -1)
    assert order(queue) == "1 3 2 4"
    queueing.move(queue, "4", -1)
    assert order(queue) == "1 3 4 2"
    queueing.move(queue, "4", -100)
    assert order(queue) == "4 1 3 2"


def test_and_down() -> None:
    queue = queue_of(0, 0, 0)
    queueing.move(queue, "1", 1)
    assert order(queue) == "2 1 3"
    queueing.move(queue, "2", 2)
    assert order(queue) == "1 3 2"


def test_every_order_can_be_reached_and_survives_a_restart() -> None:
    queue = queue_of(0, 5, 0, -3, 0)
    assert order(queue) == "2 1 3 5 4"
    for job, by, wanted in (("4", -2, "2 1 4 3 5"), ("2", 3, "1 4 3 2 5"), ("5", -4, "5 1 4 3 2")):
        queueing.move(queue, job, by)
        assert order(queue) == wanted
        assert order(as_after_a_restart(queue)) == wanted


def test_nobody_loses_priority_so_later_jobs_come_behind() -> None:
    queue = queue_of(0, 0, 0)
    before = {job.id: job.request.priority for job in queue.jobs}
    queueing.move(queue, "3", -1)
    assert all(job.request.priority >= before[job.id] for job in queue.jobs)
    assert order(queue) == "1 3 2"
    queue.submit(request(), ())
    assert order(queue) == "1 3 2 4"


def test_what_changed_is_kept_at_once() -> None:
    kept: list[Job] = []
    queue = JobQueue(100, changed=kept.append)
    for _ in range(2):
        queue.submit(request(), ())
    kept.clear()
    queueing.move(queue, "2", -1)
    assert [(job.id, job.request.priority) for job in kept] == [("2", 1)]


@pytest.mark.parametrize(
    ("job", "by", "said"),
    [
        ("1", -1, "job 1 is first in the queue already"),
        ("2", 1, "job 2 is last in the queue already"),
        ("9", 1, "unknown job '9'"),
    ],
)
def test_where_it_cannot_go_it_says_so(job: str, by: int, said: str) -> None:
    queue = queue_of(0, 0)
    with pytest.raises(UsageError, match=said):
        queueing.move(queue, job, by)


def test_a_job_that_had_begun_stays_first() -> None:
    queue = queue_of(0, 0)
    queue.replace(replace(queue.get("1"), begun=True))
    with pytest.raises(UsageError, match="cannot pass a job that had begun"):
        queueing.move(queue, "2", -1)


def test_priorities_end_somewhere() -> None:
    queue = queue_of(100, 100)
    with pytest.raises(UsageError, match="above 100 would be needed"):
        queueing.move(queue, "2", -1)
    assert order(queue) == "1 2"


def test_what_waits_or_ended_can_be_removed_and_what_runs_cannot() -> None:
    forgotten: list[str] = []
    queue = JobQueue(100, forgotten=forgotten.append)
    for _ in range(3):
        queue.submit(request(), ())
    queue.update("1", state=JobState.RUNNING)
    queue.cancel("2")
    with pytest.raises(UsageError, match="job 1 runs: cancel it first"):
        queueing.remove(queue, "1")
    queueing.remove(queue, "2")
    queueing.remove(queue, "3")
    assert [job.id for job in queue.jobs] == ["1"]
    assert forgotten == ["2", "3"]
    with pytest.raises(UsageError, match="only a job that waits"):
        queueing.move(queue, "1", 1)
