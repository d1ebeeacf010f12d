"""PromQL: what every query selects by, and the few shapes that queries have."""

from collections.abc import Iterable

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import dashboard as dm
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = dm.DataSourceRef(type_val="prometheus", uid="${datasource}")

# "All" of job lists the jobs, so that `up` counts no other exporter.
HOST = 'job=~"$job", instance=~"$instance"'
GPU = f'{HOST}, gpu=~"$gpu"'
DEPLOYMENT = f'{HOST}, deployment=~"$deployment"'
PLACED = f'{DEPLOYMENT}, gpu=~"$gpu"'

# Jobs take minutes: means over a shorter window would be mostly gaps.
WINDOW = "1h"


def query(expression: str, legend: str = "", ref: str = "A") -> prometheus.Dataquery:
    return prometheus.Dataquery().datasource(DATASOURCE).expr(expression).legend_format(legend).ref_id(ref).range()


def rows(expression: str, ref: str = "A") -> prometheus.Dataquery:
    """The value now, one row of a table per series."""
    found = prometheus.Dataquery().datasource(DATASOURCE).expr(expression).legend_format("").ref_id(ref).instant()
    return found.format(PromQueryFormat.TABLE)


def buckets(expression: str, ref: str = "A") -> prometheus.Dataquery:
    return query(expression, "{{le}}", ref).format(PromQueryFormat.HEATMAP)


def of_deployment(what: str = "") -> str:
    """Legend of a series of one deployment: its name, ``what`` of it, its host."""
    return " · ".join(part for part in ("{{deployment}}", what, "{{instance}}") if part)


def of_gpu(what: str = "") -> str:
    return " · ".join(part for part in ("GPU {{gpu}}", what, "{{instance}}") if part)


def mean(histogram: str, by: str, selected: str = DEPLOYMENT) -> str:
    """Mean observation over the last hour; no point where nothing was observed, rather than NaN."""
    total, count = (
        f"sum by ({by}) (increase({histogram}_{part}{{{selected}}}[{WINDOW}]))" for part in ("sum", "count")
    )
    return f"{total} / ({count} > 0)"


def quantile(share: float, histogram: str, by: str, selected: str = DEPLOYMENT) -> str:
    """Quantile of the last hour's observations; no point where nothing was observed."""
    found = f"sum by ({by}, le) (increase({histogram}_bucket{{{selected}}}[{WINDOW}]))"
    count = f"sum by ({by}) (increase({histogram}_count{{{selected}}}[{WINDOW}]))"
    return f"histogram_quantile({share:g}, {found}) and on ({by}) ({count} > 0)"


def enum_code(metric: str, label: str, words: Iterable[str], by: str, selected: str) -> str:
    """One number that says which word of an enum metric is 1: its place in ``words``."""
    return " + ".join(
        f'{place} * sum by ({by}) ({metric}{{{selected}, {label}="{word}"}})' for place, word in enumerate(words)
    )
