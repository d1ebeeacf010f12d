"""Workers that die or stand still, wherever they are: the job says so, the rest of the queue runs, nothing is left."""

import os
import signal
from pathlib import Path

import pytest

from tests.core.runtime.harness import deployment, job, request, settings, until
from tests.faults.forking import ForkingLauncher, Zygote
from tests.faults.harness import SMALL, assert_whole, files, gone, held, kill, said
from wan_tui.core.config.settings import SupervisionSettings
from wan_tui.core.engine import Engine
from wan_tui.core.words import JobFailureReason, JobState, LoadState, Phase, RestartReason

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize("fault", ["text_encode", "denoise_low_noise", "vae_decode", "write_output@7"])
async def test_sigkill_in_a_phase_fails_that_job_and_the_next_one_runs(home: Path, zygote: Zygote, fault: str) -> None:
    phase = Phase(fault.partition("@")[0])
    workers = ForkingLauncher(zygote, f"hold:{fault}")
    async with Engine(settings(home), launcher=workers) as engine:
        unlucky = await engine.generate(request(**SMALL))
        waiting = await engine.generate(request(**SMALL))
        assert job(await held(engine, phase), unlucky).phase is phase
        if fault == "write_output@7":
            (part,) = files(home / "outputs")
            assert part.endswith(f".{workers.pids[0]}.part"), "written, and about to get its name"
        kill(workers.pids[0])
        failed = await until(engine, lambda s: job(s, unlucky).state.ended)
        failure = job(failed, unlucky).failure
        assert failure is not None
        assert failure.reason is JobFailureReason.WORKER_DIED
        assert failure.message.startswith("worker was killed by SIGKILL (by an operator, or by the kernel")
        assert deployment(failed).failure == failure.message

        done = await until(engine, lambda s: job(s, waiting).state.ended)
        assert job(done, waiting).state is JobState.FINISHED, job(done, waiting).failure
        assert "restart 1 of at most 5" in said(done)
        assert {entry.label: entry.value for entry in deployment(done).totals.worker_restarts}["crashed"] == 1
    assert_whole(home / "outputs", videos=1)
    assert all(gone(pid) for pid in workers.pids)


async def test_sigkill_while_loading_keeps_the_queue_for_the_next_worker(home: Path, zygote: Zygote) -> None:
    workers = ForkingLauncher(zygote, "hold:load")
    async with Engine(settings(home), launcher=workers) as engine:
        jobs = [await engine.generate(request(**SMALL)) for _ in range(2)]
        await held(engine, "load")
        kill(workers.pids[0])
        failed = await until(engine, lambda s: deployment(s).state is LoadState.FAILED)
        assert "worker was killed by SIGKILL" in (deployment(failed).failure or "")
        assert [job(failed, name).state for name in jobs] == [JobState.QUEUED] * 2
        done = await until(engine, lambda s: all(job(s, name).state.ended for name in jobs))
        assert [job(done, name).state for name in jobs] == [JobState.FINISHED] * 2
    assert_whole(home / "outputs", videos=2)
    assert all(gone(pid) for pid in workers.pids)


async def test_loads_that_die_again_and_again_end_and_every_job_is_told(home: Path, zygote: Zygote) -> None:
    workers = ForkingLauncher(zygote, *["hold:load"] * 9)
    policy = SupervisionSettings(restarts=1)
    async with Engine(settings(home).model_copy(update={"supervision": policy}), launcher=workers) as engine:
        jobs = [await engine.generate(request(**SMALL)) for _ in range(2)]
        for number in range(2):
            await until(engine, lambda s, wanted=number: len(workers.pids) > wanted)  # type: ignore[misc]
            await until(engine, lambda s: deployment(s).load_stage is not None)
            kill(workers.pids[number])
            await until(engine, lambda s: deployment(s).state is LoadState.FAILED)
        done = await until(engine, lambda s: all(job(s, name).state.ended for name in jobs))
        for name in jobs:
            failure = job(done, name).failure
            assert failure is not None
            assert failure.reason is JobFailureReason.LOAD_FAILED
            assert failure.message.endswith("started again 1 times within half an hour")
    assert len(workers.pids) == 2


async def test_sigstop_in_a_phase_is_a_stall_that_ends_the_worker_and_the_job(home: Path, zygote: Zygote) -> None:
    workers = ForkingLauncher(zygote, "hold:denoise_high_noise")
    policy = SupervisionSettings(worker_silence_seconds=3)
    async with Engine(settings(home).model_copy(update={"supervision": policy}), launcher=workers) as engine:
        stuck = await engine.generate(request(**SMALL))
        waiting = await engine.generate(request(**SMALL))
        await held(engine, "denoise_high_noise")
        os.kill(workers.pids[0], signal.SIGSTOP)
        failed = await until(engine, lambda s: job(s, stuck).state.ended)
        failure = job(failed, stuck).failure
        assert failure is not None
        assert failure.reason is JobFailureReason.WORKER_DIED
        assert failure.message.startswith("worker gave no sign of life for ")
        done = await until(engine, lambda s: job(s, waiting).state.ended)
        assert job(done, waiting).state is JobState.FINISHED
        restarts = {entry.label: entry.value for entry in deployment(done).totals.worker_restarts}
        assert restarts[RestartReason.STALLED] == 1
    assert_whole(home / "outputs", videos=1)
    assert all(gone(pid) for pid in workers.pids)
