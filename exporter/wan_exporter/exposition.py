"""A snapshot as bytes: text or OpenMetrics, packed or not. Made in a thread, so that the engine's loop goes on.

A scrape is made afresh from the newest snapshot. Scrapers that ask for the same within a second share one making:
snapshots are immutable, so they get what each would have got.
"""

import asyncio
import gzip
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from wan_exporter.collector import GROUPS, SnapshotCollector
from wan_tui.core.snapshot import Snapshot

EXPORTER = "exporter"
"""The group of prometheus_client's own figures about this process."""
SHARED_SECONDS = 1.0
# Fast: on a loop-back or a data centre's network the time of packing counts more than the last kilobyte.
GZIP_LEVEL = 1

Latest = Callable[[], Snapshot | None]


def group_names(exporter_metrics: bool) -> tuple[str, ...]:
    return (*GROUPS, EXPORTER) if exporter_metrics else tuple(GROUPS)


def encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """prometheus_client's choice between text and OpenMetrics; plain text for a version that it cannot compare."""
    try:
        return choose_encoder(accept)
    except TypeError:
        return choose_encoder("")


def with_process_metrics(registry: CollectorRegistry) -> CollectorRegistry:
    """``registry`` with what prometheus_client tells of this process, of Python and of its garbage collector."""
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


@dataclass(frozen=True, slots=True)
class _Made:
    snapshot: Snapshot | None
    at: float
    body: asyncio.Task[bytes] = field(compare=False)


class Exposition:
    """``await Exposition(latest).render(…)``. ``shared_seconds`` 0 makes every scrape by itself."""

    def __init__(self, latest: Latest, shared_seconds: float = SHARED_SECONDS) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._latest = latest
        self._shared_seconds = shared_seconds
        self._made: dict[tuple[object, ...], _Made] = {}
        self._process = with_process_metrics(CollectorRegistry())

    async def render(self, accept: str, groups: Collection[str], packed: bool) -> tuple[bytes, str]:
        """Body and content type of one scrape. Cancelling it leaves the making to those who share it."""
        encode, content_type = encoder(accept)
        snapshot, now, key = self._latest(), time.monotonic(), (content_type, frozenset(groups), packed)
        made = self._made.get(key)
        if made is None or made.snapshot is not snapshot or now - made.at >= self._shared_seconds or _failed(made.body):
            work = asyncio.to_thread(self._encode, snapshot, encode, groups, packed)
            made = _Made(snapshot, now, asyncio.create_task(work))
            self._made = {k: m for k, m in self._made.items() if now - m.at < self._shared_seconds} | {key: made}
        return await asyncio.shield(made.body), content_type

    def _encode(
        self, snapshot: Snapshot | None, encode: Callable[[Collector], bytes], groups: Collection[str], packed: bool
    ) -> bytes:
        registry = CollectorRegistry()
        registry.register(SnapshotCollector(lambda: snapshot, groups))
        if EXPORTER in groups:
            registry.register(_Registered(self._process))
        body = encode(registry)
        return gzip.compress(body, GZIP_LEVEL, mtime=0) if packed else body


class _Registered(Collector):
    """The families of another registry, as a collector."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()

    def describe(self) -> Iterable[Metric]:
        return ()


def _failed(task: asyncio.Task[bytes]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
