"""Who the processes on a GPU are: their user and command line, asked from the operating system when wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

COMMAND_CHARACTERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessDetail:
    """What is not known (the process ended, or belongs to a container) is None; ``started_at`` is Unix seconds."""

    pid: int
    user: str | None = None
    command: str | None = None
    started_at: float | None = None
    resident_memory_bytes: int | None = None


def describe(pids: Iterable[int]) -> tuple[ProcessDetail, ...]:
    """In the order given. Blocks for some milliseconds per process."""
    return tuple(_describe(pid) for pid in pids)


def _describe(pid: int) -> ProcessDetail:
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            return ProcessDetail(
                pid=pid,
                user=_or_none(process.username),
                command=_command(process),
                started_at=process.create_time(),
                resident_memory_bytes=process.memory_info().rss,
            )
    except (psutil.Error, OSError):
        return ProcessDetail(pid=pid)


def _command(process: psutil.Process) -> str | None:
    try:
        words = process.cmdline() or [process.name()]
    except (psutil.Error, OSError):
        return None
    return " ".join(words)[:COMMAND_CHARACTERS]


def _or_none(ask: Callable[[], str]) -> str | None:
    try:
        return ask()
    except (psutil.Error, OSError, KeyError):
        return None
