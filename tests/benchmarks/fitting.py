"""Factors between what is modelled and what engines were seen to do, shrunk level by level; and their scores.

A factor is the median of log(observed / predicted) of the rows of a level, less what the levels above explain, drawn
towards zero as if two more rows had shown nothing: first all rows, then coarse classes, then the engine, then the
engine in one circumstance. They judge the model, they are no part of the product.
"""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tests.benchmarks.published import Published

SHRINKAGE_ROWS = 2.0

Level = Callable[[Published], str]

# What can shift a time: what is computed with (quantization, caches), whose code, on which card.
SECONDS_LEVELS: tuple[Level, ...] = (
    lambda _: "",
    lambda row: row.quantization_class,
    lambda row: row.engine,
    lambda row: f"{row.engine} on {row.gpu.label if row.gpu else '?'}",
)
# What can shift a peak: what stays on the device, whose code, and both; the card does not matter.
MEMORY_LEVELS: tuple[Level, ...] = (
    lambda _: "",
    lambda row: row.plan.offload,
    lambda row: row.engine,
    lambda row: f"{row.engine} {row.plan.offload} {row.gpus > 1}",
)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row with what was predicted for it, seconds or bytes alike."""

    row: Published
    predicted: float
    observed: float

    @property
    def error(self) -> float:
        """Relative to what was observed; positive: predicted too much."""
        return self.predicted / self.observed - 1

    def times(self, factor: float) -> "Comparison":
        return Comparison(self.row, self.predicted * factor, self.observed)


@dataclass(frozen=True, slots=True)
class Score:
    """Median and 90th percentile of the absolute percentage error over ``rows`` rows."""

    median: float
    p90: float
    rows: int

    @classmethod
    def of(cls, comparisons: Iterable[Comparison]) -> "Score":
        errors = sorted(100 * abs(comparison.error) for comparison in comparisons)
        if not errors:
            return cls(math.nan, math.nan, 0)
        return cls(statistics.median(errors), errors[math.ceil(0.9 * len(errors)) - 1], len(errors))


Factors = tuple[dict[str, float], ...]


def fit(comparisons: Sequence[Comparison], levels: Sequence[Level]) -> Factors:
    """Shrunk log factors, one table per level."""
    left = [math.log(comparison.observed / comparison.predicted) for comparison in comparisons]
    tables: list[dict[str, float]] = []
    for level in levels:
        groups: dict[str, list[float]] = defaultdict(list)
        for comparison, value in zip(comparisons, left, strict=True):
            groups[level(comparison.row)].append(value)
        table = {
            key: statistics.median(rows) * len(rows) / (len(rows) + SHRINKAGE_ROWS) for key, rows in groups.items()
        }
        tables.append(table)
        left = [value - table[level(comparison.row)] for comparison, value in zip(comparisons, left, strict=True)]
    return tuple(tables)


def apply(factors: Factors, comparison: Comparison, levels: Sequence[Level]) -> Comparison:
    """The comparison corrected by what is known of its levels."""
    log = sum(table.get(level(comparison.row), 0.0) for table, level in zip(factors, levels, strict=True))
    return comparison.times(math.exp(log))


def in_sample(comparisons: Sequence[Comparison], levels: Sequence[Level]) -> list[Comparison]:
    """Every row corrected by factors that saw it."""
    factors = fit(comparisons, levels)
    return [apply(factors, comparison, levels) for comparison in comparisons]


def leave_one_out(comparisons: Sequence[Comparison], levels: Sequence[Level], group: Level) -> list[Comparison]:
    """Every row corrected by factors that saw no row of its group."""
    corrected = []
    for held in dict.fromkeys(group(comparison.row) for comparison in comparisons):
        factors = fit([comparison for comparison in comparisons if group(comparison.row) != held], levels)
        corrected += [apply(factors, one, levels) for one in comparisons if group(one.row) == held]
    return corrected
