"""How figures are written for people, the same in the terminal UI and on the command line.

Pure text: every function takes a figure or None and answers ``--`` for what is not known, never 0.
"""

import math

MISSING = "--"

_BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def format_bytes(value: float | None) -> str:
    """``23.5 GiB``: the largest unit that leaves at least 1 before the point."""
    if value is None or not _known(value):
        return MISSING
    amount, unit = abs(value), 0
    while unit < len(_BYTE_UNITS) - 1 and amount >= 1023.95:  # 1023.95 would be written as 1024.0
        amount /= 1024
        unit += 1
    sign = "-" if value < 0 else ""
    return f"{sign}{amount:.0f} B" if unit == 0 else f"{sign}{amount:.1f} {_BYTE_UNITS[unit]}"


def format_gib(value: float | None) -> str:
    """``23.5``: a bare figure for a column whose title says GiB; ``<0.1`` for what would look like nothing."""
    if value is None or not _known(value):
        return MISSING
    shown = f"{value / 1024**3:.1f}"
    return "<0.1" if shown == "0.0" and value > 0 else shown


def format_seconds(value: float | None) -> str:
    """``45 ms``, ``0.25 s``, ``3.2 s``, ``42 s``, ``04:05``, ``1 h 02 min``, ``2 d 03 h``."""
    if value is None or not _known(value) or value < 0:
        return MISSING
    if value == 0:
        return "0 s"
    if value < 0.0995:
        return f"{value * 1000:.0f} ms"
    if value < 0.995:
        return f"{value:.2f} s"
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60:02d}:{whole % 60:02d}"
    minutes = round(value / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(value / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"


def format_ratio(value: float | None) -> str:
    """``98 %`` for 0.98."""
    if value is None or not _known(value):
        return MISSING
    return f"{value * 100:.0f} %"


def format_change(observed: float | None, expected: float | None) -> str:
    """``+1.5 %``: how far an observation lies from what was expected."""
    if observed is None or expected is None or not _known(observed) or not _known(expected) or expected == 0:
        return MISSING
    percent = (observed - expected) / expected * 100
    return f"{percent:+.1f} %" if abs(percent) < 99.95 else f"{percent:+.0f} %"


def format_basis(basis: str, runs: int, report: str | None = None) -> str:
    """``modelled``, ``modelled (report-a100)``, ``declared`` or ``calibrated (12 runs)``: where a figure comes from."""
    if not runs:
        return f"{basis} ({report})" if report else basis
    return f"{basis} ({runs} run{'' if runs == 1 else 's'})"
