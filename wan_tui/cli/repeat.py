"""``wan-tui generate --from FILE.json``: the run of a sidecar again."""

import dataclasses
import sys
from pathlib import Path

from wan_tui.core.planning.plan import GenerationRequest
from wan_tui.core.runtime.outputs import Recorded, read_sidecar, sidecar_of
from wan_tui.core.runtime.state import Job
from wan_tui.core.words import JobState

# What decides about every pixel, beside the model and the machine.
_PICTURE = ("prompt", "negative_prompt", "image", "width", "height", "frames", "steps", "guidance", "seed", "videos")


def recorded_request(file: Path) -> tuple[GenerationRequest, Recorded]:
    """The request of ``file``, to be written under a new name. Raises UsageError for what is no sidecar."""
    recorded = read_sidecar(file)
    return dataclasses.replace(recorded.request, output=None), recorded


def tell_difference(recorded: Recorded, model: str, job: Job) -> None:
    """Say on stderr whether the frames are those of the first run, when the same was asked for."""
    if job.state is not JobState.FINISHED or job.output is None:
        return
    if any(getattr(recorded.request, field) != getattr(job.request, field) for field in _PICTURE):
        return
    if model != recorded.model:
        sys.stderr.write(f"notice: recorded with {recorded.model}, made with {model}\n")
    made = (job.output, *job.more_outputs)
    if recorded.video > len(made):
        return
    beside = sidecar_of(Path(made[recorded.video - 1]))
    if not beside.exists():  # written on another host
        return
    again = read_sidecar(beside)
    same = again.frames_sha256 == recorded.frames_sha256
    sys.stderr.write("every frame is as recorded\n" if same else "notice: the frames differ from the recorded ones\n")
