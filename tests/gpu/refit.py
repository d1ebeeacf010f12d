"""``python -m tests.gpu.refit REPORT…``: the factor of each stage by device, and the error for shapes left out.

Seconds of a stage are taken as the model's times one factor for device, model and stage. Each shape in turn is
predicted by the factor of the others (leave one shape out), once alone and once knowing nothing (factor 1).
"""

import argparse
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.gpu.report import Part, Record, read


@dataclass(frozen=True, slots=True)
class Point:
    """One stage of one run."""

    device: str
    model: str
    stage: str
    shape: tuple[int, int, int]
    ratio: float  # observed over modelled


@dataclass(frozen=True, slots=True)
class Errors:
    """Relative errors of predictions: half of them are within ``median``."""

    runs: int
    median: float
    worst: float


def points(records: Iterable[Record]) -> list[Point]:
    """Stages of the finished runs of a grid that had an estimate."""
    found = []
    for one in records:
        if one.part is not Part.GRID or one.detail.get("outcome") != "finished":
            continue
        clip, modelled = one.detail["clip"], one.detail["estimated_stage_seconds"]
        shape = (clip["width"], clip["height"], clip["frames"])
        for stage, seconds in one.detail["stage_seconds"].items():
            if seconds > 0 and modelled.get(stage, 0) > 0:
                found.append(Point(one.device, one.detail["model"], stage, shape, seconds / modelled[stage]))
    return found


def factor(known: Iterable[Point]) -> float:
    """Geometric mean of observed over modelled; 1 without any."""
    logs = [math.log(point.ratio) for point in known]
    return math.exp(statistics.fmean(logs)) if logs else 1.0


def left_out(found: list[Point], *, fitted: bool) -> dict[tuple[str, str], Errors]:
    """Errors by device and stage for every shape that the factor was not fitted to; shapes alone are left out."""
    groups: defaultdict[tuple[str, str, str], list[Point]] = defaultdict(list)
    for point in found:
        groups[point.device, point.model, point.stage].append(point)
    errors: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for (device, _, stage), group in groups.items():
        for shape in dict.fromkeys(point.shape for point in group):
            others = [point for point in group if point.shape != shape]
            if not others:
                continue
            by = factor(others) if fitted else 1.0
            errors[device, stage] += [abs(by / point.ratio - 1) for point in group if point.shape == shape]
    return {key: Errors(len(all_), statistics.median(all_), max(all_)) for key, all_ in errors.items()}


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 when the reports have nothing to fit."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.refit", description=__doc__)
    parser.add_argument("reports", type=Path, nargs="+", metavar="REPORT")
    found = points(record for file in parser.parse_args(arguments).reports for record in read(file))
    if not found:
        print("no report has a finished run of the grid with an estimate")  # noqa: T201
        return 1
    before, after = left_out(found, fitted=False), left_out(found, fitted=True)
    for (device, stage), now in sorted(after.items()):
        was, by = before[device, stage], factor(p for p in found if (p.device, p.stage) == (device, stage))
        print(  # noqa: T201
            f"{device}  {stage}: factor {by:.2f}, {now.runs} predictions: median {was.median:.0%} -> {now.median:.0%}, "
            f"worst {was.worst:.0%} -> {now.worst:.0%}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
