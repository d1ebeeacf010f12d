"""Load, generate, cancel, unload and sudden death, with real worker processes and real signals."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from psutil import pid_exists

from tests.core.runtime.harness import deployment, job, request, settings, until
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.engine import Engine
from wan_tui.core.video import read_mp4
from wan_tui.core.words import JobFailureReason, JobState, LoadState, Phase


async def test_load_generate_unload(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        await engine.load("pocket")
        loaded = await until(engine, lambda s: deployment(s).state is LoadState.LOADED)
        worker = deployment(loaded).worker
        assert worker is not None
        assert worker.torch_version

        first = await engine.generate(request())
        second = await engine.generate(request(seed=2, output=str(home / "second.mp4")))
        done = await until(engine, lambda s: job(s, second).state.ended)

        for job_id in (first, second):
            finished = job(done, job_id)
            assert finished.state is JobState.FINISHED, finished.failure
            assert finished.step == finished.request.steps
            assert finished.estimate is not None
            assert finished.preview is not None
            assert finished.observed_seconds == pytest.approx(sum(s.seconds for s in finished.stages), rel=0.2)
            assert {s.stage for s in finished.stages} == {
                Phase.TEXT_ENCODE,
                Phase.DENOISE_HIGH_NOISE,
                Phase.DENOISE_LOW_NOISE,
                Phase.VAE_DECODE,
                Phase.WRITE_OUTPUT,
            }
        assert job(done, second).output == str(home / "second.mp4")
        video = read_mp4(home / "second.mp4")
        assert (video.frames, video.width, video.height, video.fps) == (9, 64, 64, 16)
        assert video.metadata["prompt"] == request().prompt
        assert video.metadata["seed"] == 2
        assert video.metadata["model"] == "t2v-pocket"
        assert isinstance(video.metadata["plan"], dict)

        totals = deployment(done).totals
        assert (totals.loads, totals.jobs_finished) == (1, 2)
        assert totals.video_seconds == pytest.approx(2 * 9 / 16)
        assert sum(totals.estimate_error_ratio.counts) == 2

        await engine.unload("pocket")
        await until(engine, lambda s: deployment(s).state is LoadState.UNLOADED)
        assert not pid_exists(worker.pid)


async def test_the_second_estimate_is_calibrated_by_the_first_run(home: Path) -> None:
    for expected in ("modelled", "calibrated"):
        async with Engine(settings(home)) as engine:
            job_id = await engine.generate(request())
            done = await until(engine, lambda s, wanted=job_id: job(s, wanted).state.ended)  # type: ignore[misc]
            estimate = job(done, job_id).estimate
            assert estimate is not None
            assert estimate.basis == expected
            assert estimate.total_seconds.low < estimate.total_seconds.expected < estimate.total_seconds.high


async def test_cancel_stops_between_two_steps_and_the_worker_lives_on(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        long = await engine.generate(request(steps=1000, output=str(home / "never.mp4")))
        waiting = await engine.generate(request())
        await until(engine, lambda s: job(s, long).step >= 2)
        await engine.cancel(waiting)
        cancelled = await until(engine, lambda s: job(s, waiting).state.ended)
        assert job(cancelled, waiting).state is JobState.CANCELLED
        assert job(cancelled, long).state is JobState.RUNNING

        await engine.cancel(long)
        cancelled = await until(engine, lambda s: job(s, long).state.ended, patience=20)
        assert job(cancelled, long).state is JobState.CANCELLED
        assert job(cancelled, long).step < 1000
        assert not [name for name in os.listdir(home) if "never" in name]

        again = await engine.generate(request())
        done = await until(engine, lambda s: job(s, again).state.ended)
        assert job(done, again).state is JobState.FINISHED
        assert deployment(done).totals.jobs_cancelled == 2


async def test_unload_ends_a_running_job_as_cancelled(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        long = await engine.generate(request(steps=1000))
        running = await until(engine, lambda s: job(s, long).step >= 1)
        worker = deployment(running).worker
        assert worker is not None
        await engine.unload("pocket")
        unloaded = await until(engine, lambda s: deployment(s).state is LoadState.UNLOADED)
        assert job(unloaded, long).state is JobState.CANCELLED
        assert not pid_exists(worker.pid)


async def test_sigkill_of_the_worker_fails_its_job_within_two_seconds_and_a_second_load_works(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        long = await engine.generate(request(steps=1000))
        running = await until(engine, lambda s: job(s, long).step >= 1)
        worker = deployment(running).worker
        assert worker is not None
        os.kill(worker.pid, signal.SIGKILL)
        failed = await until(engine, lambda s: job(s, long).state.ended, patience=2.0)
        failure = job(failed, long).failure
        assert failure is not None
        assert failure.reason is JobFailureReason.WORKER_DIED
        assert "SIGKILL" in failure.message
        assert deployment(failed).state is LoadState.FAILED
        assert "SIGKILL" in (deployment(failed).failure or "")

        number = failed.number
        await until(engine, lambda s: s.number > number + 1, patience=10)  # it keeps publishing

        await engine.load("pocket")
        await until(engine, lambda s: deployment(s).state is LoadState.LOADED)
        again = await engine.generate(request())
        done = await until(engine, lambda s: job(s, again).state.ended)
        assert job(done, again).state is JobState.FINISHED


ENGINE_WITH_A_LONG_JOB = """
import asyncio, sys
from pathlib import Path
from tests.core.runtime.harness import deployment, job, request, settings, until
from wan_tui.core.engine import Engine

async def main():
    async with Engine(settings(Path(sys.argv[1]))) as engine:
        long = await engine.generate(request(steps=1000))
        snapshot = await until(engine, lambda s: job(s, long).step >= 1)
        print(deployment(snapshot).worker.pid, flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def test_no_worker_outlives_a_killed_engine(home: Path) -> None:
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE_WITH_A_LONG_JOB, str(home)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    try:
        assert engine.stdout is not None
        pid = int(engine.stdout.readline())
        assert pid_exists(pid)
    finally:
        engine.kill()
        engine.wait()
    deadline = time.monotonic() + 5
    while pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not pid_exists(pid)


async def test_leaving_the_engine_stops_a_worker_that_is_still_loading(home: Path) -> None:
    async with Engine(settings(home)) as engine:
        await engine.load("pocket")
        await asyncio.sleep(0.2)
        children = _children()
        assert children
    assert not any(pid_exists(pid) for pid in children)


async def test_a_checkpoint_that_is_not_there_fails_the_load_with_the_way_to_get_it(home: Path) -> None:
    missing = DeploymentSettings(model="ti2v-5B", device="cpu", checkpoint=home / "nowhere")
    # A host of any size: the verdict is not what is tested here.
    async with Engine(settings(home, pocket=missing), catalogue=_tiny_official()) as engine:
        job_id = await engine.generate(request(width=1280, height=704, frames=9))
        failed = await until(engine, lambda s: job(s, job_id).state.ended)
        failure = job(failed, job_id).failure
        assert failure is not None
        assert failure.reason is JobFailureReason.LOAD_FAILED
        assert "hf download Wan-AI/Wan2.2-TI2V-5B-Diffusers" in failure.message
        assert deployment(failed).state is LoadState.FAILED
        counts = {count.label: count.value for count in deployment(failed).totals.load_failures}
        assert counts["checkpoint"] == 1


def _tiny_official():  # type: ignore[no-untyped-def]
    """The catalogue, with ti2v-5B as small as a pocket model so that any host can hold it."""
    import dataclasses

    from wan_tui.core.catalog import Catalogue, load_catalogue

    pocket = load_catalogue().find("ti2v-pocket")
    official = load_catalogue().find("ti2v-5B")
    small = dataclasses.replace(
        official, transformer=pocket.transformer, text_encoder=pocket.text_encoder, vae=pocket.vae
    )
    return Catalogue((small,))


def _children() -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process().children() if "wan_tui.worker" in " ".join(child.cmdline())]
