"""Says what a clip of the pocket world shows: shape, colour, motion and background, by plain geometry.

The judge knows nothing about models or prompts. What it cannot tell is None: a lumpy blob is no square. Angles are in
degrees, lengths in pixels; positive y is down.
"""

import colorsys
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.floating[Any]]]

# Mean brightness of the border (0 to 1) between the dark (0.06) and the light (0.67) background.
DARK_BELOW = 0.36
# A shape differs from its background by at least this (Euclidean, each channel 0 to 1); white on light differs by 0.54.
LEAST_CONTRAST = 0.2
LEAST_PIXELS = 60
# Hues of the colours at full saturation; white is what has little.
HUES = {"red": 358.0, "yellow": 54.0, "green": 129.0, "blue": 229.0}
LEAST_SATURATION, MOST_HUE_ERROR = 0.3, 30.0
# Root mean square difference from the outline of a shape, of the mean radius.
MOST_OUTLINE_ERROR = 0.085
ANGLES = 120
# The smallest movement that counts: the world moves 14 pixels, 10 pixels up and down, and 48 degrees in 9 frames.
LEAST_SHIFT, LEAST_BOUNCE, LEAST_TURN = 5.0, 3.5, 18.0
# The area of growing shapes doubles in 9 frames, that of shrinking ones halves.
LEAST_GROWTH = 1.35


@dataclass(frozen=True, slots=True)
class Seen:
    """What a clip shows; None is what could not be told."""

    shape: str | None
    colour: str | None
    motion: str | None
    background: str | None


def judge(frames: "np.ndarray[Any, np.dtype[np.uint8]]") -> Seen:
    """``frames``: frames x height x width x 3."""
    video = frames.astype(np.float64) / 255
    border = np.concatenate([video[:, 0], video[:, -1], video[:, :, 0], video[:, :, -1]], axis=1).reshape(-1, 3)
    ground = np.median(border, axis=0)
    background = "dark" if float(ground.mean()) < DARK_BELOW else "light"
    difference = np.linalg.norm(video - ground, axis=-1)
    contrast = float(np.percentile(difference, 99))
    if contrast < LEAST_CONTRAST:
        return Seen(None, None, None, background)
    coverage = np.clip(difference / contrast, 0, 1)
    coverage[coverage < 0.25] = 0
    if (coverage.sum(axis=(1, 2)) < LEAST_PIXELS).any():
        return Seen(None, _colour(video, coverage), None, background)
    outlines = np.stack([_outline(frame) for frame in coverage])
    shape, error = _shape(outlines)
    return Seen(
        shape if error <= MOST_OUTLINE_ERROR else None,
        _colour(video, coverage),
        _motion(coverage, outlines, shape),
        background,
    )


def _colour(video: Array, coverage: Array) -> str | None:
    inside = video[coverage > 0.75]
    if not len(inside):
        return None
    hue, saturation, value = colorsys.rgb_to_hsv(*np.median(inside, axis=0))
    if saturation < LEAST_SATURATION:
        return "white" if value > 0.75 else None
    off = {name: abs((360 * hue - at + 180) % 360 - 180) for name, at in HUES.items()}
    name = min(off, key=lambda name: off[name])
    return name if off[name] <= MOST_HUE_ERROR else None


def _centre(coverage: Array) -> tuple[float, float, float]:
    """x, y and area."""
    area = float(coverage.sum())
    rows, columns = np.indices(coverage.shape)
    return float((coverage * columns).sum()) / area, float((coverage * rows).sum()) / area, area


def _outline(coverage: Array) -> Array:
    """The radius in ANGLES directions from the centre (clockwise from the right), over its mean."""
    x, y, _ = _centre(coverage)
    height, width = coverage.shape
    along = np.arange(0, max(height, width) * 0.7, 0.5)
    angles = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    columns = np.clip(x + np.cos(angles)[:, None] * along, 0, width - 1.001)
    rows = np.clip(y + np.sin(angles)[:, None] * along, 0, height - 1.001)
    left, top = columns.astype(int), rows.astype(int)
    across, down = columns - left, rows - top
    upper = coverage[top, left] * (1 - across) + coverage[top, left + 1] * across
    lower = coverage[top + 1, left] * (1 - across) + coverage[top + 1, left + 1] * across
    radius = ((upper * (1 - down) + lower * down) * 0.5).sum(axis=1)
    scaled: Array = radius / max(float(radius.mean()), 1e-6)
    return scaled


@functools.cache
def _templates() -> dict[str, tuple[int, Array]]:
    """For each shape its symmetry and the outline that it has, corners as soft as a decoder draws them."""
    angles = np.arange(ANGLES) * (2 * np.pi / ANGLES)

    def polygon(corners: int) -> Array:
        part = 2 * np.pi / corners
        folded: Array = 1 / np.cos((angles + part / 2) % part - part / 2)
        return folded

    part = 2 * np.pi / 5
    folded = np.abs((angles + part / 2) % part - part / 2)
    # The edge from the outer corner (1, 0) to the inner one at half the sector, 0.45 from the centre.
    inner_x, inner_y = 0.45 * np.cos(part / 2), 0.45 * np.sin(part / 2)
    star = inner_y / (np.sin(folded) * (1 - inner_x) + np.cos(folded) * inner_y)
    outlines = {"circle": (1, np.ones(ANGLES)), "square": (4, polygon(4)), "triangle": (3, polygon(3))}
    return {name: (fold, _softened(outline)) for name, (fold, outline) in {**outlines, "star": (5, star)}.items()}


def _softened(outline: Array, degrees: float = 5.0) -> Array:
    frequencies = np.fft.rfftfreq(ANGLES, 1 / ANGLES)
    kept = np.exp(-0.5 * (frequencies * np.deg2rad(degrees)) ** 2)
    soft = np.fft.irfft(np.fft.rfft(outline) * kept, ANGLES)
    scaled: Array = soft / soft.mean()
    return scaled


def _shape(outlines: Array) -> tuple[str, float]:
    """The shape whose outline fits best over all frames, each turned as it fits, and the error."""
    errors = {}
    for name, (_, template) in _templates().items():
        turned = np.stack([np.roll(template, turn) for turn in range(ANGLES)])
        each = np.sqrt(((outlines[:, None] - turned) ** 2).mean(axis=2)).min(axis=1)
        errors[name] = float(np.mean(each))
    best = min(errors, key=lambda name: errors[name])
    return best, errors[best]


def _motion(coverage: Array, outlines: Array, shape: str) -> str | None:
    centres = np.array([_centre(frame) for frame in coverage])
    x, y, area = centres[:, 0], centres[:, 1], centres[:, 2]
    shift_x, shift_y = x[-1] - x[0], y[-1] - y[0]
    ends = max(1, len(area) // 5)
    growth = float(area[-ends:].mean() / area[:ends].mean())
    if max(abs(shift_x), abs(shift_y)) >= LEAST_SHIFT:
        if abs(shift_x) >= abs(shift_y):
            return "right" if shift_x > 0 else "left"
        return "down" if shift_y > 0 else "up"
    if y.max() - y.min() >= LEAST_BOUNCE:
        return "bouncing"
    if growth >= LEAST_GROWTH or growth <= 1 / LEAST_GROWTH:
        return "growing" if growth > 1 else "shrinking"
    return "rotating" if abs(_turned(outlines, shape)) >= LEAST_TURN else None


def _turned(outlines: Array, shape: str) -> float:
    """How far the outline turns from the first to the last frame, in degrees, followed from frame to frame."""
    fold = _templates()[shape][0]
    if fold == 1:
        return 0.0
    phases = np.unwrap(np.angle(np.fft.rfft(outlines, axis=1)[:, fold]))
    return float(np.rad2deg(phases[-1] - phases[0]) / fold)
