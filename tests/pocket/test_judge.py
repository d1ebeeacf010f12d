"""The judge of pocket clips: right on clips that are what they say, and not fooled by damaged ones."""

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.pocket import world
from wan_tui.core.pocket_judge import Seen, judge


@pytest.mark.parametrize("frames", [9, 17])
def test_of_true_clips_it_is_right_in_98_of_100(frames: int) -> None:
    dice = random.Random(frames)
    clips = [world.placed(clip, dice) for clip in world.combinations()[:: 1 if frames == 9 else 3]]
    wrong: Counter[str] = Counter()
    for clip, video in zip(clips, world.pictures(clips, frames), strict=True):
        seen = judge(video)
        wrong.update(part for part in Seen.__slots__ if getattr(seen, part) != getattr(clip, part))
    assert all(count <= 0.02 * len(clips) for count in wrong.values()), wrong


def _blob(dice: "np.random.Generator", lumps: float) -> "np.ndarray[Any, Any]":
    """A still red outline with random harmonics from 2 to 6 on black, 9 frames."""
    rows, columns = np.mgrid[-32:32, -32:32]
    around = np.arctan2(rows, columns)
    waves = sum(dice.normal() * np.cos(k * around + dice.uniform(0, 6.3)) for k in range(2, 7))
    inside = np.clip(12 * (1 + lumps * waves) - np.hypot(rows, columns) + 0.5, 0, 1)[..., None]
    picture = 255 * (np.array([0.05, 0.06, 0.09]) * (1 - inside) + np.array([0.9, 0.1, 0.12]) * inside)
    return np.stack([picture.astype(np.uint8)] * 9)


def test_a_lumpy_blob_is_no_shape() -> None:
    dice = np.random.default_rng(0)
    seen = Counter(judge(_blob(dice, 0.12)).shape for _ in range(60))
    assert seen["square"] + seen["triangle"] + seen["star"] <= 6, seen
    assert seen[None] >= 50, seen


@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (lambda video: np.full_like(video, 15), ("shape", "colour", "motion")),
        (lambda video: np.repeat(video[:1], 9, axis=0), ("motion",)),
        (lambda video: video[..., ::-1], ("colour",)),
        (lambda video: 255 - video, ("colour", "background")),
        (lambda video: video[::-1], ("motion",)),
        (lambda video: np.random.default_rng(0).integers(0, 256, video.shape, np.uint8), ("shape", "colour", "motion")),
    ],
    ids=["nothing", "still", "red and blue swapped", "negative", "backwards", "noise"],
)
def test_damage_is_seen(damage: Any, lost: tuple[str, ...]) -> None:
    clip = world.placed(world.Clip("star", "red", "left", "dark"), random.Random(1))
    seen = judge(damage(world.pictures([clip], 9)[0]))
    assert all(getattr(seen, part) != getattr(clip, part) for part in lost), seen


def test_smears_and_grain_do_not_mislead_it() -> None:
    clips = [world.placed(clip, random.Random(2)) for clip in world.combinations()[::7]]
    grain = np.random.default_rng(0).normal(0, 6, (len(clips), 9, 64, 64, 3))
    video = world.pictures(clips, 9).astype(float)
    soft = sum(np.roll(video, (dy, dx), axis=(2, 3)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) / 9 + grain
    right = [judge(found.clip(0, 255).astype(np.uint8)) for found in soft]
    whole = sum(
        all(getattr(seen, part) == getattr(clip, part) for part in Seen.__slots__)
        for seen, clip in zip(right, clips, strict=True)
    )
    assert whole >= 0.9 * len(clips)
