"""What the tests of this folder share: the files under grafana/ and the names that the exporter exports."""

import functools
import importlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.exporter.goldens import SCENARIOS
from wan_exporter.collector import metric_families
from wan_tui.core.snapshot import Snapshot

GRAFANA = Path(__file__).parents[2] / "grafana"


# Prometheus' own about each target, and prometheus_client's about the process.
OTHERS = {
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
}
METRIC = r"\b(?:(?:wantui|process|scrape)_\w+|up)\b"


def built_files() -> dict[str, str]:
    """What ``grafana/wan_dashboards`` builds; the package is there to be run, so nothing installs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(GRAFANA))
        found: dict[str, str] = importlib.import_module("wan_dashboards.files").files()
    return found


def load_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def exported_samples() -> set[str]:
    """Every sample name that any of the fixed snapshots leads to; ``up`` is Prometheus' own."""
    return set(exported_labels()) | OTHERS


@functools.cache
def exported_labels() -> Mapping[str, Mapping[str, set[str]]]:
    """The values of each label of each sample in any of the fixed snapshots."""
    found: dict[str, dict[str, set[str]]] = {"up": {"job": {"wantui"}}}
    for snapshot in _situations():
        for family in metric_families(snapshot):
            for sample in family.samples:
                values = found.setdefault(sample.name, defaultdict(set))
                for label, value in sample.labels.items():
                    values[label].add(str(value))
    return found


def _situations() -> Iterator[Snapshot]:
    yield from (situation() for situation in SCENARIOS.values())


def metrics_in(expression: str) -> set[str]:
    """Names of the metrics in a PromQL expression."""
    return set(re.findall(METRIC, expression))


def matchers_in(expression: str) -> Iterator[tuple[str, str, str]]:
    """Metric, label and value of every condition that a selector of a PromQL expression makes."""
    for metric, conditions in re.findall(r"\b(wantui_\w+|up){(.*?)}", expression):
        for label, values in re.findall(r'(\w+)(?:=|!=|=~|!~)"(.*?)"', conditions):
            for value in values.split("|"):
                yield metric, label, value
