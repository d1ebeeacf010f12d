"""The history to lines: finished loads and runs, estimates beside observations, and what they say together. Pure."""

from __future__ import annotations

import math
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING

from wan_tui.core.units import MISSING, format_basis, format_bytes, format_change, format_seconds
from wan_tui.core.words import STAGES, Phase
from wan_tui.ui import glyphs
from wan_tui.ui.format import dim_join, words
from wan_tui.ui.plot import SECONDS, Point, Scale, plot, scale_of
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
    marked,
    pad,
    rule,
    table_head,
    table_line,
    text,
    wrap,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wan_tui.core.planning.plan import Clip
    from wan_tui.core.runtime.past import PastFigure, PastRun

    Shown = Callable[[float | None], str]

_DENOISING = (Phase.DENOISE_HIGH_NOISE, Phase.DENOISE_LOW_NOISE)
# What is off by more than this is worth a second look.
FAR_OFF = 0.25


def when(at: float, now: float) -> str:
    """The time for what is less than a day ago, else the date."""
    local = time.localtime(at)
    return time.strftime("%H:%M:%S" if now - at < 86400 else "%Y-%m-%d", local)


def clip_shape(clip: Clip | None) -> str:
    if clip is None:
        return MISSING
    return f"{clip.width}{glyphs.TIMES}{clip.height}{glyphs.TIMES}{clip.frames}"


def error_ratio(figure: PastFigure | None) -> float | None:
    """Observed over estimated, minus 1; None for what was never estimated."""
    if figure is None or not figure.expected:
        return None
    return figure.observed / figure.expected - 1


def error_cell(figure: PastFigure | None) -> Line:
    """How far off the estimate was. Outside its interval is marked, so that it shows without colour."""
    if figure is None:
        return text(MISSING, Role.DIM)
    change = format_change(figure.observed, figure.expected)
    inside = figure.low is None or figure.high is None or figure.low <= figure.observed <= figure.high
    ratio = error_ratio(figure)
    far = ratio is not None and abs(ratio) > FAR_OFF
    return text(change if inside else f"{glyphs.WARN} {change}", Role.WARN if far or not inside else Role.DIM)


# -- the table


def past_list(runs: Sequence[PastRun], matching: int, state: Line, now: float, view: View) -> Frame:
    """Finished loads and runs, newest first; ``matching`` is how many there are beyond those ``runs``."""
    info = join((text(f"{len(runs)} of {matching}" if matching > len(runs) else f"{matching}", Role.DIM), state))
    title = rule("HISTORY", info, view)
    if not runs:
        return Frame((title,), (Row(pad(text("   nothing has finished yet", Role.DIM), view.width)),))
    columns = (
        Column("ENDED", 10),
        Column("DEPLOYMENT", min(max(*(len(run.deployment) for run in runs), 10), 16), 3),
        Column("CLIP", max(*(len(clip_shape(run.clip)) for run in runs), 4), 2),
        Column("EST.", 8, right=True),
        Column("TOOK", 8, right=True),
        Column("ERROR", 10, 1, right=True),
        Column("BASIS", 15, 5),
        Column("DEVICE", 16, 8, grow=True, limit=34),
        Column("PROMPT", 14, 7, grow=True, limit=60),
    )
    fitted = fit_columns(columns, view.width - 4)
    rows = tuple(
        Row(
            pad(marked(table_line(fitted, columns, _cells(run, now)), run.uid == view.cursor), view.width),
            run.uid,
        )
        for run in runs
    )
    return Frame((title, pad((Span("   "), *table_head(fitted, columns)), view.width)), rows)


def _cells(run: PastRun, now: float) -> tuple[Cell, ...]:
    total = run.total
    return (
        text(when(run.ended_at, now)),
        text(clean(run.deployment) or MISSING),
        text(clip_shape(run.clip) if run.clip is not None else run.kind, Role.DIM),
        text(format_seconds(total.expected if total else None), Role.DIM),
        text(format_seconds(total.observed if total else None)),
        error_cell(total),
        text(f"{run.basis} ({run.runs})" if run.runs else run.basis or MISSING, Role.DIM),
        text(clean(run.device), Role.DIM),
        text(clean(run.request.prompt) if run.request else "", Role.DIM),
    )


# -- one of them


def past_detail(run: PastRun, now: float, view: View) -> Frame:
    """All stages, estimated and observed, in seconds and in device memory, and what was asked for."""
    width = view.width - 4
    lines = _asked(run, width)
    seconds = [figure for figure in run.figures if figure.unit == "seconds"]
    if seconds:
        lines += [(), *_figures("STAGE", seconds, format_seconds, width)]
    sizes = [figure for figure in run.figures if figure.unit == "bytes"]
    if sizes:
        lines += [(), *_figures("MEMORY AT THE PEAK OF", sizes, format_bytes, width)]
    info = dim_join(run.kind, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run.ended_at)))
    rows = tuple(Row(pad((Span("   "), *line), view.width)) for line in lines)
    return Frame((rule("WHAT HAPPENED", info, view),), rows)


def _asked(run: PastRun, width: int) -> list[Line]:
    lines: list[Line] = []
    if run.request is not None:
        lines += [text(part) for part in wrap(run.request.prompt, width, most=4)]
        if run.request.negative_prompt:
            lines += [text(part, Role.DIM) for part in wrap(f"not: {run.request.negative_prompt}", width, most=2)]
    clip = run.clip
    if clip is not None:
        seed = f"seed {run.request.seed}" if run.request else ""
        lines.append(dim_join(clip_shape(clip), f"{clip.steps} steps", f"guidance {clip.guidance:g}", seed))
    lines.append(dim_join(clean(run.deployment), clean(run.model), clean(run.device)))
    lines.append(dim_join(clean(run.plan), "first after a load" if run.first else ""))
    versions = (("driver", run.driver), ("torch", run.torch), ("diffusers", run.diffusers))
    lines.append(dim_join(*(f"{name} {version}" for name, version in versions if version)))
    basis = format_basis(run.basis, run.runs) if run.basis else "no estimate"
    lines.append(dim_join(f"estimate {basis}", "" if run.counts else "taken out of calibration"))
    return [line for line in lines if line]


def _figures(title: str, figures: Sequence[PastFigure], shown: Shown, width: int) -> list[Line]:
    columns = (
        Column(title, 22),
        Column("ESTIMATED", 10, right=True),
        Column("BETWEEN", 22, 2),
        Column("OBSERVED", 10, right=True),
        Column("ERROR", 10, 1, right=True),
    )
    fitted = fit_columns(columns, width)
    order = {stage.value: place for place, stage in enumerate(STAGES)}
    lines = [table_head(fitted, columns)]
    for figure in sorted(figures, key=lambda one: (one.stage == "total", order.get(one.stage, 99))):
        known = figure.low is not None and figure.high is not None
        cells: tuple[Cell, ...] = (
            text(words(clean(figure.stage)), Role.STRONG if figure.stage == "total" else Role.TEXT),
            text(shown(figure.expected), Role.DIM),
            text(f"{shown(figure.low)} – {shown(figure.high)}" if known else MISSING, Role.DIM),
            text(shown(figure.observed)),
            error_cell(figure),
        )
        lines.append(table_line(fitted, columns, cells))
    return lines


# -- all of them together


def accuracy(runs: Sequence[PastRun]) -> Line:
    """How good the estimates were: the median error, and how often the interval held."""
    totals = [run.total for run in runs if run.kind == "run"]
    errors = [abs(ratio) for total in totals if (ratio := error_ratio(total)) is not None]
    if not errors:
        return ()
    shown = [total for total in totals if total is not None and total.low is not None and total.high is not None]
    held = sum((total.low or 0) <= total.observed <= (total.high or math.inf) for total in shown)
    parts = [f"median error {statistics.median(errors) * 100:.1f} %"]
    if shown:
        parts.append(f"{held} of {len(shown)} in their interval")
    return dim_join(*parts)


def scatter(runs: Sequence[PastRun], chosen: str | None, ascii_only: bool, view: View) -> Frame:
    """Estimated against observed seconds of whole runs; on the diagonal the estimate was right."""
    points: list[Point] = []
    for run in sorted(runs, key=lambda run: run.uid == chosen):
        total = run.total
        if run.kind == "run" and total is not None and total.expected and total.observed > 0:
            far = abs(error_ratio(total) or 0) > FAR_OFF
            role = Role.STRONG if run.uid == chosen else Role.WARN if far else Role.ACCENT
            points.append(Point(total.expected, total.observed, role))
    title = rule("ESTIMATES", accuracy(runs), view)
    if not points:
        return Frame((title,), (Row(pad(text("   no run with an estimate yet", Role.DIM), view.width)),))
    scale = scale_of([value for point in points for value in (point.x, point.y)], candidates=SECONDS)
    lines = plot(
        points,
        view.width - 4,
        view.height - 1,
        x=scale,
        y=scale,
        x_title="estimated",
        y_title="observed, above the diagonal slower than estimated",
        x_label=format_seconds,
        y_label=format_seconds,
        diagonal=True,
        ascii_only=ascii_only,
    )
    return Frame((title,), tuple(Row(pad((Span("  "), *line), view.width)) for line in lines))


def step_seconds(run: PastRun) -> float | None:
    """Seconds per denoising step, both experts together."""
    if run.kind != "run" or run.clip is None or not run.clip.steps:
        return None
    seen = [figure.observed for stage in _DENOISING if (figure := run.figure(stage.value)) is not None]
    return sum(seen) / run.clip.steps if seen else None


def alike(runs: Sequence[PastRun], chosen: PastRun | None) -> list[PastRun]:
    """Runs whose steps cost the same by nature as those of ``chosen`` (or of the newest run), oldest first."""
    if chosen is None or step_seconds(chosen) is None:
        chosen = next((run for run in runs if step_seconds(run) is not None), None)
    if chosen is None or chosen.clip is None:
        return []

    def kind(run: PastRun) -> tuple[object, ...]:
        clip = run.clip
        assert clip is not None
        return run.model, run.device, run.plan, clip.width, clip.height, clip.frames, clip.guidance > 1

    wanted = kind(chosen)
    same = [run for run in runs if step_seconds(run) is not None and kind(run) == wanted]
    return sorted(same, key=lambda run: run.ended_at)


def trend(runs: Sequence[PastRun], chosen: PastRun | None, ascii_only: bool, view: View) -> Frame:
    """Seconds per step of equal runs, oldest left: what gets slower over time shows here first."""
    same = alike(runs, chosen)
    if not same:
        title = rule("STEP TIME", (), view)
        return Frame((title,), (Row(pad(text("   no run yet", Role.DIM), view.width)),))
    values = [step_seconds(run) or 0.0 for run in same]
    last, middle = values[-1], statistics.median(values)
    facts = dim_join(
        f"{clean(same[-1].model)} {clip_shape(same[-1].clip)}",
        f"last {format_seconds(last)}, median {format_seconds(middle)}",
    )
    uid = chosen.uid if chosen else None
    points = [
        Point(place, value, Role.STRONG if run.uid == uid else Role.ACCENT)
        for place, (run, value) in enumerate(zip(same, values, strict=True))
    ]
    lines = plot(
        points,
        view.width - 4,
        view.height - 1,
        x=Scale(-0.5, max(len(same) - 0.5, 0.5)),
        y=scale_of(values),
        x_title="newest",
        y_title="seconds per step",
        x_label=partial(_runs_ago, len(same)),
        y_label=format_seconds,
        joined=True,
        ascii_only=ascii_only,
    )
    return Frame((rule("STEP TIME", facts, view),), tuple(Row(pad((Span("  "), *line), view.width)) for line in lines))


def _runs_ago(number: int, place: float) -> str:
    ago = number - 1 - round(place)
    return "" if ago <= 0 or place != round(place) else f"{ago} before"
