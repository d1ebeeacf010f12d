"""Weight files that this process has mapped, and whether somebody has changed them since.

A mapped file that is truncated kills the process with SIGBUS, one that is rewritten in place changes the weights of the
loaded model. One that was replaced or deleted does neither: the process keeps the old content.
"""

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

WEIGHTS = (".safetensors", ".gguf")


class CheckpointChanged(Exception):
    """A weight file is no longer what was loaded."""


@dataclass(frozen=True, slots=True)
class _Signature:
    size: int
    mtime_ns: int
    inode: tuple[int, int]


class WatchedFiles:
    """Size, time and identity of each file as it was when the model was read."""

    def __init__(self, files: Iterable[Path] = ()) -> None:
        self._seen: dict[Path, _Signature] = {}
        for file in files:
            if (signature := _look(file)) is not None:
                self._seen[file] = signature

    def check(self) -> None:
        """Raises CheckpointChanged for a file that changed while its content is still in use here."""
        changed = [file for file, before in self._seen.items() if _changed_in_place(before, _look(file))]
        if not changed:
            return
        held = _mapped_inodes()
        for file in changed:
            before, now = self._seen[file], _look(file)
            if held is not None and before.inode[1] not in held:
                continue
            size = now.size if now else 0
            how = f"truncated from {before.size} to {size} bytes" if size < before.size else "rewritten"
            raise CheckpointChanged(f"checkpoint changed under the worker: {file} was {how}; reload the deployment")


def weight_files(folder: Path) -> list[Path]:
    """The weight files in ``folder`` that are not pickles, links followed."""
    with contextlib.suppress(OSError):
        return sorted(path.resolve() for path in folder.iterdir() if path.name.endswith(WEIGHTS))
    return []


def _look(file: Path) -> _Signature | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return _Signature(facts.st_size, facts.st_mtime_ns, (facts.st_dev, facts.st_ino))


def _changed_in_place(before: _Signature, now: _Signature | None) -> bool:
    return now is not None and now.inode == before.inode and now != before


def _mapped_inodes() -> set[int] | None:
    """Inodes of the files that this process has mapped; None where the system does not tell."""
    try:
        with open("/proc/self/maps", "rb") as maps:
            fields = (line.split(maxsplit=5) for line in maps)
            return {int(parts[4]) for parts in fields if len(parts) == 6 and parts[5].startswith(os.sep.encode())}
    except OSError:
        return None
