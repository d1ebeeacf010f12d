"""What is expected of a benchmark's run before it is made, each figure with its interval."""

import dataclasses

from wan_tui.cli.bench_report import MemoryFigures, RunEstimate, TimeFigures
from wan_tui.core.catalog import Model
from wan_tui.core.planning.calibration import BYTES, Subject, calibrate_time, plan_key, posterior
from wan_tui.core.planning.duration import DeviceRate, estimate_time, steps_by_expert
from wan_tui.core.planning.memory import estimate_memory
from wan_tui.core.planning.plan import Bounds, Clip, ExecutionPlan
from wan_tui.core.planning.planner import Room
from wan_tui.core.planning.roofline import estimate_on_device
from wan_tui.core.words import Basis, Phase


def estimate_before_start(model: Model, plan: ExecutionPlan, clip: Clip, room: Room | None) -> RunEstimate:
    """Memory, and on a GPU the time that its published rates allow."""
    return RunEstimate(memory=_memory(model, plan, clip, room), time=_roofline(model, plan, clip, room))


def with_rate(estimate: RunEstimate, model: Model, plan: ExecutionPlan, clip: Clip, rate: DeviceRate) -> RunEstimate:
    """With the time by the rate that was measured right after loading, as the engine estimates it."""
    modelled = estimate_time(
        model,
        rate,
        width=clip.width,
        height=clip.height,
        frames=clip.frames,
        steps=clip.steps,
        guidance=clip.guidance,
    )
    found = calibrate_time(modelled, _subject(model, plan, clip), ())
    stages = {
        stage.stage: Bounds(stage.low or stage.seconds, stage.seconds, stage.high or stage.seconds)
        for stage in found.stages
    }
    steps = {
        expert: Bounds(*(end / count for end in dataclasses.astuple(stages[expert])))
        for expert, count in steps_by_expert(model, clip.steps)
        if count
    }
    figures = TimeFigures(basis=found.basis, total=found.total_seconds, stages=stages, steps=steps)
    return dataclasses.replace(estimate, time_after_load=figures)


def _roofline(model: Model, plan: ExecutionPlan, clip: Clip, room: Room | None) -> TimeFigures | None:
    if room is None:
        return None
    found = estimate_on_device(model, room.gpu, plan, clip)
    return TimeFigures(
        basis=Basis.MODELLED,
        total=found.total,
        stages={stage.stage: stage.seconds for stage in found.stages},
        steps=dict(found.step_seconds),
        factors=dict(found.factors),
        report=found.report,
    )


def _memory(model: Model, plan: ExecutionPlan, clip: Clip, room: Room | None) -> MemoryFigures:
    found = estimate_memory(model, plan, clip)
    subject = _subject(model, plan, clip, room)

    def bounds(phase: Phase, size: int) -> Bounds:
        return posterior(dataclasses.replace(subject, stage=phase), (), BYTES).bounds(size)

    # What the allocator holds and nobody uses belongs to the whole, not to a phase.
    phases = {phase.phase: bounds(phase.phase, phase.total_bytes - phase.slack_bytes) for phase in found.phases}
    largest = max(found.phases, key=lambda phase: phase.total_bytes)
    return MemoryFigures(
        basis=found.basis,
        peak=bounds(largest.phase, found.peak_bytes),
        phases=phases,
        loaded_bytes=found.loaded_bytes,
        host_bytes=found.host_bytes,
    )


def _subject(model: Model, plan: ExecutionPlan, clip: Clip, room: Room | None = None) -> Subject:
    device = room.gpu.label if room else plan.device
    return Subject(stage="", device=device, model=model.id, plan=plan_key(plan), first=False, versions="", clip=clip)
