"""What a model can do with a request: round what can be rounded, refuse the rest."""

import dataclasses
import math
import os
from collections.abc import Iterator
from pathlib import Path

from wan_tui.core.catalog import Model
from wan_tui.core.config.settings import LimitSettings
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.planning.plan import MAX_SEED, GenerationRequest
from wan_tui.core.validation.findings import Finding
from wan_tui.core.validation.rulebook import finding
from wan_tui.core.words import Severity

MAX_STEPS = 1000
MAX_GUIDANCE = 100.0
MAX_PRIORITY = 100
MAX_RETRIES = 10
MAX_VIDEOS = 16


def normalise(
    request: GenerationRequest, model: Model, limits: LimitSettings | None = None
) -> tuple[GenerationRequest, tuple[str, ...]]:
    """The request as the model will run it, and a notice for each value that changed.

    Frames are rounded to 4k+1, width and height to the model's multiple (to the nearest, halves up).
    Raises UsageError for values that no rounding can mend.
    """
    findings = request_findings(request, model, limits)
    for found in findings:
        if found.severity is Severity.ERROR:
            raise UsageError(found.message)
    rounded = dataclasses.replace(
        request,
        width=model.nearest_side(request.width),
        height=model.nearest_side(request.height),
        frames=model.nearest_frames(request.frames),
    )
    return rounded, tuple(found.message for found in findings)


def request_findings(
    request: GenerationRequest, model: Model, limits: LimitSettings | None = None
) -> tuple[Finding, ...]:
    """What is wrong with ``request`` for ``model``, and what will be rounded, in the order of the form."""
    return tuple(_findings(request, model, limits or LimitSettings()))


def _findings(request: GenerationRequest, model: Model, limits: LimitSettings) -> Iterator[Finding]:
    def broken(code: str, message: str) -> Finding:
        return finding(code, f"request to {request.deployment}", message)

    too_small = [name for name in ("width", "height", "frames", "steps") if getattr(request, name) < 1]
    for name in too_small:
        yield broken("WAN201", f"{name} {getattr(request, name)}: must be at least 1")
    if not too_small:
        yield from _shape(request, model, limits)
    if not 1 <= request.videos <= MAX_VIDEOS:
        yield broken("WAN215", f"videos {request.videos}: must be between 1 and {MAX_VIDEOS}")
    last_seed = MAX_SEED - max(request.videos - 1, 0)
    if not 0 <= request.seed <= last_seed:
        yield broken("WAN207", f"seed {request.seed}: must be between 0 and {last_seed}")
    if not 0 <= request.guidance <= MAX_GUIDANCE:  # also refuses nan
        yield broken("WAN208", f"guidance {request.guidance}: must be between 0 and {MAX_GUIDANCE:g}")
    if not request.prompt.strip():
        yield broken("WAN209", "the prompt is empty: say what to generate")
    if request.image is None:
        if model.task.needs_image:
            yield broken("WAN210", f"{model.id} makes a video from a picture: give an image")
    elif not model.task.takes_image:
        yield broken("WAN211", f"image {request.image}: {model.id} takes only text; leave the image out")
    elif not _is_file(request.image):
        yield broken("WAN212", f"image {request.image}: no such file")
    for message in _policy(request):
        yield broken("WAN214", message)


def _policy(request: GenerationRequest) -> Iterator[str]:
    if not -MAX_PRIORITY <= request.priority <= MAX_PRIORITY:
        yield f"priority {request.priority}: must be between {-MAX_PRIORITY} and {MAX_PRIORITY}"
    if request.timeout_seconds is not None and not 0 < request.timeout_seconds < math.inf:  # also refuses nan
        yield f"timeout_seconds {request.timeout_seconds}: must be more than 0"
    if not 0 <= request.retries <= MAX_RETRIES:
        yield f"retries {request.retries}: must be between 0 and {MAX_RETRIES}"


def _shape(request: GenerationRequest, model: Model, limits: LimitSettings) -> Iterator[Finding]:
    def broken(code: str, message: str) -> Finding:
        return finding(code, f"request to {request.deployment}", message)

    width, height = model.nearest_side(request.width), model.nearest_side(request.height)
    frames = model.nearest_frames(request.frames)
    multiple = f"{model.id} takes multiples of {model.size_multiple}"
    for name, before, after in (("width", request.width, width), ("height", request.height, height)):
        if before != after:
            yield broken("WAN202", f"{name} {before} rounded to {after} ({multiple})")
    if frames != request.frames:
        yield broken("WAN203", f"frames {request.frames} rounded to {frames} (clips have 4k+1 frames)")
    pixels = width * height
    if pixels > model.max_pixels:
        default = f"its default is {model.default_size[0]}x{model.default_size[1]}"
        most = f"{model.id} makes at most {model.max_pixels} ({default})"
        yield broken("WAN204", f"size {width}x{height} is {pixels} pixels: {most}")
    if frames > model.max_frames:
        yield broken("WAN205", f"frames {frames}: {model.id} makes at most {model.max_frames}")
    if frames > 1 and request.output is not None and Path(request.output).suffix.casefold() == ".png":
        yield broken("WAN216", f"output {request.output}: a PNG file has one frame, and this clip {frames}")
    if request.steps > MAX_STEPS:
        usual = f"the default of {model.id} is {model.default_steps}"
        yield broken("WAN206", f"steps {request.steps}: at most {MAX_STEPS} ({usual})")
    for name, value, most_allowed in (
        ("pixels", pixels, limits.max_pixels),
        ("frames", frames, limits.max_frames),
        ("steps", request.steps, limits.max_steps),
    ):
        if most_allowed is not None and value > most_allowed:
            yield broken("WAN213", f"{name} {value}: the configuration allows {most_allowed} (limits.max_{name})")


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def check_output(path: Path) -> None:
    """Raises WanTuiError when a video cannot be written to ``path``, before anything is computed for it."""
    folder = path.parent
    try:
        for taken in (path, path.with_suffix(".json")):
            if taken.exists():
                raise WanTuiError(f"output {taken} exists and is never overwritten: choose another name or remove it")
        if not folder.is_dir():
            raise WanTuiError(f"output {path}: the directory {folder} does not exist; create it first")
        # Permission bits do not tell everything (root, read-only mounts, quotas, /proc): try it under a name as long.
        probe = folder / f".{path.name}.{os.getpid()}.part"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise WanTuiError(f"output {path}: cannot write in {folder}: {error.strerror}") from None
