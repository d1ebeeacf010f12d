"""``wan-tui bench``: a grid of clips and plans run for real, each with its estimate beside what was observed."""

import dataclasses
import importlib.util
import itertools
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from wan_tui import __version__
from wan_tui.cli.bench_estimates import estimate_before_start, with_rate
from wan_tui.cli.bench_report import (
    BenchReport,
    Libraries,
    LoadObserved,
    PhaseObserved,
    Place,
    Run,
    read_report,
    report_text,
    run_title,
    write_report,
)
from wan_tui.cli.bench_worker import bench_worker
from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.catalog.checkpoints import find_checkpoint
from wan_tui.core.config import load_settings
from wan_tui.core.errors import UsageError, WanTuiError, unknown_name
from wan_tui.core.hardware.look import look
from wan_tui.core.planning.calibration import plan_key
from wan_tui.core.planning.grid import Grid, PlanOptions, default_grid, read_grid
from wan_tui.core.planning.memory import GIB, estimate_memory
from wan_tui.core.planning.plan import Clip, ExecutionPlan
from wan_tui.core.planning.planner import HostRoom, Room
from wan_tui.core.planning.rooms import host_room, room_of
from wan_tui.core.runtime.benching import (
    Began,
    BenchJob,
    BenchWeights,
    Ended,
    Outcome,
    PhaseMeasured,
    Ready,
)
from wan_tui.core.runtime.protocol import Hello, LoadFailed
from wan_tui.core.units import MISSING, format_bytes, format_seconds
from wan_tui.core.words import LoadFailureReason, OffloadMode, Precision

# A process with torch and diffusers imported, before any weight.
PROCESS_BYTES = GIB // 2

_LOAD_OUTCOMES = {
    LoadFailureReason.OUT_OF_MEMORY: Outcome.OUT_OF_MEMORY,
    LoadFailureReason.ENVIRONMENT: Outcome.SKIPPED,
    LoadFailureReason.CHECKPOINT: Outcome.SKIPPED,
}


@dataclass(frozen=True, slots=True)
class _Target:
    """The device that is measured: a GPU's room, or None for the processors of the host."""

    room: Room | None
    host: HostRoom
    place: Place


@dataclass(frozen=True, slots=True)
class _Batch:
    """Clips that one process makes under one plan."""

    plan: ExecutionPlan
    clips: tuple[Clip, ...]


def run_bench(
    model: str,
    grid: Path | None,
    weights: str,
    report: Path | None,
    *,
    device: str = "auto",
    steps: int | None = None,
    config: Path | None = None,
    as_json: bool = False,
) -> int:
    """Make the runs that ``report`` does not have yet, write each into it at once, print all of them.

    ``grid`` is a TOML file (default: the model's own grid), ``weights`` one of ``BenchWeights``, ``device`` ``auto``,
    ``cpu`` or ``gpu:N``. Exit status 1 when nothing was measured, 130 after Ctrl-C. Raises WanTuiError.
    """
    chosen = load_catalogue().find(model)
    kind = _weights(weights, chosen)
    _check_libraries()
    target = _target(device)
    on_gpu = target.room is not None
    found = (
        read_grid(grid, chosen, on_gpu=on_gpu, steps=steps)
        if grid
        else default_grid(chosen, on_gpu=on_gpu, steps=steps)
    )
    bench = _Bench(chosen, kind, target, report, config)
    try:
        bench.run(found)
        status = 0 if bench.report.measured() else 1
    except KeyboardInterrupt:
        status = 130
    if as_json:
        print(bench.report.to_json())
    else:
        print(report_text(bench.report))
    return status


class _Bench:
    """The report as it grows, and what is needed to make it grow."""

    def __init__(
        self, model: Model, weights: BenchWeights, target: _Target, file: Path | None, config: Path | None
    ) -> None:
        self._model = model
        self._weights = weights
        self._target = target
        self._file = file
        settings = load_settings(config)
        self._cache = settings.paths.cache
        self._checkpoint: Path | None = None
        if weights is BenchWeights.CHECKPOINT:
            self._checkpoint = find_checkpoint(model, settings.paths.models)
            if self._checkpoint is None:
                raise WanTuiError(
                    f"no checkpoint of {model.id} in {settings.paths.models} or the Hugging Face cache: "
                    "measure with --weights synthetic, which needs none"
                )
        fresh = BenchReport(
            wan_tui=__version__, model=model.id, weights=weights, place=target.place, started_at=time.time()
        )
        self.report = (read_report(file) if file else None) or fresh
        if file and (other := _difference(self.report, fresh)):
            raise WanTuiError(f"{file} is the report of {other}: choose another --report")

    def run(self, grid: Grid) -> None:
        """Everything that is not measured yet. Raises WanTuiError when not even the smallest run can be tried."""
        batches = [batch for one in grid.rounds for batch in self._batches(one.plans, one.clips)]
        self._refuse_hopeless(batches)
        left = list(self._unmeasured(batches))
        total = sum(len(batch.clips) for batch in left)
        known = len(grid) - total
        _narrate(f"{total} runs to make" + (f", {known} are in the report already" if known else ""))
        for batch in left:
            possible = []
            for clip in batch.clips:
                if (reason := self._impossible(batch.plan, clip)) is None:
                    possible.append(clip)
                else:
                    self._keep(self._run_of(batch.plan, clip, Outcome.SKIPPED, reason=reason))
            self._measure(batch.plan, possible)

    def _batches(self, options: Iterable[PlanOptions], clips: Iterable[Clip]) -> list[_Batch]:
        """One batch a plan; a plan that leaves tiling open may become two. What should fit comes first."""
        found: dict[ExecutionPlan, list[Clip]] = {}
        for option, clip in itertools.product(options, clips):
            found.setdefault(self._plan(option, clip), []).append(clip)
        batches = [_Batch(plan, tuple(clips)) for plan, clips in found.items()]
        return sorted(batches, key=lambda batch: not any(self._fits(batch.plan, clip) for clip in batch.clips))

    def _plan(self, options: PlanOptions, clip: Clip) -> ExecutionPlan:
        room = self._target.room
        if room is None:
            return options.plan("cpu", None, Precision.FP32)
        plan = options.plan(room.device, room.uuid, Precision.BF16 if room.gpu.supports_bf16 else Precision.FP16)
        tiled = dataclasses.replace(plan, vae_tiling=True)
        return tiled if options.tiling is None and not self._fits(plan, clip) and self._fits(tiled, clip) else plan

    def _fits(self, plan: ExecutionPlan, clip: Clip) -> bool:
        room = self._target.room
        return room is None or estimate_memory(self._model, plan, clip).peak_bytes <= room.free_bytes

    def _unmeasured(self, batches: Iterable[_Batch]) -> Iterator[_Batch]:
        done = self.report.measured()
        for batch in batches:
            clips = tuple(clip for clip in batch.clips if (plan_key(batch.plan), clip) not in done)
            if clips:
                yield _Batch(batch.plan, clips)

    def _host_need_bytes(self, plan: ExecutionPlan, clip: Clip) -> int:
        """Memory of the host that a run takes, with the process around it."""
        memory = estimate_memory(self._model, plan, clip)
        on_host = memory.host_bytes
        if plan.device == "cpu":
            on_host = max(memory.peak_bytes, on_host)
        if self._weights is BenchWeights.CHECKPOINT or plan.offload is not OffloadMode.NONE:
            on_host = max(on_host, memory.host_load_bytes)
        return on_host + PROCESS_BYTES

    def _impossible(self, plan: ExecutionPlan, clip: Clip) -> str | None:
        """Why a run cannot be tried without driving the host out of memory. A GPU that is too small is tried."""
        need, free = self._host_need_bytes(plan, clip), self._target.host.available_bytes
        if need <= free:
            return None
        return f"takes {format_bytes(need)} of host memory, {format_bytes(free)} are free"

    def _refuse_hopeless(self, batches: list[_Batch]) -> None:
        reasons = [self._impossible(batch.plan, clip) for batch in batches for clip in batch.clips]
        if any(reason is None for reason in reasons):
            return
        least = min(self._host_need_bytes(batch.plan, clip) for batch in batches for clip in batch.clips)
        where = "on the processors (no usable GPU)" if self._target.room is None else f"on {self._target.place.device}"
        free = format_bytes(self._target.host.available_bytes)
        raise WanTuiError(
            f"{self._model.id} is too large for this host: even the smallest run {where} takes {format_bytes(least)} "
            f"of host memory, {free} are free"
        )

    def _measure(self, plan: ExecutionPlan, clips: list[Clip]) -> None:
        """A process that dies takes one clip with it: the rest gets another process."""
        left = clips
        while left:
            left = left[self._attempt(plan, left) :]

    def _attempt(self, plan: ExecutionPlan, clips: list[Clip]) -> int:
        """Make ``clips`` in one process until it ends. Returns how many of them, from the first, are done with."""
        runs = [self._run_of(plan, clip, Outcome.DIED) for clip in clips]
        self._announce(runs)
        phases: list[PhaseObserved] = []
        done, ready = 0, False
        with bench_worker(self._job(plan, clips)) as worker:
            for event in worker.events():
                match event:
                    case Hello():
                        libraries = Libraries(
                            torch=event.torch_version,
                            diffusers=event.diffusers_version,
                            transformers=event.transformers_version,
                            cuda=event.cuda_version,
                        )
                        runs = [dataclasses.replace(run, libraries=libraries) for run in runs]
                    case LoadFailed():
                        outcome = _LOAD_OUTCOMES.get(event.reason, Outcome.FAILED)
                        self._keep_all(runs, outcome, event.message)
                        return len(runs)
                    case Ready():
                        ready = True
                        load = LoadObserved(seconds=event.seconds, peak=event.peak, rate=event.rate)
                        runs = [self._with_load(run, load) for run in runs]
                        _narrate(f"  weights in place after {format_seconds(event.seconds)}")
                    case Began():
                        phases = []
                        _narrate(f"{run_title(plan, clips[event.clip])}")
                    case PhaseMeasured():
                        phases.append(_observed(event))
                    case Ended():
                        self._keep(_ended(runs[event.clip], event, phases))
                        done += 1
            exit = worker.wait()
        if not ready:
            self._keep_all(runs, Outcome.DIED, exit.description)
            return len(runs)
        if done < len(runs):
            died = dataclasses.replace(runs[done], phases=tuple(phases), reason=exit.description, ended_at=time.time())
            self._keep(died)
        return done + 1

    def _job(self, plan: ExecutionPlan, clips: list[Clip]) -> BenchJob:
        return BenchJob(
            model=self._model.id,
            weights=self._weights,
            plan=plan,
            clips=tuple(clips),
            cache_directory=str(self._cache),
            checkpoint=str(self._checkpoint) if self._checkpoint else None,
            parent=os.getpid(),
        )

    def _with_load(self, run: Run, load: LoadObserved) -> Run:
        estimate = with_rate(run.estimate, self._model, run.plan, run.clip, load.rate)
        return dataclasses.replace(run, load=load, estimate=estimate)

    def _keep_all(self, runs: Iterable[Run], outcome: Outcome, reason: str) -> None:
        for run in runs:
            self._keep(dataclasses.replace(run, outcome=outcome, reason=reason, ended_at=time.time()))

    def _run_of(self, plan: ExecutionPlan, clip: Clip, outcome: Outcome, *, reason: str | None = None) -> Run:
        return Run(
            plan=plan,
            options=plan.options,
            clip=clip,
            estimate=estimate_before_start(self._model, plan, clip, self._target.room),
            outcome=outcome,
            reason=reason,
            ended_at=time.time(),
        )

    def _announce(self, runs: Iterable[Run]) -> None:
        """Estimates into the file before anything runs: whatever ends this process, they were made before."""
        for run in runs:
            self.report = self.report.with_run(dataclasses.replace(run, reason="has not ended"))
        if self._file is not None:
            write_report(self._file, self.report)

    def _keep(self, run: Run) -> None:
        """Into the report, and at once into its file."""
        self.report = self.report.with_run(run)
        time_expected = run.estimate.shown_time
        if run.outcome is Outcome.FINISHED:
            expected = format_seconds(time_expected.total.expected) if time_expected else MISSING
            _narrate(f"  {format_seconds(run.seconds)}, estimated {expected}")
        else:
            _narrate(f"  {run.outcome}: {run.reason}")
        if self._file is not None:
            write_report(self._file, self.report)


def _observed(event: PhaseMeasured) -> PhaseObserved:
    return PhaseObserved(phase=event.phase, seconds=event.seconds, step_seconds=event.step_seconds, peak=event.peak)


def _ended(run: Run, event: Ended, phases: list[PhaseObserved]) -> Run:
    return dataclasses.replace(
        run,
        outcome=event.outcome,
        ended_at=time.time(),
        seconds=event.seconds,
        phases=tuple(phases),
        reason=event.reason,
        failed_phase=event.phase,
        failed_peak=event.peak,
    )


def _weights(name: str, model: Model) -> BenchWeights:
    """Raises UsageError for a name that is none, and for weights that the model does not have."""
    if name not in list(BenchWeights):
        raise unknown_name("kind of weights", name, BenchWeights)
    chosen = BenchWeights(name)
    if chosen is not BenchWeights.SYNTHETIC and chosen.value != model.weights.value:
        raise UsageError(f"{model.id} has no {chosen} weights: use --weights {model.weights} or synthetic")
    return chosen


def _check_libraries() -> None:
    missing = [name for name in ("torch", "diffusers", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        raise WanTuiError(f"no {', '.join(missing)} here: install with pip install 'wan-tui[inference]'")


def _target(device: str) -> _Target:
    """Raises UsageError for a device that is not in this host."""
    hardware, host = look()
    rooms = {room.device: room for gpu in hardware.gpus if (room := room_of(gpu)) is not None}
    if device not in ("auto", "cpu", *rooms):
        raise unknown_name("device", device, ("auto", "cpu", *rooms))
    room = None if device == "cpu" else next(iter(rooms.values()), None) if device == "auto" else rooms[device]
    capability = None
    if room is not None:
        capability = ".".join(map(str, room.gpu.compute_capability))
    place = Place(
        host=host.hostname,
        cpu=host.cpu_name,
        cpus=host.cpu_count,
        host_memory_bytes=host.memory_total_bytes,
        device=room.gpu.name if room else f"cpu {host.cpu_name} x{host.cpu_count}",
        memory_bytes=room.total_bytes if room else host.memory_total_bytes,
        compute_capability=capability,
        driver=hardware.driver.driver_version if room else None,
    )
    return _Target(room, host_room(host), place)


def _difference(found: BenchReport, wanted: BenchReport) -> str | None:
    """What a report is of, when it is not of what is wanted."""
    if (found.model, found.weights, found.place.device) == (wanted.model, wanted.weights, wanted.place.device):
        return None
    return f"{found.model} with {found.weights} weights on {found.place.device}"


def _narrate(text: str) -> None:
    sys.stderr.write(f"{text}\n")
