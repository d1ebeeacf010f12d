"""Out of memory on a GPU: one step down to a smaller plan, the job once more, and the operator is told."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.core.planning.parts import gpu, hardware
from tests.core.runtime.harness import deployment, job, request, settings, until
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.engine import Engine
from wan_tui.core.hardware.samples import HardwareSample
from wan_tui.core.planning.duration import DeviceRate
from wan_tui.core.planning.plan import ExecutionPlan, StageSeconds
from wan_tui.core.runtime import protocol
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
    """Loads at once; runs out of memory in each job of its plan as long as ``fails`` says so."""

    pid = 4242

    def __init__(
        self,
        fails: bool,
        on_event: Callable[[protocol.Event], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> None:
        self._fails = fails
        self._on_event, self._on_exit = on_event, on_exit

    def send(self, command: protocol.Command) -> None:
        asyncio.get_running_loop().call_soon(self._answer, command)

    def _answer(self, command: protocol.Command) -> None:
        match command:
            case protocol.Load():
                self._on_event(protocol.Loaded(seconds=0.1, rate=RATE))
            case protocol.Generate() if self._fails:
                failed = protocol.JobFailed(
                    job=command.job,
                    phase=Phase.DENOISE_HIGH_NOISE,
                    reason=JobFailureReason.OUT_OF_MEMORY,
                    message="CUDA out of memory",
                )
                self._on_event(failed)
            case protocol.Generate():
                stages = (StageSeconds(Phase.DENOISE_HIGH_NOISE, 1.0),)
                finished = protocol.JobFinished(
                    job=command.job, output=command.output, seconds=1.0, stages=stages, video_seconds=1.0
                )
                self._on_event(finished)

    async def stop(self, command: protocol.Command, grace_seconds: float = 0) -> None:
        self._on_exit(WorkerExit(0, ()))


class ScriptedLauncher:
    """Workers of the first ``failing`` plans run out of memory. ``plans`` are those that were started."""

    def __init__(self, failing: int) -> None:
        self._failing = failing
        self.plans: list[ExecutionPlan] = []

    async def start(
        self,
        plan: ExecutionPlan,
        on_event: Callable[[protocol.Event], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> ScriptedWorker:
        self.plans.append(plan)
        return ScriptedWorker(len(self.plans) <= self._failing, on_event, on_exit)


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
