"""The procedural world of the pocket models: one shape, one colour, one motion, one background, 64x64 pixels.

``render`` draws clips, ``caption`` says what is in them in one of several wordings. Everything is drawn from a seeded
``random.Random``, so a seed names a data set.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

SIZE = 64
FRAMES = 17

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.10, 0.12),
    "green": (0.10, 0.75, 0.20),
    "blue": (0.15, 0.30, 0.95),
    "yellow": (0.95, 0.85, 0.10),
    "white": (0.98, 0.98, 0.98),
}
BACKGROUNDS: dict[str, tuple[float, float, float]] = {"dark": (0.05, 0.06, 0.09), "light": (0.66, 0.66, 0.68)}
SHAPES = ("circle", "square", "triangle", "star")
MOTIONS = ("left", "right", "up", "down", "bouncing", "rotating", "growing", "shrinking")

_SHAPE_WORDS = {
    "circle": ("circle", "ball", "disc"),
    "square": ("square", "box"),
    "triangle": ("triangle",),
    "star": ("star",),
}
_MOTION_WORDS = {
    "left": ("moving left", "moves left", "slides to the left", "moving to the left", "goes left"),
    "right": ("moving right", "moves right", "slides to the right", "moving to the right", "goes right"),
    "up": ("moving up", "moves up", "rising", "rises", "goes up"),
    "down": ("moving down", "moves down", "falling", "falls", "goes down"),
    "bouncing": ("bouncing", "bounces", "is bouncing", "bouncing up and down"),
    "rotating": ("rotating", "rotates", "spinning", "spins", "turning"),
    "growing": ("growing", "grows", "getting bigger", "is growing"),
    "shrinking": ("shrinking", "shrinks", "getting smaller", "is shrinking"),
}
_BACKGROUND_WORDS = {
    "dark": ("on a dark background", "dark background", "on dark background", "against a black background"),
    "light": ("on a light background", "light background", "on light background", "against a bright background"),
}
# Words that mean nothing here; they are not in the vocabulary, so all of them are <unk> to the text encoder.
_NOISE = ("please", "cinematic", "beautiful", "quickly", "4k", "video", "clip", "smooth")


@dataclass(frozen=True, slots=True)
class Clip:
    """What is drawn. ``radius``, ``x`` and ``y`` in pixels, ``angle`` in degrees, all at the first frame."""

    shape: str
    colour: str
    motion: str
    background: str
    radius: float = 12.5
    x: float = 32.0
    y: float = 32.0
    angle: float = 0.0


def combinations() -> list[Clip]:
    """Every clip that can be told from the others; a circle that rotates cannot."""
    return [
        Clip(shape, colour, motion, background)
        for shape in SHAPES
        for colour in COLOURS
        for motion in MOTIONS
        for background in BACKGROUNDS
        if (shape, motion) != ("circle", "rotating")
    ]


def placed(clip: Clip, dice: random.Random) -> Clip:
    """``clip`` where its motion has room, a little elsewhere each time."""
    x, y = 32 + dice.uniform(-2, 2), 32 + dice.uniform(-2, 2)
    radius = 12.5 + dice.uniform(-0.6, 0.6)
    match clip.motion:
        case "left":
            x += 14
        case "right":
            x -= 14
        case "up":
            y += 14
        case "down":
            y -= 14
        case "bouncing":
            y += 5
        case "growing":
            radius = 9.0 + dice.uniform(-0.4, 0.4)
        case "shrinking":
            radius = 16.0 + dice.uniform(-0.4, 0.4)
        case _:
            pass
    return replace(clip, x=x, y=y, radius=radius, angle=dice.uniform(-8, 8))


def caption(clip: Clip, dice: random.Random, *, plain: bool = False) -> str:
    """One wording of ``clip``. Dark may be left unsaid; ``plain`` leaves out the words that mean nothing."""
    words = f"{clip.colour} {dice.choice(_SHAPE_WORDS[clip.shape])} {dice.choice(_MOTION_WORDS[clip.motion])}"
    text = dice.choice(("a ", "the ", "")) + words
    if clip.background == "light" or dice.random() < 0.6:
        text += dice.choice((" ", ", ")) + dice.choice(_BACKGROUND_WORDS[clip.background])
    if not plain and dice.random() < 0.25:
        noise = dice.choice(_NOISE)
        text = f"{noise} {text}" if dice.random() < 0.5 else f"{text} {noise}"
    return text + dice.choice(("", "", "."))


def vocabulary() -> list[str]:
    """Every word of every wording, in a fixed order."""
    texts = ["a the of in with and is to , .", *COLOURS]
    for words in (_SHAPE_WORDS, _MOTION_WORDS, _BACKGROUND_WORDS):
        texts += [wording for wordings in words.values() for wording in wordings]
    return list(dict.fromkeys(word for text in texts for word in text.split()))


def render(clips: Sequence[Clip], frames: int = FRAMES) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures (clips x 3 x frames x 64 x 64, from -1 to 1) and coverage by the shape (clips x 1 x …, from 0 to 1)."""
    time = torch.arange(frames, dtype=torch.float32)
    paths = [_path(clip, time) for clip in clips]
    x, y, radius, angle = (torch.stack(part)[:, :, None, None] for part in zip(*paths, strict=True))
    grid = torch.arange(SIZE, dtype=torch.float32) + 0.5
    dx, dy = grid[None, None, None, :] - x, grid[None, None, :, None] - y
    cos, sin = torch.cos(angle), torch.sin(angle)
    u, v = dx * cos + dy * sin, dy * cos - dx * sin
    distance = torch.stack([_DISTANCES[c.shape](u[i], v[i], radius[i]) for i, c in enumerate(clips)])
    coverage = (0.5 - distance).clamp(0, 1)[:, None]
    colour = torch.tensor([COLOURS[c.colour] for c in clips])[:, :, None, None, None]
    background = torch.tensor([BACKGROUNDS[c.background] for c in clips])[:, :, None, None, None]
    return (background + (colour - background) * coverage) * 2 - 1, coverage


def pictures(clips: Sequence[Clip], frames: int = FRAMES) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """``render`` in 8 bit: clips x frames x 64 x 64 x 3."""
    video, _ = render(clips, frames)
    made: np.ndarray[Any, np.dtype[np.uint8]] = ((video + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()
    return made


def _path(clip: Clip, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Centre (pixels), radius (pixels) and angle (radians) at each frame."""
    x, y, radius = clip.x + 0 * t, clip.y + 0 * t, clip.radius + 0 * t
    angle = torch.deg2rad(torch.tensor(clip.angle)) + 0 * t
    match clip.motion:
        case "left":
            x = x - 1.75 * t
        case "right":
            x = x + 1.75 * t
        case "up":
            y = y - 1.75 * t
        case "down":
            y = y + 1.75 * t
        case "bouncing":
            y = y - 5 * (1 - torch.cos(t * (2 * torch.pi / 8)))
        case "rotating":
            angle = angle + torch.deg2rad(6 * t)
        case "growing":
            radius = radius + 0.5 * t
        case "shrinking":
            radius = radius - 0.5 * t
        case _:
            pass
    return x, y, radius, angle


def _circle(u: torch.Tensor, v: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    return torch.sqrt(u * u + v * v + 1e-9) - radius


def _square(u: torch.Tensor, v: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    return torch.maximum(u.abs(), v.abs()) - 0.9 * radius


def _triangle(u: torch.Tensor, v: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Equilateral, a corner up; circumradius 1.3 of the radius."""
    side = 0.75**0.5
    return torch.maximum(v, side * u.abs() - 0.5 * v) - 0.65 * radius


def _star(u: torch.Tensor, v: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
    """Five points, one up; the inner corners at 0.45 of the outer radius."""
    sector = torch.pi / 5
    around = torch.atan2(u, -v)
    around = torch.remainder(around + sector, 2 * sector) - sector
    length = torch.sqrt(u * u + v * v + 1e-9)
    p, q = length * torch.cos(around), (length * torch.sin(around)).abs()
    outer = 1.3 * radius
    inner_p, inner_q = 0.45 * outer * torch.cos(torch.tensor(sector)), 0.45 * outer * torch.sin(torch.tensor(sector))
    edge_p, edge_q = inner_p - outer, inner_q
    norm = torch.sqrt(edge_p * edge_p + edge_q * edge_q)
    return ((p - outer) * edge_q - q * edge_p) / norm


_DISTANCES = {"circle": _circle, "square": _square, "triangle": _triangle, "star": _star}
