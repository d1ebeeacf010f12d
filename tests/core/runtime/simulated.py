"""A host with GPUs of the simulated driver, and workers without torch that hold memory there and take their time.

What the engine reads is the real NVML probe against the simulated library, in a process of its own; a worker books the
bytes that its plan is estimated to take with the driver, under a pid of its own.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests import simnvml
from tests.core.runtime.harness import settings
from tests.core.runtime.harness import until as until_it_shows
from tests.simnvml import GIB, Scenario, SimGpu, SimProcess
from tests.simnvml.sampler import Sampler
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.config.settings import ReplanningSettings
from wan_tui.core.engine import Engine
from wan_tui.core.hardware.samples import HardwareSample
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.duration import DeviceRate
from wan_tui.core.planning.memory import estimate_memory
from wan_tui.core.planning.plan import ExecutionPlan, StageSeconds
from wan_tui.core.runtime import protocol
from wan_tui.core.runtime.launcher import WorkerExit
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import Expert, Phase

H100 = "NVIDIA H100 80GB HBM3"
A100 = "NVIDIA A100-SXM4-80GB"
THERMAL = 0x40  # NVML's HW thermal slowdown

_PIDS = itertools.count(3_000_000)  # above the kernel's highest


def card(name: str = H100, gib: float = 80, **changes: object) -> SimGpu:
    capability = "9.0" if name == H100 else "8.0"
    values: dict[str, object] = {"name": name, "compute_capability": capability, "memory_total_bytes": int(gib * GIB)}
    return SimGpu(**{**values, **changes})  # type: ignore[arg-type]


@dataclass(frozen=True)
class Started:
    """A worker that was started: where, with which plan."""

    plan: ExecutionPlan
    pid: int


class SimulatedHost:
    """Is the engine's probe and launcher. ``step_seconds`` is what each of the steps of a job takes, by device."""

    def __init__(self, library: Path, folder: Path, *gpus: SimGpu, step_seconds: float = 0.02) -> None:
        self.scenario = Scenario(gpus=list(gpus))
        self.step_seconds: dict[str, float] = {f"gpu:{index}": step_seconds for index in range(len(gpus))}
        self.started: list[Started] = []
        self.workers: dict[int, FakeWorker] = {}
        self._file = folder / "scenario"
        self.says()
        self._sampler = Sampler(simnvml.environment(library, self._file), 10.0)

    def says(self) -> None:
        """Let the driver tell the scenario as it is now: what processes hold is used."""
        for gpu in self.scenario.gpus:
            held = sum(process.used_bytes or 0 for process in gpu.processes)
            assert held <= (gpu.memory_total_bytes or 0), f"{gpu.name} has not that much"
            gpu.memory_used_bytes = held
            gpu.memory_reserved_bytes = 0
        self.scenario.write(self._file)

    def stranger(self, index: int, gib: float) -> Callable[[], None]:
        """A foreign process takes memory of a GPU; call what this returns to end it."""
        process = SimProcess(next(_PIDS), int(gib * GIB), "train.py")
        self.scenario.gpus[index].processes.append(process)
        self.says()

        def leave() -> None:
            self.scenario.gpus[index].processes.remove(process)
            self.says()

        return leave

    async def sample(self) -> HardwareSample:
        return await asyncio.to_thread(self._sampler.sample)

    def close(self) -> None:
        self._sampler.__exit__(None, None, None)

    async def start(
        self,
        plan: ExecutionPlan,
        on_event: Callable[[protocol.Event], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> "FakeWorker":
        worker = FakeWorker(self, plan, on_event, on_exit)
        self.started.append(Started(plan, worker.pid))
        self.workers[worker.pid] = worker
        return worker

    def gpu_of(self, plan: ExecutionPlan) -> SimGpu:
        return self.scenario.gpus[int(plan.device.removeprefix("gpu:"))]


class FakeWorker:
    """Loads at once, holds memory, runs jobs step by step, and gives the memory back when it ends."""

    def __init__(
        self,
        host: SimulatedHost,
        plan: ExecutionPlan,
        on_event: Callable[[protocol.Event], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> None:
        self.pid = next(_PIDS)
        self.plan = plan
        self._host = host
        self._on_event, self._on_exit = on_event, on_exit
        self._cancelled: set[str] = set()
        self._running: asyncio.Task[None] | None = None
        self._gone = False

    def send(self, command: protocol.Command) -> None:
        asyncio.get_running_loop().call_soon(self._hear, command)

    def die(self) -> None:
        """As by SIGKILL."""
        self._end(WorkerExit(-9, ()))

    async def stop(self, command: protocol.Command, grace_seconds: float = 0) -> None:
        await asyncio.sleep(0.01)
        self._end(WorkerExit(0, ()))

    def _hear(self, command: protocol.Command) -> None:
        match command:
            case protocol.Load():
                model = load_catalogue().find(command.model)
                held = estimate_memory(model, self.plan, default_clip(model)).loaded_bytes
                self._host.gpu_of(self.plan).processes.append(SimProcess(self.pid, held))
                self._host.says()
                self._say(
                    protocol.Hello(
                        pid=self.pid,
                        torch_version="2.9",
                        diffusers_version="0.42",
                        transformers_version="5.0",
                        cuda_version="12.8",
                    )
                )
                self._say(protocol.Loaded(seconds=0.1, rate=self._rate()))
            case protocol.Generate():
                self._running = asyncio.create_task(self._generate(command))
            case protocol.Cancel():
                self._cancelled.add(command.job)

    def _rate(self) -> DeviceRate:
        return DeviceRate(
            text_encode_seconds=0.001,
            forward_floor_seconds=self._host.step_seconds[self.plan.device] / 2,  # twice a step, for the guidance
            forward_flop_per_second=1e20,
            decode_floor_seconds=0.0,
            decode_pixels_per_second=1e10,
        )

    async def _generate(self, command: protocol.Generate) -> None:
        steps, job = command.request.steps, command.job
        self._say(protocol.PhaseStarted(job=job, phase=Phase.DENOISE_HIGH_NOISE))
        for step in range(1, steps + 1):
            seconds = self._host.step_seconds[self.plan.device]
            await asyncio.sleep(seconds)
            if job in self._cancelled:
                self._say(protocol.JobCancelled(job=job))
                return
            done = protocol.StepDone(job=job, step=step, steps=steps, expert=Expert.HIGH_NOISE, seconds=seconds)
            self._say(done)
        took = steps * self._host.step_seconds[self.plan.device]
        stages = (StageSeconds(Phase.DENOISE_HIGH_NOISE, took),)
        self._say(protocol.JobFinished(job=job, output=command.output, seconds=took, stages=stages, video_seconds=1.0))

    def _say(self, event: protocol.Event) -> None:
        if not self._gone:
            self._on_event(event)

    def _end(self, how: WorkerExit) -> None:
        if self._gone:
            return
        self._gone = True
        if self._running is not None:
            self._running.cancel()
        for gpu in self._host.scenario.gpus:
            gpu.processes = [process for process in gpu.processes if process.pid != self.pid]
        self._host.says()
        self._on_exit(how)


def engine(
    home: Path,
    host: SimulatedHost,
    deployments: Mapping[str, DeploymentSettings] | None = None,
    replanning: ReplanningSettings | None = None,
    **wanted: object,
) -> Engine:
    """An engine on ``host`` with one deployment, ``cinema`` (ti2v-5B), or those given; plans are kept by default."""
    chosen = deployments or {"cinema": DeploymentSettings(model="ti2v-5B", **wanted)}  # type: ignore[arg-type]
    policy = replanning or ReplanningSettings(enabled=False)
    made = settings(home, **chosen).model_copy(update={"replanning": policy})
    return Engine(made, gpu_probe=host, launcher=host)


async def until(running: Engine, condition: Callable[[Snapshot], object]) -> Snapshot:
    """Nothing here imports torch: what does not show soon never will."""
    return await until_it_shows(running, condition, patience=20)


CLIP = {"deployment": "cinema", "width": 256, "height": 256, "frames": 5, "steps": 10}
