"""Snapshot to lines: the head of the screen, and what the parts share. Pure; every row has exactly the width asked for.

A state is a word or a mark first, its colour only repeats it. What is not known is ``--``, never 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_tui.core.units import format_bytes, format_gib, format_seconds
from wan_tui.core.words import JobState
from wan_tui.ui import glyphs
from wan_tui.ui.text import (
    Frame,
    Line,
    Role,
    Span,
    View,
    clean,
    join,
    join_fitting,
    line_width,
    pad,
    shorten_path,
    spread,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wan_tui.core.snapshot import Snapshot


_KEY_NAMES = {
    "escape": "esc",
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "pageup": "page up",
    "pagedown": "page down",
}


def key_name(key: str) -> str:
    """Textual's name of a key as people write it."""
    return _KEY_NAMES.get(key, key)


def words(value: str) -> str:
    """An identifier of the vocabulary as people read it: ``offload_required`` is "offload required"."""
    return value.replace("_", " ")


def dim_join(*parts: str) -> Line:
    """Facts in one dim line, with a dot between them."""
    return text(f" {glyphs.DOT} ".join(part for part in parts if part), Role.DIM)


# -- the head of the screen


def summary(snapshot: Snapshot) -> Line:
    """The host in one line: devices and work."""
    running = sum(job.state is JobState.RUNNING for job in snapshot.jobs)
    queued = sum(job.state is JobState.QUEUED for job in snapshot.jobs)
    known = [gpu for gpu in snapshot.gpus if gpu.up]
    parts = []
    if snapshot.gpus:
        lost = len(snapshot.gpus) - len(known)
        used = sum(gpu.memory_used_bytes or 0 for gpu in known)
        total = sum(gpu.memory_total_bytes or 0 for gpu in known)
        count = "1 GPU" if len(snapshot.gpus) == 1 else f"{len(snapshot.gpus)} GPUs"
        parts.append(count + (f" ({lost} lost)" if lost else ""))
        parts.append(f"{format_gib(used)} / {format_gib(total)} GiB")
    parts.append(f"{running} running")
    parts.append(f"{queued} queued")
    return dim_join(*parts)


def facts(snapshot: Snapshot, width: int) -> Line:
    """What is good to know when nothing else is to be said: room on disk, and since when the engine runs."""
    disks: dict[tuple[int, int], list[str]] = {}
    for volume in snapshot.host.volumes:  # volumes with the same figures are one disk
        disks.setdefault((volume.total_bytes, volume.free_bytes), []).append(words(volume.volume))
    parts = [f"{', '.join(names)} {format_bytes(free)} free" for (_, free), names in disks.items()]
    parts.append(f"engine {snapshot.version} up {format_seconds(snapshot.taken_at - snapshot.started_at)}")
    return join_fitting([text(clean(part), Role.DIM) for part in parts], width, "   ")


def header(
    tabs: Sequence[tuple[str, str, str]],
    active: str,
    crumbs: Sequence[str],
    snapshot: Snapshot | None,
    right: Line,
    view: View,
) -> Frame:
    """The first line: the tabs (key, title, short title) with the ``active`` key's crumbs, and what has room beside.

    Where there is none for every title they become short, then keys alone; ``right`` matters more than titles.
    """
    rights = [right]
    if snapshot is not None:
        host = text(clean(snapshot.host.hostname), Role.STRONG)
        rights = [join(parts, "   ") for parts in ((summary(snapshot), host, right), (host, right), (right,))]
    room = view.width - 4

    def fits(level: int, beside: Line) -> bool:
        return line_width(_tabs(tabs, active, crumbs, level)) + line_width(beside) <= room

    # Short titles are worth it for the summary.
    level = next((level for level in (0, 1, 2) if fits(level, rights[0])), -1)
    if level < 0:
        level = next((level for level in range(4) if fits(level, rights[-1])), 4)
    line = _tabs(tabs, active, crumbs, level)
    fitting = next((right for right in rights if line_width(line) + line_width(right) <= room), ())
    return Frame((spread(line, fitting, view.width),))


def _tabs(tabs: Sequence[tuple[str, str, str]], active: str, crumbs: Sequence[str], level: int) -> Line:
    parts: list[Line] = [text("wan-tui", Role.STRONG)] if level < 2 else []
    for key, title, short in tabs:
        if key == active:
            names = f" {glyphs.CRUMB} ".join((title if level < 4 else short, *map(clean, crumbs)))
            parts.append((Span(f" {key} {names} ", Role.TAB),))
        else:
            name = (title, short, short, "", "")[level]
            parts.append((Span(f"{key} {name}".rstrip(), Role.DIM),))
    return join(parts, "  " if level == 0 else " ")


def banner(reason: str, age_seconds: float | None, wait_seconds: float, view: View) -> Frame:
    """Why no snapshots come, how old the last one is, and when the next try is."""
    since = "no data yet" if age_seconds is None else f"data is {format_seconds(age_seconds)} old"
    tail = f"  retry in {wait_seconds:.0f} s, r now "
    message = shorten_path(f" {glyphs.WARN} {since}: {clean(reason)}", view.width - len(tail))
    gap = " " * (view.width - len(tail) - len(message))
    return Frame((pad((Span(message + gap + tail, Role.ALERT),), view.width),))
