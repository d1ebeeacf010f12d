"""One generation told on stderr: a line that rewrites itself on a terminal, a line per change elsewhere."""

from typing import TextIO

from wan_tui.core.runtime.state import DeploymentStatus, Job
from wan_tui.core.units import format_ratio, format_seconds
from wan_tui.core.words import JobState

_ERASE = "\r\033[K"


class Narrator:
    """Tells what changed since the last call."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._last = ""
        self._noticed = False

    def tell(self, job: Job, deployment: DeploymentStatus) -> None:
        if not self._noticed:
            self._noticed = True
            for notice in job.notices:
                self._stream.write(f"notice: {notice}\n")
        line = progress_line(job, deployment, eta=self._live)
        if line == self._last:
            return
        self._last = line
        self._stream.write(f"{_ERASE}{line}" if self._live else f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        if self._live and self._last:
            self._stream.write("\n")


def progress_line(job: Job, deployment: DeploymentStatus, *, eta: bool) -> str:
    """What is happening, in one line; with ``eta`` also what changes all the time."""
    if job.state is JobState.QUEUED:
        stage = f" ({deployment.load_stage})" if deployment.load_stage else ""
        return f"{deployment.name}: {deployment.state}{stage}"
    if job.state is not JobState.RUNNING:
        return f"job {job.id}: {job.state}"
    line = f"job {job.id}: {job.phase}, step {job.step}/{job.request.steps}"
    if not eta:
        return line
    step = f", {format_seconds(job.step_seconds)} a step" if job.step_seconds else ""
    return f"{line}{step}, {format_ratio(job.progress_ratio)}"
