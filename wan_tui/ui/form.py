"""What was typed, turned into a request, a question, or the first thing wrong with it. Pure.

Only what no engine could understand is refused here; sizes and frames that a model rounds are the engine's business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wan_tui.core.planning.plan import MAX_SEED, GenerationRequest
from wan_tui.core.planning.questions import Question
from wan_tui.ui.text import shorten

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wan_tui.core.planning.plan import Clip

FIELDS = ("width", "height", "frames", "steps", "guidance", "seed")
MORE_FIELDS = ("output", "videos", "priority", "retries", "timeout")
MAX_WHOLE = 1_000_000
YES, NO = "yes", "no"
# What a request has when nothing else is typed.
PLAIN = {"videos": "1", "priority": "0", "retries": "0", "timeout": "", "output": "", "image": "", "requeue": YES}
_SHAPE = ("width", "height", "frames", "steps")


@dataclass(frozen=True, slots=True)
class FieldError:
    """The field that is wrong and why, as one line."""

    field: str
    message: str


class _Wrong(Exception):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.error = FieldError(field, message)


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
    """A request as it would be typed, prompts apart; where it was written is not asked for again."""
    return {
        "width": str(request.width),
        "height": str(request.height),
        "frames": str(request.frames),
        "steps": str(request.steps),
        "guidance": f"{request.guidance:g}",
        "seed": str(request.seed),
        "image": request.image or "",
        "output": "",
        "videos": str(request.videos),
        "priority": str(request.priority),
        "retries": str(request.retries),
        "timeout": "" if request.timeout_seconds is None else f"{request.timeout_seconds:g}",
        "requeue": YES if request.requeue else NO,
    }


def parse(deployment: str | None, typed: Mapping[str, str]) -> GenerationRequest | FieldError:
    """A request with exactly the typed values, or the first field that cannot be one."""
    if deployment is None:
        return FieldError("deployment", "there is no deployment to generate with")
    if not typed["prompt"].strip():
        return FieldError("prompt", "prompt: say what to generate")
    given = {**PLAIN, **typed}
    try:
        return GenerationRequest(
            deployment=deployment,
            prompt=given["prompt"],
            negative_prompt=given["negative"],
            width=_whole(given, "width", 1, MAX_WHOLE),
            height=_whole(given, "height", 1, MAX_WHOLE),
            frames=_whole(given, "frames", 1, MAX_WHOLE),
            steps=_whole(given, "steps", 1, MAX_WHOLE),
            seed=_whole(given, "seed", 0, MAX_SEED),
            guidance=_guidance(given),
            image=_path(given, "image"),
            output=_path(given, "output"),
            priority=_priority(given),
            retries=_whole(given, "retries", 0, MAX_WHOLE),
            timeout_seconds=_timeout(given),
            requeue=given["requeue"] != NO,
            videos=_whole(given, "videos", 1, MAX_WHOLE),
        )
    except _Wrong as wrong:
        return wrong.error


def question(deployment: str | None, typed: Mapping[str, str]) -> Question | None:
    """What to ask the planner about the shape that is typed; None while it is no shape."""
    if deployment is None:
        return None
    try:
        width, height, frames, steps = (_whole(typed, name, 1, MAX_WHOLE) for name in _SHAPE)
        guidance, videos = _guidance(typed), _whole({**PLAIN, **typed}, "videos", 1, MAX_WHOLE)
    except _Wrong:
        return None
    return Question(
        deployment=deployment,
        width=width,
        height=height,
        frames=frames,
        steps=steps,
        guidance=guidance,
        image=bool(typed.get("image", "").strip()),
        batch=videos,
    )


def _whole(typed: Mapping[str, str], field: str, low: int, high: int) -> int:
    value = typed[field].strip()
    if not (value.isascii() and value.isdigit()):
        raise _Wrong(field, f"{field}: {value!r} is not a whole number" if value else f"{field}: type a whole number")
    if not low <= int(value[:20]) <= high:
        raise _Wrong(field, f"{field}: {shorten(value, 21)} is not between {low} and {high}")
    return int(value)


def _priority(typed: Mapping[str, str]) -> int:
    """May be negative; how far the engine lets it go is the engine's business."""
    value = typed["priority"].strip() or "0"
    digits = value[1:] if value[:1] in "+-" else value
    if not (digits.isascii() and digits.isdigit() and len(digits) < 7):
        raise _Wrong("priority", f"priority: {shorten(value, 21)!r} is not a whole number such as 5 or -5")
    return int(value)


def _guidance(typed: Mapping[str, str]) -> float:
    try:
        guidance = float(typed["guidance"])
    except ValueError:
        raise _Wrong("guidance", f"guidance: {typed['guidance']!r} is not a number") from None
    if not math.isfinite(guidance) or guidance < 0:
        raise _Wrong("guidance", f"guidance: {typed['guidance']} is not 0 or more")
    return guidance


def _timeout(typed: Mapping[str, str]) -> float | None:
    value = typed["timeout"].strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        raise _Wrong("timeout", f"timeout: {value!r} is not a number of seconds; leave it empty for none") from None
    if not math.isfinite(seconds) or seconds <= 0:
        raise _Wrong("timeout", f"timeout: {value} is not more than 0 seconds; leave it empty for none")
    return seconds


def _path(typed: Mapping[str, str], field: str) -> str | None:
    """A whole path: the engine may be on another host, and is never in this working directory."""
    value = typed[field].strip()
    if value and not value.startswith("/"):
        raise _Wrong(field, f"{field}: {shorten(value, 40)}: write the whole path, beginning with /")
    return value or None
