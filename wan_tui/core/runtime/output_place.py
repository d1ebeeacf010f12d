"""Whether a video can be written where a request says, before anything is computed for it."""

from collections.abc import Iterable
from pathlib import Path

from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.runtime.state import Job
from wan_tui.core.validation.request import check_output


def check_place(output: str | None, folder: Path, jobs: Iterable[Job]) -> None:
    """``output`` None is a file in ``folder``; no two of ``jobs`` write the same. Raises WanTuiError."""
    if output is None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WanTuiError(f"output directory {folder} cannot be made: {error.strerror}") from None
        check_output(folder / "clip.mp4.new")
        return
    path = Path(output)
    if not path.is_absolute():
        raise UsageError(f"output {output}: must be an absolute path")
    taken = next((job for job in jobs if not job.state.ended and job.request.output == output), None)
    if taken is not None:
        raise UsageError(f"output {output}: job {taken.id} will write it; choose another name")
    check_output(path)
