"""``wan-tui status``."""

from pathlib import Path

from wan_tui.cli.attach import Where, run_on
from wan_tui.cli.engine import first_snapshot
from wan_tui.cli.text import columns
from wan_tui.core.hardware.samples import GpuSample
from wan_tui.core.runtime.state import DeploymentStatus
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.units import MISSING, format_bytes, format_ratio


def print_status(config: Path | None, *, as_json: bool, where: Where) -> int:
    """Of the agent if there is one, else as a look from here: looking leaves nothing behind."""
    snapshot = run_on(where, config, first_snapshot, start=False)
    print(snapshot.to_json(indent=2) if as_json else status_text(snapshot))
    return 0


def status_text(snapshot: Snapshot) -> str:
    """Devices, then deployments, as plain text."""
    parts = [_devices(snapshot), _deployments(snapshot)]
    if snapshot.config.problem:
        parts.insert(0, f"the configuration could not be reloaded, the one before applies: {snapshot.config.problem}")
    return "\n\n".join(parts)


def _devices(snapshot: Snapshot) -> str:
    host = snapshot.host
    rows = [[*_gpu_cells(gpu)] for gpu in snapshot.gpus]
    used = host.memory_total_bytes - host.memory_available_bytes
    memory = f"{format_bytes(used)} / {format_bytes(host.memory_total_bytes)}"
    busy = format_ratio(host.cpu_utilization_ratio)
    rows.append(["cpu", f"{host.cpu_name} x{host.cpu_count}", memory, busy, MISSING, "up"])
    table = columns(["DEVICE", "NAME", "MEMORY USED", "BUSY", "TEMP", "STATE"], rows)
    return table if snapshot.driver.up else f"{snapshot.driver.message}\n{table}"


def _gpu_cells(gpu: GpuSample) -> tuple[str, ...]:
    return (
        f"gpu:{gpu.index}",
        gpu.name,
        f"{format_bytes(gpu.memory_used_bytes)} / {format_bytes(gpu.memory_total_bytes)}",
        format_ratio(gpu.utilization_ratio),
        MISSING if gpu.temperature_celsius is None else f"{gpu.temperature_celsius:.0f} C",
        "up" if gpu.up else f"LOST: {gpu.error}",
    )


def _deployments(snapshot: Snapshot) -> str:
    rows = [
        [
            status.name,
            status.model,
            status.state,
            _device(status),
            str(status.queued_jobs),
            status.compatibility.verdict,
            status.compatibility.reason,
        ]
        for status in snapshot.deployments
    ]
    table = columns(["DEPLOYMENT", "MODEL", "STATE", "DEVICE", "QUEUED", "VERDICT", "WHY"], rows)
    changes = [
        f"{status.name}: {'next job' if change.due else 'considered'}: {change.text}"
        for status in snapshot.deployments
        if (change := status.next_plan) is not None
    ]
    return "\n".join([table, *changes])


def _device(status: DeploymentStatus) -> str:
    """Where its worker is; in brackets where it would be loaded."""
    if status.plan is not None:
        return status.plan.device
    planned = status.compatibility.plan
    return f"({planned.device})" if planned else MISSING
