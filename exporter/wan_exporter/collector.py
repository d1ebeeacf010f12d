"""What Prometheus gets: one immutable Snapshot turned into metric families. Pure: no clock, no driver, no state."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from wan_exporter.families import Families, gauge
from wan_exporter.families_compatibility import compatibility_families
from wan_exporter.families_deployment import deployment_families
from wan_exporter.families_generation import generation_families
from wan_exporter.families_gpu import gpu_families
from wan_exporter.families_host import host_families
from wan_exporter.families_validation import validation_families
from wan_tui.core.snapshot import Snapshot

log = logging.getLogger("wan_exporter")

GROUPS: Mapping[str, Callable[[Snapshot], Families]] = MappingProxyType(
    {
        "host": host_families,
        "gpu": gpu_families,
        "deployment": deployment_families,
        "validation": validation_families,
        "generation": generation_families,
        "compatibility": compatibility_families,
    }
)
"""The collectors, by the name that ``collect[]`` and ``exclude[]`` take, in the order of the exposition."""


def metric_families(snapshot: Snapshot, groups: Collection[str] = tuple(GROUPS)) -> Iterator[Metric]:
    """Every family of ``groups`` that ``snapshot`` has data for, in the order of the exposition.

    A collector that fails takes only its own families with it, and says so in its success.
    """
    succeeded: dict[str, float] = {}
    for name, families in GROUPS.items():
        if name not in groups:
            continue
        try:
            found = [family for family in families(snapshot) if family.samples]
        except Exception:
            log.exception("collector %s failed", name)
            succeeded[name] = 0.0
        else:
            succeeded[name] = 1.0
            yield from found
    if succeeded:
        yield from scrape_families(succeeded)


def scrape_families(succeeded: Mapping[str, float]) -> Families:
    yield from gauge(
        "wantui_scrape_collector_success",
        "1 when the collector turned the snapshot into metrics, 0 when it failed and its families are missing.",
        ("collector",),
        [((name,), value) for name, value in succeeded.items()],
    )


class SnapshotCollector(Collector):
    """A prometheus_client collector that reads the newest snapshot at each scrape; before the first it is empty."""

    def __init__(self, latest: Callable[[], Snapshot | None], groups: Collection[str] = tuple(GROUPS)) -> None:
        self._latest = latest
        self._groups = groups

    def collect(self) -> Iterable[Metric]:
        snapshot = self._latest()
        return () if snapshot is None else metric_families(snapshot, self._groups)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not take a snapshot, which may not exist yet."""
        return ()
