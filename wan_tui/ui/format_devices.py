"""Snapshot to lines: the GPUs and the host. Pure, as ``format``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_tui.core.units import MISSING, format_bytes, format_gib, format_ratio
from wan_tui.ui import glyphs
from wan_tui.ui.format import dim_join, words
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
    marked,
    meter,
    pad,
    rule,
    spark,
    table_head,
    table_line,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wan_tui.core.hardware.samples import GpuSample
    from wan_tui.core.hardware.trace import GpuTraces
    from wan_tui.core.snapshot import Snapshot

HOT_RATIO = 0.9
HOST_KEY = "cpu"
LOW_DISK_BYTES = 20 * 2**30
"""As the alert WanTuiStorageLow."""
_NO_THROTTLE = ("gpu_idle",)  # the driver's word for a clock that is low because nothing runs


def devices(snapshot: Snapshot, traces: GpuTraces | None, view: View) -> Frame:
    """Every GPU that was ever seen, lost ones included, then the host as the device that it is."""
    columns = _columns(snapshot, view.width)
    fitted = fit_columns(columns, view.width - 4)
    rows: list[Row] = []
    for gpu in snapshot.gpus:
        if gpu.up:
            line = table_line(fitted, columns, _gpu_cells(snapshot, gpu, traces, view.width))
        else:
            name = table_line(fitted[:2], columns, (text(str(gpu.index)), text(gpu_name(gpu))))
            why = "  ".join(filter(None, (xids(gpu), clean(gpu.error or ""))))
            line = (*name, Span("  "), Span(f"{glyphs.CROSS} LOST  {why}", Role.ERROR))
        selected = view.focused and view.cursor == gpu.uuid
        rows.append(Row(pad(marked(line, selected), view.width), gpu.uuid))
    host = table_line(fitted, columns, _host_cells(snapshot))
    rows.append(Row(pad(marked(host, view.focused and view.cursor == HOST_KEY), view.width), HOST_KEY))
    head = (Span("   "), *table_head(fitted, columns))
    return Frame((rule("DEVICES", driver_facts(snapshot), view), pad(head, view.width)), tuple(rows))


def _columns(snapshot: Snapshot, width: int) -> tuple[Column, ...]:
    names = [gpu_name(gpu) for gpu in snapshot.gpus] or [clean(snapshot.host.cpu_name)]
    widest = 9 if width < 76 else 16 if width < 100 else 26
    fan = any(gpu.fan_speed_ratio is not None for gpu in snapshot.gpus)
    gpus = bool(snapshot.gpus)

    def column(title: str, width: int, priority: int, there: bool = gpus, **more: bool | int) -> Column:
        """A column that is the first to go when there is nothing to put in it."""
        return Column(title, width if there else 10_000, priority if there else 99, **more)  # type: ignore[arg-type]

    return (
        Column("GPU" if gpus else "", 3, right=True),
        Column("NAME", min(max(*map(len, names), 4), widest)),
        Column("UTIL", 12, grow=True, limit=24),
        Column("MEMORY GiB", 20, grow=True, limit=44),
        column("TEMP", 5, 1, right=True),
        column("POWER W", 9, 2, right=True),
        Column("FLAGS", 14, 3, grow=True, limit=24),
        column("SM MHz", 6, 5, right=True),
        column("FAN", 5, 6, fan, right=True),
        Column("PROCESSES" if gpus else "", 27 if gpus else 10, 4, grow=gpus, limit=40),
    )


def gpu_name(gpu: GpuSample) -> str:
    """Without the words that every name has."""
    return clean(gpu.name).removeprefix("NVIDIA ").removeprefix("GeForce ")


def _gpu_cells(snapshot: Snapshot, gpu: GpuSample, traces: GpuTraces | None, width: int) -> tuple[Cell, ...]:
    hot = (
        gpu.temperature_celsius is not None and gpu.temperature_celsius >= (gpu.temperature_slowdown_celsius or 1e9) - 5
    )
    return (
        text(str(gpu.index)),
        text(gpu_name(gpu)),
        _utilization(gpu, traces, width),
        memory_cell(snapshot, gpu),
        text(number(gpu.temperature_celsius, f" {glyphs.DEGREE}C"), Role.WARN if hot else Role.TEXT),
        text(f"{number(gpu.power_watts)} / {number(gpu.power_limit_watts)}"),
        flags(gpu),
        text(number(None if gpu.sm_clock_hertz is None else gpu.sm_clock_hertz / 1e6)),
        text(format_ratio(gpu.fan_speed_ratio)),
        _processes(gpu),
    )


def _utilization(gpu: GpuSample, traces: GpuTraces | None, screen: int) -> Callable[[int], Line]:
    """The last minutes at the left, the figure at the right; without a course yet, a bar.

    On a small terminal the course has no colour of its own: each one costs some 80 bytes a row and second.
    """
    role = Role.ACCENT if screen >= 100 else Role.TEXT
    figure = Span(f" {format_ratio(gpu.utilization_ratio):>5}")

    def course(count: int) -> list[float | None]:
        # Of averages that are over: the course moves on every few seconds, the figure with every snapshot.
        return [] if traces is None else traces.recent(gpu.uuid, "utilization_ratio", count, complete=True)

    if len(course(2)) < 2:
        return lambda width: (*meter(gpu.utilization_ratio, width - 6), figure)
    return lambda width: (*spark(course(width - 6), width - 6, role), figure)


def memory_cell(snapshot: Snapshot, gpu: GpuSample) -> Callable[[int], Line]:
    """Who holds the memory: our workers, others, the driver; then used and whole in GiB."""
    used, total = gpu.memory_used_bytes, gpu.memory_total_bytes
    figure = Span(f" {format_gib(used):>5} / {format_gib(total):>5}")
    if used is None or not total:
        return lambda width: (*meter(None, width - len(figure.text)), figure)
    ours = ours_bytes(snapshot, gpu)
    role = Role.WARN if used / total >= HOT_RATIO else Role.ACCENT
    parts = (
        (ours / total, glyphs.BAR, role),
        (max(used - ours, 0) / total, glyphs.OTHERS, Role.WARN),
        ((gpu.memory_reserved_bytes or 0) / total, glyphs.DRIVER, Role.TRACK),
    )
    return lambda width: (*stacked(parts, width - len(figure.text)), figure)


def ours_bytes(snapshot: Snapshot, gpu: GpuSample) -> int:
    """What workers of the deployments hold on ``gpu``; all that is used where the driver names no process."""
    if gpu.processes is None:
        return gpu.memory_used_bytes or 0
    pids = {d.worker.pid for d in snapshot.deployments if d.worker is not None}
    return sum(process.used_memory_bytes or 0 for process in gpu.processes if process.pid in pids)


def stacked(parts: Sequence[tuple[float, str, Role]], width: int) -> Line:
    """Shares of a whole beside each other, each with a mark of its own; any share at all shows."""
    spans: list[Span] = []
    filled = 0
    for ratio, mark, role in parts:
        cells = min(max(round(ratio * width), 1 if ratio > 0.005 else 0), width - filled)
        if cells > 0:
            spans.append(Span(mark * cells, role))
            filled += cells
    if filled < width:
        spans.append(Span(glyphs.TRACK * (width - filled), Role.TRACK))
    return tuple(spans)


def flags(gpu: GpuSample) -> Line:
    """What is wrong with a GPU, in words: why its clocks are held down, memory errors, rows to replace."""
    found: list[str] = [xids(gpu)] if gpu.xid_errors else []
    if gpu.remapped_rows_failure:
        found.append("row failure")
    if gpu.ecc_uncorrected_errors:
        found.append(f"ECC {gpu.ecc_uncorrected_errors}")
    if gpu.throttle_reasons is not None:
        found += [words(reason) for reason in gpu.throttle_reasons if reason not in _NO_THROTTLE]
    if gpu.remapped_rows_pending:
        found.append("reset due")
    if found:
        bad = gpu.remapped_rows_failure or gpu.ecc_uncorrected_errors or gpu.xid_errors
        worst = Role.ERROR if bad else Role.WARN
        return (Span(f"{glyphs.WARN} ", worst), Span(", ".join(found), worst))
    return text("none" if gpu.throttle_reasons is not None else MISSING, Role.DIM)


def xids(gpu: GpuSample) -> str:
    """The errors that the driver reported, the newest first: ``Xid 79``, ``Xid 13 (4 times)``."""
    newest = sorted(gpu.xid_errors or (), key=lambda error: -error.last_at)
    return ", ".join(f"Xid {error.xid}" + (f" ({error.count} times)" if error.count > 1 else "") for error in newest)


def number(value: float | None, unit: str = "") -> str:
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


def driver_facts(snapshot: Snapshot) -> Line:
    driver = snapshot.driver
    if not driver.present:
        return text(clean(driver.message) or "no NVIDIA driver", Role.DIM)
    if not driver.up:
        return text(clean(f"{glyphs.CROSS} driver: {driver.message}"), Role.ERROR)
    cuda = f"CUDA {driver.cuda_driver_version}" if driver.cuda_driver_version else ""
    stuck = f"{driver.stuck_calls} stuck calls" if driver.stuck_calls else ""
    return dim_join(f"driver {driver.driver_version or MISSING}", cuda, stuck)


def _host_cells(snapshot: Snapshot) -> tuple[Cell, ...]:
    host = snapshot.host
    used = host.memory_total_bytes - host.memory_available_bytes
    ratio = used / host.memory_total_bytes if host.memory_total_bytes else None
    role = Role.WARN if ratio is not None and ratio >= HOT_RATIO else Role.ACCENT
    figure = Span(f" {format_gib(used):>5} / {format_gib(host.memory_total_bytes):>5}")
    cpu = Span(f" {format_ratio(host.cpu_utilization_ratio):>5}")
    low = [words(v.volume) for v in host.volumes if v.free_bytes < LOW_DISK_BYTES and v.volume != "models"]
    state = text(f"{glyphs.WARN} disk: {', '.join(low)}", Role.WARN) if low else text("none", Role.DIM)
    return (
        text("cpu"),
        text(clean(host.cpu_name)),
        lambda width: (*meter(host.cpu_utilization_ratio, width - 6), cpu),
        lambda width: (*meter(ratio, width - len(figure.text), role), figure),
        (),
        (),
        state,
        (),
        (),
        text(f"{host.cpu_count} cores", Role.DIM),
    )
