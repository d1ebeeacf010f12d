"""Snapshot to lines: one job in detail, the list of jobs, the log. Pure, as ``format``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wan_tui.core.units import MISSING, format_basis, format_change, format_ratio, format_seconds
from wan_tui.core.words import STAGES, JobState, LoadState
from wan_tui.ui import glyphs
from wan_tui.ui.format import dim_join, words
from wan_tui.ui.text import (
    Cell,
    Column,
    Frame,
    Line,
    Role,
    Row,
    Span,
    View,
    clean,
    fit_columns,
    join,
    join_fitting,
    line_width,
    marked,
    meter,
    pad,
    rule,
    shorten,
    table_head,
    table_line,
    text,
    wrap,
)

if TYPE_CHECKING:
    from wan_tui.core.planning.plan import MemoryEstimate, TimeEstimate
    from wan_tui.core.runtime.state import Job
    from wan_tui.core.snapshot import Snapshot

_JOB_MARKS = {
    JobState.QUEUED: (glyphs.OFF, Role.DIM),
    JobState.RUNNING: (glyphs.HALF, Role.ACCENT),
    JobState.FINISHED: (glyphs.TICK, Role.OK),
    JobState.FAILED: (glyphs.CROSS, Role.ERROR),
    JobState.CANCELLED: (glyphs.CROSS, Role.WARN),
    JobState.INTERRUPTED: (glyphs.CROSS, Role.WARN),
}
_ENDED_AFTER = {
    JobState.FINISHED: "took",
    JobState.FAILED: "failed after",
    JobState.CANCELLED: "cancelled after",
    JobState.INTERRUPTED: "interrupted after",
}
_LEVEL_ROLES = {"error": Role.ERROR, "warning": Role.WARN}


def shape(job: Job) -> str:
    request = job.request
    return f"{request.width}{glyphs.TIMES}{request.height}{glyphs.TIMES}{request.frames}"


def job_name(job_id: str) -> str:
    """An id as people say it: ``job 7``, whatever ids look like."""
    return clean(job_id if job_id.startswith("job") else f"job {job_id}")


def in_order(snapshot: Snapshot) -> list[Job]:
    """The running jobs, then the queue as it will run, then what ended, newest first."""
    from wan_tui.core.runtime.state import by_turn  # with all its types: not before the first frame

    return by_turn(snapshot.jobs)


def job_to_watch(snapshot: Snapshot) -> Job | None:
    """The job to look at now: the running one, else the next in the queue, else the last that ended."""
    return next(iter(in_order(snapshot)), None)


def job_state(job: Job) -> Line:
    mark, role = _JOB_MARKS[job.state]
    return (Span(f"{mark} {job.state.value}", role),)


def clock_time(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


# -- one job


def job_panel(snapshot: Snapshot, job: Job | None, hint: Line, view: View, *, full: bool) -> Frame:
    """One job: where it is, how long it takes, how it ended. ``full`` adds the prompt and the stages.

    ``hint`` takes its place while there is none.
    """
    if job is None:
        line = hint or text("no jobs yet", Role.DIM)
        return Frame((rule("JOB", (), view),), (Row(pad((Span("   "), *line), view.width)),))
    width = view.width - 5
    lines = _progress(snapshot, job, width)
    if full:
        lines = [text(part, Role.TEXT) for part in wrap(job.request.prompt, width, most=2)] + lines
        if job.stages or job.state is JobState.RUNNING:
            lines += _stages(job, width)
    info = join((dim_join(job.request.deployment, shape(job), f"seed {job.request.seed}"), job_state(job)))
    rows = tuple(Row(pad((Span("   "), *line), view.width)) for line in lines)
    return Frame((rule(f"JOB {clean(job.id)}", info, view),), rows)


def _progress(snapshot: Snapshot, job: Job, width: int) -> list[Line]:
    if job.state is JobState.QUEUED:
        return [*_waiting(snapshot, job, width), *_notices(job, width)]
    if job.state is JobState.RUNNING:
        return [_bar(job, width), _running_facts(snapshot, job, width), *_notices(job, width)]
    lines: list[Line] = []
    if job.failure is not None:
        reason = f"{words(job.failure.reason)}: {job.failure.message}"
        lines += [text(part, Role.ERROR) for part in wrap(reason, width, most=3)]
    lines.append(_ending(job, width))
    if job.output:
        lines += [text(part) for part in wrap(f"output  {job.output}", width, most=2)]
    return lines + _notices(job, width)


def _bar(job: Job, width: int) -> Line:
    steps = job.request.steps
    figures = f"  step {job.step:>{len(str(steps))}}/{steps}  {format_ratio(job.progress_ratio):>5}"
    return (*meter(job.progress_ratio, max(width - len(figures), 4)), Span(figures, Role.STRONG))


def _running_facts(snapshot: Snapshot, job: Job, width: int) -> Line:
    parts: list[Line] = [text(words(job.phase), Role.ACCENT)]
    parts.append(text(f"{format_seconds(job.step_seconds)} per step"))
    if job.estimated_end_at is None:
        parts.append(text("time left --", Role.DIM))
    else:
        left = job.estimated_end_at - snapshot.taken_at
        parts.append(text(f"{format_seconds(max(left, 0))} left" if left >= 0 else "longer than estimated"))
    if job.estimate is not None:
        total = job.estimate.total_seconds.expected
        parts.append(_estimated(f"est. {format_seconds(total)}", job.estimate, parts, width))
    return join_fitting(parts, width)


def _waiting(snapshot: Snapshot, job: Job, width: int) -> list[Line]:
    waited = format_seconds(max(snapshot.taken_at - job.submitted_at, 0))
    deployment = snapshot.deployment(job.request.deployment)
    reason = "waiting for its turn"
    if deployment is not None and deployment.state is LoadState.LOADING:
        stage = f" ({words(deployment.load_stage)})" if deployment.load_stage else ""
        ratio = deployment.load_progress_ratio
        if ratio is not None:
            figures = f"  loading {deployment.name}{stage}  {format_ratio(ratio):>5}"
            bar = (*meter(ratio, max(width - len(figures), 4), Role.WARN), Span(figures))
            return [bar, text(f"queued for {waited}", Role.DIM)]
        reason = f"waiting for {deployment.name} to load{stage}"
    parts = [text(f"{reason}, queued for {waited}")]
    if job.estimate is not None:
        expected = format_seconds(job.estimate.total_seconds.expected)
        parts.append(_estimated(f"est. {expected}", job.estimate, parts, width))
    return [join_fitting(parts, width)]


def _ending(job: Job, width: int) -> Line:
    estimate = job.estimate.total_seconds.expected if job.estimate else None
    observed = job.observed_seconds
    verb = _ENDED_AFTER[job.state]
    if observed is None and job.started_at is not None and job.ended_at is not None:
        observed = job.ended_at - job.started_at
    if observed is None:
        return text(f"{job.state.value} before it started", Role.DIM)
    parts = [text(f"{verb} {format_seconds(observed)}", Role.STRONG)]
    if estimate is not None and job.estimate is not None:
        change = f" ({format_change(observed, estimate)})" if job.state is JobState.FINISHED else ""
        parts.append(_estimated(f"estimated {format_seconds(estimate)}{change}", job.estimate, parts, width, "   "))
    if job.state is not JobState.FINISHED:
        parts.append(text(f"step {job.step}/{job.request.steps}", Role.DIM))
    return join_fitting(parts, width, "   ")


def _estimated(figure: str, estimate: TimeEstimate, before: list[Line], width: int, gap: str = "  ") -> Line:
    """An estimate with its basis; without the number of runs where they have no room behind ``before``."""
    whole = text(f"{figure} {basis_of(estimate)}", Role.DIM)
    fits = line_width(join((*before, whole), gap)) <= width
    return whole if fits else text(f"{figure} {estimate.basis.value}", Role.DIM)


def basis_of(estimate: TimeEstimate | MemoryEstimate) -> str:
    """Where the figure comes from: ``modelled``, ``calibrated (12 runs)``."""
    return format_basis(estimate.basis.value, estimate.runs, getattr(estimate, "report", None))


def _stages(job: Job, width: int) -> list[Line]:
    """Seconds per stage, estimate beside observation, so that a wrong estimate shows where it went wrong."""
    observed = {s.stage: s.seconds for s in job.stages}
    estimated = {s.stage: s.seconds for s in job.estimate.stages} if job.estimate else {}
    scale = max([*observed.values(), *estimated.values()], default=0.0)
    lines: list[Line] = []
    for stage in STAGES:
        if stage not in observed and stage not in estimated and stage is not job.phase:
            continue
        seen = observed.get(stage)
        now = job.state is JobState.RUNNING and stage is job.phase
        bar = meter(seen / scale if seen is not None and scale else None, max(min(width - 48, 60), 4))
        figure = "now" if now and seen is None else format_seconds(seen)
        label = Span(f"{words(stage):<20}", Role.ACCENT if now else Role.DIM)
        estimate = Span(f"  est. {format_seconds(estimated.get(stage))}", Role.DIM)
        lines.append((label, *bar, Span(f" {figure:>9}"), estimate))
    return lines


def _notices(job: Job, width: int) -> list[Line]:
    return [text(part, Role.WARN) for notice in job.notices for part in wrap(f"note: {notice}", width, most=2)]


# -- lists


def job_list(snapshot: Snapshot, view: View) -> Frame:
    """Jobs in the order of interest, with the estimate beside what happened."""
    jobs = in_order(snapshot)
    if not jobs:
        return Frame((rule("JOBS", (), view),), (Row(pad(text("   none yet", Role.DIM), view.width)),))
    columns = (
        Column("JOB", min(max(*(len(job.id) for job in jobs), 3), 12)),
        Column("DEPLOYMENT", min(max(*(len(job.request.deployment) for job in jobs), 10), 16), 3),
        Column("SHAPE", max(*(len(shape(job)) for job in jobs), 5), 2),
        Column("STATE", max(*(line_width(job_state(job)) for job in jobs), 11)),
        Column("PRIO", 4, 3 if any(job.request.priority for job in jobs) else 7, right=True),
        Column("EST.", 8, 4, right=True),
        Column("TOOK", 8, right=True),
        Column("ERROR", 8, 5, right=True),
        Column("PROMPT", 12, 6, grow=True, limit=60),
    )
    fitted = fit_columns(columns, view.width - 4)
    rows = [
        Row(
            pad(marked(table_line(fitted, columns, _job_cells(snapshot, job)), job.id == view.cursor), view.width),
            job.id,
        )
        for job in jobs
    ]
    head = (Span("   "), *table_head(fitted, columns))
    count = text("1 job" if len(jobs) == 1 else f"{len(jobs)} jobs", Role.DIM)
    return Frame((rule("JOBS", count, view), pad(head, view.width)), tuple(rows))


def _job_cells(snapshot: Snapshot, job: Job) -> tuple[Cell, ...]:
    estimate = job.estimate.total_seconds.expected if job.estimate else None
    seconds = job.observed_seconds
    if seconds is None and job.started_at is not None:
        seconds = (job.ended_at or snapshot.taken_at) - job.started_at
    return (
        text(clean(job.id), Role.STRONG),
        text(job.request.deployment),
        text(shape(job), Role.DIM),
        job_state(job),
        text(str(job.request.priority), Role.TEXT if job.request.priority else Role.DIM),
        text(format_seconds(estimate), Role.DIM),
        text(format_seconds(seconds)),
        text(format_change(job.observed_seconds, estimate) if job.state is JobState.FINISHED else MISSING, Role.DIM),
        text(clean(job.request.prompt), Role.DIM),
    )


def events(snapshot: Snapshot, view: View) -> Frame:
    """The newest events in the room that is left, one line each; nothing at all when that is no room."""
    room = view.height - 1
    if room < 1:
        return Frame()
    rows = []
    for event in reversed(snapshot.log.events[-room:]):
        message = Span(shorten(clean(event.message), max(view.width - 14, 1)), _LEVEL_ROLES.get(event.level, Role.TEXT))
        rows.append(Row(pad((Span(f"   {clock_time(event.at)}  ", Role.DIM), message), view.width)))
    if not rows:
        rows.append(Row(pad(text("   nothing has happened yet", Role.DIM), view.width)))
    return Frame((rule("EVENTS", (), view),), tuple(rows))
