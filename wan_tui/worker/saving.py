"""The videos of a run under their names, each with its sidecar."""

import errno
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from wan_tui import __version__
from wan_tui.core.planning.plan import GenerationRequest, StageSeconds
from wan_tui.core.runtime.outputs import Sidecar, frames_sha256, publisher
from wan_tui.core.runtime.protocol import Generate
from wan_tui.core.video import write_mp4, write_png
from wan_tui.worker.load import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a run was like, as its sidecars tell it; ``stages`` is asked when a video is whole."""

    stages: Callable[[], tuple[StageSeconds, ...]]
    prompt_reused: bool
    compile_seconds: float


def video_seed(request: GenerationRequest, number: int) -> int:
    """Seed of video ``number`` (from 0): each is what a run of its own would start from."""
    return request.seed + number


def write_videos(
    loaded: LoadedModel, command: Generate, videos: list[Any], made: Made, check: Callable[[], None]
) -> list[Path]:
    """Write all ``videos`` (frames x height x width x 3). ``check`` may stop it until the first one has its name: a run
    whose first video is there is not cancelled any more.

    Raises OSError, for the second and later ones naming what is there already.
    """
    places = [Path(command.output), *(Path(name) for name in command.more_outputs)]
    written: list[Path] = []
    for number, (frames, place) in enumerate(zip(videos, places, strict=True)):
        save = _Saving(loaded, command, made, number, frames, place, _nothing if written else check)
        try:
            written.append(save())
        except OSError as error:
            if not written:
                raise
            there = ", ".join(str(path) for path in written)
            text = f"{error.strerror or error} ({len(written)} of {len(videos)} videos are written: {there})"
            raise OSError(error.errno or errno.EIO, text) from error
    return written


@dataclass(frozen=True, slots=True)
class _Saving:
    """One video of a run."""

    loaded: LoadedModel
    command: Generate
    made: Made
    number: int
    frames: Any
    place: Path
    check: Callable[[], None]

    def __call__(self) -> Path:
        """The video's name. A folder that is removed meanwhile is made once more: the frames are still here."""
        fingerprint, numbered = frames_sha256(self.frames), self.command.numbered
        metadata = {**_metadata(self.loaded, self.command.request, self.number), "frames_sha256": fingerprint}

        def sidecar(_: Path) -> bytes:
            self.check()  # the last moment to cancel
            return _sidecar(self.loaded, self.command, self.made, self.number, fingerprint).to_json()

        publish = publisher(sidecar, numbered=numbered)
        for last_try in (not numbered, True):
            if numbered:
                self.place.parent.mkdir(parents=True, exist_ok=True)
            try:
                if self.place.suffix.casefold() == ".png":
                    return write_png(self.place, self.frames, metadata, self.check, publish)
                return write_mp4(self.place, self.frames, self.loaded.model.fps, metadata, self.check, publish)
            except FileNotFoundError:
                if last_try:
                    raise
        raise AssertionError("unreachable")


def _nothing() -> None:
    pass


def _metadata(loaded: LoadedModel, request: GenerationRequest, number: int) -> dict[str, object]:
    said = asdict(request)
    said.pop("output")
    of_video = {"seed": video_seed(request, number), "video": number + 1}
    return {**said, **of_video, "model": loaded.model.id, "plan": asdict(loaded.plan), "wan_tui": __version__}


def _sidecar(loaded: LoadedModel, command: Generate, made: Made, number: int, fingerprint: str) -> Sidecar:
    return Sidecar(
        job=command.job,
        request=command.request,
        model=loaded.model.id,
        seed=video_seed(command.request, number),
        video=number + 1,
        plan=loaded.plan,
        versions={
            "wan_tui": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "cuda": torch.version.cuda,
        },
        stages=made.stages(),
        estimate=command.estimate,
        prompt_reused=made.prompt_reused,
        compile_seconds=made.compile_seconds,
        fps=loaded.model.fps,
        frames_sha256=fingerprint,
    )
