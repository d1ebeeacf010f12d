"""Nowhere to write: the job says where and why, what could be saved is, and nothing half written stays."""

import contextlib
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.core.runtime.harness import deployment, job, request, settings, until
from tests.faults.forking import ForkingLauncher, Zygote, release
from tests.faults.harness import SMALL, assert_whole, files, held
from wan_tui.core.engine import Engine
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import JobFailureReason, JobState, LoadState

# What the pocket model draws at 64x64 takes less than the smallest disk has.
LARGER = {**SMALL, "frames": 33, "width": 192, "height": 192}

pytestmark = pytest.mark.usefixtures("quick")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Callable[[int], None]]:
    """A tmpfs of two pages at ``folder``; its other size is set with the function."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small tmpfs; the limit on file sizes is tested in its place")
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def assert_not_written(snapshot: Snapshot, name: str, folder: Path, why: str) -> None:
    failure = job(snapshot, name).failure
    assert failure is not None
    assert failure.reason is JobFailureReason.OUTPUT
    assert failure.message.startswith(f"cannot write the video in {folder}: {why}; ")
    assert deployment(snapshot).state is LoadState.LOADED, "its worker is as good as before"


async def test_a_full_disk_fails_the_job_and_with_room_again_the_next_one_runs(home: Path, zygote: Zygote) -> None:
    outputs = home / "outputs"
    with small_disk(outputs) as resize:
        async with Engine(settings(home), launcher=ForkingLauncher(zygote)) as engine:
            full = await engine.generate(request(**LARGER))
            failed = await until(engine, lambda s: job(s, full).state.ended)
            assert_not_written(failed, full, outputs, "No space left on device")
            assert "free some space" in str(job(failed, full).failure)
            assert files(outputs) == []
            resize(1 << 20)
            again = await engine.generate(request(**LARGER))
            done = await until(engine, lambda s: job(s, again).state.ended)
            assert job(done, again).state is JobState.FINISHED
        assert_whole(outputs, videos=1)


async def test_a_file_that_may_not_grow_fails_the_job_wherever_it_stops(home: Path, zygote: Zygote) -> None:
    """RLIMIT_FSIZE, as a quota: needs no root."""
    workers = ForkingLauncher(zygote, "hold:load")
    async with Engine(settings(home), launcher=workers) as engine:
        unlucky = await engine.generate(request(**LARGER))
        await held(engine, "load")
        resource.prlimit(workers.pids[0], resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))
        release(workers.pids[0])
        failed = await until(engine, lambda s: job(s, unlucky).state.ended)
        assert_not_written(failed, unlucky, home / "outputs", "File too large")
        assert files(home / "outputs") == []


async def test_an_output_directory_that_goes_while_a_job_runs_is_made_again(home: Path, zygote: Zygote) -> None:
    workers = ForkingLauncher(zygote, "hold:text_encode,hold:write_output@7")
    outputs = home / "outputs"
    async with Engine(settings(home), launcher=workers) as engine:
        lucky = await engine.generate(request(**SMALL))
        for place in ("text_encode", "write_output"):  # before it writes, and when all but the name is written
            await held(engine, place)
            shutil.rmtree(outputs)
            release(workers.pids[0])
        done = await until(engine, lambda s: job(s, lucky).state.ended)
        assert job(done, lucky).state is JobState.FINISHED, job(done, lucky).failure
    assert_whole(outputs, videos=1)


async def test_a_chosen_place_that_goes_is_an_error_and_never_another_place(home: Path, zygote: Zygote) -> None:
    workers = ForkingLauncher(zygote, "hold:vae_decode")
    chosen = home / "chosen"
    chosen.mkdir()
    async with Engine(settings(home), launcher=workers) as engine:
        unlucky = await engine.generate(request(**SMALL, output=str(chosen / "clip.mp4")))
        await held(engine, "vae_decode")
        chosen.rmdir()
        release(workers.pids[0])
        failed = await until(engine, lambda s: job(s, unlucky).state.ended)
        assert_not_written(failed, unlucky, chosen, "No such file or directory")
    assert not chosen.exists()
    assert files(home / "outputs") == []
