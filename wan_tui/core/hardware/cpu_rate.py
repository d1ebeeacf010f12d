"""What this host's processors compute per second: measured once with numpy's matrix product, then remembered."""

import json
import math
import time
from pathlib import Path

from wan_tui.core import atomic

FILE_NAME = "cpu-rate.json"
_SIDE = 1024
_REPETITIONS = 3


def matmul_flop_per_second(cache: Path, cpu: str) -> float | None:
    """Operations a second of an fp32 matrix product on all processors of ``cpu`` (name and count); None without numpy.

    Takes about a quarter of a second the first time; the figure is kept in the ``cache`` directory. Never raises.
    """
    file = cache / FILE_NAME
    remembered = _read(file)
    if (rate := remembered.get(cpu)) is not None:
        return rate
    measured = _measure()
    if measured is not None:
        _write(file, {**remembered, cpu: measured})
    return measured


def _measure() -> float | None:
    try:
        import numpy
    except ImportError:
        return None
    left = numpy.ones((_SIDE, _SIDE), dtype=numpy.float32)
    best = math.inf
    for _ in range(_REPETITIONS + 1):  # the first one starts the threads
        started = time.perf_counter()
        left @ left
        best = min(best, time.perf_counter() - started)
    return 2.0 * _SIDE**3 / best


def _read(file: Path) -> dict[str, float]:
    try:
        data = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(data, dict):
        return {}
    good = ((name, rate) for name, rate in data.items() if isinstance(rate, int | float) and not isinstance(rate, bool))
    return {str(name): float(rate) for name, rate in good if 1e6 < rate < 1e18}


def _write(file: Path, rates: dict[str, float]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.replace(file, json.dumps(rates, indent=2).encode())
    except OSError:
        return  # a read-only cache costs a quarter of a second each time, nothing else
