"""The log of an agent, which begins anew when it is full: ``agent.log``, before it ``agent.log.1`` and so on."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

MOST_FILES = 100


def last_lines(file: Path, count: int) -> list[str]:
    """The last ``count`` lines, also those that were put aside. Raises OSError when there is no log."""
    with _open(file) as stream:
        return _last_lines(file, stream, count)


def follow(file: Path, count: int, wait: Callable[[], object]) -> Iterator[str]:
    """The last ``count`` lines, then all that is added, for ever; ``wait`` is called between looks. Raises OSError."""
    stream = _open(file)
    try:
        yield "".join(_last_lines(file, stream, count))
        while True:
            if text := stream.read():
                yield text
                continue
            if (newer := _newer(file, stream)) is not None:
                if text := stream.read():  # written before it was put aside
                    yield text
                stream.close()
                stream = newer
                continue
            wait()
    finally:
        stream.close()


def _last_lines(file: Path, stream: TextIO, count: int) -> list[str]:
    """Reads ``stream``, which is open at ``file``, to its end."""
    found = list(deque(stream, count))
    for number in range(1, MOST_FILES):
        if len(found) >= count:
            break
        try:
            with _open(file.with_name(f"{file.name}.{number}")) as older:
                found = list(deque(older, count - len(found))) + found
        except FileNotFoundError:
            break
    return found


def _open(file: Path) -> TextIO:
    return file.open(errors="replace")


def _newer(file: Path, stream: TextIO) -> TextIO | None:
    """The file that took the place of ``stream``, or the same one that was emptied; None while there is neither."""
    try:
        now, before = file.stat(), os.fstat(stream.fileno())
        if os.path.samestat(before, now) and now.st_size >= stream.tell():
            return None
        return _open(file)
    except FileNotFoundError:
        return None  # between the two
