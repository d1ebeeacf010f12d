"""What the history has taught, group by group: how far off the model was, and how good the estimates were."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wan_tui.core.history.records import Figure, Kind, Record, Unit
from wan_tui.core.planning.calibration import Coverage, coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSummary:
    """``ratio`` is the median of observed / modelled over ``number`` runs."""

    stage: str
    unit: Unit
    ratio: float
    number: int
    coverage: Coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs (or loads) that calibrate the same figures. ``median_error`` is of the whole, as a ratio."""

    kind: Kind
    device: str
    model: str
    plan_key: str
    first: bool
    number: int
    median_error: float | None
    coverage: Coverage
    stages: tuple[StageSummary, ...]


def summarise(records: Iterable[Record]) -> list[Group]:
    """Groups of the records that calibrate, the largest first."""
    groups: dict[tuple[Kind, str, str, str, bool], list[Record]] = defaultdict(list)
    for record in records:
        if record.counts and record.observations(Unit.SECONDS):
            groups[record.kind, record.device, record.model, record.plan_key, record.first].append(record)
    found = [_group(some) for some in groups.values()]
    return sorted(found, key=lambda group: (group.kind is Kind.LOAD, -group.number))


def _group(records: Sequence[Record]) -> Group:
    totals = [record.total for record in records if record.total is not None]
    errors = [abs(total.observed / total.expected - 1) for total in totals if total.expected]
    example = records[0]
    figures: dict[tuple[Unit, str], list[Figure]] = defaultdict(list)
    for record in records:
        for figure in record.figures:
            if figure.modelled and figure.observed:
                figures[figure.unit, figure.stage].append(figure)
    return Group(
        kind=example.kind,
        device=example.device,
        model=example.model,
        plan_key=example.plan_key,
        first=example.first,
        number=len(records),
        median_error=statistics.median(errors) if errors else None,
        coverage=_covered(totals),
        stages=tuple(_stage(unit, stage, some) for (unit, stage), some in figures.items()),
    )


def _stage(unit: Unit, stage: str, figures: Sequence[Figure]) -> StageSummary:
    ratios = [figure.observed / figure.modelled for figure in figures if figure.modelled]
    return StageSummary(
        stage=stage, unit=unit, ratio=statistics.median(ratios), number=len(ratios), coverage=_covered(figures)
    )


def _covered(figures: Iterable[Figure]) -> Coverage:
    return coverage((figure.shown, figure.observed) for figure in figures if figure.shown)
