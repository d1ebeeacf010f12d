"""*GPU*: health, memory, load, power and heat of each card."""

from wan_dashboards.board import GPU_LOST, XID, Board, Line, Panel, Section
from wan_dashboards.panels import (
    Column,
    bars,
    colored,
    dashed,
    grid,
    limit_line,
    lines,
    stacked,
    timeline,
)
from wan_dashboards.queries import GPU, enum_code, of_gpu
from wan_dashboards.words import RECOVERY, THROTTLE, UP, YES


def board() -> Board:
    return Board(
        uid="wantui-gpu",
        title="Wan GPU",
        description="Health, memory, load, power and temperature of GPUs.",
        annotations=(GPU_LOST, XID),
        sections=(
            Section(
                "Health", [Line(7, [_up(), _recovery()]), Line(9, [_ecc(), _xids(), _remapped()]), Line(7, [_cards()])]
            ),
            Section("Memory", [Line(9, [_used(), _split(), _owners()])]),
            Section("Load", [Line(9, [_utilization(), _activity()]), Line(8, [_clocks(), _throttled()])]),
            Section("MIG", [Line(8, [_slices(), _slice_memory()])]),
            Section("Power and heat", [Line(9, [_power(), _temperature()]), Line(7, [_fans(), _energy(), _link()])]),
        ),
    )


def _up() -> Panel:
    text = "Whether the last reading of each GPU worked. Metric: wantui_gpu_up."
    return timeline("Up", text, UP, (f"wantui_gpu_up{{{GPU}}}", of_gpu()))


def _cards() -> Panel:
    by = "instance, gpu, name, pci_bus_id, compute_capability, mig_mode"
    return grid(
        "Cards",
        "What each GPU is. Metric: wantui_gpu_info.",
        Column("GPU", label="gpu", width=70),
        Column("Name", label="name"),
        Column("PCI", label="pci_bus_id"),
        Column("Capability", label="compute_capability", width=100),
        Column("MIG", label="mig_mode", width=90),
        Column("Host", label="instance"),
        Column("_info", expression=f"max by ({by}) (wantui_gpu_info{{{GPU}}})"),
        sort_by="GPU",
    )


def _recovery() -> Panel:
    code = enum_code("wantui_gpu_recovery_action", "action", RECOVERY, "instance, gpu", GPU)
    text = "What the driver asks for so that a GPU works again. Metric: wantui_gpu_recovery_action."
    return timeline("Recovery action", text, RECOVERY, (code, of_gpu()))


def _xids() -> Panel:
    grown = f"sum by (instance, gpu, xid) (increase(wantui_gpu_xid_errors_total{{{GPU}}}[1h]))"
    return bars(
        "Xid errors",
        "short",
        "Errors that the driver reported within the hour before, by Xid number; empty when it reported none. "
        "Metric: wantui_gpu_xid_errors_total.",
        (f"{grown} > 0", of_gpu("Xid {{xid}}")),
    )


def _slices() -> Panel:
    by = "instance, gpu, gpu_instance_id, compute_instance_id, profile"
    return grid(
        "Slices",
        "Slices of GPUs in MIG mode. Metric: wantui_mig_info.",
        Column("GPU", label="gpu", width=70),
        Column("Profile", label="profile"),
        Column("GPU instance", label="gpu_instance_id"),
        Column("Compute instance", label="compute_instance_id"),
        Column("Host", label="instance"),
        Column("_info", expression=f"max by ({by}) (wantui_mig_info{{{GPU}}})"),
        sort_by="GPU",
    )


def _slice_memory() -> Panel:
    panel = lines(
        "VRAM of slices",
        "bytes",
        "Memory that is used on each GPU instance, and all of it (dashed). "
        "Metrics: wantui_mig_memory_used_bytes, wantui_mig_memory_total_bytes.",
        (f"wantui_mig_memory_used_bytes{{{GPU}}}", of_gpu("instance {{gpu_instance_id}}")),
        (f"wantui_mig_memory_total_bytes{{{GPU}}}", of_gpu("instance {{gpu_instance_id}} has")),
    )
    return dashed(panel, "/ has /")


def _ecc() -> Panel:
    return lines(
        "Memory errors",
        "short",
        "Errors of the GPU's memory within the hour before: corrected by ECC, and beyond correction. "
        "Metrics: wantui_gpu_ecc_corrected_errors_total, wantui_gpu_ecc_uncorrected_errors_total.",
        (f"increase(wantui_gpu_ecc_corrected_errors_total{{{GPU}}}[1h])", of_gpu("corrected")),
        (f"increase(wantui_gpu_ecc_uncorrected_errors_total{{{GPU}}}[1h])", of_gpu("uncorrected")),
    ).decimals(0)


def _remapped() -> Panel:
    return timeline(
        "Broken memory rows",
        "Whether rows wait for a reset to be replaced, and whether one could not be replaced. "
        "Metrics: wantui_gpu_remapped_rows_pending, wantui_gpu_remapped_rows_failure.",
        YES,
        (f"wantui_gpu_remapped_rows_pending{{{GPU}}}", of_gpu("pending")),
        (f"wantui_gpu_remapped_rows_failure{{{GPU}}}", of_gpu("failure")),
    )


def _used() -> Panel:
    panel = lines(
        "VRAM used",
        "percentunit",
        "Used share of each GPU's memory. Metric: wantui_gpu_memory_used_ratio.",
        (f"wantui_gpu_memory_used_ratio{{{GPU}}}", of_gpu()),
    )
    return limit_line(panel.max(1).decimals(1), (None, "green"), (0.95, "red"))


def _split() -> Panel:
    panel = stacked(
        "VRAM, all selected GPUs",
        "bytes",
        "Used, kept by the driver, and free. Metrics: wantui_gpu_memory_used_bytes, "
        "wantui_gpu_memory_reserved_bytes, wantui_gpu_memory_free_bytes.",
        *((f"sum(wantui_gpu_memory_{part}_bytes{{{GPU}}})", part) for part in ("used", "reserved", "free")),
    )
    return panel.override_by_name("free", colored("#80808040"))


def _owners() -> Panel:
    return lines(
        "VRAM by owner",
        "bytes",
        "Who holds memory: workers of the deployments, or other processes. Metric: wantui_gpu_process_memory_bytes.",
        (f"wantui_gpu_process_memory_bytes{{{GPU}}}", of_gpu("{{owner}}")),
    )


def _utilization() -> Panel:
    panel = lines(
        "Utilization",
        "percentunit",
        "Share of the sample period in which a kernel ran. Metric: wantui_gpu_utilization_ratio.",
        (f"wantui_gpu_utilization_ratio{{{GPU}}}", of_gpu()),
    )
    return panel.max(1)


def _activity() -> Panel:
    panel = lines(
        "Memory activity",
        "percentunit",
        "Share of the sample period in which memory was read or written: bandwidth, not occupancy. "
        "Metric: wantui_gpu_memory_activity_ratio.",
        (f"wantui_gpu_memory_activity_ratio{{{GPU}}}", of_gpu()),
    )
    return panel.max(1)


def _clocks() -> Panel:
    panel = lines(
        "Clock of the multiprocessors",
        "hertz",
        "Clock now, and the highest there is (dashed). Metrics: wantui_gpu_clock_hertz, wantui_gpu_clock_max_hertz.",
        (f'wantui_gpu_clock_hertz{{{GPU}, domain="sm"}}', of_gpu()),
        (f'wantui_gpu_clock_max_hertz{{{GPU}, domain="sm"}}', of_gpu("highest")),
    )
    return dashed(panel, "/highest/")


def _throttled() -> Panel:
    active = " or ".join(
        f'{place} * wantui_gpu_throttle_active{{{GPU}, reason="{reason}"}}'
        for place, reason in enumerate(THROTTLE)
        if place
    )
    return timeline(
        "Held down by",
        "The worst of what holds the clocks down; idle clocks and the power limit in software are left out. "
        "Metric: wantui_gpu_throttle_active.",
        THROTTLE,
        (f"max by (instance, gpu) ({active})", of_gpu()),
    )


def _power() -> Panel:
    panel = lines(
        "Power",
        "watt",
        "Power that each GPU draws, and its limit (dashed). "
        "Metrics: wantui_gpu_power_watts, wantui_gpu_power_limit_watts.",
        (f"wantui_gpu_power_watts{{{GPU}}}", of_gpu()),
        (f"wantui_gpu_power_limit_watts{{{GPU}}}", of_gpu("limit")),
    )
    return dashed(panel, "/limit/")


def _temperature() -> Panel:
    panel = lines(
        "Temperature",
        "celsius",
        "Core and memory, and where the core slows down (dashed). "
        "Metrics: wantui_gpu_temperature_celsius, wantui_gpu_temperature_threshold_celsius.",
        (f"wantui_gpu_temperature_celsius{{{GPU}}}", of_gpu("{{sensor}}")),
        (f'wantui_gpu_temperature_threshold_celsius{{{GPU}, threshold="slowdown"}}', of_gpu("slows down")),
    )
    return dashed(panel, "/slows/")


def _fans() -> Panel:
    panel = lines(
        "Fans",
        "percentunit",
        "Intended fan speed; absent on passively cooled cards. Metric: wantui_gpu_fan_speed_ratio.",
        (f"wantui_gpu_fan_speed_ratio{{{GPU}}}", of_gpu()),
    )
    return panel.max(1)


def _energy() -> Panel:
    return lines(
        "Energy per hour",
        "joule",
        "Energy that was used in the hour before. Metric: wantui_gpu_energy_joules_total.",
        (f"increase(wantui_gpu_energy_joules_total{{{GPU}}}[1h])", of_gpu()),
    )


def _link() -> Panel:
    return lines(
        "PCI Express",
        "short",
        "Generation and lanes of the link now; idle GPUs lower the generation to save power. "
        "Metrics: wantui_gpu_pcie_link_generation, wantui_gpu_pcie_link_width.",
        (f"wantui_gpu_pcie_link_generation{{{GPU}}}", of_gpu("generation")),
        (f"wantui_gpu_pcie_link_width{{{GPU}}}", of_gpu("lanes")),
    ).decimals(0)
