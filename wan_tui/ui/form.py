"""What was typed, turned into a request or into the first thing wrong with it. Pure.

Only what no engine could understand is refused here; sizes and frames that a model rounds are the engine's business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wan_tui.core.planning.plan import MAX_SEED, GenerationRequest
from wan_tui.ui.text import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wan_tui.core.planning.plan import Clip

FIELDS = ("width", "height", "frames", "steps", "guidance", "seed")
MAX_WHOLE = 1_000_000


@dataclass(frozen=True, slots=True)
class FieldError:
    """The field that is wrong and why, as one line."""

    field: str
    message: str


def defaults(clip: Clip) -> dict[str, str]:
    """The figures a form starts with."""
    return {
        "width": str(clip.width),
        "height": str(clip.height),
        "frames": str(clip.frames),
        "steps": str(clip.steps),
        "guidance": f"{clip.guidance:g}",
    }


def values(request: GenerationRequest) -> dict[str, str]:
    """The figures of a request as they would be typed."""
    return {
        "width": str(request.width),
        "height": str(request.height),
        "frames": str(request.frames),
        "steps": str(request.steps),
        "guidance": f"{request.guidance:g}",
        "seed": str(request.seed),
    }


def parse(deployment: str | None, typed: Mapping[str, str]) -> GenerationRequest | FieldError:
    """A request with exactly the typed values, or the first field that cannot be one."""
    if deployment is None:
        return FieldError("deployment", "there is no deployment to generate with")
    if not typed["prompt"].strip():
        return FieldError("prompt", "prompt: say what to generate")
    whole: dict[str, int] = {}
    for field in ("width", "height", "frames", "steps", "seed"):
        value = typed[field].strip()
        low, high = (0, MAX_SEED) if field == "seed" else (1, MAX_WHOLE)
        if not (value.isascii() and value.isdigit()):
            return FieldError(
                field, f"{field}: {value!r} is not a whole number" if value else f"{field}: type a whole number"
            )
        if not low <= int(value[:20]) <= high:
            return FieldError(field, f"{field}: {shorten(value, 21)} is not between {low} and {high}")
        whole[field] = int(value)
    try:
        guidance = float(typed["guidance"])
    except ValueError:
        return FieldError("guidance", f"guidance: {typed['guidance']!r} is not a number")
    if not math.isfinite(guidance) or guidance < 0:
        return FieldError("guidance", f"guidance: {typed['guidance']} is not 0 or more")
    return GenerationRequest(
        deployment=deployment,
        prompt=typed["prompt"],
        negative_prompt=typed["negative"],
        width=whole["width"],
        height=whole["height"],
        frames=whole["frames"],
        steps=whole["steps"],
        guidance=guidance,
        seed=whole["seed"],
    )
