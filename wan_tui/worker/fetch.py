"""``python -m wan_tui.worker.fetch``: files of a hub repository into a folder, with what was there already kept.

In a process of its own, since huggingface_hub comes with the inference extra and cannot be stopped from within.
A JSON job comes on standard input, progress goes to standard output, one JSON object a line.
"""

import errno
import fcntl
import fnmatch
import json
import os
import shutil
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_tui.core.units import format_bytes

# Left free on the disk beside what is downloaded.
MARGIN_BYTES = 1 << 30
_TELL_SECONDS = 0.5


class FetchError(Exception):
    """The download stopped for a reason that the operator can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchJob:
    """``folder`` gets the files of ``repository`` whose names fit one of ``patterns``, at ``revision``."""

    repository: str
    revision: str
    folder: str
    patterns: list[str]


def fetch(job: FetchJob) -> dict[str, Any]:
    """Download what is missing; returns commit and sizes. Raises FetchError, and what huggingface_hub raises."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.hf_api import RepoFile
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    folder = Path(job.folder)
    tell({"stage": "ask the hub"})
    api = HfApi()
    commit = api.repo_info(job.repository, revision=job.revision).sha
    assert commit is not None
    entries = api.list_repo_tree(job.repository, revision=commit, recursive=True)
    sizes = {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile) and _wanted(entry.path, job)}
    if not sizes:
        raise FetchError(f"{job.repository} has no files of a diffusers checkpoint")
    total = sum(sizes.values())
    folder.mkdir(parents=True, exist_ok=True)
    _refuse_second(folder)
    # huggingface_hub goes on within a file only while it runs: what a killed run left is never used again.
    for orphan in _unfinished(folder):
        orphan.unlink(missing_ok=True)
    missing, free = total - _present(folder, sizes), shutil.disk_usage(folder).free
    if missing + MARGIN_BYTES > free:
        raise FetchError(
            f"disk too small: {format_bytes(missing)} are still to be downloaded, {format_bytes(free)} are free "
            f"in {folder}"
        )
    done = threading.Event()
    teller = threading.Thread(target=_tell_progress, args=(folder, sizes, total, done), daemon=True)
    teller.start()
    try:
        snapshot_download(
            job.repository, revision=commit, local_dir=folder, allow_patterns=sorted(map(_escape, sizes)), max_workers=4
        )
    finally:
        done.set()
        teller.join()
    return {"commit": commit, "bytes": total, "files": len(sizes)}


def _refuse_second(folder: Path) -> None:
    """Only one process may download into a folder; the lock goes with it."""
    place = folder / ".cache" / "wan-tui.lock"
    place.parent.mkdir(exist_ok=True)
    lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise FetchError(f"another process is downloading into {folder}") from None


def _wanted(name: str, job: FetchJob) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in job.patterns) and not name.startswith(".")


def _escape(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _present(folder: Path, sizes: Mapping[str, int]) -> int:
    """Bytes that are here: finished files, and unfinished ones as far as they came."""
    finished = sum(size for name, size in sizes.items() if _size(folder / name) == size)
    unfinished = sum(map(_size, _unfinished(folder)))
    return min(finished + unfinished, sum(sizes.values()))


def _unfinished(folder: Path) -> list[Path]:
    return list(folder.glob(".cache/huggingface/download/**/*.incomplete"))


def _size(path: Path) -> int:
    try:
        facts = path.stat()
    except OSError:
        return 0
    # What is only reserved does not count as there.
    return min(facts.st_size, facts.st_blocks * 512) if path.name.endswith(".incomplete") else facts.st_size


def _tell_progress(folder: Path, sizes: Mapping[str, int], total: int, done: threading.Event) -> None:
    while True:
        ended = done.wait(_TELL_SECONDS)
        tell({"stage": "download", "done_bytes": _present(folder, sizes), "total_bytes": total})
        if ended:
            return


def tell(event: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def explain(error: BaseException, job: FetchJob) -> str:
    """One line for the operator."""
    from huggingface_hub import errors

    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    chain = list(_chain(error))
    if any(isinstance(one, OSError) and one.errno == errno.ENOSPC for one in chain):
        return f"the disk of {job.folder} is full: free space and run it again, it goes on where it stopped"
    for one in chain:
        if isinstance(one, FetchError):
            return str(one)
        if isinstance(one, errors.GatedRepoError):
            return (
                f"{job.repository} is gated: accept its terms on {endpoint}/{job.repository}, then hf auth login "
                "or HF_TOKEN"
            )
        if isinstance(one, errors.RevisionNotFoundError):
            return f"{job.repository} has no revision {job.revision}"
        if isinstance(one, errors.RepositoryNotFoundError):
            return f"{endpoint} has no repository {job.repository}, or it is private and HF_TOKEN is missing"
        if isinstance(one, errors.OfflineModeIsEnabled):
            return "the hub may not be asked: HF_HUB_OFFLINE is set"
        if isinstance(one, errors.HfHubHTTPError) and getattr(one, "response", None) is not None:
            return f"{endpoint} answered {one.response.status_code}: try again later, it goes on where it stopped"
    text = " ".join(str(error).split())[:200]
    if any(
        type(one).__module__.split(".")[0].startswith("http") or isinstance(one, ConnectionError | TimeoutError)
        for one in chain
    ):
        return f"{endpoint} cannot be reached ({text}): check network and proxy, or copy the checkpoint from elsewhere"
    return f"{type(error).__name__}: {text}"


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def main() -> int:
    """Run the job on standard input; status 1, and why, when it cannot be done."""
    job = FetchJob(**json.loads(sys.stdin.readline()))
    try:
        result = fetch(job)
    except ImportError as error:
        tell({"failed": f"{error}; install the inference extra: pip install 'wan-tui[inference]'"})
        return 1
    except Exception as error:
        tell({"failed": explain(error, job)})
        return 1
    tell({"fetched": result})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
