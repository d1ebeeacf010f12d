"""The NVML probe against ``nvidia-smi -q -x``, field by field: two readers of one driver."""

import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass

from wan_tui.core.hardware.look import look

MIB = 1 << 20
# Fields by their place in nvidia-smi's XML, the factor to our unit, and how far two readings in a row may be apart,
# as a share and at least as a number: what a driver counts moves between them.
FIELDS: dict[str, tuple[str, float, float, float]] = {
    "memory_total_bytes": ("fb_memory_usage/total", MIB, 0.0, MIB),
    "memory_used_bytes": ("fb_memory_usage/used", MIB, 0.1, 64 * MIB),
    "temperature_celsius": ("temperature/gpu_temp", 1, 0.0, 3),
    "power_watts": ("gpu_power_readings/instant_power_draw", 1, 0.3, 30),
    "power_limit_watts": ("gpu_power_readings/current_power_limit", 1, 0.0, 1),
    "utilization_ratio": ("utilization/gpu_util", 0.01, 0.0, 0.5),
    "fan_speed_ratio": ("fan_speed", 0.01, 0.0, 0.05),
    "sm_clock_hertz": ("clocks/sm_clock", 1e6, 0.5, 1e6),
    "sm_clock_max_hertz": ("max_clocks/sm_clock", 1e6, 0.0, 1e6),
    "memory_clock_max_hertz": ("max_clocks/mem_clock", 1e6, 0.0, 1e6),
    "pcie_link_generation": ("pci/pci_gpu_link_info/pcie_gen/current_link_gen", 1, 0.0, 4),
    "pcie_link_width": ("pci/pci_gpu_link_info/link_widths/current_link_width", 1, 0.0, 0),
    "ecc_uncorrected_errors": ("ecc_errors/volatile/dram_uncorrectable", 1, 0.0, 0),
}
TEXTS = {"name": "product_name", "uuid": "uuid"}


@dataclass(frozen=True, slots=True)
class Compared:
    """One field; ``agrees`` None when one of the two does not have it."""

    field: str
    ours: str | float | None
    theirs: str | float | None
    agrees: bool | None
    says: str = ""


def compare(index: int) -> Iterator[Compared]:
    """Every field of GPU ``index`` (NVML's)."""
    if shutil.which("nvidia-smi") is None:
        yield Compared("fields", None, None, None, "nvidia-smi is not installed")
        return
    hardware, _ = look()
    sample = next(gpu for gpu in hardware.gpus if gpu.index == index)
    xml = subprocess.run(["nvidia-smi", "-q", "-x", "-i", str(index)], capture_output=True, check=True, timeout=60)
    (theirs,) = ElementTree.fromstring(xml.stdout).findall("gpu")
    yield from compare_with(theirs, {name: getattr(sample, name) for name in (*TEXTS, *FIELDS)})


def compare_with(theirs: ElementTree.Element, ours: dict[str, str | float | None]) -> Iterator[Compared]:
    """``theirs`` is the element of one GPU."""
    for name, place in TEXTS.items():
        text = theirs.findtext(place)
        yield Compared(name, ours[name], text, text == ours[name])
    for name, (place, factor, share, least) in FIELDS.items():
        mine, value = ours[name], _number(theirs.findtext(place))
        if value is None or mine is None:
            both = value is None and mine is None
            lacking = "neither has it" if both else f"{'the probe' if mine is None else 'nvidia-smi'} does not have it"
            yield Compared(name, mine, value, None, lacking)
            continue
        scaled = value * factor
        apart = abs(float(mine) - scaled)
        yield Compared(name, mine, scaled, apart <= max(share * scaled, least), f"{apart:g} apart" if apart else "")


def _number(text: str | None) -> float | None:
    """``80 C``, ``16x``, ``N/A``."""
    try:
        return float((text or "").split()[0].rstrip("x"))
    except (ValueError, IndexError):
        return None
