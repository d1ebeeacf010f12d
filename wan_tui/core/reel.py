"""A video or a picture as small frames, for players that draw with characters. PyAV is imported when one is read."""

import base64
import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_tui.core.errors import UsageError, WanTuiError

# A terminal of 200 x 60 cells shows 200 x 120 pixels; what a reel of the most frames takes stays a few megabytes.
MAX_SIDE = 240
MAX_FRAMES = 400
MAX_REEL_BYTES = 6 * 2**20
USUAL_FRAMES_PER_SECOND = 4.0
# What nobody made here, such as a film or a scan of a wall, must not keep a thread or the memory busy for minutes.
MAX_DECODED_FRAMES = 4000
MAX_SOURCE_PIXELS = 64_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reel:
    """Some frames of ``path``: every ``stride``-th of ``total``. ``frames`` are base64 of height x width x 3 bytes."""

    path: str
    source_width: int
    source_height: int
    fps: float
    total: int
    stride: int
    width: int
    height: int
    frames: tuple[str, ...]

    @property
    def seconds_apart(self) -> float:
        """How far one frame is from the next in the video; 0 for a picture."""
        return self.stride / self.fps if self.fps else 0.0

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


def read_reel(
    path: Path, *, width: int, height: int, most: int = MAX_FRAMES, fps: float = USUAL_FRAMES_PER_SECOND
) -> Reel:
    """Frames of ``path`` in at most ``width`` x ``height`` pixels, at most ``fps`` a second and ``most`` in all.

    Of what is longer than ``MAX_DECODED_FRAMES`` the beginning.

    Decodes on the caller's thread. Raises WanTuiError without PyAV, UsageError for a path that cannot be one or a file
    that is no video or picture.
    """
    if not path.is_absolute():
        raise UsageError(f"{path}: must be an absolute path")
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    try:
        import av
    except ImportError:
        raise WanTuiError(
            f"PyAV is not installed, so frames cannot be shown here: pip install 'wan-tui[inference]'; "
            f"the file is at {path}"
        ) from None
    width, height = min(max(width, 1), MAX_SIDE), min(max(height, 1), MAX_SIDE)
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UsageError(f"{path}: there is no picture in it")
            return _read(container, path, width, height, most, fps)
    except (av.error.FFmpegError, OSError, ValueError, MemoryError) as error:
        raise UsageError(f"{path}: not a video or picture that can be read: {_reason(error)}") from None


def _read(container: Any, path: Path, width: int, height: int, most: int, wanted_fps: float) -> Reel:
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    source = (stream.width, stream.height)
    if min(source) < 1:
        raise UsageError(f"{path}: not a video or picture that can be read: it has no size")
    if source[0] * source[1] > MAX_SOURCE_PIXELS:
        raise UsageError(f"{path}: {source[0]}x{source[1]} is too large to be shown here")
    scale = min(width / source[0], height / source[1])
    size = (max(int(source[0] * scale), 1), max(int(source[1] * scale), 1))
    rate = float(stream.average_rate or 0)
    announced = int(stream.frames or 0)
    most = min(max(most, 1), MAX_FRAMES, max(MAX_REEL_BYTES // (size[0] * size[1] * 3), 1))
    stride = max(round(rate / wanted_fps) if wanted_fps > 0 else 1, -(-announced // most), 1)
    frames: list[str] = []
    total = 0
    for picture in container.decode(stream):
        if total % stride == 0:
            frames.append(base64.b64encode(_pixels(picture, *size)).decode("ascii"))
            if len(frames) > most:  # the file has more frames than it says: keep every other one
                frames, stride = frames[::2], stride * 2
        total += 1
        if total == MAX_DECODED_FRAMES:
            break
    if not frames:
        raise UsageError(f"{path}: there is no picture in it")
    return Reel(
        path=str(path),
        source_width=source[0],
        source_height=source[1],
        fps=rate if total > 1 else 0.0,
        total=total,
        stride=stride,
        width=size[0],
        height=size[1],
        frames=tuple(frames),
    )


def _pixels(picture: Any, width: int, height: int) -> bytes:
    """Rows without the padding that the decoder keeps behind each."""
    plane = picture.reformat(width=width, height=height, format="rgb24").planes[0]
    data, line = bytes(plane), plane.line_size
    return b"".join(_rows(data, line, width * 3, height)) if line != width * 3 else data[: width * height * 3]


def _rows(data: bytes, line: int, width: int, height: int) -> Iterator[bytes]:
    for y in range(height):
        yield data[y * line : y * line + width]


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error).splitlines()[0] if str(error) else type(error).__name__
