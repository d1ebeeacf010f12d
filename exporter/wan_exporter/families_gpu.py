"""Families about the NVIDIA driver and the GPUs. A lost GPU keeps its identity and ``up`` 0, nothing else."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from wan_exporter.families import Families, Samples, counter, gauge
from wan_exporter.families_identity import GPU, identity
from wan_exporter.families_mig import mig_families
from wan_tui.core.hardware.nvml_fields import OTHER_RECOVERY_ACTION, RECOVERY_ACTIONS, THROTTLE_REASONS
from wan_tui.core.hardware.samples import DriverStatus, GpuProcess, GpuSample, XidCount
from wan_tui.core.snapshot import Snapshot


def gpu_families(snapshot: Snapshot) -> Families:
    """Nothing at all on a host without an NVIDIA driver: such a host is normal, and no alert may fire there."""
    yield from _driver([snapshot.driver] if snapshot.driver.present else [], snapshot)
    yield from _identity(snapshot.gpus)
    readable = [gpu for gpu in snapshot.gpus if gpu.up]
    for spec in GAUGES:
        yield from gauge(spec.name, spec.documentation, GPU, [(identity(gpu), spec.read(gpu)) for gpu in readable])
    for spec in COUNTERS:
        yield from counter(spec.name, spec.documentation, GPU, [(identity(gpu), spec.read(gpu)) for gpu in readable])
    yield from _temperatures(readable)
    yield from _clocks(readable)
    yield from _recovery(readable)
    yield from _xids(snapshot.gpus)
    yield from mig_families(readable)
    yield from _owners(readable, {d.worker.pid for d in snapshot.deployments if d.worker is not None})


# --- one value per GPU ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """A family with one series per GPU, and how to read its value; None where the device does not support it."""

    name: str
    documentation: str
    read: Callable[[GpuSample], float | None]


GAUGES = (
    Reading("wantui_gpu_memory_total_bytes", "Memory of the GPU.", lambda gpu: gpu.memory_total_bytes),
    Reading(
        "wantui_gpu_memory_used_bytes",
        "Memory that processes hold on the GPU, without the driver's own reserve.",
        lambda gpu: gpu.memory_used_bytes,
    ),
    Reading(
        "wantui_gpu_memory_reserved_bytes",
        "Memory that the driver and the firmware keep for themselves.",
        lambda gpu: gpu.memory_reserved_bytes,
    ),
    Reading("wantui_gpu_memory_free_bytes", "Memory that can still be allocated.", lambda gpu: gpu.memory_free_bytes),
    Reading(
        "wantui_gpu_memory_used_ratio",
        "Used memory divided by total memory, from 0 to 1: what is often called VRAM utilization.",
        lambda gpu: memory_used_ratio(gpu),
    ),
    Reading(
        "wantui_gpu_utilization_ratio",
        "Share of the last sample period in which a kernel ran, from 0 to 1.",
        lambda gpu: gpu.utilization_ratio,
    ),
    Reading(
        "wantui_gpu_memory_activity_ratio",
        "Share of the last sample period in which memory was read or written, from 0 to 1: bandwidth, not occupancy.",
        lambda gpu: gpu.memory_activity_ratio,
    ),
    Reading("wantui_gpu_power_watts", "Power that the GPU draws.", lambda gpu: gpu.power_watts),
    Reading("wantui_gpu_power_limit_watts", "Power limit that is enforced now.", lambda gpu: gpu.power_limit_watts),
    Reading(
        "wantui_gpu_fan_speed_ratio",
        "Intended fan speed, from 0 to 1; absent on passively cooled cards.",
        lambda gpu: gpu.fan_speed_ratio,
    ),
    Reading(
        "wantui_gpu_remapped_rows_pending",
        "1 when remapped memory rows wait for a reset of the GPU, 0 otherwise.",
        lambda gpu: gpu.remapped_rows_pending,
    ),
    Reading(
        "wantui_gpu_remapped_rows_failure",
        "1 when a memory row could not be remapped, which is a reason to replace the card, 0 otherwise.",
        lambda gpu: gpu.remapped_rows_failure,
    ),
    Reading(
        "wantui_gpu_pcie_link_generation",
        "PCI Express generation of the link now; idle GPUs lower it to save power.",
        lambda gpu: gpu.pcie_link_generation,
    ),
    Reading("wantui_gpu_pcie_link_width", "PCI Express lanes of the link now.", lambda gpu: gpu.pcie_link_width),
)

COUNTERS = (
    Reading(
        "wantui_gpu_energy_joules_total",
        "Energy that the GPU used since the driver was loaded.",
        lambda gpu: gpu.energy_joules,
    ),
    Reading(
        "wantui_gpu_ecc_corrected_errors_total",
        "Memory errors that ECC corrected since the driver was loaded.",
        lambda gpu: gpu.ecc_corrected_errors,
    ),
    Reading(
        "wantui_gpu_ecc_uncorrected_errors_total",
        "Memory errors that ECC could not correct since the driver was loaded; results may be wrong.",
        lambda gpu: gpu.ecc_uncorrected_errors,
    ),
    Reading(
        "wantui_gpu_pcie_transmit_bytes_total",
        "Bytes that the GPU sent over PCI Express; absent where the driver has no counter of 64 bits.",
        lambda gpu: gpu.pcie_transmit_bytes,
    ),
    Reading(
        "wantui_gpu_pcie_receive_bytes_total",
        "Bytes that the GPU received over PCI Express; absent where the driver has no counter of 64 bits.",
        lambda gpu: gpu.pcie_receive_bytes,
    ),
    Reading(
        "wantui_gpu_nvlink_transmit_bytes_total",
        "Data that the GPU sent over all its NVLinks, without protocol; absent where it has none.",
        lambda gpu: gpu.nvlink_transmit_bytes,
    ),
    Reading(
        "wantui_gpu_nvlink_receive_bytes_total",
        "Data that the GPU received over all its NVLinks, without protocol; absent where it has none.",
        lambda gpu: gpu.nvlink_receive_bytes,
    ),
)


def memory_used_ratio(gpu: GpuSample) -> float | None:
    if gpu.memory_used_bytes is None or not gpu.memory_total_bytes:
        return None
    return gpu.memory_used_bytes / gpu.memory_total_bytes


# --- several values per GPU -------------------------------------------------------------------------------------------


def _driver(drivers: Sequence[DriverStatus], snapshot: Snapshot) -> Families:
    """``drivers`` is the driver, or empty without one."""
    yield from gauge(
        "wantui_nvml_up",
        "1 when the NVIDIA driver answers, 0 when it does not. It is asked in the background and never by a scrape, "
        "since its calls can hang. Absent on a host without an NVIDIA driver.",
        (),
        [((), driver.up) for driver in drivers],
    )
    yield from gauge(
        "wantui_nvml_stuck_calls",
        "Driver calls that passed their deadline and have not returned yet. Absent on a host without an NVIDIA driver.",
        (),
        [((), driver.stuck_calls) for driver in drivers],
    )
    versions = [(driver.driver_version, driver.nvml_version, driver.cuda_driver_version) for driver in drivers]
    yield from gauge(
        "wantui_nvml_info",
        "Versions of the NVIDIA driver, of NVML and of CUDA that the driver supports; the value is always 1.",
        ("driver_version", "nvml_version", "cuda_driver_version"),
        [([version or "" for version in found], 1) for found in versions if any(found)],
    )
    counted = bool(drivers) or snapshot.gpus_expected is not None
    yield from gauge(
        "wantui_gpus",
        "GPUs that were seen since the engine started, lost ones included. Absent on a host without an NVIDIA driver, "
        "unless the configuration says that it has GPUs.",
        (),
        [((), len(snapshot.gpus))] if counted else [],
    )
    yield from gauge(
        "wantui_gpus_expected",
        "GPUs that the host should have: polling.expected_gpus, or as many as the driver counted first.",
        (),
        [((), snapshot.gpus_expected)],
    )


def _identity(gpus: Iterable[GpuSample]) -> Families:
    yield from gauge(
        "wantui_gpu_up",
        "1 when the last reading of the GPU worked. 0, not absent, when the GPU is lost or does not answer.",
        GPU,
        [(identity(gpu), gpu.up) for gpu in gpus],
    )
    yield from gauge(
        "wantui_gpu_info",
        "Name, PCI address, compute capability and MIG mode of a GPU; the value is always 1.",
        (*GPU, "name", "pci_bus_id", "compute_capability", "mig_mode"),
        [
            (
                (*identity(gpu), gpu.name, gpu.pci_bus_id or "", gpu.compute_capability or "", gpu.mig_mode or ""),
                1,
            )
            for gpu in gpus
        ],
    )


def _temperatures(gpus: Iterable[GpuSample]) -> Families:
    yield from gauge(
        "wantui_gpu_temperature_celsius",
        "Temperature of the core or of the memory.",
        (*GPU, "sensor"),
        [
            ((*identity(gpu), sensor), value)
            for gpu in gpus
            for sensor, value in (("core", gpu.temperature_celsius), ("memory", gpu.memory_temperature_celsius))
        ],
    )
    yield from gauge(
        "wantui_gpu_temperature_threshold_celsius",
        "Core temperature at which the GPU slows down or shuts down.",
        (*GPU, "threshold"),
        [
            ((*identity(gpu), threshold), value)
            for gpu in gpus
            for threshold, value in (
                ("slowdown", gpu.temperature_slowdown_celsius),
                ("shutdown", gpu.temperature_shutdown_celsius),
            )
        ],
    )


def _clocks(gpus: Iterable[GpuSample]) -> Families:
    yield from gauge(
        "wantui_gpu_clock_hertz",
        "Clock of the streaming multiprocessors or of the memory now.",
        (*GPU, "domain"),
        [
            ((*identity(gpu), domain), value)
            for gpu in gpus
            for domain, value in (("sm", gpu.sm_clock_hertz), ("memory", gpu.memory_clock_hertz))
        ],
    )
    yield from gauge(
        "wantui_gpu_clock_max_hertz",
        "Highest clock of the streaming multiprocessors or of the memory.",
        (*GPU, "domain"),
        [
            ((*identity(gpu), domain), value)
            for gpu in gpus
            for domain, value in (("sm", gpu.sm_clock_max_hertz), ("memory", gpu.memory_clock_max_hertz))
        ],
    )
    yield from gauge(
        "wantui_gpu_throttle_active",
        "1 for each reason that holds the clocks down now, 0 for the others; several can be 1.",
        (*GPU, "reason"),
        [
            ((*identity(gpu), reason), float(reason in gpu.throttle_reasons))
            for gpu in gpus
            if gpu.throttle_reasons is not None
            for reason in THROTTLE_REASONS
        ],
    )


def _recovery(gpus: Iterable[GpuSample]) -> Families:
    yield from gauge(
        "wantui_gpu_recovery_action",
        "What the driver asks for so that the GPU works again: exactly one action is 1, none where all is well.",
        (*GPU, "action"),
        [
            ((*identity(gpu), action), float(action == gpu.recovery_action))
            for gpu in gpus
            if gpu.recovery_action is not None
            for action in (*RECOVERY_ACTIONS.values(), OTHER_RECOVERY_ACTION)
        ],
    )


XIDS = (13, 31, 43, 45, 48, 61, 62, 63, 64, 69, 74, 79, 92, 94, 95, 119, 120, 154)
"""Xid numbers with a series of their own from the start; all others are counted together."""
OTHER_XID = "other"


def _xids(gpus: Iterable[GpuSample]) -> Families:
    """Also of a GPU that is lost: they say why."""
    counts = [((*identity(gpu), xid), entries) for gpu in gpus for xid, entries in _by_number(gpu.xid_errors)]
    yield from counter(
        "wantui_gpu_xid_errors_total",
        "Errors that the driver reported on the GPU since the engine started, by Xid number; kept when it is lost.",
        (*GPU, "xid"),
        [(labels, sum(entry.count for entry in entries)) for labels, entries in counts],
    )
    yield from gauge(
        "wantui_gpu_xid_last_timestamp_seconds",
        "Unix time at which the driver last reported this Xid on the GPU; absent until it did.",
        (*GPU, "xid"),
        [(labels, max((entry.last_at for entry in entries), default=None)) for labels, entries in counts],
    )


def _by_number(entries: tuple[XidCount, ...] | None) -> Iterator[tuple[str, list[XidCount]]]:
    """Each number that has a series, with what was counted for it; nothing where the device reports none."""
    if entries is None:
        return
    for number in XIDS:
        yield str(number), [entry for entry in entries if entry.xid == number]
    yield OTHER_XID, [entry for entry in entries if entry.xid not in XIDS]


def _owners(gpus: Iterable[GpuSample], worker_pids: set[int]) -> Families:
    """Who holds the memory, without process ids: workers of the deployments, or anyone else."""
    held = [
        ((*identity(gpu), owner), [p for p in gpu.processes if (p.pid in worker_pids) is (owner == "worker")])
        for gpu in gpus
        if gpu.processes is not None
        for owner in ("worker", "other")
    ]
    memory: Samples = [(labels, _held_bytes(processes)) for labels, processes in held]
    yield from gauge(
        "wantui_gpu_process_memory_bytes",
        "Memory that processes hold on the GPU, by owner: workers of the deployments or other processes. "
        "Absent where the driver does not tell the memory of every process.",
        (*GPU, "owner"),
        memory,
    )
    yield from gauge(
        "wantui_gpu_processes",
        "Processes that use the GPU, by owner: workers of the deployments or other processes.",
        (*GPU, "owner"),
        [(labels, len(processes)) for labels, processes in held],
    )


def _held_bytes(processes: Iterable[GpuProcess]) -> int | None:
    figures = [process.used_memory_bytes for process in processes]
    return None if None in figures else sum(figure for figure in figures if figure is not None)
