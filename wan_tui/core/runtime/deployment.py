"""One deployment: its load state, its worker and the job that runs on it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from wan_tui.core.catalog import Model
from wan_tui.core.catalog.prepared import find_prepared
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.planning.duration import DeviceRate
from wan_tui.core.planning.plan import Compatibility, ExecutionPlan
from wan_tui.core.runtime import protocol
from wan_tui.core.runtime.launcher import WorkerExit
from wan_tui.core.runtime.pace import Pace
from wan_tui.core.runtime.replanning import Replanning
from wan_tui.core.runtime.state import WorkerStatus
from wan_tui.core.runtime.tallies import Tallies
from wan_tui.core.runtime.timeline import MemoryRing
from wan_tui.core.runtime.vitals import Vitals
from wan_tui.core.validation.judgement import Judgement
from wan_tui.core.words import LoadFailureReason, LoadState, Precision, Preparation, Quantization, UnloadCause


class WorkerHandle(Protocol):
    """What a deployment needs of its worker process."""

    @property
    def pid(self) -> int: ...
    def send(self, command: protocol.Command) -> None: ...
    async def stop(self, command: protocol.Command, grace_seconds: float = ...) -> None: ...


class Launcher(Protocol):
    """Starts worker processes (local ones, or actors of a cluster)."""

    async def start(
        self,
        plan: ExecutionPlan,
        on_event: Callable[[protocol.Event], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> WorkerHandle: ...


@dataclass(slots=True)
class Validation:
    """The last evaluation of one deployment."""

    judgement: Judgement = field(default_factory=Judgement)
    runs: int = 0
    failed_runs: int = 0
    last_run_at: float | None = None
    last_duration_seconds: float | None = None


@dataclass(slots=True, kw_only=True)
class Deployment:
    """Mutable record of a deployment; only the manager changes it, on the engine's loop.

    ``pinned``: an operator or the configuration wants it loaded, so it is neither unloaded when idle nor evicted.
    ``unreleased_bytes``: device memory that the driver still books for the last worker, None before there was one.
    ``memory_cap_bytes`` is what an out-of-memory left to plan with, ``judged_cap_bytes`` the one that ``compatibility``
    knows of; ``stepped_down_for`` are jobs (or the load) that had their second try.
    ``settled`` is set while it is neither loading nor unloading. ``timed_out``: the running job was told to stop.
    ``queue``: the deployment whose jobs it runs, itself unless it is a further replica; ``held_back``: an operator
    unloaded this replica alone, so it takes no job until it is loaded by name. ``peak_bytes``: what ``plan`` is
    estimated to take; ``ended_pid``: a worker that is gone and whose memory the driver may still book. ``left``: pace
    and time (monotonic) of GPUs, by uuid, that it left because they were slow. ``judge_again_at``
    (monotonic): no sooner, however the host changes, so that planning stays a small part of what the engine does.
    """

    name: str
    settings: DeploymentSettings
    model: Model
    compatibility: Compatibility
    wanted_loaded: bool
    queue: str = ""
    held_back: bool = False
    state: LoadState = LoadState.UNLOADED
    state_changed_at: float = field(default_factory=lambda: time.time())
    judgement: Judgement = field(default_factory=Judgement)
    validation: Validation = field(default_factory=Validation)
    vitals: Vitals = field(default_factory=Vitals)
    pinned: bool = False
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    kill_reason: str | None = None
    memory_cap_bytes: int | None = None
    cap_before_bytes: int | None = None
    judged_cap_bytes: int | None = None
    judge_again_at: float = 0.0
    replan: bool = False
    stepped_down_for: set[str] = field(default_factory=set)
    unreleased_bytes: int | None = None
    failure: str | None = None
    load_stage: str | None = None
    load_progress_ratio: float | None = None
    worker: WorkerHandle | None = None
    worker_status: WorkerStatus | None = None
    plan: ExecutionPlan | None = None
    peak_bytes: int = 0
    ended_pid: int | None = None
    pace: Pace = field(default_factory=Pace)
    replanning: Replanning = field(default_factory=Replanning)
    replanned_at: float | None = None
    left: dict[str, tuple[float, float]] = field(default_factory=dict)
    rate: DeviceRate | None = None
    running_job: str | None = None
    timed_out: bool = False
    runs_since_load: int = 0
    tallies: Tallies = field(default_factory=Tallies)
    last_load_seconds: float | None = None
    last_generation_seconds: float | None = None
    last_estimated_seconds: float | None = None
    unload_cause: UnloadCause | None = None
    load_failure: tuple[LoadFailureReason, str] | None = None
    timeline: MemoryRing = field(default_factory=MemoryRing)

    def __post_init__(self) -> None:
        self.queue = self.queue or self.name

    @property
    def is_placed(self) -> bool:
        """Whether ``plan`` is, or is about to be, that of a worker."""
        return self.worker is not None or self.state is LoadState.LOADING

    def place(self, found: Compatibility) -> None:
        """Give it the plan of ``found`` for the worker that is about to start."""
        self.compatibility, self.plan = found, found.plan
        self.peak_bytes = found.memory.peak_bytes if found.memory else 0
        self.pace = Pace()

    def enter(self, state: LoadState, failure: str | None = None) -> None:
        self.state, self.failure, self.state_changed_at = state, failure, time.time()
        self.load_stage = self.load_progress_ratio = None
        if state in (LoadState.LOADING, LoadState.UNLOADING):
            self.settled.clear()
        else:
            self.settled.set()

    def load_command(self, cache_directory: Path, models_directory: Path, checkpoint: Path | None) -> protocol.Load:
        """What the worker is told: the plan, and of the checkpoint the copy that loads fastest under it."""
        assert self.plan is not None
        wanted = self.settings
        if checkpoint is not None:
            kinds = prepared_for(self.plan, with_loras=bool(wanted.loras))
            checkpoint = find_prepared(self.model, checkpoint, models_directory, kinds) or checkpoint
        return protocol.Load(
            model=self.model.id,
            plan=self.plan,
            checkpoint=str(checkpoint) if checkpoint else None,
            cache_directory=str(cache_directory),
            loras=tuple(
                protocol.Lora(path=str(lora.path), weight=lora.weight, expert=lora.expert) for lora in wanted.loras
            ),
            transformer=str(wanted.transformer) if wanted.transformer else None,
            transformer_2=str(wanted.transformer_2) if wanted.transformer_2 else None,
        )


def prepared_for(plan: ExecutionPlan, *, with_loras: bool) -> tuple[Preparation, ...]:
    """Prepared formats that ``plan`` can be loaded from with the same result, the fastest first."""
    if plan.precision is Precision.FP32:
        return ()
    in_16_bit = Preparation(plan.precision.value)
    # Low-rank weights are added before anything is cast to 8 bit.
    if plan.quantization is Quantization.FP8 and plan.precision is Precision.BF16 and not with_loras:
        return (Preparation.FP8, in_16_bit)
    return (in_16_bit,)
