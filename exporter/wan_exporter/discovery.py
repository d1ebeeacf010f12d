"""``/sd``: the targets of this configuration in the form that Prometheus' HTTP service discovery reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from wan_exporter.arguments import DEFAULT_TELEMETRY_PATH


@dataclass(frozen=True, slots=True)
class Target:
    """``address`` is HOST:PORT; ``own`` is this exporter itself; ``secure`` is HTTPS."""

    address: str
    own: bool
    secure: bool = False


def discovery(targets: Sequence[Target], telemetry_path: str, version: str) -> list[dict[str, object]]:
    """One group per target: a scheme and a path of its own are labels that Prometheus understands."""
    return [_group(target, telemetry_path, version) for target in targets]


def _group(target: Target, telemetry_path: str, version: str) -> dict[str, object]:
    labels = {"__meta_wantui_own": str(target.own).lower()}
    if target.secure:
        labels["__scheme__"] = "https"
    if target.own:
        labels["__meta_wantui_version"] = version
        if telemetry_path != DEFAULT_TELEMETRY_PATH:
            labels["__metrics_path__"] = telemetry_path
    return {"targets": [target.address], "labels": labels}
