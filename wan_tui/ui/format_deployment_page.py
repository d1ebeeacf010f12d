"""Snapshot to lines: the list of deployments, and everything about one of them, section by section. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wan_tui.core.units import (
    MISSING,
    format_basis,
    format_bytes,
    format_change,
    format_gib,
    format_seconds,
)
from wan_tui.core.words import JobState, LoadState, Severity, Verdict
from wan_tui.ui import glyphs
from wan_tui.ui.format import dim_join, words
from wan_tui.ui.format_deployments import VERDICT_ROLES, device_bytes, model_name, state_line
from wan_tui.ui.format_jobs import clock_time, job_name, shape
from wan_tui.ui.format_memory import bars_legend, chart_legend, memory_chart, phase_bars
from wan_tui.ui.text import (
    Column,
    Frame,
    Line,
    Role,
    Row,
    Span,
    View,
    clean,
    fit_columns,
    line_width,
    marked,
    pad,
    rule,
    shorten,
    table_head,
    table_line,
    text,
    wrap,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wan_tui.core.planning.plan import Compatibility
    from wan_tui.core.planning.questions import Assessment
    from wan_tui.core.runtime.state import DeploymentStatus, Job
    from wan_tui.core.runtime.timeline import Timeline
    from wan_tui.core.snapshot import Snapshot

MARKS = {
    Verdict.FITS: glyphs.TICK,
    Verdict.OFFLOAD_REQUIRED: glyphs.HALF,
    Verdict.TIGHT: glyphs.WARN,
    Verdict.INCOMPATIBLE: glyphs.CROSS,
    Verdict.UNKNOWN: "?",
}
LABEL = 10
LOG_LINES = 30


class Section(NamedTuple):
    """A heading and lines; ``key`` and the number of the line name the row."""

    key: str
    title: str
    lines: tuple[Line, ...]
    info: Line = ()


def headroom_gib(found: Compatibility) -> str:
    """``+5.1``: headroom for a column whose title says GiB; ``host`` where not the device is what is short."""
    if found.headroom_bytes is None:
        return MISSING
    return "host" if _host_is_short(found) else f"{found.headroom_bytes / 2**30:+.1f}"


def _host_is_short(found: Compatibility) -> bool:
    """No plan although the least one has room on the device: then the weights do not fit into the host."""
    return found.verdict is Verdict.INCOMPATIBLE and (found.headroom_bytes or -1) > 0


def verdict_line(found: Compatibility) -> Line:
    """Mark, word and headroom."""
    role = VERDICT_ROLES[found.verdict]
    line: Line = (Span(f"{MARKS[found.verdict]} {words(found.verdict)}", role),)
    if found.headroom_bytes is None:
        return line
    if _host_is_short(found):
        return (*line, Span("  the host has too little memory"))
    room = format_bytes(abs(found.headroom_bytes))
    said = f"headroom {room}" if found.headroom_bytes >= 0 else f"short of {room}"
    whole = f" of {format_bytes(found.device_bytes)}" if found.device_bytes else ""
    return (*line, Span(f"  {said}{whole}"))


# -- the list


def deployment_list(snapshot: Snapshot, view: View) -> Frame:
    """Every deployment with what it is wanted to be, what it is, and whether it fits."""
    loaded = sum(d.state is LoadState.LOADED for d in snapshot.deployments)
    head = rule("DEPLOYMENTS", dim_join(f"{loaded} of {len(snapshot.deployments)} loaded"), view)
    if not snapshot.deployments:
        none = "   no deployments: write some with `wan-tui config init`"
        return Frame((head,), (Row(pad(text(none, Role.DIM), view.width)),))
    cells = [_list_cells(snapshot, d) for d in snapshot.deployments]

    def longest(column: int, least: int, most: int) -> int:
        return min(max(*(line_width(row[column]) for row in cells), least), most)

    columns = (
        Column("NAME", longest(0, 4, 24)),
        Column("MODEL", longest(1, 5, 20), 6),
        Column("PROFILE", longest(2, 7, 16), 4),
        Column("DEVICE", 6, 5),
        Column("STATE", longest(4, 13, 16)),
        Column("VERDICT", longest(5, 7, 18)),
        Column("HEADROOM", 8, 2, right=True),
        Column("PEAK / MEM GiB", 14, 7, right=True),
        Column(f"EST {glyphs.ARROW} OBS", longest(8, 13, 20), 8, right=True),
        Column("KEPT", longest(9, 6, 14), 3),
        Column("QUEUE", 5, 9, right=True),
        Column("FINDINGS", 8, 1),
    )
    fitted = fit_columns(columns, view.width - 4)
    rows = [
        Row(pad(marked(table_line(fitted, columns, row), d.name == view.cursor), view.width), d.name)
        for d, row in zip(snapshot.deployments, cells, strict=True)
    ]
    titles = pad((Span("   "), *table_head(fitted, columns)), view.width)
    return Frame((head, titles), tuple(rows))


def _list_cells(snapshot: Snapshot, d: DeploymentStatus) -> tuple[Line, ...]:
    found = d.compatibility
    plan, memory, role = found.plan, found.memory, VERDICT_ROLES[found.verdict]
    peak = f"{format_gib(memory.peak_bytes if memory else None)} / {format_gib(device_bytes(snapshot, d))}"
    if d.last_estimated_seconds is None and d.last_generation_seconds is None:
        seconds = text(MISSING, Role.DIM)
    else:
        estimated, observed = format_seconds(d.last_estimated_seconds), format_seconds(d.last_generation_seconds)
        seconds = (Span(f"{estimated} {glyphs.ARROW} ", Role.DIM), Span(observed))
    return (
        text(clean(d.name), Role.STRONG),
        text(model_name(d.model), Role.DIM),
        text(clean(d.profile)),
        text(plan.device if plan else MISSING, Role.TEXT if plan else Role.DIM),
        state_line(d),
        text(f"{MARKS[found.verdict]} {words(found.verdict)}", role),
        text(headroom_gib(found), role if (found.headroom_bytes or 0) < 0 else Role.TEXT),
        text(peak, Role.TEXT if memory else Role.DIM),
        seconds,
        text(kept(snapshot, d), Role.TEXT if d.pinned else Role.DIM),
        text(str(d.queued_jobs), Role.TEXT if d.queued_jobs else Role.DIM),
        findings_count(d),
    )


def kept(snapshot: Snapshot, d: DeploymentStatus) -> str:
    """Whether it stays loaded: pinned, or until its keep-alive is over."""
    if d.pinned:
        return "pinned"
    if d.idle_unload_at is not None:
        return f"for {format_seconds(max(d.idle_unload_at - snapshot.taken_at, 0.0))}"
    return MISSING if d.state is not LoadState.LOADED else "while busy"


def findings_count(d: DeploymentStatus) -> Line:
    errors = sum(finding.severity is Severity.ERROR for finding in d.findings)
    warnings = sum(finding.severity is Severity.WARNING for finding in d.findings)
    if not errors and not warnings:
        return text("none", Role.DIM)
    line: list[Span] = []
    if errors:
        line.append(Span(f"{glyphs.CROSS}{errors} ", Role.ERROR))
    if warnings:
        line.append(Span(f"{glyphs.WARN}{warnings}", Role.WARN))
    return tuple(line)


# -- one of them


def page(sections: Sequence[Section], view: View) -> Frame:
    """Sections one below the other; every line has a key, so that the cursor pages through all of it."""
    rows: list[Row] = []
    wanted = sum(len(section.lines) + 1 for section in sections) + len(sections) - 1
    for section in sections:
        if rows and wanted <= view.height:  # blank lines only where rows are left
            rows.append(Row(pad((), view.width)))
        title = View(view.width, 1, None, view.focused and (view.cursor or "").startswith(f"{section.key}:"))
        rows.append(Row(rule(section.title, section.info, title)))
        for number, line in enumerate(section.lines):
            key = f"{section.key}:{number}"
            rows.append(Row(pad(marked(line, view.focused and key == view.cursor), view.width), key))
    return Frame((), tuple(rows))


def _labelled(label: str, lines: Sequence[Line]) -> list[Line]:
    return [(Span(f"{label if i == 0 else '':<{LABEL}}", Role.DIM), *line) for i, line in enumerate(lines)]


def about(snapshot: Snapshot, d: DeploymentStatus, width: int) -> Section:
    """State, verdict, plan, time, and why."""
    room, found, clip = width - LABEL, d.compatibility, d.defaults
    model = snapshot.model(d.model)
    since = f"since {format_seconds(max(snapshot.taken_at - d.state_changed_at, 0.0))}"
    state = (*state_line(d), Span(f"  {since}", Role.DIM))
    if (lasting := kept(snapshot, d)) != MISSING:
        state = (*state, Span(f"  kept {lasting}" if lasting != "pinned" else "  pinned", Role.DIM))
    lines = _labelled("state", [state])
    why = [text(part) for part in wrap(found.reason, room, 4)]
    if d.failure and d.failure not in found.reason:
        why += [text(part, Role.ERROR) for part in wrap(f"{glyphs.CROSS} {d.failure}", room, 4)]
    lines += _labelled("verdict", [verdict_line(found), *why])
    if found.plan is not None:
        plan = dim_join(found.plan.device, found.plan.precision.value, found.plan.options, f"profile {d.profile}")
        lines += _labelled("plan", [text(part, Role.DIM) for part in wrap(plan[0].text, room, 2)])
    size = f"{clip.width}{glyphs.TIMES}{clip.height}{glyphs.TIMES}{clip.frames}"
    lines += _labelled("clip", [dim_join(size, f"{clip.steps} steps", f"guidance {clip.guidance:g}")])
    if (worker := d.worker) is not None:
        alive = f"pid {worker.pid}" if worker.up else f"{glyphs.CROSS} pid {worker.pid} is gone"
        torch = f"torch {worker.torch_version}" if worker.torch_version else ""
        lines += _labelled("worker", [dim_join(alive, f"{format_bytes(worker.resident_memory_bytes)} resident", torch)])
    if d.last_load_seconds is not None or found.load_seconds is not None:
        expected = f"about {format_seconds(found.load_seconds.expected)}" if found.load_seconds else ""
        last = f"last {format_seconds(d.last_load_seconds)}" if d.last_load_seconds is not None else ""
        lines += _labelled("loading", [dim_join(expected, last)])
    return Section("about", clean(d.name).upper(), tuple(lines), text(model.title if model else d.model, Role.DIM))


def remedies(d: DeploymentStatus, width: int) -> Section | None:
    """What would make it fit, each on rows of its own key; those without changes are to be done by hand."""
    found = d.compatibility.remedies
    if not found:
        return None
    lines: list[Line] = []
    for remedy in found:
        promise = f"{words(remedy.verdict)}, headroom {format_bytes(remedy.headroom_bytes)}"
        if remedy.seconds is not None:
            promise += f", about {format_seconds(remedy.seconds)}"
        title = clean(remedy.title).partition(": ")[0] if remedy.changes else clean(remedy.title)
        how = "" if remedy.changes else "  (by hand)"
        head = shorten(f"{glyphs.ARROW} {title}{how}", width)
        rest = shorten(promise, width - len(head) - 2)
        lines.append((Span(head, Role.STRONG if remedy.changes else Role.TEXT), Span(f"  {rest}", Role.DIM)))
    return Section("remedy", "WHAT WOULD MAKE IT FIT", tuple(lines), text("a shows the change", Role.DIM))


def memory(
    d: DeploymentStatus, timeline: Timeline | None, now: float, width: int, height: int, free: int | None
) -> Section:
    """The last hour as a chart with the estimate as a line, and the estimate of each phase."""
    lines: list[Line] = []
    if timeline is not None:
        lines += memory_chart(timeline, now, width, height)
        lines.append(chart_legend(timeline, width))
    estimate = d.compatibility.memory
    info: Line = ()
    if estimate is not None:
        lines.append(())
        lines += phase_bars(estimate, free, width)
        lines += bars_legend(estimate, free, width)
        info = text(f"estimate {format_basis(estimate.basis.value, estimate.runs)}", Role.DIM)
    on_cpu = d.compatibility.plan is not None and d.compatibility.plan.device == "cpu"
    return Section("memory", "MEMORY OF THE PROCESS" if on_cpu else "DEVICE MEMORY", tuple(lines), info)


def free_bytes(d: DeploymentStatus) -> int | None:
    """What the plan could have: its peak and what is left beside it."""
    found = d.compatibility
    if found.memory is None or found.headroom_bytes is None:
        return None
    return found.memory.peak_bytes + found.headroom_bytes


def stages_job(snapshot: Snapshot, d: DeploymentStatus) -> Job | None:
    """The job whose stages are shown: the running one, else the last that finished."""
    if d.running_job is not None and (job := snapshot.job(d.running_job)) is not None:
        return job
    ended = [j for j in snapshot.jobs if j.request.deployment == d.name and j.state is JobState.FINISHED]
    return max(ended, key=lambda job: job.ended_at or 0.0, default=None)


def stages(job: Job | None, planned: Assessment | None, width: int) -> Section:
    """Estimated and observed seconds of each stage side by side; without a job what is planned."""
    estimate = job.estimate if job is not None else planned.time if planned is not None else None
    seen = {stage.stage: stage.seconds for stage in job.stages} if job is not None else {}
    parts = {stage.stage: stage for stage in estimate.stages} if estimate is not None else {}
    info = text(f"{job_name(job.id)} {shape(job)} {job.state.value}" if job else "no job yet: as planned", Role.DIM)
    if not parts and not seen and estimate is None:
        return Section("stage", "STAGES", (text("nothing is known about its time yet", Role.DIM),), info)
    columns = (
        Column("STAGE", 18),
        Column("ESTIMATED", 9, right=True),
        Column("INTERVAL", 17, 2, right=True),
        Column("OBSERVED", 9, right=True),
        Column("ERROR", 8, 1, right=True),
    )
    fitted = fit_columns(columns, width)
    lines: list[Line] = [table_head(fitted, columns)]
    for stage in dict.fromkeys([*parts, *seen]):
        part = parts.get(stage)
        between = ""
        if part is not None and part.low is not None and part.high is not None:
            between = f"{format_seconds(part.low)} to {format_seconds(part.high)}"
        running = job is not None and not job.state.ended and stage is job.phase
        expected = part.seconds if part else None
        lines.append(_stage_line(fitted, columns, words(stage), expected, between, seen.get(stage), running=running))
    if estimate is not None:
        total = estimate.total_seconds
        between = f"{format_seconds(total.low)} to {format_seconds(total.high)}"
        observed = job.observed_seconds if job is not None else None
        lines.append(_stage_line(fitted, columns, "total", total.expected, between, observed, strong=True))
        lines.append(text(format_basis(estimate.basis.value, estimate.runs), Role.DIM))
    return Section("stage", "STAGES", tuple(lines), info)


def _stage_line(
    fitted: list[tuple[int, int]],
    columns: Sequence[Column],
    name: str,
    expected: float | None,
    between: str,
    observed: float | None,
    *,
    strong: bool = False,
    running: bool = False,
) -> Line:
    """A stage that still runs has no error yet."""
    error = "running" if running else format_change(observed, expected)
    cells = (
        text(name, Role.STRONG if strong else Role.TEXT),
        text(format_seconds(expected)),
        text(between, Role.DIM),
        text(format_seconds(observed), Role.TEXT if observed is not None else Role.DIM),
        text(error, Role.DIM),
    )
    return table_line(fitted, columns, cells)


def findings(d: DeploymentStatus, width: int) -> Section:
    """What the rules found, worst first, each with its fix."""
    lines: list[Line] = []
    for finding in d.findings:
        role = {Severity.ERROR: Role.ERROR, Severity.WARNING: Role.WARN}.get(finding.severity, Role.DIM)
        head = f"{finding.severity.value:<8}{finding.code}  "
        for i, part in enumerate(wrap(finding.message, width - len(head), 4)):
            lines.append((Span(head if i == 0 else " " * len(head), role), Span(part)))
        lines += [text(" " * len(head) + part, Role.DIM) for part in wrap(f"fix: {finding.fix}", width - len(head), 4)]
    status = d.validation
    facts = dim_join(
        f"{len(status.passed)} passed",
        f"{len(status.failed)} failed",
        f"{len(status.skipped)} skipped",
    )
    return Section("finding", "FINDINGS", tuple(lines) or (text("none", Role.DIM),), facts)


def worker_log(snapshot: Snapshot, d: DeploymentStatus, width: int) -> Section:
    """The newest events of this deployment, the newest first."""
    roles = {"error": Role.ERROR, "warning": Role.WARN}
    events = [event for event in snapshot.log.events if event.source == d.name][-LOG_LINES:]
    lines: list[Line] = []
    for event in reversed(events):
        head = f"{clock_time(event.at)}  "
        for i, part in enumerate(wrap(event.message, width - len(head), 3) or [""]):
            lines.append(
                (Span(head if i == 0 else " " * len(head), Role.DIM), Span(part, roles.get(event.level, Role.TEXT)))
            )
    return Section("log", "LOG", tuple(lines) or (text("nothing has happened yet", Role.DIM),))
