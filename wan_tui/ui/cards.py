"""The GPUs of the table by short names, for columns and choices."""

from __future__ import annotations

import functools
import re

from wan_tui.core.catalog.gpus import gpu_table

# Cards that people ask about, small to large.
USUAL = ("RTX 3080 10G", "RTX 4080 16G", "RTX 4090 24G", "RTX 5090 32G", "L40S 45G", "A100-SXM4-80GB", "H100 80GB HBM3")
_DROPPED = ("NVIDIA ", "GeForce ", " Generation", " Edition", "Tesla ", "AMD Instinct ")


@functools.cache
def cards() -> dict[str, str]:
    """What the planner calls a card (name and size) by its short name, by memory and then by name."""
    table = sorted(gpu_table(), key=lambda gpu: (gpu.memory_bytes, gpu.name))
    return {short_name(gpu.name, gpu.memory_gib): gpu.label for gpu in table}


def short_name(name: str, gib: int) -> str:
    """``RTX 4090 24G``; a name that says its size already stays as it is."""
    for word in _DROPPED:
        name = name.replace(word, "")
    return name if re.search(rf"\b{gib}GB", name) else f"{name} {gib}G"


def usual() -> tuple[str, ...]:
    return tuple(name for name in USUAL if name in cards())
