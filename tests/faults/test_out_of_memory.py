"""Out of memory wherever it can happen: for real (an address space limit), and as torch says it of a GPU.

The limit is set while a worker is held in the phase, to less than it has by then: the next allocation that is not
small fails in torch's allocator, in numpy's, in the kernel's mmap, wherever it is made.
"""

import resource
from pathlib import Path

import pytest

from tests.core.planning.parts import gpu, hardware
from tests.core.runtime.harness import deployment, job, request, settings, until
from tests.faults.forking import ForkingLauncher, Zygote, release
from tests.faults.harness import SMALL, assert_whole, files, gone, held, said
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.engine import Engine
from wan_tui.core.hardware.samples import HardwareSample
from wan_tui.core.words import JobFailureReason, JobState, LoadState, Phase

pytestmark = pytest.mark.usefixtures("quick")
PHASES = (
    *(Phase.TEXT_ENCODE, Phase.DENOISE_HIGH_NOISE, Phase.DENOISE_LOW_NOISE),
    *(Phase.VAE_DECODE, Phase.WRITE_OUTPUT),
)


# No tensor of such a clip is so small that the C library has room for it without asking the kernel.
ROOMY = {"steps": 2, "frames": 9, "width": 256, "height": 256}


def limit_memory(pid: int, most: int) -> None:
    """RLIMIT_AS of another process."""
    resource.prlimit(pid, resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


async def test_a_real_one_in_each_phase_fails_that_job_and_its_worker_runs_the_next(home: Path, zygote: Zygote) -> None:
    workers = ForkingLauncher(zygote, ",".join(f"hold:{phase}" for phase in PHASES))
    async with Engine(settings(home), launcher=workers) as engine:
        for phase in PHASES:
            unlucky = await engine.generate(request(**ROOMY))
            await until(engine, lambda s, now=phase: f"held in {now} " in said(s))  # type: ignore[misc]
            (pid,) = workers.pids
            limit_memory(pid, 64 << 20)
            release(pid)
            failed = await until(engine, lambda s, wanted=unlucky: job(s, wanted).state.ended)  # type: ignore[misc]
            limit_memory(pid, resource.RLIM_INFINITY)
            failure = job(failed, unlucky).failure
            assert failure is not None
            assert failure.reason is JobFailureReason.OUT_OF_MEMORY, failure.message
            assert failure.message.startswith(f"out of memory in {phase}: ")
            assert deployment(failed).state is LoadState.LOADED
            assert files(home / "outputs") == []
        after = await engine.generate(request(**SMALL))
        done = await until(engine, lambda s: job(s, after).state.ended)
        assert job(done, after).state is JobState.FINISHED
        status = deployment(done)
        assert status.worker is not None
        assert [status.worker.pid] == workers.pids, "the same worker through all of it"
        counts = {entry.label: entry.value for entry in status.totals.out_of_memory}
        assert [counts[phase] for phase in PHASES] == [1] * len(PHASES)
    assert_whole(home / "outputs", videos=1)


@pytest.mark.parametrize("stage", ["load@2", "load@3", "load@6"], ids=["text encoder", "transformer", "measuring"])
async def test_a_real_one_while_loading_fails_load_and_jobs_with_the_reason(
    home: Path, zygote: Zygote, stage: str
) -> None:
    workers = ForkingLauncher(zygote, f"hold:{stage}")
    async with Engine(settings(home), launcher=workers) as engine:
        waiting = await engine.generate(request(**SMALL))
        await held(engine, "load")
        limit_memory(workers.pids[0], 64 << 20)
        release(workers.pids[0])
        failed = await until(engine, lambda s: job(s, waiting).state.ended)
        failure = job(failed, waiting).failure
        assert failure is not None
        assert failure.reason is JobFailureReason.LOAD_FAILED
        assert failure.message.startswith("out of memory while ")
        assert deployment(failed).failure == failure.message
        assert {entry.label: entry.value for entry in deployment(failed).totals.load_failures}["out_of_memory"] == 1

        await engine.load("pocket")
        await until(engine, lambda s: deployment(s).state is LoadState.LOADED)
    assert all(gone(pid) for pid in workers.pids)


async def test_torchs_cuda_error_in_each_phase_is_an_out_of_memory(home: Path, zygote: Zygote) -> None:
    workers = ForkingLauncher(zygote, ",".join(f"out_of_memory:{phase}*1" for phase in PHASES))
    async with Engine(settings(home), launcher=workers) as engine:
        jobs = [await engine.generate(request(**SMALL)) for _ in (*PHASES, "the last one")]
        done = await until(engine, lambda s: job(s, jobs[-1]).state.ended)
        for phase, unlucky in zip(PHASES, jobs, strict=False):
            failure = job(done, unlucky).failure
            assert failure is not None
            assert failure.reason is JobFailureReason.OUT_OF_MEMORY
            assert failure.message.startswith(f"out of memory in {phase}: CUDA out of memory")
        assert job(done, jobs[-1]).state is JobState.FINISHED
    assert len(workers.pids) == 1
    assert_whole(home / "outputs", videos=1)


class Card:
    """A host with one card of 80 GiB, as far as the engine knows."""

    async def sample(self) -> HardwareSample:
        return hardware(gpu(80))

    def close(self) -> None: ...


async def test_on_a_gpu_load_and_job_each_step_down_once_and_run_again(home: Path, zygote: Zygote) -> None:
    workers = ForkingLauncher(zygote, "out_of_memory:load", "out_of_memory:vae_decode", as_pocket="ti2v-pocket")
    wanted = settings(home, cinema=DeploymentSettings(model="ti2v-5B"))
    async with Engine(wanted, gpu_probe=Card(), launcher=workers) as engine:
        clip = {"deployment": "cinema", "width": 64, "height": 64}
        unlucky = await engine.generate(request(**clip, **SMALL))
        behind = await engine.generate(request(**clip, **SMALL))
        done = await until(engine, lambda s: job(s, behind).state.ended)
        status = deployment(done, "cinema")
    assert [job(done, name).state for name in (unlucky, behind)] == [JobState.FINISHED] * 2
    assert len(workers.plans) == len(set(workers.plans)) == 3, "each smaller than the one before"
    stepped, now = job(done, unlucky).notices[-2:]
    assert stepped.startswith("out of memory in vae_decode: planned anew for at most ")
    assert now.startswith("now with ")
    assert "out of memory while loading: planned anew for at most " in said(done)
    assert {entry.label: entry.value for entry in status.totals.worker_restarts}["out_of_memory"] == 2
    assert {entry.label: entry.value for entry in status.totals.load_failures}["out_of_memory"] == 1
    assert {entry.label: entry.value for entry in status.totals.out_of_memory}["vae_decode"] == 1
    assert_whole(home / "outputs", videos=2)
    assert all(gone(pid) for pid in workers.pids)
