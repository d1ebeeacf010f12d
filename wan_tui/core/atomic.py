"""Files that are there whole or not at all, whatever happens while they are written."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


def replace(file: Path, content: bytes) -> None:
    """Put ``content`` in the place of ``file``, which keeps its permissions. A symbolic link stays one."""
    target = Path(os.path.realpath(file))
    mode = target.stat().st_mode & 0o7777 if target.exists() else None
    with _written_beside(target, content) as temporary:
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, target)
    _sync_folder(target.parent)


def create(file: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a new file. Raises FileExistsError when there is one, even one that appeared meanwhile."""
    with _written_beside(file, content) as temporary:
        os.chmod(temporary, mode)
        os.link(temporary, file)
    _sync_folder(file.parent)


def back_up(file: Path) -> Path:
    """A copy of ``file`` as ``FILE.bak``, or ``FILE.bak.1`` and so on: no older backup is overwritten."""
    content, mode, number = file.read_bytes(), file.stat().st_mode & 0o7777, 0
    while True:
        copy = file.with_name(f"{file.name}.bak" + (f".{number}" if number else ""))
        try:
            create(copy, content, mode)
        except FileExistsError:
            number += 1
            continue
        return copy


@contextlib.contextmanager
def _written_beside(file: Path, content: bytes) -> Iterator[Path]:
    handle, name = tempfile.mkstemp(prefix=f".{file.name[:100]}.{os.getpid()}.", suffix=".part", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        yield Path(name)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
