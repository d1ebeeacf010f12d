"""What the engine's process and its workers said, kept in memory: the newest lines of each, and how many are gone."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass

from wan_tui.core.errors import unknown_name

LINES_KEPT = 2000
LINE_CHARACTERS = 2000
PAGE_LINES = 1000
AGENT = "agent"


@dataclass(frozen=True, slots=True)
class LogLine:
    """``number`` grows by one per line of its source; ``level`` is that of Python's logging, empty where unknown."""

    number: int
    at: float
    level: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """Lines of one source, oldest first; ``sources`` are all that there are. ``dropped`` came before what is kept."""

    source: str
    sources: tuple[str, ...]
    lines: tuple[LogLine, ...] = ()
    dropped: int = 0


class Logs:
    """``agent`` is the process of the engine, ``worker NAME`` what the workers of a deployment wrote to stderr."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[LogLine]] = {AGENT: deque(maxlen=LINES_KEPT)}
        self._numbers: dict[str, int] = {AGENT: 0}
        self.handler: logging.Handler = _Handler(self)

    def add(self, source: str, text: str, level: str = "", at: float | None = None) -> None:
        """Of any thread."""
        number = self._numbers[source] = self._numbers.get(source, 0) + 1
        line = LogLine(number, time.time() if at is None else at, level, text[:LINE_CHARACTERS])
        self._lines.setdefault(source, deque(maxlen=LINES_KEPT)).append(line)

    def page(self, source: str, after: int = 0) -> LogPage:
        """The newest lines with a number above ``after``. Raises UsageError for a source that said nothing yet."""
        if source not in self._lines:
            raise unknown_name("log", source, self._lines)
        kept = tuple(self._lines[source])
        lines = tuple(line for line in kept if line.number > after)[-PAGE_LINES:]
        return LogPage(
            source=source, sources=tuple(self._lines), lines=lines, dropped=kept[0].number - 1 if kept else 0
        )


class _Handler(logging.Handler):
    """Takes the records of this process."""

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # a wrong format string elsewhere must not stop anything here
            text = str(record.msg)
        for line in text.splitlines():
            self._logs.add(AGENT, line, record.levelname.lower(), record.created)
