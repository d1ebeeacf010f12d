"""Device memory as lines: over time with the estimate as a line, and phase by phase as stacked bars. Pure."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from wan_tui.core.units import MISSING, format_bytes, format_gib, format_seconds
from wan_tui.ui import glyphs
from wan_tui.ui.format import words
from wan_tui.ui.text import Line, Role, Span, join, join_fitting, merged, pad, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wan_tui.core.planning.plan import MemoryEstimate, PhaseMemory
    from wan_tui.core.runtime.timeline import MemoryPoint, Timeline

_AXIS = 7  # "  80.0 "
_LEAST_COLUMNS = 12
_SPANS = (60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)
# What a phase takes: the letter of its bar, and what it is called below.
_PARTS = (
    ("weights", "weights_bytes", glyphs.FULL, Role.ACCENT),
    ("activations", "activation_bytes", glyphs.DARK_SHADE, Role.OK),
    ("workspace", "workspace_bytes", glyphs.SHADE, Role.TITLE),
    ("slack", "slack_bytes", glyphs.LIGHT_SHADE, Role.DIM),
    ("CUDA context", "context_bytes", glyphs.CHEQUER, Role.WARN),
)


def memory_chart(timeline: Timeline, now: float, width: int, height: int, seconds: float | None = None) -> list[Line]:
    """Use as columns and the estimate as a line, in ``height`` lines of ``width`` cells, the newest at the right.

    ``seconds`` is how far back it goes (default: as far as something was used, in round figures). Nothing where
    there is no room, or when no worker ran.
    """
    rows, columns = height - 1, width - _AXIS
    used = [point for point in timeline.points if point.used_bytes is not None]
    if rows < 2 or columns < _LEAST_COLUMNS or not used:
        return []
    span = seconds or next((span for span in _SPANS if span >= now - used[0].at), _SPANS[-1])
    step = span / columns
    end = math.ceil(now / step) * step  # in whole columns: the chart moves when a column is full, not all the time
    top = max(max(point.used_bytes or 0, point.estimated_bytes or 0) for point in used) * 1.05 or 1.0
    slots = _slots(used, end - span, span, columns)
    lines = []
    for row in range(rows):
        label = top * (rows - row) / rows if row in (0, rows // 2) else None
        axis = Span(f"{format_gib(label) if label is not None else '':>{_AXIS - 1}} ", Role.DIM)
        lines.append(pad((axis, *merged(_chart_row(slots, row, rows, top))), width))
    ago = f"-{format_seconds(span)}"
    right = "now"
    gap = " " * max(columns - len(ago) - len(right), 1)
    lines.append(pad((Span(" " * _AXIS), Span(f"{ago}{gap}{right}", Role.DIM)), width))
    return lines


def _slots(
    points: Sequence[MemoryPoint], start: float, span: float, columns: int
) -> list[tuple[int, int | None] | None]:
    """For each column the most that was used, and the estimate that goes with it; None where nothing is known."""
    slots: list[tuple[int, int | None] | None] = [None] * columns
    for point in points:
        at = int((point.at - start) / span * columns)
        if not 0 <= at <= columns:
            continue
        at = min(at, columns - 1)
        before, used = slots[at], point.used_bytes or 0
        if before is None or used >= before[0]:
            slots[at] = (used, point.estimated_bytes)
    return _held(slots)


def _held(slots: list[tuple[int, int | None] | None]) -> list[tuple[int, int | None] | None]:
    """Points are seconds apart and columns may be closer: a value stands until the next one, unless that is far."""
    known = [at for at, slot in enumerate(slots) if slot is not None]
    gaps = [after - before for before, after in itertools.pairwise(known)]
    usual = 2 * min(gaps) if gaps else 1
    for before, gap in zip(known, gaps, strict=False):
        if 1 < gap <= usual:
            slots[before + 1 : before + gap] = [slots[before]] * (gap - 1)
    return slots


def _chart_row(slots: list[tuple[int, int | None] | None], row: int, rows: int, top: float) -> Line:
    below = rows - 1 - row  # whole rows under this one
    spans = []
    for slot in slots:
        if slot is None:
            spans.append(Span(" ", Role.TRACK))
            continue
        used, estimate = slot
        over = estimate is not None and used > estimate
        if estimate is not None and min(int(estimate / top * rows), rows - 1) == below:
            spans.append(Span(glyphs.HEAVY, Role.WARN))
            continue
        share = used / top * rows - below
        if share <= 0:
            spans.append(Span(" ", Role.TRACK))
        else:
            level = glyphs.LEVELS[min(max(round(share * 8), 1), 8) - 1]
            # Above the estimate the bar is of another shade, not only of another colour.
            spans.append(Span(glyphs.DARK_SHADE if over and level == glyphs.FULL else level, _role(over)))
    return tuple(spans)


def _role(over: bool) -> Role:
    return Role.ERROR if over else Role.ACCENT


def chart_legend(timeline: Timeline, width: int) -> Line:
    """The newest figures of the chart, in words."""
    point = next((point for point in reversed(timeline.points) if point.used_bytes is not None), None)
    if point is None:
        return text("no worker ran in the last hour", Role.DIM)
    parts: list[Line] = [(Span(f"{glyphs.FULL} ", Role.ACCENT), Span(f"used {format_bytes(point.used_bytes)}"))]
    if point.estimated_bytes is not None:
        line = Span(f"{glyphs.HEAVY} ", Role.WARN)
        parts.append((line, Span(f"estimated {format_bytes(point.estimated_bytes)}")))
    most = max(point.used_bytes or 0 for point in timeline.points)
    if any(point.used_bytes and point.used_bytes > (point.estimated_bytes or math.inf) for point in timeline.points):
        parts.append((Span(f"{glyphs.DARK_SHADE} ", Role.ERROR), Span("above the estimate")))
    parts.append(text(f"most {format_bytes(most)}", Role.DIM))
    parts.append(text(words(point.phase), Role.DIM))
    return join_fitting(parts, width, "   ")


def phase_bars(memory: MemoryEstimate, free_bytes: int | None, width: int) -> list[Line]:
    """A stacked bar for each phase on one scale, with what is free as a mark, and its total at the right."""
    names = max(len(words(phase.phase)) for phase in memory.phases)
    figure = 10
    columns = width - names - figure - 2
    if columns < 8:
        return [text(f"{words(phase.phase)} {format_bytes(phase.total_bytes)}") for phase in memory.phases]
    top = max(memory.peak_bytes, free_bytes or 0) or 1
    lines: list[Line] = []
    for phase in memory.phases:
        over = free_bytes is not None and phase.total_bytes > free_bytes
        lines.append(
            (
                Span(f"{words(phase.phase):<{names}} ", Role.DIM),
                *merged(_bar(phase, top, free_bytes, columns)),
                Span(f" {format_bytes(phase.total_bytes):>{figure}}", Role.ERROR if over else Role.TEXT),
            )
        )
    return lines


def _bar(phase: PhaseMemory, top: int, free_bytes: int | None, columns: int) -> Line:
    """Parts end where their running sum ends, so that the whole bar is as long as the total; ``|`` is what is free."""
    cells: list[Span] = []
    total = 0
    for _, name, mark, role in _PARTS:
        total += getattr(phase, name)
        cells += [Span(mark, role)] * (round(total / top * columns) - len(cells))
    if total and not cells:  # any use at all shows
        cells.append(Span(glyphs.LIGHT_SHADE, Role.ACCENT))
    cells += [Span(" ", Role.TRACK)] * (columns - len(cells))
    if free_bytes is not None:
        at = min(round(free_bytes / top * columns), columns - 1)
        cells[at] = Span("|", Role.STRONG)
    return tuple(cells)


def bars_legend(memory: MemoryEstimate, free_bytes: int | None, width: int) -> list[Line]:
    """What the shades of the bars mean, as many lines as it takes; only parts that some phase has."""
    parts: list[Line] = [
        (Span(f"{mark} ", role), Span(name, Role.DIM))
        for name, attribute, mark, role in _PARTS
        if any(getattr(phase, attribute) for phase in memory.phases)
    ]
    free = MISSING if free_bytes is None else format_bytes(free_bytes)
    parts.append((Span("| ", Role.STRONG), Span(f"free {free}", Role.DIM)))
    lines: list[Line] = []
    while parts:
        line = join_fitting(parts, width)
        if not line:
            break
        lines.append(line)
        taken = next((n for n in range(len(parts), 0, -1) if join(parts[:n]) == line), 1)
        parts = parts[taken:]
    return lines
