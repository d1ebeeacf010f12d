"""What is done about workers that are silent, stuck, idle or broken; decided purely, and seen with real processes."""

import dataclasses
import os
import signal
import time
from pathlib import Path

import pytest

from tests.core.planning.parts import GIB, GpuProcess, gpu, hardware
from tests.core.runtime.harness import deployment, request, settings, until
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config import DeploymentSettings, Settings
from wan_tui.core.config.settings import SupervisionSettings
from wan_tui.core.engine import Engine
from wan_tui.core.planning.compatibility import cpu_plan
from wan_tui.core.planning.plan import Compatibility, MemoryEstimate
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.room import held_bytes, makes_way
from wan_tui.core.runtime.state import WorkerStatus
from wan_tui.core.runtime.supervision import Step, backoff_seconds, breaker_open, decide
from wan_tui.core.words import Basis, JobState, LoadFailureReason, LoadState, RestartReason, Verdict

POLICY = SupervisionSettings()
NOW = 10_000.0


class Handle:
    """A worker, as far as a decision looks at it."""

    pid = 1

    def send(self, command: object) -> None: ...
    async def stop(self, command: object, grace_seconds: float = 0) -> None: ...


def made(state: LoadState, *, name: str = "pocket", keep_alive: float = 600, **changes: object) -> Deployment:
    found = Deployment(
        name=name,
        settings=DeploymentSettings(model="t2v-pocket", keep_alive_seconds=keep_alive),
        model=load_catalogue().find("t2v-pocket"),
        compatibility=Compatibility(verdict=Verdict.FITS, reason=""),
        wanted_loaded=True,
        state=state,
        worker=Handle() if state in (LoadState.LOADING, LoadState.LOADED) else None,
    )
    found.vitals.heard_at = found.vitals.progress_at = found.vitals.idle_since = NOW
    for key, value in changes.items():
        setattr(found, key, value)
    return found


def step(found: Deployment, after: float, *, waiting: bool = False) -> Step | None:
    decision = decide(found, found.vitals, POLICY, waiting=waiting, now=NOW + after)
    return decision.step if decision else None


def test_a_worker_without_a_sign_of_life_is_ended() -> None:
    loaded = made(LoadState.LOADED, pinned=True)
    assert step(loaded, 59) is None
    assert step(loaded, 61) is Step.KILL


def test_a_worker_that_still_imports_its_libraries_says_nothing_and_is_left_alone() -> None:
    """Seconds from a local disk, minutes from a slow one; it counts as a load that may not stand still."""
    starting = made(LoadState.LOADING)
    assert step(starting, 61) is None
    assert step(starting, 301) is Step.KILL
    speaking = made(LoadState.LOADING, worker_status=WorkerStatus(pid=1, up=True, started_at=NOW, last_progress_at=NOW))
    assert step(speaking, 61) is Step.KILL


def test_after_too_many_restarts_what_waits_is_given_up_and_what_nobody_waits_for_is_left() -> None:
    broken = made(LoadState.FAILED, pinned=True, failure="worker was killed by SIGKILL")
    broken.vitals.failed_at, broken.vitals.restarts = NOW, [NOW] * 5
    assert step(broken, 1000) is None
    assert step(broken, 1000, waiting=True) is Step.GIVE_UP


def test_a_load_may_take_long_but_not_stand_still() -> None:
    loading = made(LoadState.LOADING)
    loading.vitals.heard_at = NOW + 10_000
    assert step(loading, 299) is None
    assert step(loading, 301) is Step.KILL
    loading.vitals.progress_at = NOW + 290
    assert step(loading, 301) is None


@pytest.mark.parametrize(
    ("changes", "keep_alive", "waiting", "expected"),
    [
        ({}, 600, False, Step.UNLOAD),
        ({}, 600, True, None),
        ({"running_job": "1"}, 600, False, None),
        ({"pinned": True}, 600, False, None),
        ({}, -1, False, None),
        ({}, 900, False, None),
        ({}, 0, False, Step.UNLOAD),
    ],
)
def test_what_a_job_loaded_is_unloaded_when_nobody_used_it_for_a_while(
    changes: dict[str, object], keep_alive: float, waiting: bool, expected: Step | None
) -> None:
    idle = made(LoadState.LOADED, keep_alive=keep_alive, **changes)
    idle.vitals.heard_at = NOW + 601
    assert step(idle, 601, waiting=waiting) is expected


def test_what_failed_is_started_again_later_and_later_and_in_the_end_not_at_all() -> None:
    broken = made(LoadState.FAILED, pinned=True)
    broken.vitals.failed_at = NOW
    assert step(broken, 4) is None
    assert step(broken, 6) is Step.RESTART
    broken.vitals.restarts = [NOW - 20, NOW - 10]
    assert backoff_seconds(broken.vitals.restarts, NOW) == 20
    assert step(broken, 6) is None
    assert step(broken, 21) is Step.RESTART
    broken.vitals.restarts = [NOW - number for number in range(5)]
    assert breaker_open(broken.vitals.restarts, POLICY, NOW)
    assert step(broken, 1000) is None
    assert step(broken, 1801) is Step.RESTART, "half an hour later it may be tried again"


def test_nobody_restarts_what_nobody_wants_or_what_cannot_get_better() -> None:
    unwanted = made(LoadState.FAILED)
    unwanted.vitals.failed_at = NOW
    assert step(unwanted, 1000) is None
    assert step(unwanted, 1000, waiting=True) is Step.RESTART
    hopeless = made(LoadState.FAILED, pinned=True, load_failure=(LoadFailureReason.CHECKPOINT, "truncated"))
    hopeless.vitals.failed_at = NOW
    assert step(hopeless, 1000) is None


def on_gpu(found: Deployment, peak_gib: float, headroom_gib: float, idle_since: float = NOW) -> Deployment:
    plan = dataclasses.replace(cpu_plan(), device="gpu:0", gpu_uuid="GPU-0")
    memory = MemoryEstimate(
        basis=Basis.MODELLED, loaded_bytes=0, peak_bytes=int(peak_gib * GIB), host_bytes=0, phases=()
    )
    found.plan, found.peak_bytes = plan, memory.peak_bytes
    found.compatibility = Compatibility(
        verdict=Verdict.TIGHT, reason="", plan=plan, memory=memory, headroom_bytes=int(headroom_gib * GIB)
    )
    found.vitals.idle_since = idle_since
    return found


def test_idle_deployments_make_way_the_longest_idle_first_and_no_more_than_needed() -> None:
    asking = on_gpu(made(LoadState.UNLOADED, name="new"), 20, -10)
    old = on_gpu(made(LoadState.LOADED, name="old"), 12, 1, idle_since=NOW - 500)
    young = on_gpu(made(LoadState.LOADED, name="young"), 12, 1)
    busy = on_gpu(made(LoadState.LOADED, name="busy", running_job="3"), 40, 1)
    pinned = on_gpu(made(LoadState.LOADED, name="pinned", pinned=True), 40, 1)
    everyone = [asking, young, busy, pinned, old]
    assert [other.name for other in makes_way(asking, everyone)] == ["old"]
    assert makes_way(asking, [asking, busy, pinned]) == []
    asking.compatibility = dataclasses.replace(asking.compatibility, headroom_bytes=-30 * GIB)
    assert makes_way(asking, everyone) == [], "unloading both would not be enough: nothing is unloaded in vain"


def test_memory_that_the_driver_still_books_for_a_dead_worker_is_counted() -> None:
    sample = hardware(gpu(24, processes=(GpuProcess(7, 3 * GIB), GpuProcess(8, GIB))))
    assert held_bytes(sample, "GPU-0", 7) == 3 * GIB
    assert held_bytes(sample, "GPU-0", 9) == held_bytes(sample, "GPU-1", 7) == 0


def quick(home: Path, **changes: object) -> Settings:
    policy = SupervisionSettings(worker_silence_seconds=4)
    wanted = DeploymentSettings(model="t2v-pocket", profile="cpu", **changes)  # type: ignore[arg-type]
    return settings(home, pocket=wanted).model_copy(update={"supervision": policy})


async def test_a_stopped_worker_is_noticed_ended_and_replaced(home: Path) -> None:
    async with Engine(quick(home)) as engine:
        await engine.load("pocket")
        loaded = deployment(await until(engine, lambda s: deployment(s).state is LoadState.LOADED))
        assert loaded.worker is not None
        os.kill(loaded.worker.pid, signal.SIGSTOP)
        failed = deployment(await until(engine, lambda s: deployment(s).state is LoadState.FAILED))
        assert "gave no sign of life" in (failed.failure or "")
        again = deployment(await until(engine, lambda s: deployment(s).state is LoadState.LOADED))
        assert again.worker is not None
        assert again.worker.pid != loaded.worker.pid
        restarts = {entry.label: entry.value for entry in again.totals.worker_restarts}
        assert restarts[RestartReason.STALLED] == 1
        with pytest.raises(ProcessLookupError):
            os.kill(loaded.worker.pid, 0)


async def test_a_deployment_that_a_job_loaded_is_unloaded_after_its_keep_alive(home: Path) -> None:
    async with Engine(quick(home, keep_alive_seconds=1)) as engine:
        job = await engine.generate(request())
        finished = await until(engine, lambda s: (found := s.job(job)) is not None and found.state is JobState.FINISHED)
        when = deployment(finished).idle_unload_at
        assert when is not None
        assert abs(when - time.time()) < 5
        after = deployment(await until(engine, lambda s: deployment(s).state is LoadState.UNLOADED))
        assert {entry.label: entry.value for entry in after.totals.unloads}["idle"] == 1
        assert not after.wanted_loaded
