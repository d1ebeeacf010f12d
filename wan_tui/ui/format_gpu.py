"""Snapshot to lines: all about one GPU. Pure, as ``format``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wan_tui.core.units import MISSING, format_bytes, format_gib, format_ratio, format_seconds
from wan_tui.ui import chart, glyphs
from wan_tui.ui.format import words
from wan_tui.ui.format_devices import flags, gpu_name, memory_cell, number, ours_bytes, xids
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
    pad,
    rule,
    shorten,
    table_head,
    table_line,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wan_tui.core.hardware.processes import ProcessDetail
    from wan_tui.core.hardware.samples import GpuProcess, GpuSample
    from wan_tui.core.hardware.trace import GpuTraces
    from wan_tui.core.runtime.state import DeploymentStatus
    from wan_tui.core.snapshot import Snapshot

HOUR_POINTS = 720
LABEL = 13


def find(snapshot: Snapshot, uuid: str | None) -> GpuSample | None:
    return next((gpu for gpu in snapshot.gpus if gpu.uuid == uuid), None)


def facts(snapshot: Snapshot, uuid: str | None, view: View) -> Frame:
    """Figures of the GPU in pairs of name and value, in two columns where there is room."""
    gpu = find(snapshot, uuid)
    if gpu is None:
        why = "no GPU here: everything runs on the processors" if not snapshot.gpus else "select a GPU"
        return Frame((rule("GPU", (), view),), (Row(pad(text(f"   {why}", Role.DIM), view.width)),))
    title = f"GPU {gpu.index}"
    info = text(clean(gpu.name), Role.DIM)
    pairs = _pairs(snapshot, gpu) if gpu.up else _lost(gpu)
    columns = 2 if view.width >= 96 else 1
    room = (view.width - 3) // columns
    lines: list[Line] = []
    height = -(-len(pairs) // columns)
    for at in range(height):
        line: list[Span] = [Span("   ")]
        for name, value in pairs[at::height][:columns]:
            shown = value(room - LABEL - 2) if callable(value) else value
            line += pad((Span(f"{name:<{LABEL}}", Role.DIM), *shown), room)
        lines.append(pad(tuple(line), view.width))
    return Frame((rule(title, info, view),), tuple(Row(line) for line in lines))


def _lost(gpu: GpuSample) -> list[tuple[str, Cell]]:
    return [
        ("state", text(f"{glyphs.CROSS} LOST  {clean(gpu.error or 'no reason given')}", Role.ERROR)),
        ("Xid errors", text(xids(gpu) or "none was reported", Role.ERROR if gpu.xid_errors else Role.DIM)),
        ("next", text("look for Xid messages in dmesg; then reset the GPU or reboot the host")),
        ("PCI bus", text(gpu.pci_bus_id or MISSING)),
        ("UUID", text(gpu.uuid, Role.DIM)),
    ]


def _pairs(snapshot: Snapshot, gpu: GpuSample) -> list[tuple[str, Cell]]:
    limits = f"slows at {number(gpu.temperature_slowdown_celsius)}, stops at {number(gpu.temperature_shutdown_celsius)}"
    memory_hot = "" if gpu.memory_temperature_celsius is None else f", memory {gpu.memory_temperature_celsius:.0f}"
    ours, used = ours_bytes(snapshot, gpu), gpu.memory_used_bytes
    others = None if used is None else max(used - ours, 0)
    ecc = (
        "off or not supported"
        if gpu.ecc_corrected_errors is None and gpu.ecc_uncorrected_errors is None
        else f"{number(gpu.ecc_corrected_errors)} corrected, {number(gpu.ecc_uncorrected_errors)} uncorrected"
    )
    rows = {None: MISSING, False: "none", True: "pending: reset the GPU"}[gpu.remapped_rows_pending]
    if gpu.remapped_rows_failure:
        rows = "failed: have the card replaced"
    energy = MISSING if gpu.energy_joules is None else f"{gpu.energy_joules / 3.6e6:.2f} kWh since the driver loaded"
    generation = f"generation {gpu.pcie_link_generation}" if gpu.pcie_link_generation else MISSING
    width = f"{glyphs.TIMES}{gpu.pcie_link_width}" if gpu.pcie_link_width else ""
    return [
        (
            "utilization",
            text(f"{format_ratio(gpu.utilization_ratio)}, memory {format_ratio(gpu.memory_activity_ratio)}"),
        ),
        ("memory", memory_cell(snapshot, gpu)),
        ("", text(f"ours {_gib(ours)}, others {_gib(others)}, driver {_gib(gpu.memory_reserved_bytes)}", Role.DIM)),
        ("temperature", text(f"{number(gpu.temperature_celsius)} {glyphs.DEGREE}C{memory_hot}; {limits}")),
        ("power", text(f"{number(gpu.power_watts)} of {number(gpu.power_limit_watts)} W")),
        ("energy", text(energy)),
        ("fan", text(format_ratio(gpu.fan_speed_ratio))),
        ("SM clock", text(f"{_mhz(gpu.sm_clock_hertz)} of {_mhz(gpu.sm_clock_max_hertz)} MHz")),
        ("memory clock", text(f"{_mhz(gpu.memory_clock_hertz)} of {_mhz(gpu.memory_clock_max_hertz)} MHz")),
        ("held down by", flags(gpu)),
        ("ECC errors", text(ecc, Role.ERROR if gpu.ecc_uncorrected_errors else Role.TEXT)),
        ("row remaps", text(rows, Role.ERROR if gpu.remapped_rows_failure else Role.TEXT)),
        ("Xid errors", _xid_cell(snapshot, gpu)),
        ("recovery", text(words(gpu.recovery_action) if gpu.recovery_action else MISSING)),
        ("MIG", text(_mig(gpu))),
        ("PCIe", text(f"{generation} {width}".rstrip())),
        ("PCI bus", text(gpu.pci_bus_id or MISSING)),
        ("capability", text(gpu.compute_capability or MISSING)),
        ("deployments", text(", ".join(d.name for d in planned_on(snapshot, gpu)) or "none")),
        ("UUID", text(gpu.uuid, Role.DIM)),
    ]


def planned_on(snapshot: Snapshot, gpu: GpuSample) -> list[DeploymentStatus]:
    return [d for d in snapshot.deployments if d.compatibility.plan and d.compatibility.plan.gpu_uuid == gpu.uuid]


def _xid_cell(snapshot: Snapshot, gpu: GpuSample) -> Line:
    """What the driver reported since the engine started, and how long ago the last was."""
    if gpu.xid_errors is None:
        return text("not reported for this device", Role.DIM)
    if not gpu.xid_errors:
        return text("none")
    ago = format_seconds(snapshot.taken_at - max(error.last_at for error in gpu.xid_errors))
    return text(f"{xids(gpu)}, the last {ago} ago", Role.ERROR)


def _mig(gpu: GpuSample) -> str:
    if gpu.mig_mode is None:
        return "not supported"
    slices = ", ".join(device.profile for device in gpu.mig_devices or ())
    return f"{words(gpu.mig_mode)}: {slices}" if slices else words(gpu.mig_mode)


def _gib(value: int | None) -> str:
    return format_bytes(value)


def _mhz(value: float | None) -> str:
    return MISSING if value is None else f"{value / 1e6:.0f}"


def processes(snapshot: Snapshot, uuid: str | None, known: Mapping[int, ProcessDetail], view: View) -> Frame:
    """Who holds the memory, the largest first: pid, owner, memory, since when, command."""
    gpu = find(snapshot, uuid)
    if gpu is None or not gpu.up:
        return Frame()
    if not gpu.processes:
        why = "none" if gpu.processes is not None else "the driver does not tell the processes here"
        return Frame((rule("PROCESSES", (), view),), (Row(pad(text(f"   {why}", Role.DIM), view.width)),))
    ours = {d.worker.pid: d.name for d in snapshot.deployments if d.worker is not None}
    columns = (
        Column("PID", 8, right=True),
        Column("OWNER", 10, grow=True, limit=18),
        Column("MEMORY", 10, right=True),
        Column("RUNNING", 10, 1, right=True),
        Column("COMMAND", 22, grow=True),
    )
    fitted = fit_columns(columns, view.width - 4)
    rows = []
    for process in sorted(gpu.processes, key=lambda process: -(process.used_memory_bytes or 0)):
        cells = _process_cells(snapshot, process, known.get(process.pid), ours.get(process.pid))
        rows.append(Row(pad((Span("   "), *table_line(fitted, columns, cells)), view.width), str(process.pid)))
    head = (Span("   "), *table_head(fitted, columns))
    many = text(f"{len(rows)}, ours by the name of their deployment", Role.DIM)
    return Frame((rule("PROCESSES", many, view), pad(head, view.width)), tuple(rows))


def _process_cells(
    snapshot: Snapshot, process: GpuProcess, detail: ProcessDetail | None, deployment: str | None
) -> tuple[Cell, ...]:
    user = detail.user if detail is not None and detail.user else MISSING
    owner = text(clean(deployment), Role.ACCENT) if deployment else text(clean(user), Role.WARN)
    running = (
        MISSING
        if detail is None or detail.started_at is None
        else format_seconds(snapshot.taken_at - detail.started_at)
    )
    command = (detail.command if detail is not None else None) or process.name or MISSING
    return (
        text(str(process.pid)),
        owner,
        text(format_bytes(process.used_memory_bytes)),
        text(running, Role.DIM),
        lambda width: text(shorten(clean(command), width)),
    )


class _Course(NamedTuple):
    """A graph: what of the trace it shows, on which scale, with which level marked."""

    title: str
    field: str
    high: float | None
    label: Callable[[float], str]
    role: Role
    mark: float | None = None


def _courses(gpu: GpuSample) -> tuple[_Course, ...]:
    hottest, slows = gpu.temperature_shutdown_celsius, gpu.temperature_slowdown_celsius
    return (
        _Course("utilization", "utilization_ratio", 1.0, format_ratio, Role.ACCENT),
        _Course(
            "memory GiB",
            "memory_used_bytes",
            gpu.memory_total_bytes,
            lambda value: format_gib(value) if value else "0",
            Role.OK,
        ),
        _Course("power W", "power_watts", gpu.power_limit_watts, number, Role.WARN),
        _Course(f"temperature {glyphs.DEGREE}C", "temperature_celsius", hottest, number, Role.TEXT, slows),
    )


def graphs(snapshot: Snapshot, uuid: str | None, traces: GpuTraces, view: View) -> Frame:
    """The last hour: utilization, memory, power and temperature, in as many lines as there are."""
    gpu = find(snapshot, uuid)
    if gpu is None or view.height < 4:
        return Frame()
    room = view.height - 2
    count = 4 if room >= 12 else 2 if room >= 6 else 1
    lines: list[Line] = []
    for at, sort in enumerate(_courses(gpu)[:count]):
        values = traces.recent(gpu.uuid, sort.field, HOUR_POINTS)
        newest = next((value for value in reversed(values) if value is not None), None)
        now = sort.label(newest) if newest is not None else MISSING
        title = (Span(f"{'':{chart.LABEL_WIDTH}}{sort.title} ", Role.DIM), Span(now, Role.STRONG))
        lines.append(pad(title, view.width))
        lines += chart.area(
            values,
            high=sort.high or max((value for value in values if value is not None), default=0.0) or 1.0,
            width=view.width - 1,
            height=max(room // count + (at < room % count) - 1, 1),
            spare=HOUR_POINTS,
            label=sort.label,
            role=sort.role,
            mark=sort.mark,
        )
    lines.append(chart.time_axis(3600, view.width - 1))
    about = f"GPU {gpu.index} {gpu_name(gpu)}: last hour"
    return Frame((rule(about.upper(), (), view),), tuple(Row(pad(line, view.width)) for line in lines))
