"""How close the predictors come to published runs.

``python -m tests.benchmarks.estimates [--json] [--rows ENGINE]`` prints median and 90th percentile of the absolute
percentage error: nothing fitted; engine factors fitted on the very rows; a row left out; a source left out. Only
diffusers rows judge the product, since every other engine computes differently; all of them together judge the
method.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from tests.benchmarks.fitting import MEMORY_LEVELS, SECONDS_LEVELS, Comparison, Score, in_sample, leave_one_out
from tests.benchmarks.phases import predicted_peak, stored_bytes
from tests.benchmarks.published import Published, published_rows
from tests.benchmarks.seconds import half_of_peak_seconds, predicted_seconds, within_interval

GIB = 2**30

# What simple models reached on these rows, (median, p90) in per cent: to beat, with the way of scoring to hold
# against it.
BAR = MappingProxyType(
    {
        "seconds": (
            ("50 % of the peak", "nothing fitted", (26, 74)),
            ("an efficiency per GPU", "nothing fitted", (18, 42)),
            ("and a factor per engine", "fitted in sample", (11, 40)),
            ("per GPU, engine and quantization, unseen rows", "a row left out", (8, 36)),
            ("factor per engine, unseen source", "a source left out", (21, 52)),
        ),
        "memory": (
            ("sum of the weights", "nothing fitted", (36, 83)),
            ("phases", "nothing fitted", (15, 46)),
            ("phases and a factor per engine", "fitted in sample", (2, 14)),
            ("phases and a factor per engine, unseen rows", "a row left out", (5, 38)),
            ("phases and a factor per engine, unseen source", "a source left out", (11, 41)),
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Report:
    """All scores of one quantity (``seconds`` or ``memory``)."""

    quantity: str
    baseline: Score
    scores: dict[str, Score]
    engines: dict[str, dict[str, Score]]
    diffusers: tuple[Comparison, ...]

    def score(self, way: str) -> Score:
        return self.scores[way]


def seconds_comparisons() -> list[Comparison]:
    """Every row with a usable time on a known GPU."""
    pairs = ((row, predicted_seconds(row)) for row in published_rows() if row.seconds)
    return [Comparison(row, predicted, row.seconds or 0.0) for row, predicted in pairs if predicted]


def memory_comparisons() -> list[Comparison]:
    """Every row with a usable peak."""
    return [Comparison(row, predicted_peak(row), row.peak_bytes) for row in published_rows() if row.peak_bytes]


def report(quantity: str) -> Report:
    """Score ``seconds`` or ``memory``."""
    comparisons = seconds_comparisons() if quantity == "seconds" else memory_comparisons()
    levels = SECONDS_LEVELS if quantity == "seconds" else MEMORY_LEVELS
    ways = {
        "nothing fitted": comparisons,
        "fitted in sample": in_sample(comparisons, levels),
        "a row left out": leave_one_out(comparisons, levels, lambda row: row.id),
        "a source left out": leave_one_out(comparisons, levels, lambda row: row.source),
        "a repository left out": leave_one_out(comparisons, levels, lambda row: row.source_repository),
    }
    engines = dict.fromkeys(comparison.row.engine for comparison in comparisons)
    return Report(
        quantity=quantity,
        baseline=Score.of(dataclasses.replace(one, predicted=_baseline(quantity, one.row)) for one in comparisons),
        scores={way: Score.of(rows) for way, rows in ways.items()},
        engines={
            engine: {way: Score.of(one for one in rows if one.row.engine == engine) for way, rows in ways.items()}
            for engine in engines
        },
        diffusers=tuple(one for one in comparisons if one.row.engine == "diffusers"),
    )


def coverage() -> tuple[int, int]:
    """Of the diffusers and official rows: how many lie within the interval of the estimate, and how many there are."""
    rows = [row for row in published_rows() if row.engine.startswith(("diffusers", "wan-official")) and row.seconds]
    known = [inside for row in rows if (inside := within_interval(row)) is not None]
    return sum(known), len(known)


def _baseline(quantity: str, row: Published) -> float:
    return half_of_peak_seconds(row) if quantity == "seconds" else stored_bytes(row)


def _as_text(one: Report) -> list[str]:
    shown = {"nothing fitted": "nothing", "fitted in sample": "in sample", "a row left out": "row out"}
    shown |= {"a source left out": "source out", "a repository left out": "repo out"}
    simple = "50 % of the peak" if one.quantity == "seconds" else "sum of the weights"
    lines = [f"{one.quantity}: absolute error in per cent, median (p90)", ""]
    lines.append(f"{'engine':<18}{'rows':>5}" + "".join(f"{name:>14}" for name in shown.values()))
    for engine, scores in ({"all": one.scores} | one.engines).items():
        rows = next(iter(scores.values())).rows
        lines.append(f"{engine:<18}{rows:>5}" + "".join(f"{_percent(scores[way]):>14}" for way in shown))
    lines += ["", f"{simple}, on these rows: {_percent(one.baseline)}", ""]
    lines.append(f"{'to beat':<48}{'bar':>12}{'ours':>12}  ours is")
    for name, way, (median, p90) in BAR[one.quantity]:
        lines.append(f"{name:<48}{f'{median} ({p90})':>12}{_percent(one.scores[way]):>12}  {way}")
    lines += ["", "diffusers, nothing fitted", *_rows(one.diffusers, one.quantity)]
    return lines


def _rows(comparisons: Sequence[Comparison], quantity: str) -> list[str]:
    unit, scale = ("s", 1.0) if quantity == "seconds" else ("GiB", GIB)
    lines = []
    for one in comparisons:
        row, clip = one.row, one.row.clip
        where = f"{row.gpu.label.removeprefix('NVIDIA ') if row.gpu else 'GPU not named'} x{row.gpus}"
        what = f"{row.model_name} {clip.width}x{clip.height}x{clip.frames} {row.scope} {row.quantization_class}"
        figures = f"{one.predicted / scale:9.1f} predicted {one.observed / scale:9.1f} {unit} observed"
        lines.append(f"{row.id:<5}{where:<32}{what:<58}{figures} {100 * one.error:+6.1f} %")
    return lines


def _percent(score: Score) -> str:
    return f"{score.median:.1f} ({score.p90:.0f})"


def _as_json(one: Report) -> dict[str, object]:
    return {
        "baseline": dataclasses.asdict(one.baseline),
        "scores": {way: dataclasses.asdict(score) for way, score in one.scores.items()},
        "engines": {
            engine: {way: dataclasses.asdict(score) for way, score in scores.items()}
            for engine, scores in one.engines.items()
        },
        "bar": [{"name": name, "way": way, "median": bar[0], "p90": bar[1]} for name, way, bar in BAR[one.quantity]],
        "diffusers": [
            {"id": c.row.id, "predicted": c.predicted, "observed": c.observed, "error": c.error} for c in one.diffusers
        ],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.estimates", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rows", metavar="ENGINE", help="list the rows of an engine one by one (all: every row)")
    options = parser.parse_args(arguments)
    if options.rows:
        for quantity, comparisons in (("seconds", seconds_comparisons()), ("memory", memory_comparisons())):
            chosen = [one for one in comparisons if options.rows in ("all", one.row.engine)]
            sys.stdout.write("\n".join(_rows(sorted(chosen, key=lambda one: one.error), quantity)) + "\n\n")
        return
    reports = [report(quantity) for quantity in BAR]
    inside, known = coverage()
    if options.json:
        answer = {one.quantity: _as_json(one) for one in reports} | {"interval": {"inside": inside, "rows": known}}
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        return
    for one in reports:
        sys.stdout.write("\n".join(_as_text(one)) + "\n\n")
    sys.stdout.write(f"diffusers and official rows within the interval of their time estimate: {inside} of {known}\n")


if __name__ == "__main__":
    main()
