"""The report as a page of Markdown: tables of every part, and estimated against observed."""

import math
from collections.abc import Iterable, Sequence

from tests.gpu.report import Outcome, Part, Record

_HEADINGS = {
    Part.PROBE: "The NVML probe against nvidia-smi",
    Part.OPTIONS: "Execution options, pocket model, against fp32 on the processor",
    Part.UNLOAD: "Memory after unloading",
    Part.OUT_OF_MEMORY: "Out of memory",
    Part.GRID: "Estimates at true size",
}
_PLOT_WIDTH = 41
GIB = 2**30


def page(records: Sequence[Record]) -> str:
    """Of all devices in the report."""
    lines = ["# Checks on real devices", "", "Made by `python -m tests.gpu.check`; not to be edited by hand.", ""]
    if not any(one.outcome is not Outcome.SKIPPED for one in records):
        lines += ["Nothing was measured: " + "; ".join(dict.fromkeys(one.says for one in records)) + ".", ""]
    for device in dict.fromkeys(one.device for one in records):
        lines += [f"## {device}", ""]
        for part in Part:
            of_part = [one for one in records if one.part is part and one.device == device]
            if of_part:
                lines += [f"### {_HEADINGS[part]}", "", *(_grid(of_part) if part is Part.GRID else _plain(of_part)), ""]
    return "\n".join(lines)


def _plain(records: Iterable[Record]) -> list[str]:
    rows = [f"| {one.key} | {one.outcome} | {one.says} | {one.seconds:.1f} |" for one in records]
    return ["| what | outcome | | seconds |", "|---|---|---|---:|", *rows]


def _grid(records: Sequence[Record]) -> list[str]:
    rows = ["| run | s | estimated | GiB | estimated | |", "|---|---:|---:|---:|---:|---|"]
    for one in records:
        found = one.detail
        seconds = one.seconds if found.get("outcome") == "finished" else None
        rows.append(
            f"| {one.key} | {_cell(seconds)} | {_cell(found.get('estimated_seconds'))} | "
            f"{_cell(found.get('peak_bytes'), GIB)} | {_cell(found.get('estimated_peak_bytes'), GIB)} | {one.says} |"
        )
    ratios = [
        one.seconds / one.detail["estimated_seconds"]
        for one in records
        if one.detail.get("outcome") == "finished" and one.detail.get("estimated_seconds")
    ]
    return [*rows, "", *_plot(ratios)] if ratios else rows


def _cell(value: float | None, unit: float = 1.0) -> str:
    return "" if value is None else f"{value / unit:.2f}"


def _plot(ratios: Sequence[float]) -> list[str]:
    """A mark for every run: observed over estimated seconds, from a fourth to four times, one in the middle."""
    marks = [0] * _PLOT_WIDTH
    for ratio in ratios:
        place = (math.log2(ratio) / 4 + 0.5) * (_PLOT_WIDTH - 1)
        marks[min(max(round(place), 0), _PLOT_WIDTH - 1)] += 1
    bar = "".join("." if not count else str(min(count, 9)) for count in marks)
    middle = _PLOT_WIDTH // 2
    return [
        "Observed over estimated seconds (runs at each place):",
        "",
        f"    {bar}",
        f"    1/4{' ' * (middle - 3)}1{' ' * (middle - 1)}4",
    ]
