"""Out of memory on a GPU: one step down to a smaller plan, the job once more, and the operator is told."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.core.planning.parts import GIB, gpu, hardware
from tests.core.runtime.harness import deployment, job, request, settings, until
from tests.core.runtime.test_retries import parts
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.engine import Engine
from wan_tui.core.hardware.samples import HardwareSample
from wan_tui.core.history import History, Kind, Unit
from wan_tui.core.planning.duration import DeviceRate
from wan_tui.core.planning.plan import ExecutionPlan, StageSeconds
from wan_tui.core.runtime import protocol, supervision
from wan_tui.core.runtime.ladder import is_planned_anew
from wan_tui.core.runtime.launcher import WorkerExit
from wan_tui.core.words import JobFailureReason, JobState, Phase

RATE = DeviceRate(
    text_encode_seconds=0.1,
    forward_floor_seconds=0.01,
    forward_flop_per_second=1e14,
    decode_floor_seconds=0.01,
    decode_pixels_per_second=1e7,
)


class Card:
    """A host with one card of ``gib``."""

    def __init__(self, gib: float) -> None:
        self._answer = hardware(gpu(gib))

    async def sample(self) -> HardwareSample:
        return self._answer

    def close(self) -> None: ...


class ScriptedWorker:
    """Loads at once; runs out of memory in each job of its plan as long as it ``fails``."""

    pid = 4242

    def __init__(
        self,
        fails: Callable[[], bool],
        needed: int | None,
        on_event: Callable[[protocol.Event], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> None:
        self._fails, self._needed, self.ended = fails, needed, False
        self._on_event, self._on_exit = on_event, on_exit

    def send(self, command: protocol.Command) -> None:
        asyncio.get_running_loop().call_soon(self._answer, command)

    def _answer(self, command: protocol.Command) -> None:
        match command:
            case protocol.Load():
                self._on_event(protocol.Loaded(seconds=0.1, rate=RATE))
            case protocol.Generate() if self._fails():
                failed = protocol.JobFailed(
                    job=command.job,
                    phase=Phase.DENOISE_HIGH_NOISE,
                    reason=JobFailureReason.OUT_OF_MEMORY,
                    message="CUDA out of memory",
                    needed_bytes=self._needed,
                )
                self._on_event(failed)
            case protocol.Generate():
                stages = (StageSeconds(Phase.DENOISE_HIGH_NOISE, 1.0),)
                finished = protocol.JobFinished(
                    job=command.job, output=command.output, seconds=1.0, stages=stages, video_seconds=1.0
                )
                self._on_event(finished)

    async def stop(self, command: protocol.Command, grace_seconds: float = 0) -> None:
        self.ended = True
        self._on_exit(WorkerExit(0, ()))


class ScriptedLauncher:
    """Workers of the first ``failing`` plans run out of memory, after they ``needed`` so many bytes.

    ``plans`` are those that were started.
    """

    def __init__(self, failing: int, needed: int | None = None, kind: type[ScriptedWorker] = ScriptedWorker) -> None:
        self.failing, self._needed, self._kind = failing, needed, kind
        self.plans: list[ExecutionPlan] = []

    async def start(
        self,
        plan: ExecutionPlan,
        on_event: Callable[[protocol.Event], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> ScriptedWorker:
        self.plans.append(plan)
        number = len(self.plans)
        return self._kind(lambda: number <= self.failing, self._needed, on_event, on_exit)


def engine(home: Path, launcher: ScriptedLauncher) -> Engine:
    wanted = settings(home, cinema=DeploymentSettings(model="ti2v-5B"))
    return Engine(wanted, gpu_probe=Card(80), launcher=launcher)  # type: ignore[arg-type]


CLIP = {"deployment": "cinema", "width": 832, "height": 480, "frames": 49}


async def test_the_job_runs_with_the_smaller_plan(home: Path) -> None:
    launcher = ScriptedLauncher(failing=1)
    async with engine(home, launcher) as running:
        wanted = await running.generate(request(**CLIP))
        done = job(await until(running, lambda s: job(s, wanted).state.ended), wanted)
        status = deployment(await until(running, lambda s: True), "cinema")
    assert done.state is JobState.FINISHED, done.failure
    assert any(notice.startswith("out of memory in denoise_high_noise: planned anew") for notice in done.notices)
    large, small = launcher.plans
    assert large != small
    assert {entry.label: entry.value for entry in status.totals.worker_restarts}["out_of_memory"] == 1
    assert {entry.label: entry.value for entry in status.totals.out_of_memory}["denoise_high_noise"] == 1


async def test_it_is_tried_once_and_no_more(home: Path) -> None:
    launcher = ScriptedLauncher(failing=9)
    async with engine(home, launcher) as running:
        wanted = await running.generate(request(**CLIP))
        done = job(await until(running, lambda s: job(s, wanted).state.ended), wanted)
    assert done.state is JobState.FAILED
    assert done.failure is not None
    assert done.failure.reason is JobFailureReason.OUT_OF_MEMORY
    assert len(launcher.plans) == 2


async def test_another_job_may_step_down_further(home: Path) -> None:
    launcher = ScriptedLauncher(failing=1)
    async with engine(home, launcher) as running:
        for launcher.failing in (1, 2):
            wanted = await running.generate(request(**CLIP))
            done = job(await until(running, lambda s, name=wanted: job(s, name).state.ended), wanted)  # type: ignore[misc]
            assert done.state is JobState.FINISHED, done.failure
    assert len(launcher.plans) == len(set(launcher.plans)) == 3, "once for each"


@pytest.mark.parametrize(("needed_gib", "learns"), [(79.0, True), (1.0, False)])
async def test_what_a_run_needed_at_least_corrects_the_memory_model(
    home: Path, needed_gib: float, learns: bool
) -> None:
    launcher = ScriptedLauncher(failing=1, needed=int(needed_gib * GIB))
    async with engine(home, launcher) as running:
        wanted = await running.generate(request(**CLIP))
        await until(running, lambda s: job(s, wanted).state.ended)
    history = History(home / "history.sqlite3")
    device = "Test 80 80 GiB"
    seen = [
        observation
        for observation in history.observations(Kind.RUN, Unit.BYTES, model="ti2v-5B", device=device)
        if observation.subject.stage == Phase.DENOISE_HIGH_NOISE
    ]
    history.close()
    assert len(seen) == learns, "less than was expected says that others held it, and nothing of the model"
    for observation in seen:
        assert observation.observed >= needed_gib * GIB
        assert observation.observed > observation.modelled


class Leaky(ScriptedWorker):
    """Holds ``LEAK_BYTES`` more after a job that ran out of memory."""

    held = 10 * GIB

    def _answer(self, command: protocol.Command) -> None:
        if isinstance(command, protocol.Load):
            self._beat()
        if isinstance(command, protocol.Generate) and self._fails():
            self.held += 3 * GIB
        super()._answer(command)

    def _beat(self) -> None:
        if not self.ended:
            self._on_event(protocol.Memory(resident_bytes=GIB, allocated_bytes=self.held, reserved_bytes=self.held))
            asyncio.get_running_loop().call_later(0.1, self._beat)


async def test_a_worker_whose_memory_does_not_come_back_is_replaced(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "MEMORY_PATIENCE_SECONDS", 0.5)
    launcher = ScriptedLauncher(failing=2, kind=Leaky)
    async with engine(home, launcher) as running:
        wanted = await running.generate(request(**CLIP))
        behind = await running.generate(request(**CLIP))
        done = await until(running, lambda s: job(s, behind).state.ended)
        failed = job(done, wanted)
    assert failed.state is JobState.FAILED, "it had its second try"
    assert job(done, behind).state is JobState.FINISHED
    assert any(
        "worker still holds 13.0 GiB after an out-of-memory, 10.0 GiB before it" in event.message
        for event in done.log.events
    )
    assert len(launcher.plans) == 3
    assert launcher.plans[1] == launcher.plans[2], "the same plan, a new process"


def test_a_verdict_from_before_the_cap_is_no_answer_to_it(home: Path) -> None:
    """It is made in a thread: an out-of-memory may come while it is being made."""
    asked = parts(home)[2]
    asked.memory_cap_bytes, asked.replan = 5 * GIB, True
    assert not is_planned_anew(asked)
    asked.judged_cap_bytes = 5 * GIB
    assert is_planned_anew(asked)
