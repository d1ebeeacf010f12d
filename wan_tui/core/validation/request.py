"""What a model can do with a request: round what can be rounded, refuse the rest."""

import dataclasses
import os
from pathlib import Path

from wan_tui.core.catalog import Model
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.planning.plan import MAX_SEED, GenerationRequest

MAX_STEPS = 1000
MAX_GUIDANCE = 100.0


def normalise(request: GenerationRequest, model: Model) -> tuple[GenerationRequest, tuple[str, ...]]:
    """The request as the model will run it, and a notice for each value that changed.

    Frames are rounded to 4k+1, width and height to the model's multiple (to the nearest, halves up).
    Raises UsageError for values that no rounding can mend.
    """
    _at_least_one(request, "width", "height", "frames", "steps")
    multiple = model.size_multiple
    width, height = _nearest(request.width, multiple, 0), _nearest(request.height, multiple, 0)
    frames = _nearest(request.frames, 4, 1)
    notices = [
        f"{name} {before} rounded to {after} ({rule})"
        for name, before, after, rule in (
            ("width", request.width, width, f"{model.id} takes multiples of {multiple}"),
            ("height", request.height, height, f"{model.id} takes multiples of {multiple}"),
            ("frames", request.frames, frames, "clips have 4k+1 frames"),
        )
        if before != after
    ]
    if width * height > model.max_pixels:
        raise UsageError(
            f"size {width}x{height} is {width * height} pixels: {model.id} makes at most {model.max_pixels} "
            f"(its default is {model.default_size[0]}x{model.default_size[1]})"
        )
    if frames > model.max_frames:
        raise UsageError(f"frames {frames}: {model.id} makes at most {model.max_frames}")
    if request.steps > MAX_STEPS:
        raise UsageError(
            f"steps {request.steps}: at most {MAX_STEPS} (the default of {model.id} is {model.default_steps})"
        )
    if not 0 <= request.seed <= MAX_SEED:
        raise UsageError(f"seed {request.seed}: must be between 0 and {MAX_SEED}")
    if not 0 <= request.guidance <= MAX_GUIDANCE:  # also refuses nan
        raise UsageError(f"guidance {request.guidance}: must be between 0 and {MAX_GUIDANCE:g}")
    if not request.prompt.strip():
        raise UsageError("the prompt is empty: say what to generate")
    _check_image(request, model)
    return dataclasses.replace(request, width=width, height=height, frames=frames), tuple(notices)


def check_output(path: Path) -> None:
    """Raises WanTuiError when a video cannot be written to ``path``, before anything is computed for it."""
    folder = path.parent
    try:
        if path.exists():
            raise WanTuiError(f"output {path} exists and is never overwritten: choose another name or remove it")
        if not folder.is_dir():
            raise WanTuiError(f"output {path}: the directory {folder} does not exist; create it first")
        # Permission bits do not tell everything (root, read-only mounts, quotas, /proc): try it under a name as long.
        probe = folder / f".{path.name}.{os.getpid()}.part"
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise WanTuiError(f"output {path}: cannot write in {folder}: {error.strerror}") from None


def _at_least_one(request: GenerationRequest, *names: str) -> None:
    for name in names:
        value = getattr(request, name)
        if value < 1:
            raise UsageError(f"{name} {value}: must be at least 1")


def _nearest(value: int, multiple: int, offset: int) -> int:
    """The nearest number of the form ``k * multiple + offset`` that is at least 1."""
    steps = (value - offset + multiple // 2) // multiple
    return max(steps * multiple + offset, multiple if offset == 0 else offset)


def _check_image(request: GenerationRequest, model: Model) -> None:
    if request.image is None:
        if model.task.needs_image:
            raise UsageError(f"{model.id} makes a video from a picture: give an image")
        return
    if not model.task.takes_image:
        raise UsageError(f"image {request.image}: {model.id} takes only text; leave the image out")
    if not Path(request.image).is_file():
        raise UsageError(f"image {request.image}: no such file")
