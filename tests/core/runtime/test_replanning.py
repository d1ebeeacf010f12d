"""Another plan for the next job, when the device changed under a deployment: what is decided, and what is done."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.planning.parts import plan
from tests.core.runtime.harness import deployment, job, request
from tests.core.runtime.simulated import CLIP, THERMAL, SimulatedHost, card, engine, until
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config.settings import ReplanningSettings
from wan_tui.core.engine import Engine
from wan_tui.core.planning.plan import Bounds, StageSeconds, TimeEstimate
from wan_tui.core.runtime.pace import Pace
from wan_tui.core.runtime.protocol import StepDone
from wan_tui.core.runtime.replanning import Replanning, Situation, Wish, considered, wish_of
from wan_tui.core.runtime.state import Job
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import Basis, Expert, JobState, LoadState, OffloadMode, Phase, Quantization, ReplanReason

Hosts = Callable[..., SimulatedHost]

HERE, SMALLER = plan(), plan(OffloadMode.MODEL)
ELSEWHERE = dataclasses.replace(HERE, device="gpu:1", gpu_uuid="GPU-1")
POLICY = ReplanningSettings(settle_seconds=20, hold_seconds=300, gain_ratio=0.15)
GIB = 2**30

# Decisions, without an engine


def situation(**changes: object) -> Situation:
    """Resident on gpu:0 with a GiB to spare, 100 s a job, a load takes 30 s, and nothing better is on offer."""
    values: dict[str, object] = {
        "plan": HERE,
        "seconds": 100.0,
        "short_bytes": -GIB,
        "offered": HERE,
        "offered_seconds": 100.0,
        "offered_runs": True,
        "load_seconds": 30.0,
    }
    return Situation(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        # a stranger took memory: what still runs, however slow; nothing when nothing does
        ({"short_bytes": GIB, "offered": SMALLER, "offered_seconds": 900.0}, ReplanReason.MEMORY_TAKEN),
        ({"short_bytes": GIB, "offered": ELSEWHERE}, ReplanReason.MEMORY_TAKEN),
        ({"short_bytes": GIB, "offered": SMALLER, "offered_runs": False}, None),
        # the plan in force still fits, so a more careful one is no reason
        ({"short_bytes": -1, "offered": SMALLER, "offered_seconds": 120.0}, None),
        # it left again: 30 + 50 s against 100 s for one job; 30 + 60 s do not save a seventh, of three jobs they do
        ({"plan": SMALLER, "offered": HERE, "offered_seconds": 50.0}, ReplanReason.MEMORY_FREED),
        ({"plan": SMALLER, "offered": HERE, "offered_seconds": 60.0}, None),
        ({"plan": SMALLER, "offered": HERE, "offered_seconds": 60.0, "waiting": 3}, ReplanReason.MEMORY_FREED),
        ({"plan": SMALLER, "offered": HERE, "offered_seconds": 50.0, "load_seconds": 300.0}, None),
        ({"offered": ELSEWHERE, "offered_seconds": 50.0}, ReplanReason.MEMORY_FREED),
        # heat, and steps that take longer than estimated: another card, if there is one
        ({"seconds": 200.0, "held_down": 2.0, "offered": ELSEWHERE}, ReplanReason.THROTTLED),
        ({"seconds": 200.0, "held_down": 2.0}, None),
        ({"seconds": 300.0, "pace": 3.0, "offered": ELSEWHERE}, ReplanReason.SLOW_STEPS),
        ({"seconds": 130.0, "pace": 1.3, "offered": ELSEWHERE}, None),
        ({"seconds": 100.0, "pace": 0.5, "offered": ELSEWHERE}, None),
    ],
)
def test_another_plan_is_wished_for_when_this_one_does_not_fit_or_the_jobs_end_sooner(
    changes: dict[str, object], expected: ReplanReason | None
) -> None:
    wish = wish_of(situation(**changes), POLICY)
    assert (wish.reason if wish else None) == expected


def test_a_wish_says_what_instead_of_what_and_why() -> None:
    taken = wish_of(situation(short_bytes=3 * GIB, offered=SMALLER), POLICY)
    assert taken is not None
    assert taken.text == (
        "gpu:0 (model offload) instead of gpu:0 (everything resident): 3.0 GiB too little left for the plan in force"
    )
    slow = wish_of(situation(seconds=300.0, pace=3.0, offered=ELSEWHERE, waiting=2), POLICY)
    assert slow is not None
    assert slow.text.endswith(
        "steps take 3.0 times as long as estimated; the next 2 jobs end in 03:50 instead of 10:00"
    )


TAKEN = Wish(SMALLER, ReplanReason.MEMORY_TAKEN, "")
FREED = Wish(HERE, ReplanReason.MEMORY_FREED, "")


@pytest.mark.parametrize(
    ("changed_at", "looks", "expected"),
    [
        # only what lasts is due
        (None, [(0, TAKEN), (19, TAKEN)], False),
        (None, [(0, TAKEN), (20, TAKEN)], True),
        (None, [(0, TAKEN), (10, None), (19, TAKEN), (25, TAKEN)], False),
        (None, [(0, TAKEN), (20, TAKEN), (21, None)], False),
        # a plan is held for a while, unless it does not fit
        (0.0, [(100, FREED), (299, FREED)], False),
        (0.0, [(100, FREED), (300, FREED)], True),
        (0.0, [(100, TAKEN), (120, TAKEN)], True),
    ],
)
def test_what_comes_and_goes_changes_nothing(
    changed_at: float | None, looks: list[tuple[float, Wish | None]], expected: bool
) -> None:
    state = Replanning(changed_at=changed_at)
    for now, wish in looks:
        state = considered(state, wish, POLICY, now)
    assert state.due is expected


def paced(seconds: list[float], *, low: float | None, high: float | None) -> float:
    """Pace after steps of ``seconds`` that were expected at 1 s, within ``low`` and ``high``."""
    bounds = (None, None) if low is None or high is None else (10 * low, 10 * high)
    stages = (StageSeconds(Phase.DENOISE_HIGH_NOISE, 10.0, *bounds),)
    estimate = TimeEstimate(basis=Basis.CALIBRATED, total_seconds=Bounds(10, 10, 10), stages=stages)
    wanted = Job(id="1", request=request(steps=10), state=JobState.RUNNING, submitted_at=0.0, estimate=estimate)
    pace = Pace()
    for number, took in enumerate(seconds, 1):
        step = StepDone(job="1", step=number, steps=10, expert=Expert.HIGH_NOISE, seconds=took)
        pace.saw(load_catalogue().find("ti2v-5B"), wanted, step)
    return pace.ratio


def test_the_pace_is_that_of_a_few_steps_and_only_outside_their_interval() -> None:
    assert paced([9, 1, 1.1, 1.2], low=0.8, high=1.25) == 1.0, "the first step warms up"
    assert paced([1, 3, 3], low=0.8, high=1.25) == 1.0, "two steps are not enough"
    assert paced([1, 3, 3, 3], low=0.8, high=1.25) == pytest.approx(3.0)
    assert paced([1, 3, 3, 3, 1, 1, 1, 1, 1], low=0.8, high=1.25) == 1.0
    assert paced([1, 0.5, 0.5, 0.5], low=0.8, high=1.25) == pytest.approx(0.5)
    assert paced([1, 3, 3, 3], low=None, high=None) == 1.0, "without runs of this host there is no interval"


# What the engine does


QUICK = ReplanningSettings(settle_seconds=0.6, hold_seconds=0.0)


async def ran(running: Engine) -> Job:
    wanted = await running.generate(request(**CLIP))
    done = job(await until(running, lambda s: job(s, wanted).state.ended), wanted)
    assert done.state is JobState.FINISHED, done.failure
    return done


async def up(running: Engine, name: str = "cinema") -> Snapshot:
    await running.load(name)
    return await until(running, lambda s: deployment(s, name).state is LoadState.LOADED)


def due(snapshot: Snapshot) -> bool:
    change = deployment(snapshot, "cinema").next_plan
    return change is not None and change.due


def lines(snapshot: Snapshot) -> list[str]:
    return [event.message for event in snapshot.log.events if event.source == "cinema"]


async def test_when_a_stranger_takes_the_memory_the_next_job_runs_on_another_gpu(home: Path, with_gpus: Hosts) -> None:
    host = with_gpus(card(), card())
    async with engine(home, host, replanning=QUICK) as running:
        await up(running)
        (first,) = host.started
        here, there = first.plan.device, {"gpu:0": "gpu:1", "gpu:1": "gpu:0"}[first.plan.device]
        await ran(running)
        host.stranger(int(here[-1]), 50)
        waiting = await until(running, due)
        change = deployment(waiting, "cinema").next_plan
        assert change is not None
        assert (change.reason, change.plan.device) == (ReplanReason.MEMORY_TAKEN, there)
        assert deployment(waiting, "cinema").state is LoadState.LOADED, "nothing is loaded again before there is a job"
        await ran(running)
        after = await until(running, lambda s: True)
    assert [one.plan.device for one in host.started] == [here, there]
    status = deployment(after, "cinema")
    assert {entry.label: entry.value for entry in status.totals.unloads}["replanned"] == 1
    assert status.replanned_at is not None
    assert any(line.startswith("planned anew for the next job (memory_taken): ") for line in lines(after))
    assert any(line.startswith("changes its plan: ") for line in lines(after))


async def test_on_the_only_gpu_the_plan_follows_the_memory_that_a_stranger_takes_and_gives_back(
    home: Path, with_gpus: Hosts
) -> None:
    host = with_gpus(card(gib=48))
    leave = host.stranger(0, 36)
    async with engine(home, host, replanning=QUICK) as running:
        await up(running)
        leave()
        waiting = await until(running, due)
        change = deployment(waiting, "cinema").next_plan
        assert change is not None
        assert change.reason is ReplanReason.MEMORY_FREED
        await ran(running)
        host.stranger(0, 20)
        await until(running, due)
        await ran(running)
    quantized, resident, offloaded = (one.plan for one in host.started)
    assert quantized.quantization is Quantization.INT4
    assert (resident.quantization, resident.offload) == (Quantization.NONE, OffloadMode.NONE)
    assert offloaded.quantization is Quantization.NONE
    assert offloaded != resident


async def test_a_stranger_that_leaves_at_once_changes_nothing(home: Path, with_gpus: Hosts) -> None:
    host = with_gpus(card(), card())
    slow = ReplanningSettings(settle_seconds=3600, hold_seconds=0)
    async with engine(home, host, replanning=slow) as running:
        await up(running)
        leave = host.stranger(int(host.started[0].plan.device[-1]), 50)
        await until(running, lambda s: deployment(s, "cinema").next_plan is not None)
        await ran(running)
        leave()
        await until(running, lambda s: deployment(s, "cinema").next_plan is None)
        await ran(running)
    assert len(host.started) == 1


@pytest.mark.parametrize(
    ("replanning", "wanted"),
    [(ReplanningSettings(enabled=False), {}), (QUICK, {"replan": False}), (QUICK, {"device": "gpu:0"})],
    ids=["switched off", "for this deployment", "its GPU is given"],
)
async def test_it_can_be_turned_off(
    home: Path, with_gpus: Hosts, replanning: ReplanningSettings, wanted: dict[str, object]
) -> None:
    host = with_gpus(card(), card())
    async with engine(home, host, replanning=replanning, **wanted) as running:
        number = (await up(running)).number
        host.scenario.gpus[int(host.started[0].plan.device[-1])].throttle_mask = THERMAL
        host.scenario.gpus[int(host.started[0].plan.device[-1])].sm_clock_megahertz = 600
        host.says()
        await until(running, lambda s: any(gpu.throttle_reasons for gpu in s.gpus) and s.number > number + 5)
        await ran(running)
        assert deployment(await until(running, lambda s: True), "cinema").next_plan is None
    assert len(host.started) == 1


async def test_a_gpu_that_heat_holds_down_is_left_for_one_that_is_cool(home: Path, with_gpus: Hosts) -> None:
    host = with_gpus(card(), card())
    async with engine(home, host, replanning=QUICK) as running:
        await up(running)
        hot = host.scenario.gpus[int(host.started[0].plan.device[-1])]
        hot.throttle_mask, hot.sm_clock_megahertz = THERMAL, 600
        host.says()
        waiting = await until(running, due)
        change = deployment(waiting, "cinema").next_plan
        assert change is not None
        assert change.reason is ReplanReason.THROTTLED
        await ran(running)
    assert len({one.plan.device for one in host.started}) == 2


async def test_a_gpu_whose_steps_leave_their_interval_is_left_and_not_come_back_to(
    home: Path, with_gpus: Hosts
) -> None:
    host = with_gpus(card(), card())
    async with engine(home, host, replanning=QUICK) as running:
        await up(running)
        for _ in range(3):  # then there is an interval
            await ran(running)
        slow = host.started[0].plan.device
        host.step_seconds[slow] *= 20
        await ran(running)
        waiting = await until(running, due)
        change = deployment(waiting, "cinema").next_plan
        assert change is not None
        assert change.reason is ReplanReason.SLOW_STEPS
        await ran(running)
        number = (await until(running, lambda s: deployment(s, "cinema").next_plan is None)).number
        await until(running, lambda s: s.number > number + 5)
        await ran(running)
    assert [one.plan.device == slow for one in host.started] == [True, False]
