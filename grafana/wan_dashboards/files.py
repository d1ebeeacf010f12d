"""Every generated file under ``grafana/`` by its path there; the same text on every call."""

from pathlib import Path

from wan_dashboards import compatibility, deployment, exporter, fleet, gpu, runbooks
from wan_dashboards.alerting import provisioned_alerts, recording_rules
from wan_dashboards.board import Board

GRAFANA = Path(__file__).parents[1]


def boards() -> tuple[Board, ...]:
    return (
        fleet.board(),
        deployment.board(),
        compatibility.board(),
        gpu.board(),
        exporter.board(),
        runbooks.board((GRAFANA / "runbooks.md").read_text(encoding="utf-8")),
    )


def files() -> dict[str, str]:
    rules = (GRAFANA / "prometheus" / "rules.yml").read_text(encoding="utf-8")
    return {
        **{f"dashboards/{board.file}": board.json() for board in boards()},
        "provisioning/alerting/wan-tui.yaml": provisioned_alerts(rules),
        "prometheus/recording.yml": recording_rules(rules),
    }
