"""Plots as lines of text: dots of braille on labelled axes, one character a cell where there is no Unicode. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len

from wan_tui.ui.text import Line, Role, Span, pad

# Bits of a braille character by column and row of its eight dots.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BRAILLE = 0x2800
# Beyond this ratio between the largest and the smallest value a linear axis shows only the large ones.
_LOGARITHMIC_FROM = 20.0

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 10800.0, 36000.0, 86400.0)


class Point(NamedTuple):
    x: float
    y: float
    role: Role = Role.ACCENT


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps ``low`` … ``high`` to 0 … 1, on a logarithm where ``logarithmic``.

    ``candidates`` are the values that may carry a label on a logarithm, where powers of ten are not what people say.
    """

    low: float
    high: float
    logarithmic: bool = False
    candidates: tuple[float, ...] = ()

    def place(self, value: float) -> float:
        if self.logarithmic:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int) -> list[float]:
        """At most ``most`` round values inside the scale, the smallest first."""
        return _log_ticks(self, most) if self.logarithmic else _linear_ticks(self, most)


def scale_of(values: Sequence[float], *, from_zero: bool = False, candidates: tuple[float, ...] = ()) -> Scale:
    """A scale with a little room around ``values``; logarithmic when they differ by orders of magnitude."""
    known = [value for value in values if math.isfinite(value)]
    if not known:
        return Scale(0.0, 1.0)
    low, high = min(known), max(known)
    if not from_zero and low > 0 and high / low >= _LOGARITHMIC_FROM:
        return Scale(low / 1.15, high * 1.15, True, candidates)
    if from_zero:
        low = min(low, 0.0)
    room = (high - low) * 0.05 or abs(high) * 0.5 or 1.0
    return Scale(low if from_zero and low == 0 else low - room if low - room > 0 or low < 0 else 0.0, high + room)


def _linear_ticks(scale: Scale, most: int) -> list[float]:
    if most < 1:
        return []
    rough = (scale.high - scale.low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor >= rough)
    first = math.ceil(scale.low / step - 1e-9)
    ticks: list[float] = []
    while (value := first * step) <= scale.high * (1 + 1e-9) and len(ticks) < most:
        ticks.append(value)
        first += 1
    return ticks


def _log_ticks(scale: Scale, most: int) -> list[float]:
    if most < 1:
        return []
    if scale.candidates:
        ticks = [tick for tick in scale.candidates if scale.low <= tick <= scale.high]
        return ticks[:: -(-len(ticks) // most)] if ticks else []
    powers = range(math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        ticks = [tick for tick in ticks if scale.low <= tick <= scale.high]
        if len(ticks) <= most:
            break
    return ticks[:: -(-len(ticks) // most)] if ticks else []


class Canvas:
    """``columns`` x ``rows`` cells. Coordinates are dots, from the upper left; a later role covers an earlier one."""

    def __init__(self, columns: int, rows: int, *, ascii_only: bool = False) -> None:
        self.columns, self.rows = max(columns, 1), max(rows, 1)
        self._ascii_only = ascii_only
        self._bits = [[0] * self.columns for _ in range(self.rows)]
        self._marks: list[list[str]] = [[" "] * self.columns for _ in range(self.rows)]
        self._roles = [[Role.TEXT] * self.columns for _ in range(self.rows)]

    @property
    def width(self) -> int:
        return self.columns * 2

    @property
    def height(self) -> int:
        return self.rows * 4

    def dot(self, x: int, y: int, role: Role, mark: str) -> None:
        """One dot; ``mark`` stands for it in ASCII."""
        if 0 <= x < self.width and 0 <= y < self.height:
            row, column = y // 4, x // 2
            self._bits[row][column] |= _DOTS[x % 2][y % 4]
            self._marks[row][column], self._roles[row][column] = mark, role

    def blob(self, x: int, y: int, role: Role, mark: str = "o") -> None:
        """Four dots, so that a single value can be seen."""
        x, y = min(x, self.width - 2), min(y, self.height - 2)
        for dx in (0, 1):
            for dy in (0, 1):
                self.dot(x + dx, y + dy, role, mark)

    def line(self, row: int) -> Line:
        spans: list[Span] = []
        for bits, mark, role in zip(self._bits[row], self._marks[row], self._roles[row], strict=True):
            shown = mark if self._ascii_only else chr(_BRAILLE + bits) if bits else " "
            if spans and spans[-1].role is role:
                spans[-1] = Span(spans[-1].text + shown, role)
            else:
                spans.append(Span(shown, role))
        return tuple(spans)


def plot(
    points: Sequence[Point],
    width: int,
    height: int,
    *,
    x: Scale,
    y: Scale,
    x_title: str,
    y_title: str,
    x_label: Callable[[float], str],
    y_label: Callable[[float], str],
    diagonal: bool = False,
    joined: bool = False,
    ascii_only: bool = False,
) -> list[Line]:
    """``points`` on axes with labels, in ``height`` lines of ``width`` cells; nothing where there is no room.

    The first line names the vertical axis, the last two have the labels and the name of the horizontal one.
    ``diagonal`` draws where x equals y, ``joined`` a line from each point to the next.
    """
    rows = height - 3
    ticks_y = y.ticks(max(rows // 3, 2))
    margin = max([cell_len(y_label(tick)) for tick in ticks_y] or [1]) + 1
    columns = width - margin - 1
    if rows < 3 or columns < 12:
        return []
    canvas = Canvas(columns, rows, ascii_only=ascii_only)

    def at(point: tuple[float, float]) -> tuple[int, int]:
        across = round(x.place(point[0]) * (canvas.width - 1))
        return across, round((1 - y.place(point[1])) * (canvas.height - 1))

    if diagonal:
        _draw_diagonal(canvas, x, y)
    placed = [(at((point.x, point.y)), point.role) for point in points]
    if joined:
        for (start, _), (end, role) in itertools.pairwise(placed):
            _draw_line(canvas, start, end, Role.DIM if role is Role.ACCENT else role)
    for (across, down), role in placed:
        canvas.blob(across, down, role)
    rule = "|" if ascii_only else "│"
    corner, dash = ("+", "-") if ascii_only else ("└", "─")
    labels = {min(round((1 - y.place(tick)) * (rows - 1)), rows - 1): y_label(tick) for tick in ticks_y}
    lines = [pad((Span(" " * margin), Span(y_title, Role.DIM)), width)]
    for row in range(rows):
        label = labels.get(row, "")
        lines.append(
            pad(
                (
                    Span(f"{' ' * (margin - 1 - cell_len(label))}{label} ", Role.DIM),
                    Span(rule, Role.RULE),
                    *canvas.line(row),
                ),
                width,
            )
        )
    lines.append(pad((Span(" " * margin), Span(corner + dash * columns, Role.RULE)), width))
    lines.append(_x_labels(x, x_title, x_label, margin + 1, columns, width))
    return lines


def _x_labels(x: Scale, title: str, label: Callable[[float], str], margin: int, columns: int, width: int) -> Line:
    """Labels under their places, the name of the axis at the right end where they leave room."""
    cells = [" "] * width
    end = margin + columns - cell_len(title)
    free = 0
    for tick in x.ticks(max((columns - cell_len(title)) // 9, 1)):
        text = label(tick)
        start = max(margin + round(x.place(tick) * (columns - 1)) - cell_len(text) // 2, margin)
        if start < free or start + cell_len(text) + 2 > end:
            continue
        cells[start : start + len(text)] = text
        free = start + cell_len(text) + 2
    cells[end : end + len(title)] = title
    return pad((Span("".join(cells), Role.DIM),), width)


def _draw_diagonal(canvas: Canvas, x: Scale, y: Scale) -> None:
    low, high = max(x.low, y.low), min(x.high, y.high)
    if low >= high:
        return
    start = (x.place(low) * (canvas.width - 1), (1 - y.place(low)) * (canvas.height - 1))
    end = (x.place(high) * (canvas.width - 1), (1 - y.place(high)) * (canvas.height - 1))
    steps = max(canvas.width, canvas.height)
    for step in range(0, steps + 1, 3):  # dotted: it is a ruler, not a value
        share = step / steps
        canvas.dot(
            round(start[0] + (end[0] - start[0]) * share),
            round(start[1] + (end[1] - start[1]) * share),
            Role.TRACK,
            ".",
        )


def _draw_line(canvas: Canvas, start: tuple[int, int], end: tuple[int, int], role: Role) -> None:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    for step in range(steps + 1):
        share = step / steps
        canvas.dot(
            round(start[0] + (end[0] - start[0]) * share), round(start[1] + (end[1] - start[1]) * share), role, "."
        )
