"""What the tests of this folder share: the files under grafana/ and the names that the exporter exports."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from tests import snapshots
from wan_exporter.collector import metric_families

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
    situations = (snapshots.eight_gpus_one_lost, snapshots.pocket_running, snapshots.incompatible)
    families = (family for situation in situations for family in metric_families(situation()))
    return {"up"} | {sample.name for family in families for sample in family.samples}


def metrics_in(expression: str) -> set[str]:
    """Names of the metrics in a PromQL expression."""
    return set(re.findall(r"\b(?:wantui_\w+|up)\b", expression))
