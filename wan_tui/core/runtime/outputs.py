"""What is written beside a video: a JSON file with everything that it takes to make the same one again."""

import dataclasses
import functools
import hashlib
import itertools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from wan_tui.core import atomic
from wan_tui.core.errors import UsageError
from wan_tui.core.planning.plan import ExecutionPlan, GenerationRequest, StageSeconds, TimeEstimate

if TYPE_CHECKING:
    import numpy as np


# A prompt of a few pages and everything else; more was not written by us.
MAX_SIDECAR_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """The content of ``NAME.json`` beside ``NAME.mp4``.

    ``stages`` are observed and stand beside ``estimate``; a prompt that was still encoded from before takes no time
    (``prompt_reused``), and ``compile_seconds`` of torch.compile are beside them. Of a request for several videos
    ``video`` is which one (from 1) and ``seed`` its own. ``frames_sha256`` is of the decoded frames before they became
    H.264: RGB, 8 bit, row by row.
    """

    job: str
    request: GenerationRequest
    model: str
    seed: int
    plan: ExecutionPlan
    versions: dict[str, str | None]
    stages: tuple[StageSeconds, ...]
    estimate: TimeEstimate | None
    prompt_reused: bool
    fps: int
    frames_sha256: str
    video: int = 1
    compile_seconds: float = 0.0
    format: Literal[1] = 1

    def to_json(self) -> bytes:
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False).encode() + b"\n"


def names_of(first: Path, videos: int) -> tuple[Path, ...]:
    """Names of the videos of one request: ``clip.mp4``, or of several ``clip-1.mp4``, ``clip-2.mp4`` and so on."""
    if videos == 1:
        return (first,)
    return tuple(first.with_name(f"{first.stem}-{number}{first.suffix}") for number in range(1, videos + 1))


def sidecar_of(video: Path) -> Path:
    """Where the sidecar of ``video`` is."""
    return video.with_suffix(".json")


def frames_sha256(frames: "np.ndarray") -> str:
    """Hash of frames x height x width x 3 values of 8 bit."""
    shape = "x".join(str(side) for side in frames.shape)
    return hashlib.sha256(shape.encode() + b"\n" + frames.tobytes()).hexdigest()


def publisher(sidecar: Callable[[Path], bytes], *, numbered: bool) -> Callable[[Path, Path], Path]:
    """A ``publish`` for ``write_mp4``: first the sidecar, then the video, both whole and neither over another file.

    ``numbered``: a name that is taken gets ``-2``, ``-3`` and so on.
    """

    def publish(scratch: Path, path: Path) -> Path:
        for number in itertools.count(1):
            candidate = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
            try:
                return _publish(scratch, candidate, sidecar(candidate))
            except FileExistsError:
                if not numbered:
                    raise
        raise AssertionError("unreachable")

    return publish


def _publish(scratch: Path, video: Path, content: bytes) -> Path:
    from wan_tui.core.video import give_name  # with PyAV, which a host that only monitors does not have

    if video.exists():
        raise FileExistsError(f"{video} exists")
    beside = sidecar_of(video)
    try:
        atomic.create(beside, content)
    except FileExistsError:
        raise FileExistsError(f"{beside} exists") from None
    try:
        return give_name(scratch, video)
    except OSError:
        os.unlink(beside)
        raise


def sidecar_text(video: Path) -> str:
    """What is written beside ``video``. Raises UsageError for a path that cannot be one, or without such a file."""
    beside = sidecar_of(video)
    if not video.is_absolute():
        raise UsageError(f"{video}: must be an absolute path")
    try:
        with open(beside, encoding="utf-8") as file:
            text = file.read(MAX_SIDECAR_BYTES + 1)
    except UnicodeDecodeError:
        raise UsageError(f"{beside}: not UTF-8 text") from None
    except OSError as error:
        raise UsageError(f"{beside}: cannot be read: {error.strerror}") from None
    if len(text) > MAX_SIDECAR_BYTES:
        raise UsageError(f"{beside}: too large for what wan-tui writes beside a video")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What of a sidecar is needed to repeat its run; everything else in it may be of another version."""

    request: GenerationRequest
    model: str
    frames_sha256: str
    video: int = 1
    format: Literal[1] = 1


def read_sidecar(file: Path) -> Recorded:
    """Raises UsageError naming file, key and value."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    return recorded_in(content, str(file))


def recorded_in(content: bytes, name: str) -> Recorded:
    """What a sidecar called ``name`` says. Raises UsageError naming it, key and value."""
    try:
        return _recorded().validate_json(content, strict=True)
    except ValidationError as error:
        raise UsageError(f"{name}: {_problem(error)}") from None


def _problem(error: ValidationError) -> str:
    problem: Any = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "json_invalid":
        return f"not JSON: {problem['msg']}"
    if problem["type"] == "missing":
        return f"{where}: missing; this is no file that wan-tui wrote beside a video"
    value = repr(problem["input"])
    return f"{where or 'the whole'} = {value if len(value) <= 80 else value[:77] + '...'}: {problem['msg']}"


@functools.cache
def _recorded() -> TypeAdapter[Recorded]:
    return TypeAdapter(Recorded)
