"""Snapshot to lines: deployments, what is known about them, and which one to begin with. Pure, as ``format``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_tui.core.units import MISSING, format_basis, format_bytes, format_gib, format_ratio, format_seconds
from wan_tui.core.words import LoadState, Severity, Verdict
from wan_tui.ui import glyphs
from wan_tui.ui.format import dim_join, words
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
    meter,
    pad,
    rule,
    table_head,
    table_line,
    text,
    wrap,
)

if TYPE_CHECKING:
    from wan_tui.core.runtime.state import DeploymentStatus, Job
    from wan_tui.core.snapshot import Snapshot
    from wan_tui.core.validation.findings import Finding

VERDICT_ROLES = {
    Verdict.FITS: Role.OK,
    Verdict.TIGHT: Role.WARN,
    Verdict.OFFLOAD_REQUIRED: Role.WARN,
    Verdict.INCOMPATIBLE: Role.ERROR,
    Verdict.UNKNOWN: Role.DIM,
}
_STATES = {
    LoadState.UNLOADED: (glyphs.OFF, Role.DIM),
    LoadState.LOADING: (glyphs.HALF, Role.WARN),
    LoadState.LOADED: (glyphs.ON, Role.OK),
    LoadState.UNLOADING: (glyphs.HALF, Role.WARN),
    LoadState.FAILED: (glyphs.CROSS, Role.ERROR),
}


def model_name(model: str) -> str:
    """``t2v-A14B`` of ``wan_implementation:t2v-A14B``: the part that tells models apart."""
    return model.rpartition(":")[2]


def device_bytes(snapshot: Snapshot, deployment: DeploymentStatus) -> int | None:
    """The memory of the device that a deployment is planned on."""
    plan = deployment.compatibility.plan
    if plan is None:
        return None
    if plan.device == "cpu":
        return snapshot.host.memory_total_bytes
    return next((gpu.memory_total_bytes for gpu in snapshot.gpus if f"gpu:{gpu.index}" == plan.device), None)


def state_line(deployment: DeploymentStatus) -> Line:
    mark, role = _STATES[deployment.state]
    word = deployment.state.value
    if deployment.state is LoadState.LOADING and deployment.load_progress_ratio is not None:
        word = f"{word} {format_ratio(deployment.load_progress_ratio)}"
    return (Span(f"{mark} ", role), Span(word, Role.TEXT if role is Role.OK else role))


def deployments(snapshot: Snapshot, view: View, *, explain: bool) -> Frame:
    """The table of deployments; with ``explain`` the selected one is followed by its reason."""
    if not snapshot.deployments:
        none = Row(pad(text("   no deployments configured", Role.DIM), view.width))
        return Frame((rule("DEPLOYMENTS", (), view),), (none,))
    names = max(len(d.name) for d in snapshot.deployments)
    models = max(len(model_name(d.model)) for d in snapshot.deployments)
    cells = [_deployment_cells(snapshot, d) for d in snapshot.deployments]
    columns = (
        Column("NAME", min(max(names, 4), 18)),
        Column("MODEL", min(max(models, 5), 20), 6),
        Column("DEVICE", 6, 5),
        Column("STATE", max(*(line_width(row[3]) for row in cells), 10)),
        Column("VERDICT", max(*(len(words(d.compatibility.verdict)) for d in snapshot.deployments), 7)),
        Column("HEADROOM", max(*(line_width(row[5]) for row in cells), 8), 2, right=True),
        Column("DOING", max(*(line_width(row[6]) for row in cells), 5), 1),
        Column("LEFT", 6, 3, right=True),
        Column(f"EST {glyphs.ARROW} OBS", max(*(line_width(row[8]) for row in cells), 13), 4, right=True),
        Column("QUEUE", 5, 7, right=True),
        Column("PEAK / MEM GiB", 14, 8, right=True),
    )
    fitted = fit_columns(columns, view.width - 4)
    rows: list[Row] = []
    for d, row in zip(snapshot.deployments, cells, strict=True):
        selected = d.name == view.cursor
        line = table_line(fitted, columns, row)
        rows.append(Row(pad(marked(line, selected), view.width), d.name))
        if explain and selected:
            rows.extend(Row(pad((Span("     "), *line), view.width)) for line in explanation(d, view.width - 7, 1))
    head = (Span("   "), *table_head(fitted, columns))
    return Frame((rule("DEPLOYMENTS", _deployment_facts(snapshot), view), pad(head, view.width)), tuple(rows))


def _deployment_cells(snapshot: Snapshot, d: DeploymentStatus) -> tuple[Line, ...]:
    plan, memory = d.compatibility.plan, d.compatibility.memory
    peak = f"{format_gib(memory.peak_bytes if memory else None)} / {format_gib(device_bytes(snapshot, d))}"
    if d.last_estimated_seconds is None and d.last_generation_seconds is None:
        seconds = text(MISSING, Role.DIM)
    else:
        estimated, observed = format_seconds(d.last_estimated_seconds), format_seconds(d.last_generation_seconds)
        seconds = (Span(f"{estimated} {glyphs.ARROW} ", Role.DIM), Span(observed))
    job = snapshot.job(d.running_job) if d.running_job else None
    left = job.estimated_end_at - snapshot.taken_at if job is not None and job.estimated_end_at is not None else None
    short = d.compatibility.headroom_bytes
    return (
        text(d.name, Role.STRONG),
        text(model_name(d.model), Role.DIM),
        text(plan.device if plan else MISSING, Role.TEXT if plan else Role.DIM),
        state_line(d),
        text(words(d.compatibility.verdict), VERDICT_ROLES[d.compatibility.verdict]),
        text(format_bytes(short), Role.ERROR if short is not None and short < 0 else Role.TEXT),
        _doing(d, job),
        text("late" if left is not None and left < 0 else format_seconds(left), Role.TEXT if job else Role.DIM),
        seconds,
        text(str(d.queued_jobs), Role.TEXT if d.queued_jobs else Role.DIM),
        text(peak, Role.TEXT if memory else Role.DIM),
    )


def _doing(d: DeploymentStatus, job: Job | None) -> Line:
    """The phase of the job and how far it is; of a load, its stage."""
    if job is not None:
        phase = words(job.phase).removeprefix("denoise ")
        return (
            Span(f"{phase} ", Role.ACCENT),
            Span(f"{job.step}/{job.request.steps} {job.progress_ratio * 100:.0f} %"),
        )
    if d.state is LoadState.LOADING and d.load_stage:
        return text(words(clean(d.load_stage)), Role.DIM)
    return text("idle" if d.state is LoadState.LOADED else MISSING, Role.DIM)


def _deployment_facts(snapshot: Snapshot) -> Line:
    loaded = sum(d.state is LoadState.LOADED for d in snapshot.deployments)
    return dim_join(f"{loaded} of {len(snapshot.deployments)} loaded")


def explanation(d: DeploymentStatus, width: int, most: int) -> list[Line]:
    """Why the verdict is what it is, why a load failed, and what the rules found with its fix.

    Each in at most ``most`` lines, one more for the reason.
    """
    lines = [text(part) for part in wrap(d.compatibility.reason, width, most + 1)]
    if d.failure and d.compatibility.verdict is not Verdict.INCOMPATIBLE:  # then the reason says it already
        lines += [text(part, Role.ERROR) for part in wrap(f"{glyphs.CROSS} {d.failure}", width, most + 1)]
    if d.state is LoadState.LOADING and d.load_stage:
        lines.append(text(f"loading: {words(clean(d.load_stage))}", Role.DIM))
    for finding in d.findings:
        if finding.severity is not Severity.INFO:
            lines += _finding_lines(finding, d.compatibility.reason, width, most)
    return lines


def _finding_lines(finding: Finding, reason: str, width: int, most: int) -> list[Line]:
    """Code and message, then the fix below it; a message that the reason says already is left out."""
    role = Role.ERROR if finding.severity is Severity.ERROR else Role.WARN
    indent = len(finding.code) + 2
    fix = [(part, Role.DIM) for part in wrap(finding.fix, width - indent, most)]
    said = finding.message in reason
    parts = fix if said else [(part, Role.TEXT) for part in wrap(finding.message, width - indent, most)]
    lines: list[Line] = [
        (Span(f"{finding.code if i == 0 else '':<{indent}}", role), Span(part, shade))
        for i, (part, shade) in enumerate(parts)
    ]
    if not said:
        lines += [(Span(f"{'fix' if i == 0 else '':<{indent}}{part}", Role.DIM),) for i, (part, _) in enumerate(fix)]
    return lines


def deployment_detail(snapshot: Snapshot, name: str | None, view: View) -> Frame:
    """All about one deployment, for terminals with the room: reason, plan, memory per phase, worker, findings."""
    d = snapshot.deployment(name) if name else None
    if d is None:
        return Frame()
    width = view.width - 14
    model, plan, memory = snapshot.model(d.model), d.compatibility.plan, d.compatibility.memory
    body: list[tuple[str, Line]] = []

    def add(label: str, lines: list[Line]) -> None:
        body.extend((label if i == 0 else "", line) for i, line in enumerate(lines))

    verdict = d.compatibility.verdict
    add("verdict", [text(words(verdict), VERDICT_ROLES[verdict]), *explanation(d, width, most=4)])
    if plan is not None:
        add("plan", [dim_join(plan.device, plan.precision.value, plan.options, f"profile {d.profile}")])
    if (seconds := d.compatibility.seconds) is not None:
        interval = f"{format_seconds(seconds.low)} to {format_seconds(seconds.high)}, modelled"
        add("time", [dim_join(f"about {format_seconds(seconds.expected)}", interval)])
    if memory is not None:
        whole = device_bytes(snapshot, d)
        basis = format_basis(memory.basis.value, memory.runs)
        add("memory", [text(f"peak {format_bytes(memory.peak_bytes)} of {format_bytes(whole)}, {basis}")])
        for phase in memory.phases:
            bar = meter(phase.total_bytes / whole if whole else None, max(width - 34, 4))
            figure = Span(f"{format_bytes(phase.total_bytes):>11}")
            body.append(("", (Span(f"{words(phase.phase):<19}", Role.DIM), *bar, Span("  "), figure)))
    if d.compatibility.remedies:
        most = 3  # the mildest come first
        titles = [remedy.title for remedy in d.compatibility.remedies[:most]]
        add("remedies", [text(part) for title in titles for part in wrap(title, width, 2)])
    if (worker := d.worker) is not None:
        resident = f"{format_bytes(worker.resident_memory_bytes)} resident"
        torch = f"torch {worker.torch_version}" if worker.torch_version else ""
        alive = f"pid {worker.pid}" if worker.up else f"{glyphs.CROSS} pid {worker.pid} is gone"
        add("worker", [dim_join(alive, resident, torch)])
    if d.last_load_seconds is not None:
        add("last load", [text(format_seconds(d.last_load_seconds))])
    rows = tuple(Row(pad((Span(f"   {label:<10}", Role.DIM), *line), view.width)) for label, line in body)
    title = clean(model.title) if model else model_name(d.model)
    return Frame((rule(d.name.upper(), text(title, Role.DIM), view),), rows)


def models(snapshot: Snapshot, view: View) -> Frame:
    """The catalogue: what could be deployed, how big it is, and what it makes by default. Whole or not at all."""
    if view.height < len(snapshot.models) + 2:
        return Frame()
    columns = (
        Column("MODEL", max((len(model_name(m.id)) for m in snapshot.models), default=5)),
        Column("PARAMETERS", 10, 1, right=True),
        Column("WEIGHTS", 9, right=True),
        Column("DEFAULT CLIP", 12, 2),
        Column("FPS", 3, 3, right=True),
        Column("TASK", 23, 4),
    )
    fitted = fit_columns(columns, view.width - 4)
    rows = []
    for m in snapshot.models:
        size = f"{m.parameters / 1e9:.1f} B" if m.parameters >= 1e8 else f"{m.parameters / 1e6:.1f} M"
        clip = glyphs.TIMES.join(str(n) for n in (m.default_width, m.default_height, m.default_frames))
        weights = format_bytes(sum(component.bytes for component in m.components))
        cells = (
            text(model_name(m.id)),
            text(size),
            text(weights),
            text(clip),
            text(str(m.fps)),
            text(m.task, Role.DIM),
        )
        rows.append(Row(pad((Span("   "), *table_line(fitted, columns, cells)), view.width)))
    head = (Span("   "), *table_head(fitted, columns))
    return Frame((rule("MODELS", (), view), pad(head, view.width)), tuple(rows))


def preferred(snapshot: Snapshot) -> DeploymentStatus | None:
    """The deployment to start with: one that is loaded, else one that can be, else the first."""
    good = (Verdict.FITS, Verdict.TIGHT, Verdict.OFFLOAD_REQUIRED)
    loaded = [d for d in snapshot.deployments if d.state is LoadState.LOADED]
    able = [d for verdict in good for d in snapshot.deployments if d.compatibility.verdict is verdict]
    return next(iter((*loaded, *able, *snapshot.deployments)), None)


def next_step(snapshot: Snapshot) -> Line:
    """One thing to do for someone who just opened this, or nothing while there is work to look at."""
    if snapshot.jobs or not snapshot.deployments:
        return ()
    pocket = next((d for d in snapshot.deployments if "pocket" in d.name), None)
    if pocket is not None and not snapshot.gpus:
        action = ' and type "a red circle moving right": the pocket model draws it'
    else:
        action = " to generate your first clip"
    return (Span("press "), Span(" g ", Role.KEY), Span(action))


def welcome(snapshot: Snapshot, hint: Line, view: View) -> Frame:
    """For someone who just opened this: where they are, what fits here, one next step, a configuration of one's own."""
    width = view.width - 4
    lost = sum(not gpu.up for gpu in snapshot.gpus)
    gpus = f"{len(snapshot.gpus)} GPU{'' if len(snapshot.gpus) == 1 else 's'}" + (f", {lost} lost" if lost else "")
    place = gpus if snapshot.gpus else "no GPU: models run on the processors here"
    good = (Verdict.FITS, Verdict.TIGHT, Verdict.OFFLOAD_REQUIRED)
    fitting = [
        d.name + ("" if d.compatibility.verdict is Verdict.FITS else f" ({words(d.compatibility.verdict)})")
        for verdict in good
        for d in snapshot.deployments
        if d.compatibility.verdict is verdict
    ]
    lines: list[Line] = [
        hint,
        (Span("host    ", Role.DIM), Span(f"{clean(snapshot.host.hostname)}, {place}")),
        (Span("fits    ", Role.DIM), Span(", ".join(fitting) or "nothing of what is configured")),
    ]
    if not snapshot.config.exists:
        key = (Span("config  ", Role.DIM), Span("built-in; press "), Span(" W ", Role.KEY))
        lines.append((*key, Span(f" to write {clean(snapshot.config.file or 'a file')}")))
    rows = []
    for line in lines:
        cut = line if line_width(line) <= width else pad(line, width)
        rows.append(Row(pad((Span("   "), *cut), view.width)))
    return Frame((rule("START HERE", (), view),), tuple(rows))
