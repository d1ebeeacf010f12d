"""Estimated against observed as a PNG, drawn with Pillow: one scatter plot is no reason for a plotting library."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from wan_tui.core.planning.plan import Bounds

SIDE, MARGIN = 900, 90
INK, GRID, BAND = (30, 30, 30), (222, 222, 222), (240, 246, 240)
INSIDE, OUTSIDE, LEARNING = (31, 119, 180), (214, 39, 40), (160, 160, 160)


@dataclass(frozen=True, slots=True)
class Point:
    """One run: the interval that was shown before it and what it took. ``learning``: one of the first few."""

    shown: Bounds
    observed: float
    learning: bool


def draw_estimates(points: Sequence[Point], file: Path, title: str) -> None:
    """Observed seconds over estimated seconds on logarithmic axes; bars are the 90 % intervals, the band is 10 %."""
    values = [value for point in points for value in (point.shown.low, point.shown.high, point.observed)]
    low, high = math.log10(min(values)) - 0.05, math.log10(max(values)) + 0.05

    def at(seconds: float) -> float:
        return (math.log10(seconds) - low) / (high - low) * (SIDE - 2 * MARGIN)

    def x(seconds: float) -> float:
        return MARGIN + at(seconds)

    def y(seconds: float) -> float:
        return SIDE - MARGIN - at(seconds)

    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(image)
    font, large = ImageFont.load_default(16), ImageFont.load_default(20)
    first, last = 10**low, 10**high
    draw.polygon(
        [(x(first), y(first * 1.1)), (x(last), y(last * 1.1)), (x(last), y(last / 1.1)), (x(first), y(first / 1.1))],
        BAND,
    )
    # The band runs over the frame: what is outside is white again.
    for box in (
        (0, 0, SIDE, MARGIN),
        (0, SIDE - MARGIN, SIDE, SIDE),
        (0, 0, MARGIN, SIDE),
        (SIDE - MARGIN, 0, SIDE, SIDE),
    ):
        draw.rectangle(box, "white")
    for tick in _ticks(first, last):
        draw.line([(x(tick), MARGIN), (x(tick), SIDE - MARGIN)], GRID)
        draw.line([(MARGIN, y(tick)), (SIDE - MARGIN, y(tick))], GRID)
        draw.text((x(tick), SIDE - MARGIN + 8), f"{tick:g}", INK, font, anchor="mt")
        draw.text((MARGIN - 8, y(tick)), f"{tick:g}", INK, font, anchor="rm")
    draw.line([(x(first), y(first)), (x(last), y(last))], INK)
    for point in points:
        inside = point.shown.low <= point.observed <= point.shown.high
        colour = LEARNING if point.learning else INSIDE if inside else OUTSIDE
        centre = x(point.shown.expected), y(point.observed)
        draw.line([(x(point.shown.low), centre[1]), (x(point.shown.high), centre[1])], colour, 2)
        draw.ellipse([centre[0] - 5, centre[1] - 5, centre[0] + 5, centre[1] + 5], colour)
    draw.rectangle([MARGIN, MARGIN, SIDE - MARGIN, SIDE - MARGIN], outline=INK)
    draw.text((SIDE / 2, 14), title, INK, large, anchor="mt")
    legend = (("first five runs", LEARNING), ("observed inside the interval", INSIDE), ("outside", OUTSIDE))
    left = MARGIN
    for text, colour in legend:
        draw.ellipse([left, 49, left + 10, 59], colour)
        draw.text((left + 16, 54), text, INK, font, anchor="lm")
        left += 60 + round(draw.textlength(text, font))
    draw.text(
        (SIDE / 2, SIDE - 36), "estimated seconds, bars: 90 % interval; band: within 10 %", INK, font, anchor="mm"
    )
    draw.text((MARGIN, MARGIN - 6), "observed seconds", INK, font, anchor="lb")
    image.save(file, "PNG")


def _ticks(first: float, last: float) -> list[float]:
    decades = range(math.floor(math.log10(first)), math.ceil(math.log10(last)) + 1)
    return [step * 10.0**decade for decade in decades for step in (1, 2, 5) if first <= step * 10.0**decade <= last]
