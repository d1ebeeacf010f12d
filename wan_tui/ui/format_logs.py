"""Lines of logs, from the snapshot's events or from what processes said, as rows. Pure, as ``format``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from wan_tui.ui.format_jobs import clock_time
from wan_tui.ui.text import Frame, Line, Role, Row, Span, View, clean, marked, pad, rule, shorten, text, wrap

if TYPE_CHECKING:
    from wan_tui.core.logs import LogLine
    from wan_tui.core.snapshot import Snapshot

EVENTS = "events"
LEVELS = ("all", "warnings", "errors")
_ROLES = {"error": Role.ERROR, "critical": Role.ERROR, "warning": Role.WARN}
_WORST = {"all": ("",), "warnings": ("warning", "error", "critical"), "errors": ("error", "critical")}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a log. ``source`` is a part or a deployment; empty where the whole log has one."""

    key: str
    at: float
    level: str
    source: str
    text: str


def of_events(snapshot: Snapshot) -> list[Entry]:
    first = snapshot.log.dropped
    return [
        Entry(str(first + i), event.at, event.level, event.source, event.message)
        for i, event in enumerate(snapshot.log.events)
    ]


def of_lines(lines: Sequence[LogLine]) -> list[Entry]:
    return [Entry(str(line.number), line.at, line.level, "", line.text) for line in lines]


def at_least(entries: Sequence[Entry], level: str) -> list[Entry]:
    """Those as bad as ``level`` of ``LEVELS``; a line that names no level counts by its words."""
    if level == "all":
        return list(entries)
    return [entry for entry in entries if level_of(entry) in _WORST[level]]


def level_of(entry: Entry) -> str:
    """What Python's warnings and tracebacks begin with tells a level where none is given."""
    if entry.level:
        return entry.level
    head = entry.text[:200].casefold()
    if "error" in head or "traceback" in head:
        return "error"
    return "warning" if "warning" in head else "info"


def as_text(entries: Sequence[Entry]) -> str:
    """For a file, oldest first."""
    lines = []
    for entry in entries:
        parts = (clock_time(entry.at), entry.level, entry.source, clean(entry.text))
        lines.append("  ".join(part for part in parts if part) + "\n")
    return "".join(lines)


def rows(entries: Sequence[Entry], info: str, view: View) -> Frame:
    """The newest first; a long message goes on in the next line."""
    source_width = min(max((len(entry.source) for entry in entries), default=0), 16)
    level_width = 8 if any(entry.level for entry in entries) else 0
    indent = 3 + 10 + (level_width + 1 if level_width else 0) + (source_width + 2 if source_width else 0)
    found: list[Row] = []
    for entry in reversed(entries):
        parts = _wrapped(entry.text, max(view.width - indent - 1, 8))
        role = _ROLES.get(level_of(entry), Role.TEXT)
        head: list[Span] = [Span(f"{clock_time(entry.at)}  ", Role.DIM)]
        if level_width:
            head.append(Span(f"{entry.level:<{level_width}} ", _ROLES.get(entry.level, Role.DIM)))
        if source_width:
            head.append(Span(f"{shorten(clean(entry.source), source_width):<{source_width}}  ", Role.DIM))
        line: Line = (*head, Span(parts[0], role if not entry.level else Role.TEXT))
        found.append(Row(pad(marked(line, view.focused and entry.key == view.cursor), view.width), entry.key))
        found.extend(Row(pad((Span(" " * indent), Span(part)), view.width)) for part in parts[1:])
    if not found:
        found.append(Row(pad(text("   nothing here yet", Role.DIM), view.width)))
    return Frame((rule("LOGS", text(info, Role.DIM), view),), tuple(found))


@lru_cache(4096)
def _wrapped(message: str, width: int) -> list[str]:
    return wrap(message, width) or [""]
