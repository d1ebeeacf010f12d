"""Snapshot to lines: devices and the head of the screen. Pure; every row has exactly the width asked for.

A state is a word or a mark first, its colour only repeats it. What is not known is ``--``, never 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_tui.core.units import MISSING, format_bytes, format_gib, format_ratio, format_seconds
from wan_tui.core.words import JobState
from wan_tui.ui import glyphs
from wan_tui.ui.text import (
    Cell,
    Column,
    Frame,
    Line,
    Role,
    Row,
    Span,
    View,
    clean,
    fit_columns,
    join,
    join_fitting,
    line_width,
    marked,
    meter,
    pad,
    rule,
    spread,
    table_head,
    table_line,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wan_tui.core.hardware.samples import GpuSample
    from wan_tui.core.snapshot import Snapshot

HOT_RATIO = 0.9
_NO_THROTTLE = ("gpu_idle",)  # the driver's word for a clock that is low because nothing runs


def words(value: str) -> str:
    """An identifier of the vocabulary as people read it: ``offload_required`` is "offload required"."""
    return value.replace("_", " ")


def dim_join(*parts: str) -> Line:
    """Facts in one dim line, with a dot between them."""
    return text(f" {glyphs.DOT} ".join(part for part in parts if part), Role.DIM)


# -- devices


def devices(snapshot: Snapshot, view: View) -> Frame:
    """Every GPU that was ever seen, lost ones included; on a host without a driver, the host itself."""
    if not snapshot.gpus:
        return _host(snapshot, view)
    name_width = max(len(_gpu_name(gpu)) for gpu in snapshot.gpus)
    columns = (
        Column("GPU", 3, right=True),
        Column("NAME", min(max(name_width, 4), 9 if view.width < 76 else 14 if view.width < 100 else 26)),
        Column("UTIL", 11, grow=True, limit=26),
        Column("MEMORY GiB", 17, grow=True, limit=34),
        Column("TEMP", 5, 1, right=True),
        Column("POWER W", 9, 2, right=True),
        Column("SM MHz", 6, 4, right=True),
        Column("FAN", 5 if any(gpu.fan_speed_ratio is not None for gpu in snapshot.gpus) else 10_000, 6, right=True),
        Column("THROTTLE", 16, 5),
        Column("PROCESSES", 27, 3, grow=True, limit=40),
    )
    fitted = fit_columns(columns, view.width - 4)
    rows: list[Row] = []
    for gpu in snapshot.gpus:
        if gpu.up:
            line = table_line(fitted, columns, _gpu_cells(gpu))
        else:
            name = table_line(fitted[:2], columns, (text(str(gpu.index)), text(_gpu_name(gpu))))
            why = f"{glyphs.CROSS} lost  {clean(gpu.error or '')}"
            line = (*name, Span("  "), Span(why, Role.ERROR))
        selected = view.focused and view.cursor == gpu.uuid
        rows.append(Row(pad(marked(line, selected), view.width), gpu.uuid))
    head = (Span("   "), *table_head(fitted, columns))
    return Frame((rule("DEVICES", _driver_facts(snapshot), view), pad(head, view.width)), tuple(rows))


def _gpu_name(gpu: GpuSample) -> str:
    return clean(gpu.name).removeprefix("NVIDIA ").removeprefix("GeForce ")


def _gpu_cells(gpu: GpuSample) -> tuple[Cell, ...]:
    memory = None
    if gpu.memory_used_bytes is not None and gpu.memory_total_bytes:
        memory = gpu.memory_used_bytes / gpu.memory_total_bytes
    used = f"{format_gib(gpu.memory_used_bytes):>5} / {format_gib(gpu.memory_total_bytes)}"
    reasons = gpu.throttle_reasons
    throttle = None if reasons is None else ", ".join(words(r) for r in reasons if r not in _NO_THROTTLE)
    hot = (
        gpu.temperature_celsius is not None and gpu.temperature_celsius >= (gpu.temperature_slowdown_celsius or 1e9) - 5
    )
    return (
        text(str(gpu.index)),
        text(_gpu_name(gpu)),
        _bar_cell(gpu.utilization_ratio, format_ratio(gpu.utilization_ratio), 5),
        _bar_cell(memory, used, 12, hot=True),
        text(_number(gpu.temperature_celsius, f" {glyphs.DEGREE}C"), Role.WARN if hot else Role.TEXT),
        text(f"{_number(gpu.power_watts)} / {_number(gpu.power_limit_watts)}"),
        text(_number(None if gpu.sm_clock_hertz is None else gpu.sm_clock_hertz / 1e6)),
        text(format_ratio(gpu.fan_speed_ratio)),
        text(MISSING if throttle is None else throttle or "none", Role.WARN if throttle else Role.DIM),
        _processes(gpu),
    )


def _bar_cell(ratio: float | None, figure: str, figure_width: int, *, hot: bool = False) -> Callable[[int], Line]:
    """A bar with its figure at the right; the figure has a fixed width so that rows never jump."""
    role = Role.WARN if hot and ratio is not None and ratio >= HOT_RATIO else Role.ACCENT
    return lambda width: (*meter(ratio, width - figure_width - 1, role), Span(f" {figure:>{figure_width}}"))


def _number(value: float | None, unit: str = "") -> str:
    return MISSING if value is None else f"{value:.0f}{unit}"


def _processes(gpu: GpuSample) -> Line:
    if gpu.processes is None:
        return text(MISSING, Role.DIM)
    if not gpu.processes:
        return text("free", Role.DIM)
    largest = max(gpu.processes, key=lambda process: process.used_memory_bytes or 0)
    line = f"{clean(largest.name or 'pid')} {largest.pid} {format_bytes(largest.used_memory_bytes)}"
    others = len(gpu.processes) - 1
    return text(f"{line} +{others}" if others else line)


def _driver_facts(snapshot: Snapshot) -> Line:
    driver = snapshot.driver
    stuck = f"{driver.stuck_calls} stuck calls" if driver.stuck_calls else ""
    if not driver.up:
        return text(clean(f"{glyphs.CROSS} driver: {driver.message}"), Role.ERROR)
    cuda = f"CUDA {driver.cuda_driver_version}" if driver.cuda_driver_version else ""
    return dim_join(f"driver {driver.driver_version or MISSING}", cuda, stuck)


def _host(snapshot: Snapshot, view: View) -> Frame:
    host, driver = snapshot.host, snapshot.driver
    used = host.memory_total_bytes - host.memory_available_bytes
    name = clean(host.cpu_name)
    columns = (
        Column("DEVICE", 6),
        Column("NAME", min(max(len(name), 4), max(view.width - 62, 12)), 2),
        Column("CORES", 5, 1, right=True),
        Column("UTIL", 15, grow=True, limit=50),
        Column("MEMORY GiB", 21, grow=True, limit=50),
    )
    fitted = fit_columns(columns, view.width - 4)
    cells: tuple[Cell, ...] = (
        text("cpu"),
        text(name),
        text(str(host.cpu_count)),
        _bar_cell(host.cpu_utilization_ratio, format_ratio(host.cpu_utilization_ratio), 5),
        _bar_cell(
            used / host.memory_total_bytes if host.memory_total_bytes else None,
            f"{format_gib(used):>5} / {format_gib(host.memory_total_bytes)}",
            13,
            hot=True,
        ),
    )
    if driver.present and not driver.up:
        info = _driver_facts(snapshot)
    else:
        info = text(clean(driver.message) or "no NVIDIA driver", Role.DIM)
    head = (Span("   "), *table_head(fitted, columns))
    return Frame(
        (rule("DEVICES", info, view), pad(head, view.width)),
        (Row(pad(marked(table_line(fitted, columns, cells), view.focused), view.width), "cpu"),),
    )


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
    for level in range(4):
        line = _tabs(tabs, active, crumbs, level)
        if line_width(line) + line_width(rights[-1]) <= room or level == 3:
            break
    fitting = next((right for right in rights if line_width(line) + line_width(right) <= room), ())
    return Frame((spread(line, fitting, view.width),))


def _tabs(tabs: Sequence[tuple[str, str, str]], active: str, crumbs: Sequence[str], level: int) -> Line:
    parts: list[Line] = [text("wan-tui", Role.STRONG)] if level < 2 else []
    for key, title, short in tabs:
        if key == active:
            names = f" {glyphs.CRUMB} ".join((title if level < 3 else short, *map(clean, crumbs)))
            parts.append((Span(f" {key} {names} ", Role.TAB),))
        else:
            name = (title, short, short, "")[level]
            parts.append((Span(f"{key} {name}".rstrip(), Role.DIM),))
    return join(parts, "  " if level == 0 else " ")
