"""The few shapes that every metric family has, so that the files beside this one only say names, texts and values.

A family without a sample is declared all the same, for the documentation; the collector leaves it out of a scrape:
what is not known is absent, never 0 or NaN.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import accumulate
from typing import TypeAlias

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from wan_tui.core.runtime.state import Histogram

Families: TypeAlias = Iterator[Metric]
Labels: TypeAlias = Sequence[str]
Samples: TypeAlias = Iterable[tuple[Labels, float | None]]
"""Label values, in the order of the family's label names, with the value; None leaves the series out."""


def gauge(name: str, documentation: str, labels: Labels, samples: Samples) -> Families:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for values, value in samples:
        if value is not None:
            family.add_metric(values, value)
    yield family


def counter(name: str, documentation: str, labels: Labels, samples: Samples) -> Families:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for values, value in samples:
        if value is not None:
            family.add_metric(values, value)
    yield family


def histogram(name: str, documentation: str, labels: Labels, samples: Iterable[tuple[Labels, Histogram]]) -> Families:
    """A classic histogram; the counts per bucket of a ``Histogram`` become the cumulative ones of Prometheus."""
    family = HistogramMetricFamily(name, documentation, labels=labels)
    for values, data in samples:
        bounds = (*map(floatToGoString, data.bounds), "+Inf")
        family.add_metric(values, list(zip(bounds, accumulate(data.counts), strict=True)), data.sum)
    yield family


def one_of(word: StrEnum, prefix: Labels = ()) -> Samples:
    """An enum as Prometheus wants it: one series per word of its vocabulary, exactly one of them 1."""
    return (((*prefix, candidate), float(candidate is word)) for candidate in type(word))
