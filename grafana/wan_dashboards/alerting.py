"""The alerts of rules.yml as Grafana-managed ones, for who has no Alertmanager: same expressions, texts, times."""

from typing import Any

import yaml

HEAD = """\
# Made from prometheus/rules.yml by make dashboards: change that, not this.
# Use these or the rules of Prometheus with Alertmanager, not both: every alert would come twice.
# Prometheus must then still record what they use: prometheus/recording.yml.
"""
RECORDING_HEAD = """\
# Made from rules.yml by make dashboards, for a Prometheus whose alerts are evaluated by Grafana: it takes this file
# in the place of rules.yml.
"""
DATASOURCE_UID = "wantui-prometheus"
# How far back Grafana looks for the value of an instant query.
LOOKBACK_SECONDS = 600
# Any series in the answer is an alert, whatever its value.
MATH = "is_number($query) || is_nan($query) || is_inf($query)"


def provisioned_alerts(rules: str) -> str:
    """A provisioning file of Grafana from the text of rules.yml."""
    groups = [
        {
            "orgId": 1,
            "name": group["name"],
            "folder": "wan-tui",
            "interval": "1m",
            "rules": [_rule(rule) for rule in group["rules"] if "alert" in rule],
        }
        for group in yaml.safe_load(rules)["groups"]
    ]
    return HEAD + str(yaml.safe_dump({"apiVersion": 1, "groups": groups}, sort_keys=False, width=1000))


def recording_rules(rules: str) -> str:
    """What rules.yml records, without its alerts."""
    groups = [
        {"name": group["name"], "rules": [rule for rule in group["rules"] if "record" in rule]}
        for group in yaml.safe_load(rules)["groups"]
    ]
    return RECORDING_HEAD + str(yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000))


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    severity = rule["labels"]["severity"]
    return {
        "uid": f"wan-{rule['alert'].removeprefix('WanTui').lower()}-{severity}",
        "title": f"{rule['alert']} ({severity})",
        "condition": "threshold",
        "for": rule.get("for", "0s"),
        # No series is what a healthy host gives; an unreachable exporter is an alert of its own (WanTuiDown).
        "noDataState": "OK",
        "execErrState": "Error",
        "labels": {"severity": severity},
        "annotations": {name: _annotation(text) for name, text in rule["annotations"].items()},
        "data": [
            {
                "refId": "query",
                "datasourceUid": DATASOURCE_UID,
                "relativeTimeRange": {"from": LOOKBACK_SECONDS, "to": 0},
                "model": {"refId": "query", "expr": rule["expr"], "instant": True, "range": False},
            },
            {
                "refId": "found",
                "datasourceUid": "__expr__",
                "model": {"refId": "found", "type": "math", "expression": MATH},
            },
            {
                "refId": "threshold",
                "datasourceUid": "__expr__",
                "model": {
                    "refId": "threshold",
                    "type": "threshold",
                    "expression": "found",
                    "conditions": [{"evaluator": {"type": "gt", "params": [0]}}],
                },
            },
        ],
    }


def _annotation(text: str) -> str:
    """In Grafana ``$value`` is a sentence about all values; that of the query has a name."""
    return text.replace("$value ", "$values.query.Value ")
