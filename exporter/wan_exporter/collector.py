"""What Prometheus gets: one immutable Snapshot turned into metric families. Pure: no clock, no driver, no state."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from wan_exporter.families_deployment import deployment_families
from wan_exporter.families_generation import generation_families
from wan_exporter.families_gpu import gpu_families
from wan_exporter.families_host import host_families
from wan_exporter.families_validation import validation_families
from wan_tui.core.snapshot import Snapshot


def metric_families(snapshot: Snapshot) -> Iterator[Metric]:
    """Every family that ``snapshot`` has data for, in the order of the exposition."""
    yield from host_families(snapshot)
    yield from gpu_families(snapshot)
    yield from deployment_families(snapshot)
    yield from validation_families(snapshot)
    yield from generation_families(snapshot)


class SnapshotCollector(Collector):
    """A prometheus_client collector that reads the newest snapshot at each scrape; before the first it is empty."""

    def __init__(self, latest: Callable[[], Snapshot | None]) -> None:
        self._latest = latest

    def collect(self) -> Iterable[Metric]:
        snapshot = self._latest()
        return () if snapshot is None else metric_families(snapshot)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not take a snapshot, which may not exist yet."""
        return ()
