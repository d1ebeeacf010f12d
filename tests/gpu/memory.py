"""Running out of memory in each phase through the real engine: one step down, the same again, and the memory back.

On a GPU torch's allocator is given no more than it holds when the phase begins (``WANTUI_FAULT=fill:PHASE``): the next
tensor really runs out. On a processor the worker says what torch would say, and the engine believes in a card. Either
way the plans are those of a model of true size, for which there are smaller ones, and the weights are a pocket model's.
"""

import asyncio
import dataclasses
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.core.planning.parts import gpu, hardware
from tests.core.runtime.harness import deployment, job, request, settings, until
from tests.faults.forking import ForkingLauncher, Zygote
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.engine import Engine
from wan_tui.core.hardware.samples import HardwareSample
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.runtime.launcher import LocalLauncher, Worker, WorkerExit
from wan_tui.core.runtime.protocol import Command, Event, JobFailed, Load, LoadFailed
from wan_tui.core.words import JobState, LoadState, Phase

PLACES = ("load", Phase.TEXT_ENCODE.value, Phase.DENOISE_HIGH_NOISE.value, Phase.VAE_DECODE.value)
MODEL, POCKET = "ti2v-5B", "ti2v-pocket"
# No tensor of such a clip is so small that it hides in what an allocator rounds up.
CLIP = {"steps": 2, "frames": 9, "width": 128, "height": 128}
REAL = re.compile(r"CUDA out of memory\. Tried to allocate [\d.]+ \w+")


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was seen. ``failure`` is what the worker said of it; ``plans`` are those it was loaded with, in words."""

    place: str
    failure: str
    plans: tuple[str, ...]
    notices: tuple[str, ...]
    state: LoadState
    job: JobState
    restarts: int

    @property
    def is_real(self) -> bool:
        """Whether torch's own allocator said it, of memory that it wanted."""
        return REAL.search(self.failure) is not None

    @property
    def problem(self) -> str | None:
        """What of it is not as promised, or None."""
        if not self.failure:
            return "it did not run out of memory"
        if self.job is not JobState.FINISHED:
            return f"the job is {self.job} and not finished: {self.failure}"
        if len(self.plans) != 2 or len(set(self.plans)) != 2:
            return f"{len(self.plans)} plans were loaded, not one and then a smaller one: {'; '.join(self.plans)}"
        if self.state is not LoadState.LOADED:
            return f"the deployment is {self.state} and not loaded"
        return None if self.restarts == 1 else f"{self.restarts} workers were replaced for it, not 1"


@dataclass(slots=True)
class Hearing:
    """A launcher that keeps which plans were asked for and what failed."""

    launcher: Any
    plans: list[ExecutionPlan] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def start(
        self, plan: ExecutionPlan, on_event: Callable[[Event], None], on_exit: Callable[[WorkerExit], None]
    ) -> Worker:
        def hear(event: Event) -> None:
            if isinstance(event, JobFailed | LoadFailed):
                self.failures.append(event.message)
            on_event(event)

        self.plans.append(plan)
        started: Worker = await self.launcher.start(plan, hear, on_exit)
        return started


class PocketLauncher:
    """Workers of this host with the pocket model under whatever plan they get; the first one has the fault."""

    def __init__(self, fault: str) -> None:
        self._fault = fault

    async def start(
        self, plan: ExecutionPlan, on_event: Callable[[Event], None], on_exit: Callable[[WorkerExit], None]
    ) -> Worker:
        fault, self._fault = self._fault, ""
        worker = await LocalLauncher(os.environ | {"WANTUI_FAULT": fault}).start(plan, on_event, on_exit)
        send = worker.send

        def as_pocket(command: Command) -> None:
            if isinstance(command, Load):
                command = dataclasses.replace(command, model=POCKET, checkpoint=None)
            send(command)

        worker.send = as_pocket  # type: ignore[method-assign]
        return worker


class Card:
    """A host with one card of 80 GiB, as far as the engine knows."""

    async def sample(self) -> HardwareSample:
        return hardware(gpu(80))

    def close(self) -> None: ...


def recover(place: str, home: Path, device: str, zygote: Zygote | None = None) -> Recovery:
    """Run out of memory in ``place``, once. ``device`` is ``gpu:N``, or ``cpu`` with the ``zygote`` to fork from."""
    return asyncio.run(recovery(place, home, device, zygote))


async def recovery(place: str, home: Path, device: str, zygote: Zygote | None = None) -> Recovery:
    """The same inside of an event loop."""
    if device == "cpu":
        assert zygote is not None
        launcher = Hearing(ForkingLauncher(zygote, f"out_of_memory:{place}", as_pocket=POCKET))
    else:
        launcher = Hearing(PocketLauncher(f"fill:{place}"))
    chosen = DeploymentSettings(model=MODEL) if device == "cpu" else DeploymentSettings(model=MODEL, device=device)
    probe = Card() if device == "cpu" else None
    async with Engine(settings(home, check=chosen), gpu_probe=probe, launcher=launcher) as engine:
        wanted = await engine.generate(request(deployment="check", **CLIP))
        ended = await until(engine, lambda s: job(s, wanted).state.ended)
        status, found = deployment(ended, "check"), job(ended, wanted)
    restarts = {entry.label: entry.value for entry in status.totals.worker_restarts}
    return Recovery(
        place=place,
        failure=launcher.failures[0] if launcher.failures else "",
        plans=tuple(f"{plan.precision}, {plan.options}" for plan in launcher.plans),
        notices=found.notices,
        state=status.state,
        job=found.state,
        restarts=int(restarts.get("out_of_memory", 0)),
    )
