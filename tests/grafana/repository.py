"""What the tests of this folder share: the files under grafana/ and the names that the exporter exports."""

import functools
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from tests.exporter.goldens import SCENARIOS
from wan_exporter.collector import metric_families
from wan_tui.core.snapshot import Snapshot

GRAFANA = Path(__file__).parents[2] / "grafana"


def build_module() -> ModuleType:
    """``grafana/build_dashboards.py``, which is a script and in no package."""
    spec = importlib.util.spec_from_file_location("build_dashboards", GRAFANA / "build_dashboards.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def exported_samples() -> set[str]:
    """Every sample name that any of the fixed snapshots leads to; ``up`` is Prometheus' own."""
    return set(exported_labels())


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
    return set(re.findall(r"\b(?:wantui_\w+|up)\b", expression))


def matchers_in(expression: str) -> Iterator[tuple[str, str, str]]:
    """Metric, label and value of every condition that a selector of a PromQL expression makes."""
    for metric, conditions in re.findall(r"\b(wantui_\w+|up){(.*?)}", expression):
        for label, values in re.findall(r'(\w+)(?:=|!=|=~|!~)"(.*?)"', conditions):
            for value in values.split("|"):
                yield metric, label, value
