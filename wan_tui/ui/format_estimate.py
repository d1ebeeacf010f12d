"""The live estimate of a form to lines: will it fit, how long will it take, and what would make it fit. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_tui.core.units import format_basis, format_bytes, format_gib, format_seconds
from wan_tui.core.words import Verdict
from wan_tui.ui import glyphs
from wan_tui.ui.format import dim_join, words
from wan_tui.ui.format_deployments import VERDICT_ROLES
from wan_tui.ui.text import Line, Role, Span, clean, join_fitting, meter, text, wrap

if TYPE_CHECKING:
    from wan_tui.core.planning.plan import MemoryEstimate, Remedy
    from wan_tui.core.planning.questions import Assessment
    from wan_tui.core.runtime.state import DeploymentStatus

# Remedies that change what is typed in the form, not how the deployment is configured.
_IN_THE_FORM = ("width", "height", "frames", "steps", "guidance")
MOST_REMEDIES = 3


def refusal(found: Assessment) -> str | None:
    """Why this can't be made here, as one line with what would help; None where it can."""
    if found.refusal is not None:
        return clean(found.refusal)
    if found.compatibility.verdict is not Verdict.INCOMPATIBLE:
        return None
    reason = clean(found.compatibility.reason)
    remedies = found.compatibility.remedies
    return f"{reason}; fix: {clean(remedies[0].title)}" if remedies else reason


def form_remedy(found: Assessment | None) -> dict[str, str]:
    """The mildest remedy that the form itself can make, by field; empty where there is none."""
    for remedy in found.compatibility.remedies if found is not None else ():
        if (changed := _fields(remedy)) is not None:
            return changed
    return {}


def _fields(remedy: Remedy) -> dict[str, str] | None:
    """The fields that it changes, or None when it needs more than the form."""
    fields: dict[str, str] = {}
    for key, value in remedy.changes:
        name = key.removeprefix("defaults.")
        if key == name or name not in _IN_THE_FORM:
            return None
        fields[name] = str(value)
    return fields or None


def estimate(found: Assessment, width: int, room: int) -> list[Line]:
    """The answer in at most ``room`` lines: verdict, memory against what is free, seconds; bars where there is room."""
    compatibility = found.compatibility
    if refusal(found) is not None:
        return _refused(found, width, room)
    verdict = text(words(compatibility.verdict), VERDICT_ROLES[compatibility.verdict])
    plan = compatibility.plan
    where = (
        dim_join(plan.device, plan.precision.value, plan.options) if plan is not None else text(found.where, Role.DIM)
    )
    lines = [join_fitting((verdict, where), width)]
    if compatibility.verdict is Verdict.UNKNOWN:
        lines += [text(part, Role.DIM) for part in wrap(compatibility.reason, width, most=2)]
    lines.append(_seconds(found, width))
    memory = compatibility.memory
    notices = [text(part, Role.WARN) for notice in found.notices for part in wrap(f"note: {notice}", width, most=1)]
    if memory is not None:
        if room - len(lines) - len(notices) > len(memory.phases):
            lines += _phases(found, memory, width)
        else:
            lines.insert(1, _peak(found, memory, width))
    return [line for line in (lines + notices) if line][:room]


def _refused(found: Assessment, width: int, room: int) -> list[Line]:
    """The reason, then as many remedies as there is room for, one at least."""
    remedies = found.compatibility.remedies if found.refusal is None else ()
    reason = f"refused: {found.refusal}"
    if found.refusal is None:
        reason = f"{words(found.compatibility.verdict)}: {found.compatibility.reason}"
    most = max(room - min(len(remedies), max(room - 2, 1), MOST_REMEDIES), 1)
    lines = [text(part, Role.ERROR) for part in wrap(f"{glyphs.CROSS} {reason}", width, most=most)]
    able = form_remedy(found)
    for remedy in remedies[:MOST_REMEDIES]:
        here = able and _fields(remedy) == able
        hint = text("  ctrl+g does it", Role.STRONG) if here else ()
        able = {} if here else able  # only one of them is what the key does
        (title, *_) = wrap(f"fix  {remedy.title}", width - (16 if here else 0), most=1)
        lines.append((*text(title, Role.WARN), *hint))
    return lines[:room]


def _peak(found: Assessment, memory: MemoryEstimate, width: int) -> Line:
    free = found.free_bytes
    against = (
        f"{format_bytes(memory.peak_bytes)} of {format_gib(free)} GiB free" if free else format_bytes(memory.peak_bytes)
    )
    phase = found.compatibility.limiting_phase
    parts = [text(f"peak {against}")]
    if phase is not None:
        parts.append(text(f"in {words(phase)}", Role.DIM))
    parts.append(text(format_basis(memory.basis.value, memory.runs), Role.DIM))
    return join_fitting(parts, width)


def _phases(found: Assessment, memory: MemoryEstimate, width: int) -> list[Line]:
    """A bar for each phase against what is free; the largest is marked with a word, not by colour alone."""
    free = found.free_bytes
    whole = max([free or 0, *(phase.total_bytes for phase in memory.phases)])
    peak = max((phase.total_bytes for phase in memory.phases), default=0)
    head = f"GiB of {format_gib(free)} free" if free else "GiB"
    lines: list[Line] = [
        join_fitting((text(head, Role.DIM), text(format_basis(memory.basis.value, memory.runs), Role.DIM)), width)
    ]
    for phase in memory.phases:
        largest = phase.total_bytes == peak
        figure = f" {format_gib(phase.total_bytes):>6}{' peak' if largest else ''}"
        bar = meter(phase.total_bytes / whole if whole else None, max(min(width - 31, 40), 4))
        lines.append((Span(f"{words(phase.phase):<19}", Role.DIM), *bar, Span(figure, Role.TEXT)))
    return lines


def _seconds(found: Assessment, width: int) -> Line:
    if found.time is None:
        return text("time --: nothing is known about the speed of this device", Role.DIM)
    bounds, videos = found.time.total_seconds, found.batch
    parts = [text(f"about {format_seconds(bounds.expected)}", Role.STRONG)]
    parts.append(text(f"{format_seconds(bounds.low)} to {format_seconds(bounds.high)}"))
    parts.append(text(format_basis(found.time.basis.value, found.time.runs, found.time.report), Role.DIM))
    if videos > 1:
        parts.append(text(f"for {videos} videos", Role.DIM))
    if found.load is not None and not found.as_loaded:
        parts.append(text(f"+ load {format_seconds(found.load.total_seconds.expected)}", Role.DIM))
    return join_fitting(parts, width)


def last_run(deployment: DeploymentStatus) -> Line:
    """How the last estimate of this deployment came out."""
    if deployment.last_generation_seconds is None:
        return ()
    estimated, took = deployment.last_estimated_seconds, deployment.last_generation_seconds
    return text(f"last run estimated {format_seconds(estimated)}, took {format_seconds(took)}", Role.DIM)
