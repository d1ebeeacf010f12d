"""Whether the videos of a request can be written where it says, before anything is computed for them."""

from collections.abc import Iterable
from pathlib import Path

from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.planning.plan import GenerationRequest
from wan_tui.core.runtime.outputs import names_of
from wan_tui.core.runtime.state import Job
from wan_tui.core.validation.request import check_output


def check_places(request: GenerationRequest, folder: Path, jobs: Iterable[Job]) -> None:
    """Without a name they are files in ``folder``; no two of ``jobs`` write the same. Raises WanTuiError."""
    output = request.output
    if output is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WanTuiError(f"output directory {folder} cannot be made: {error.strerror}") from None
        check_output(folder / "clip.mp4.new")
        return
    if not Path(output).is_absolute():
        raise UsageError(f"output {output}: must be an absolute path")
    taken = {
        name: job.id
        for job in jobs
        if not job.state.ended and job.request.output is not None
        for name in names_of(Path(job.request.output), job.request.videos)
    }
    for name in names_of(Path(output), request.videos):
        if name in taken:
            raise UsageError(f"output {name}: job {taken[name]} will write it; choose another name")
        check_output(name)
