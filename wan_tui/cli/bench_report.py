"""What ``wan-tui bench`` keeps and prints: every run with its estimate beside what was observed."""

import dataclasses
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from wan_tui.cli.text import columns
from wan_tui.core import atomic
from wan_tui.core.errors import WanTuiError
from wan_tui.core.planning.calibration import plan_key
from wan_tui.core.planning.duration import DeviceRate
from wan_tui.core.planning.memory import CUDA_CONTEXT_BYTES
from wan_tui.core.planning.plan import Bounds, Clip, ExecutionPlan
from wan_tui.core.runtime.benching import BenchWeights, DeviceBasis, Outcome, PeakMemory
from wan_tui.core.units import format_basis, format_bytes, format_change, format_ratio, format_seconds
from wan_tui.core.words import Basis, Phase

MAX_REPORT_BYTES = 64 << 20

_GPU_MEMORY = "of a phase torch's allocations and the CUDA context; at the peak all that the process took of the device"
_CPU_MEMORY = (
    "growth of the process's resident memory since before loading, with the code and scratch memory of libraries, "
    "which estimates leave out: telling for large models only"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeFigures:
    """Estimated seconds of a run, of each stage, and of one step of each expert.

    ``factors``: what measurements of such a card made of the model's seconds, which ``report`` names (None: nothing).
    """

    basis: Basis
    total: Bounds
    stages: dict[Phase, Bounds]
    steps: dict[Phase, Bounds]
    factors: dict[Phase, float] = dataclasses.field(default_factory=dict)
    report: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFigures:
    """Estimated bytes. ``phases`` are tensors and CUDA context, ``peak`` is all that the process takes of the device.

    ``loaded_bytes``: on the device right after loading; ``host_bytes``: weights that stay on the host.
    """

    basis: Basis
    peak: Bounds
    phases: dict[Phase, Bounds]
    loaded_bytes: int
    host_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEstimate:
    """Made before the run: ``time`` before anything was started, from the card's published rates (None without).

    ``time_after_load`` from the rate that the loaded networks were measured to have.
    """

    memory: MemoryFigures
    time: TimeFigures | None = None
    time_after_load: TimeFigures | None = None

    @property
    def shown_time(self) -> TimeFigures | None:
        return self.time or self.time_after_load


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseObserved:
    """One phase as it was: seconds, those of each step in it, and the most memory that was held."""

    phase: Phase
    seconds: float
    step_seconds: tuple[float, ...]
    peak: PeakMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadObserved:
    """Getting the weights in place: seconds without imports, peak memory, and the rate measured right after."""

    seconds: float
    peak: PeakMemory
    rate: DeviceRate


@dataclass(frozen=True, slots=True, kw_only=True)
class Libraries:
    """Versions that the worker ran with."""

    torch: str
    diffusers: str
    transformers: str
    cuda: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One clip under one plan. ``phases`` are those that ended, also when the run did not.

    ``options`` says the plan in words; ``reason`` and ``failed_phase`` (None: while loading) say what went wrong,
    ``failed_peak`` what was held then. ``ended_at`` is Unix seconds.
    """

    plan: ExecutionPlan
    options: str
    clip: Clip
    estimate: RunEstimate
    outcome: Outcome
    ended_at: float
    seconds: float | None = None
    load: LoadObserved | None = None
    phases: tuple[PhaseObserved, ...] = ()
    reason: str | None = None
    failed_phase: Phase | None = None
    failed_peak: PeakMemory | None = None
    libraries: Libraries | None = None

    @property
    def key(self) -> tuple[str, Clip]:
        """Runs of one report with equal keys measure the same."""
        return plan_key(self.plan), self.clip

    @property
    def peak_bytes(self) -> int | None:
        """The most that the process took of its device in any phase (a processor: resident growth), if known."""
        found = [held for phase in self.phases if (held := _taken_bytes(phase.peak)) is not None]
        return max(found, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the runs were made. ``device`` is a product name; memory is in bytes, of the card or of the host."""

    host: str
    cpu: str
    cpus: int
    host_memory_bytes: int
    device: str
    memory_bytes: int
    compute_capability: str | None = None
    driver: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """The report file. ``revision`` grows when the meaning of a key changes; times are Unix seconds."""

    wan_tui: str
    model: str
    weights: BenchWeights
    place: Place
    started_at: float
    runs: tuple[Run, ...] = ()
    format: Literal["wan-tui bench"] = "wan-tui bench"
    revision: Literal[1] = 1

    def with_run(self, run: Run) -> "BenchReport":
        """With ``run`` in the place of an earlier one of the same clip and plan, else at the end."""
        runs = tuple(run if old.key == run.key else old for old in self.runs)
        return dataclasses.replace(self, runs=runs if run in runs else (*runs, run))

    def measured(self) -> frozenset[tuple[str, Clip]]:
        """Keys of the runs that need not be made again."""
        return frozenset(run.key for run in self.runs if run.outcome.measured)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2)


def read_report(file: Path) -> BenchReport | None:
    """The report in ``file``, None when there is no file. Raises WanTuiError for anything else."""
    try:
        content = file.read_bytes()[: MAX_REPORT_BYTES + 1]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise WanTuiError(f"cannot read the report {file}: {error.strerror}") from None
    try:
        return TypeAdapter(BenchReport).validate_json(content)
    except ValidationError as error:
        problem = error.errors()[0]
        what = ": ".join([*([".".join(map(str, problem["loc"]))] if problem["loc"] else []), problem["msg"].lower()])
        raise WanTuiError(f"{file} is not a report of wan-tui bench ({what}): choose another --report") from None


def write_report(file: Path, report: BenchReport) -> None:
    """Replace ``file``, whole or not at all. Raises WanTuiError."""
    try:
        atomic.replace(file, f"{report.to_json()}\n".encode())
    except OSError as error:
        raise WanTuiError(f"cannot write the report {file}: {error.strerror}") from None


def run_title(plan: ExecutionPlan, clip: Clip) -> str:
    """``832x480, 17 frames, 3 steps: bf16, fp8 weights, everything resident``."""
    steps = f"{clip.steps} step{'' if clip.steps == 1 else 's'}"
    return f"{clip.width}x{clip.height}, {clip.frames} frames, {steps}: {plan.precision}, {plan.options}"


@dataclass(frozen=True, slots=True)
class _Line:
    """An estimate beside its observation, in seconds or bytes."""

    name: str
    in_bytes: bool
    estimated: Bounds | None
    observed: float | None


def report_text(report: BenchReport) -> str:
    """A table a run, then the median errors of each figure over all runs."""
    place = report.place
    head = [
        f"{report.model} ({report.weights} weights) on {place.device}, {format_bytes(place.memory_bytes)}",
        f"memory observed: {_GPU_MEMORY if place.compute_capability else _CPU_MEMORY}",
    ]
    return "\n\n".join(["\n".join(head), *(_run_text(run) for run in report.runs), *_medians(report)])


def _run_text(run: Run) -> str:
    title = run_title(run.plan, run.clip)
    if run.outcome is not Outcome.FINISHED:
        where = f" in {run.failed_phase}" if run.failed_phase else ""
        title += f"\n  {run.outcome}{where}: {run.reason}"
    rows = [
        [
            f"  {line.name}",
            *(_figure(line, value) for value in _three(line.estimated)),
            _figure(line, line.observed),
            format_change(line.observed, line.estimated.expected if line.estimated else None),
        ]
        for line in _lines(run)
    ]
    if not rows:
        return title
    time = run.estimate.shown_time
    basis = format_basis(time.basis, 0, time.report) if time else run.estimate.memory.basis
    return f"{title}\n{columns([f'  FIGURE ({basis})', 'ESTIMATED', 'LOW', 'HIGH', 'OBSERVED', 'ERROR'], rows)}"


def _three(bounds: Bounds | None) -> tuple[float | None, ...]:
    return (bounds.expected, bounds.low, bounds.high) if bounds else (None, None, None)


def _figure(line: _Line, value: float | None) -> str:
    return format_bytes(value) if line.in_bytes else format_seconds(value)


def _lines(run: Run) -> Iterator[_Line]:
    """Stages, steps and the whole in seconds; phases and the peak in bytes. Only what was observed."""
    time, memory = run.estimate.shown_time, run.estimate.memory
    for phase in run.phases:
        yield _Line(phase.phase, False, time.stages.get(phase.phase) if time else None, phase.seconds)
        if phase.step_seconds:
            step = time.steps.get(phase.phase) if time else None
            yield _Line(f"  {phase.phase}, a step", False, step, statistics.median(phase.step_seconds))
    if run.outcome is Outcome.FINISHED:
        yield _Line("all stages", False, time.total if time else None, run.seconds)
    for phase in run.phases:
        if phase.phase in memory.phases and (held := _held_bytes(phase.peak)) is not None:
            yield _Line(f"{phase.phase} memory", True, memory.phases[phase.phase], held)
    if run.peak_bytes is not None and run.outcome is Outcome.FINISHED:
        yield _Line("peak memory", True, memory.peak, run.peak_bytes)


def _held_bytes(peak: PeakMemory) -> int | None:
    """Tensors and context: what can be said of one phase, since what torch reserves outlives the phase."""
    if peak.allocated_bytes is not None:
        return peak.allocated_bytes + CUDA_CONTEXT_BYTES
    return peak.resident_growth_bytes


def _taken_bytes(peak: PeakMemory) -> int | None:
    """All of the device that the process took: the driver's figure if it is ours alone, else what torch reserved."""
    if peak.driver_bytes is not None and peak.driver_basis is DeviceBasis.PROCESS:
        return peak.driver_bytes
    if peak.reserved_bytes is not None:
        return peak.reserved_bytes + CUDA_CONTEXT_BYTES
    return peak.resident_growth_bytes


def _medians(report: BenchReport) -> Iterator[str]:
    """Of each figure over all runs: observed / estimated, the error either way, and how many were in their interval."""
    found: dict[str, list[_Line]] = {}
    for run in report.runs:
        for line in _lines(run):
            if line.estimated is not None and line.observed and line.estimated.expected > 0:
                found.setdefault(line.name, []).append(line)
    if not found:
        return
    rows = []
    for name, lines in found.items():
        ratios = [(line.observed or 0) / line.estimated.expected for line in lines if line.estimated]
        inside = sum(
            bounds.low <= line.observed <= bounds.high
            for line in lines
            if (bounds := line.estimated) and line.observed is not None
        )
        error = statistics.median(abs(ratio - 1) for ratio in ratios)
        row = [f"{statistics.median(ratios):.2f}", format_ratio(error), f"{inside} of {len(lines)}"]
        rows.append([f"  {name.strip()}", *row])
    yield "medians\n" + columns(["  FIGURE", "OBSERVED / ESTIMATED", "ERROR", "IN THE INTERVAL"], rows)
