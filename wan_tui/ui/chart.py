"""A course over time as lines of text: columns of blocks on a fixed scale. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from wan_tui.ui import glyphs
from wan_tui.ui.text import Line, Role, Span, pad

LABEL_WIDTH = 7


def squeeze(values: Sequence[float | None], width: int, spare: int) -> list[float | None]:
    """``values`` in ``width`` columns, the newest at the right; averages where several fall on one.

    ``spare`` is how many values would fill the whole width: what is not there yet is a gap at the left.
    """
    if width <= 0:
        return []
    whole = [None] * max(spare - len(values), 0) + list(values[-spare:])
    columns: list[float | None] = []
    for i in range(width):
        part = whole[i * spare // width : max((i + 1) * spare // width, i * spare // width + 1)]
        known = [value for value in part if value is not None]
        columns.append(sum(known) / len(known) if known else None)
    return columns


def area(
    values: Sequence[float | None],
    *,
    high: float,
    width: int,
    height: int,
    spare: int,
    label: Callable[[float], str],
    role: Role = Role.ACCENT,
    mark: float | None = None,
) -> list[Line]:
    """``height`` lines of ``width`` cells: labels of the scale from 0 to ``high``, then the columns.

    ``mark`` draws a dotted level, such as a limit, where no column stands.
    """
    columns = squeeze(values, width - LABEL_WIDTH, spare)
    levels = len(glyphs.SPARK) - 1
    lines: list[Line] = []
    for row in range(height):
        bottom, top = high * (height - row - 1) / height, high * (height - row) / height
        text = label(high) if row == 0 else label(0.0) if row == height - 1 and height > 1 else ""
        cells = []
        for value in columns:
            if value is None or value <= bottom:
                marked = mark is not None and bottom < mark <= top
                baseline = row == height - 1 and value is not None
                cells.append(glyphs.SPARK[1] if baseline else glyphs.LEVEL if marked else " ")
            else:
                cells.append(glyphs.SPARK[min(max(math.ceil((value - bottom) / (top - bottom) * levels), 1), levels)])
        lines.append(pad((Span(f"{text:>{LABEL_WIDTH - 1}} ", Role.DIM), Span("".join(cells), role)), width))
    return lines


def time_axis(seconds: float, width: int) -> Line:
    """How far back the left edge is, and now."""
    start = f"{seconds / 60:.0f} min ago"
    room = width - LABEL_WIDTH - len(start) - 3
    return pad((Span(" " * LABEL_WIDTH), Span(f"{start}{' ' * max(room, 0)}now", Role.DIM)), width)
