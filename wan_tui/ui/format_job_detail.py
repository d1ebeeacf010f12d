"""One job to lines, with everything that is known about it. Pure."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING

from wan_tui.core.units import MISSING, format_change, format_seconds
from wan_tui.core.words import STAGES, JobState
from wan_tui.ui import format_jobs, glyphs
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
    meter,
    pad,
    rule,
    table_head,
    table_line,
    text,
    wrap,
)

if TYPE_CHECKING:
    from wan_tui.core.runtime.state import Job
    from wan_tui.core.snapshot import Snapshot

_LABEL = 13


def job_detail(snapshot: Snapshot, job: Job, view: View) -> Frame:
    """Request, progress or ending, all stages estimated and observed, notices and failure."""
    width = view.width - 4
    inner = width - _LABEL
    lines: list[Line] = []

    def add(label: str, parts: list[Line]) -> None:
        lines.extend((Span(f"{label if i == 0 else '':<{_LABEL}}", Role.DIM), *part) for i, part in enumerate(parts))

    request = job.request
    add("prompt", [text(part, Role.STRONG) for part in wrap(request.prompt, inner, most=4)])
    if request.negative_prompt:
        add("negative", [text(part) for part in wrap(request.negative_prompt, inner, most=2)])
    if request.image:
        add("picture", [text(part) for part in wrap(request.image, inner, most=2)])
    add("asked for", [_asked(job)])
    add("policy", [dim_join(*_policy(job))])
    add("times", [_times(snapshot, job)])
    if job.failure is not None:
        reason = f"{glyphs.CROSS} {words(job.failure.reason)}: {job.failure.message}"
        add("failure", [text(part, Role.ERROR) for part in wrap(reason, inner, most=6)])
    for number, path in enumerate((job.output, *job.more_outputs) if job.output else ()):
        add("output" if number == 0 else "", [text(part) for part in wrap(path, inner, most=2)])
    for notice in job.notices:
        add("note", [text(part, Role.WARN) for part in wrap(notice, inner, most=2)])
    lines += [(), *stages(job, width)]
    rows = tuple(Row(pad((Span("   "), *line), view.width)) for line in lines)
    return Frame((rule(format_jobs.job_name(job.id).upper(), format_jobs.job_state(job), view),), rows)


def _asked(job: Job) -> Line:
    request = job.request
    return dim_join(
        clean(request.deployment),
        format_jobs.shape(job),
        f"{request.steps} steps",
        f"guidance {request.guidance:g}",
        f"seed {request.seed}",
        f"{request.videos} videos" if request.videos > 1 else "",
    )


def _policy(job: Job) -> list[str]:
    request = job.request
    limit = "no timeout" if request.timeout_seconds is None else f"timeout {format_seconds(request.timeout_seconds)}"
    again = "begins again after a restart" if request.requeue else "ends with its engine"
    parts = [f"priority {request.priority}", limit, f"{request.retries} retries", again]
    if job.retried:
        parts.append(f"retried {job.retried}")
    if job.interruptions:
        parts.append(f"interrupted {job.interruptions}")
    return parts


def _times(snapshot: Snapshot, job: Job) -> Line:
    def at(value: float) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))

    parts = [f"queued {at(job.submitted_at)}"]
    if job.started_at is not None:
        parts.append(f"waited {format_seconds(job.started_at - job.submitted_at)}")
        end = job.ended_at if job.ended_at is not None else snapshot.taken_at
        parts.append(f"{'took' if job.state.ended else 'runs for'} {format_seconds(end - job.started_at)}")
    return dim_join(*parts)


def stages(job: Job, width: int) -> list[Line]:
    """Seconds of every stage, estimate beside observation, the whole last."""
    observed = {stage.stage: stage.seconds for stage in job.stages}
    estimated = {stage.stage: stage for stage in job.estimate.stages} if job.estimate else {}
    columns = (
        Column("STAGE", 20),
        Column("ESTIMATED", 10, right=True),
        Column("BETWEEN", 20, 2),
        Column("OBSERVED", 10, right=True),
        Column("ERROR", 9, 1, right=True),
        Column("", 10, 3, grow=True, limit=40),
    )
    fitted = fit_columns(columns, width)
    scale = max([*observed.values(), *(one.seconds for one in estimated.values())], default=0.0)
    lines = [table_head(fitted, columns)]
    for stage in STAGES:
        now = job.state is JobState.RUNNING and stage is job.phase
        if stage not in observed and stage not in estimated and not now:
            continue
        seen, guess = observed.get(stage), estimated.get(stage)
        between = MISSING
        if guess is not None and guess.low is not None and guess.high is not None:
            between = f"{format_seconds(guess.low)} – {format_seconds(guess.high)}"
        cells: tuple[Cell, ...] = (
            text(words(stage), Role.ACCENT if now else Role.TEXT),
            text(format_seconds(guess.seconds if guess else None), Role.DIM),
            text(between, Role.DIM),
            text("now" if now and seen is None else format_seconds(seen)),
            text(format_change(seen, guess.seconds if guess else None), Role.DIM),
            partial(meter, seen / scale if seen is not None and scale else None),
        )
        lines.append(table_line(fitted, columns, cells))
    total = job.estimate.total_seconds if job.estimate else None
    whole: tuple[Cell, ...] = (
        text("total", Role.STRONG),
        text(format_seconds(total.expected if total else None)),
        text(f"{format_seconds(total.low)} – {format_seconds(total.high)}" if total else MISSING, Role.DIM),
        text(format_seconds(job.observed_seconds), Role.STRONG),
        text(format_change(job.observed_seconds, total.expected if total else None)),
        text(format_jobs.basis_of(job.estimate) if job.estimate else "", Role.DIM),
    )
    lines.append(table_line(fitted, columns, whole))
    return lines


def sidecar(content: str | None, problem: str | None, view: View) -> Frame:
    """The file beside the video as it is: what it takes to make the same one again."""
    title = rule("SIDECAR", (), view)
    if problem is not None or content is None:
        parts = wrap(problem or "reading", view.width - 4)
        return Frame((title,), tuple(Row(pad(text(f"   {part}", Role.DIM), view.width)) for part in parts))
    rows: list[Row] = []
    for line in pretty(content).splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        for i, part in enumerate(wrap(line.strip(), view.width - 4 - len(indent)) or [""]):
            rows.append(Row(pad((Span(f"   {indent}{'  ' if i else ''}{part}"),), view.width)))
    return Frame((title,), tuple(rows))


def pretty(content: str) -> str:
    """The JSON with two blanks a level; what is no JSON stays as it is."""
    try:
        return json.dumps(json.loads(content), indent=2, ensure_ascii=False)
    except ValueError:
        return content
