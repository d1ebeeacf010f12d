"""Sets the stage: a folder of its own, the configuration in it, the real engine above the simulated host."""

import contextlib
import dataclasses
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from wan_exporter.collector import SnapshotCollector
from wan_exporter.demo.scenarios import configuration
from wan_exporter.demo.stage import Stage
from wan_exporter.demo.worker import DemoLauncher
from wan_exporter.demo.world import World
from wan_exporter.exposition import with_process_metrics
from wan_tui.core.catalog import Catalogue, load_catalogue
from wan_tui.core.catalog.models import Weights
from wan_tui.core.config import Settings, load_settings
from wan_tui.core.engine import Engine

CARDS = 4


@dataclass(frozen=True, slots=True)
class Setting:
    """A simulated host before its engine runs. ``config`` is its configuration file, in ``folder``."""

    folder: Path
    config: Path
    world: World
    launcher: DemoLauncher
    settings: Settings

    def engine(self, settings: Settings, **options: Any) -> Engine:
        """The real engine above this host; ``options`` are its other ones."""
        return Engine(
            settings,
            **options,
            gpu_probe=self.world,
            host=self.world.host,
            libraries=self.world.libraries,
            launcher=self.launcher,
            catalogue=_with_all_weights(load_catalogue()),
        )

    def stage(self, engine: Engine, *, begin_seconds: float, end_seconds: float) -> Stage:
        return Stage(
            world=self.world,
            launcher=self.launcher,
            engine=engine,
            settings=self.settings,
            config=self.config,
            begin_seconds=begin_seconds,
            end_seconds=end_seconds,
        )


@contextlib.contextmanager
def simulated_host(interval_seconds: float) -> Iterator[Setting]:
    """A host that polls every ``interval_seconds``; its folder goes with it."""
    with tempfile.TemporaryDirectory(prefix="wan-exporter-demo-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        config = folder / "wan-tui.toml"
        config.write_text(configuration(interval_seconds, folder), encoding="utf-8")
        world = World(CARDS)
        yield Setting(folder, config, world, DemoLauncher(world), load_settings(config))


@contextlib.asynccontextmanager
async def staged(
    interval_seconds: float, *, begin_seconds: float, end_seconds: float
) -> AsyncIterator[tuple[Stage, Collector]]:
    """A running engine on a simulated host, and what a scrape of it collects."""
    with simulated_host(min(interval_seconds, 60.0)) as setting:
        # Nobody looks between two scrapes.
        async with setting.engine(setting.settings, publish_interval_seconds=interval_seconds / 3) as engine:
            async for _ in engine.snapshots():
                break
            stage = setting.stage(engine, begin_seconds=begin_seconds, end_seconds=end_seconds)
            yield stage, _registry(engine)


def _registry(engine: Engine) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(lambda: engine.latest))
    return with_process_metrics(registry)


def _with_all_weights(catalogue: Catalogue) -> Catalogue:
    """Nobody downloads 100 GB for a demonstration: its models count as built in."""
    models = tuple(dataclasses.replace(model, weights=Weights.POCKET) for model in catalogue.models)
    return Catalogue(models)
