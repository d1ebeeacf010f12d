"""The queue outlives its engine: a real one, killed with a real signal, and the one that is started after it."""

import asyncio
import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.core.runtime.harness import deployment, job, request, settings, until
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.engine import Engine
from wan_tui.core.runtime.jobs import ENDED_JOBS_KEPT, JobQueue
from wan_tui.core.runtime.queue_store import QueueStore, queue_file
from wan_tui.core.runtime.state import Job
from wan_tui.core.words import JobFailureReason, JobState, LoadState

ENGINE_WITH_A_QUEUE = """
import asyncio, sys
from pathlib import Path
from tests.core.runtime.harness import job, request, settings, until
from wan_tui.core.engine import Engine

async def main():
    async with Engine(settings(Path(sys.argv[1]))) as engine:
        running = await engine.generate(request(steps=1000))
        await until(engine, lambda s: job(s, running).step >= 1)
        for priority in (0, 0, 5, 0, -5):
            await engine.generate(request(steps=1, frames=1, priority=priority))
        print("ready", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def kill_an_engine_with_a_queue(home: Path) -> None:
    """One job of 1000 steps runs, five wait; then the engine is gone."""
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE_WITH_A_QUEUE, str(home)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    try:
        assert engine.stdout is not None
        assert engine.stdout.readline() == "ready\n"
    finally:
        engine.send_signal(signal.SIGKILL)
        engine.wait()


async def test_after_kill_9_the_queue_goes_on_in_order_and_the_running_job_begins_again(home: Path) -> None:
    await asyncio.to_thread(kill_an_engine_with_a_queue, home)
    async with Engine(settings(home)) as engine:
        begun = await until(engine, lambda s: job(s, "1").state is JobState.RUNNING)
        assert [found.id for found in begun.jobs] == ["1", "2", "3", "4", "5", "6"]
        assert all(found.state is JobState.QUEUED for found in begun.jobs[1:])
        assert begun.jobs[3].request.priority == 5
        assert job(begun, "1").interruptions == 1
        assert "interrupted when its engine ended" in job(begun, "1").notices[-1]
        assert deployment(begun).totals.jobs_interrupted == 1

        await engine.cancel("1")
        done = await until(engine, lambda s: all(found.state.ended for found in s.jobs))
        assert job(done, "1").state is JobState.CANCELLED
        assert {found.state for found in done.jobs[1:]} == {JobState.FINISHED}
        by_start = sorted(done.jobs[1:], key=lambda found: found.started_at or 0)
        assert [found.id for found in by_start] == ["4", "2", "3", "5", "6"]
        assert await engine.generate(request(steps=1, frames=1)) == "7"


async def test_a_job_that_may_not_begin_again_stays_interrupted(home: Path) -> None:
    keep(home, running(1, requeue=False))
    for _ in range(2):
        async with Engine(settings(home)) as engine:
            snapshot = await until(engine, lambda s: s.jobs)
            assert job(snapshot, "1").state is JobState.INTERRUPTED
            assert job(snapshot, "1").interruptions == 1


async def test_who_only_looks_leaves_the_queue_alone(home: Path) -> None:
    keep(home, running(1), waiting(2))
    before = rows(home)
    async with Engine(settings(home), load_wanted=False) as engine:
        snapshot = await until(engine, lambda s: True)
        assert snapshot.jobs == ()
        assert deployment(snapshot).state is LoadState.UNLOADED
    assert rows(home) == before


async def test_leaving_the_engine_interrupts_what_runs_and_keeps_what_waits(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        running = await engine.generate(request(steps=1000, requeue=False))
        waiting = await engine.generate(request(steps=1, frames=1))
        await until(engine, lambda s: job(s, running).step >= 1)
    last = engine.latest
    assert last is not None
    assert job(last, running).state is JobState.INTERRUPTED
    async with Engine(settings(home)) as engine:
        done = await until(engine, lambda s: job(s, waiting).state.ended)
        assert job(done, waiting).state is JobState.FINISHED
        assert job(done, running).state is JobState.INTERRUPTED


async def test_jobs_of_a_deployment_that_is_gone_fail_with_the_reason(home: Path) -> None:
    keep(home, waiting(1), waiting(2, deployment="gone"))
    elsewhere = {"other": DeploymentSettings(model="t2v-pocket", profile="cpu")}
    async with Engine(settings(home, **elsewhere)) as engine:
        snapshot = await until(engine, lambda s: s.jobs)
        for job_id, name in (("1", "pocket"), ("2", "gone")):
            failure = job(snapshot, job_id).failure
            assert failure is not None
            assert failure.reason is JobFailureReason.INVALID_REQUEST
            assert failure.message.startswith(f"deployment {name} is no longer configured")


async def test_a_job_that_ends_its_engine_every_time_is_not_tried_for_ever(home: Path) -> None:
    keep(home, running(1, interruptions=3))
    async with Engine(settings(home)) as engine:
        snapshot = await until(engine, lambda s: s.jobs)
        assert job(snapshot, "1").state is JobState.INTERRUPTED
        assert any("not queued again" in event.message for event in snapshot.log.events)


async def test_a_corrupt_queue_is_set_aside_and_the_engine_works(home: Path) -> None:
    file = queue_file(home / "history.sqlite3")
    file.write_bytes(b"SQLite format 3\0" + b"nonsense" * 1000)
    async with Engine(settings(home)) as engine:
        told = await until(engine, lambda s: any(event.source == "queue" for event in s.log.events))
        assert told.jobs == ()
        assert any(name.startswith("history-queue.sqlite3.unreadable-") for name in os.listdir(home))
        assert await engine.generate(request(steps=1, frames=1)) == "1"
    assert len(rows(home)) == 1


async def test_two_engines_never_run_the_same_queue(home: Path) -> None:
    keep(home, running(1, requeue=False))
    async with Engine(settings(home)) as first:
        await until(first, lambda s: s.jobs)
        async with Engine(settings(home)) as second:
            snapshot = await until(second, lambda s: any(event.source == "queue" for event in s.log.events))
            assert snapshot.jobs == ()


async def test_a_job_whose_video_was_whole_when_its_engine_ended_is_finished_and_not_made_twice(home: Path) -> None:
    video = home / "clip.mp4"
    video.touch()
    asked = request(output=str(video))
    content = {"job": "1", "request": {"prompt": asked.prompt, "seed": asked.seed}}
    video.with_suffix(".json").write_text(json.dumps(content))
    keep(home, dataclasses.replace(running(1, output=str(video)), started_at=1.0, target=str(video)))
    for _ in range(2):
        async with Engine(settings(home)) as engine:
            snapshot = await until(engine, lambda s: s.jobs)
            assert job(snapshot, "1").state is JobState.FINISHED
            assert job(snapshot, "1").output == str(video)
            assert deployment(snapshot).state is LoadState.UNLOADED
    assert rows(home) == [(1, "finished")]


def test_what_a_full_disk_kept_from_being_written_is_written_later(home: Path) -> None:
    with ThreadPoolExecutor(1) as writing:
        store = QueueStore(queue_file(home / "history.sqlite3"), writing)
        store.keep(waiting(1)).result()
        assert store._database is not None
        (pages,) = store._database.execute("PRAGMA page_count").fetchone()
        store._database.execute(f"PRAGMA max_page_count = {pages}")  # what SQLite says then is what it says of a disk
        for number in (2, 3):
            store.keep(waiting(number, prompt="word " * 2000)).result()
        assert store.problem is not None
        assert "job 2, 3 wait to be kept (database or disk is full)" in store.problem
        store._database.execute("PRAGMA max_page_count = 1000")
        store.forget("1")
        store.keep(waiting(4)).result()
        assert store.problem is None
        assert [number for number, _ in rows(home)] == [2, 3, 4]
        store._database.execute("PRAGMA query_only = ON")
        store.keep(running(2)).result()
        assert rows(home)[0] == (2, "queued")
        store._database.execute("PRAGMA query_only = OFF")
        store.close()
    assert rows(home)[0] == (2, "running"), "at the latest at the end"


def test_a_row_that_cannot_be_read_is_left_out_and_told(home: Path) -> None:
    keep(home, waiting(1), waiting(2))
    with sqlite3.connect(queue_file(home / "history.sqlite3")) as database:
        database.execute("UPDATE jobs SET job = '{}' WHERE number = 1")
    with ThreadPoolExecutor(1) as writing:
        store = QueueStore(queue_file(home / "history.sqlite3"), writing)
        assert [found.id for found in store.jobs()] == ["2"]
        assert store.problem is not None
        assert "job 1" in store.problem
        store.close()


def test_only_the_last_fifty_that_ended_are_kept_and_numbers_are_never_used_again(home: Path) -> None:
    with ThreadPoolExecutor(1) as writing:
        store = QueueStore(queue_file(home / "history.sqlite3"), writing)
        queue = JobQueue(1000, changed=store.keep, forgotten=store.forget)
        numbers = [queue.submit(request(), ()).id for _ in range(ENDED_JOBS_KEPT + 10)]
        for number in (numbers[-1], *numbers[:-1]):  # the newest ends first, and is forgotten first
            queue.cancel(number)
        writing.submit(lambda: None).result()
        assert [found.id for found in store.jobs()] == numbers[9:-1]
        assert store.highest_number() == ENDED_JOBS_KEPT + 10
        store.close()


def rows(home: Path) -> list[tuple[int, str]]:
    with sqlite3.connect(queue_file(home / "history.sqlite3")) as database:
        return database.execute("SELECT number, state FROM jobs ORDER BY number").fetchall()


def keep(home: Path, *jobs: Job) -> None:
    """A queue file as an earlier engine left it."""
    with ThreadPoolExecutor(1) as writing:
        store = QueueStore(queue_file(home / "history.sqlite3"), writing)
        for one in jobs:
            store.keep(one).result()
        store.close()


def waiting(number: int, **changes: object) -> Job:
    return Job(id=str(number), request=request(**changes), state=JobState.QUEUED, submitted_at=float(number))


def running(number: int, *, interruptions: int = 0, **changes: object) -> Job:
    return Job(
        id=str(number),
        request=request(**changes),
        state=JobState.RUNNING,
        submitted_at=float(number),
        interruptions=interruptions,
    )


@pytest.mark.parametrize("state", JobState)
def test_only_what_waits_or_runs_has_not_ended(state: JobState) -> None:
    assert state.ended == (state not in (JobState.QUEUED, JobState.RUNNING))
