"""What a worker that died while it wrote has left beside its video: files of no use, or the video itself, whole."""

import contextlib
import itertools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from wan_tui.core.runtime.outputs import sidecar_of
from wan_tui.core.runtime.state import Job
from wan_tui.core.words import JobState

# As ``write_mp4`` and ``core.atomic`` name what is not whole yet: the file, the process, perhaps eight random letters.
_PART = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)\.(?:[a-z0-9_]{8}\.)?part")
# Long names are cut there.
_NAME_LETTERS = 90


@dataclass(frozen=True, slots=True)
class Remains:
    """``removed`` were unfinished. ``video`` is there when the worker died only after it was."""

    removed: tuple[Path, ...] = ()
    video: Path | None = None


def clear(job: Job, worker: int | None) -> Remains:
    """Remove what ``job`` left unfinished. ``worker`` is the process that ran it, None when nobody knows any more.

    Never raises; what cannot be removed stays.
    """
    if job.target is None:
        return Remains()
    targets = [Path(job.target), *(Path(target) for target in job.more_targets)]
    removed = []
    for target in targets:
        for file in (*_parts(target, worker), *_lone_sidecars(target, job.id)):
            with contextlib.suppress(OSError):
                file.unlink()
                removed.append(file)
    # Of several videos only all together are what was asked for.
    whole = [_whole(target, job) for target in targets]
    return Remains(tuple(removed), whole[0] if all(whole) else None)


def whole_videos(jobs: Iterable[Job]) -> dict[str, Path]:
    """Of the jobs that an engine left running, those whose video is there, after the rest was cleared away."""
    found = {job.id: clear(job, None).video for job in jobs if job.state is JobState.RUNNING}
    return {job_id: video for job_id, video in found.items() if video is not None}


def _parts(target: Path, worker: int | None) -> list[Path]:
    found = []
    for file in _files(target.parent):
        part = _PART.fullmatch(file.name)
        if part is None or not part["name"].startswith(target.stem[:_NAME_LETTERS]):
            continue
        pid = int(part["pid"])
        if pid == worker or (worker is None and not _is_worker(pid)):
            found.append(file)
    return found


def _lone_sidecars(target: Path, job_id: str) -> list[Path]:
    """A sidecar gets its name just before its video does."""
    return [
        sidecar_of(video)
        for video in _candidates(target)
        if not video.exists() and _content(video).get("job") == job_id
    ]


def _whole(target: Path, job: Job) -> Path | None:
    for video in _candidates(target):
        said = _content(video)
        asked = said.get("request")
        # Job numbers begin anew with a new queue, prompt and seed are the job's own.
        same = isinstance(asked, dict) and (asked.get("prompt"), asked.get("seed")) == (
            job.request.prompt,
            job.request.seed,
        )
        if video.exists() and said.get("job") == job.id and same and _is_newer(video, job):
            return video
    return None


def _is_newer(video: Path, job: Job) -> bool:
    try:
        return job.started_at is not None and video.stat().st_mtime >= job.started_at - 2.0  # FAT counts in 2 s
    except OSError:
        return False


def _candidates(target: Path) -> Iterable[Path]:
    """The names that it may have got, as far as any is taken."""
    for number in itertools.count(1):
        video = target if number == 1 else target.with_name(f"{target.stem}-{number}{target.suffix}")
        if not video.exists() and not sidecar_of(video).exists():
            return
        yield video


def _content(video: Path) -> dict[str, object]:
    try:
        found = json.loads(sidecar_of(video).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_worker(pid: int) -> bool:
    try:
        return any("wan_tui.worker" in part for part in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False
