"""MP4 files, and PNG files of clips of one frame: written whole or not at all, and read back to check them."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_mp4(
    path: Path,
    frames: "np.ndarray",
    fps: int,
    metadata: dict[str, object],
    check: Callable[[], None],
    publish: Callable[[Path, Path], Path] | None = None,
) -> Path:
    """Encode ``frames`` (frames x height x width x 3, uint8) as H.264 with ``metadata`` as JSON in the comment tag.

    Written under a temporary name and linked to ``path`` at the end, so a file of that name is always whole and an
    existing one is never replaced. ``check`` is called before every frame and may raise to stop. ``publish`` gives the
    whole file its name instead of ``give_name``; the name that it got is returned.
    Raises FileExistsError or another OSError when the place cannot be written.
    """
    with _whole(path) as scratch:
        with av.open(str(scratch), "w", format="mp4") as container:
            container.metadata["title"] = str(metadata.get("prompt", ""))
            container.metadata["comment"] = json.dumps(metadata, ensure_ascii=False)
            stream = container.add_stream("h264", rate=Fraction(fps), options={"crf": "17", "preset": "medium"})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for image in frames:
                check()
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
        _on_disk(scratch)
        return (publish or give_name)(scratch, path)


def write_png(
    path: Path,
    frames: "np.ndarray",
    metadata: dict[str, object],
    check: Callable[[], None],
    publish: Callable[[Path, Path], Path] | None = None,
) -> Path:
    """The only one of ``frames`` without loss, with ``metadata`` as JSON in the text chunk Comment; else as
    ``write_mp4``. Raises ValueError for more than one frame.
    """
    from PIL import Image, PngImagePlugin  # comes with wan-tui[inference]

    (image,) = frames
    check()
    told = PngImagePlugin.PngInfo()
    told.add_itxt("Title", str(metadata.get("prompt", "")))
    told.add_itxt("Comment", json.dumps(metadata, ensure_ascii=False))
    with _whole(path) as scratch:
        Image.fromarray(image).save(scratch, format="PNG", pnginfo=told)
        _on_disk(scratch)
        return (publish or give_name)(scratch, path)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """The temporary name of ``path``; what is still there at the end is removed."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield scratch
    finally:
        scratch.unlink(missing_ok=True)


def _on_disk(path: Path) -> None:
    with open(path, "rb") as written:
        os.fsync(written.fileno())


def give_name(scratch: Path, path: Path) -> Path:
    """Give the whole file its name. A hard link fails if the name is taken; not every file system has them."""
    try:
        os.link(scratch, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError(f"{path} exists") from None
        os.rename(scratch, path)
    return path


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """What decoding a file found."""

    width: int
    height: int
    frames: int
    fps: float
    metadata: dict[str, object]


def read_pictures(path: Path) -> "np.ndarray":
    """The frames of ``path``: frames x height x width x 3, uint8. Raises as ``read_mp4``."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(container.streams.video[0])])


def read_mp4(path: Path) -> VideoFacts:
    """Decode every frame of ``path``. Raises av.error.FFmpegError or OSError for a file that is not a whole video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        count = sum(1 for _ in container.decode(stream))
        return VideoFacts(
            width=stream.width,
            height=stream.height,
            frames=count,
            fps=float(stream.average_rate or 0),
            metadata=json.loads(container.metadata.get("comment", "{}")),
        )
