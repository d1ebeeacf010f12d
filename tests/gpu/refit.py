"""``python -m tests.gpu.refit REPORT…``: the factor of each stage by device, and the error for shapes left out.

With ``--write DIRECTORY`` they go into a file for each GPU, which estimates then start from (``planning/measured.py``).

Seconds of a stage are taken as the model's times one factor for device, model and stage. Each shape in turn is
predicted by the factor of the others (leave one shape out), once alone and once knowing nothing (factor 1). Peak
memory is judged in the same way; nothing of it is written, since what it is made of is counted.
"""

import argparse
import json
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.gpu.report import Part, Record, read
from wan_tui.core import atomic
from wan_tui.core.planning.measured import LEAST_SHAPES, Reference, StageFactor, read_references

PEAK = "peak memory"
# No file promises more: machines do other work too.
LEAST_SPREAD = 1.05


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
    """Stages of the finished runs of a grid that had an estimate, against the model without any measurements."""
    found = []
    for one in records:
        if one.part is not Part.GRID or one.detail.get("outcome") != "finished":
            continue
        clip, modelled = one.detail["clip"], one.detail["estimated_stage_seconds"]
        factors = one.detail.get("reference_factors", {})
        shape = (clip["width"], clip["height"], clip["frames"])
        for stage, seconds in one.detail["stage_seconds"].items():
            if seconds > 0 and modelled.get(stage, 0) > 0:
                ratio = seconds / modelled[stage] * factors.get(stage, 1.0)
                found.append(Point(one.device, one.detail["model"], stage, shape, ratio))
        held, expected = one.detail.get("peak_bytes"), one.detail.get("estimated_peak_bytes")
        # What a process of a host grew by is not what its tensors take.
        if held and expected and not one.device.startswith("cpu "):
            found.append(Point(one.device, one.detail["model"], PEAK, shape, held / expected))
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


def references(found: Iterable[Point], report: str) -> list[Reference]:
    """What estimates may start from: stages of models that were seen in shapes enough to be judged by others."""
    groups: defaultdict[tuple[str, str, str], list[Point]] = defaultdict(list)
    for point in found:
        if point.stage != PEAK:
            groups[point.device, point.model, point.stage].append(point)
    stages: defaultdict[str, defaultdict[str, dict[str, StageFactor]]] = defaultdict(lambda: defaultdict(dict))
    for (device, model, stage), group in groups.items():
        shapes = {point.shape for point in group}
        if len(shapes) < LEAST_SHAPES:
            continue
        far = [
            abs(math.log(factor(other for other in group if other.shape != point.shape) / point.ratio))
            for point in group
        ]
        spread = max(LEAST_SPREAD, math.exp(max(far)))
        stages[device][model][stage] = StageFactor(factor=factor(group), spread=spread, shapes=len(shapes))
    return [Reference(device=device, report=report, stages=by_model) for device, by_model in stages.items()]


def write(folder: Path, reference: Reference) -> Path:
    """The file of one GPU, read again before it counts."""
    lines = [
        "# Made by python -m tests.gpu.refit; not to be edited by hand.",
        f"device = {json.dumps(reference.device)}",
        f"report = {json.dumps(reference.report)}",
    ]
    for model, by_stage in reference.stages.items():
        for stage, one in by_stage.items():
            lines += ["", f"[stages.{json.dumps(model)}.{stage}]", f"factor = {one.factor:.4f}"]
            lines += [f"spread = {one.spread or LEAST_SPREAD:.4f}", f"shapes = {one.shapes}"]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / (re.sub(r"[^a-z0-9]+", "-", reference.device.lower()).strip("-") + ".toml")
    atomic.replace(file, ("\n".join(lines) + "\n").encode())
    assert reference.device in read_references(folder)
    return file


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1 when the reports have nothing to fit."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.refit", description=__doc__)
    parser.add_argument("reports", type=Path, nargs="+", metavar="REPORT")
    parser.add_argument("--write", type=Path, default=None, metavar="DIRECTORY", help="a file for each device")
    given = parser.parse_args(arguments)
    found = points(record for file in given.reports for record in read(file))
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
    if given.write is not None:
        report = ", ".join(file.stem for file in given.reports)
        for one in references(found, report):
            print(f"wrote {write(given.write, one)}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
