"""The alert rules: valid, about exported metrics, each with a page, a test that fires and one that stays quiet."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.exporter.live import promtool
from tests.grafana.repository import GRAFANA, exported_samples, load_yaml, metrics_in

FOLDER = GRAFANA / "prometheus"
RULES: list[dict[str, Any]] = [
    rule for group in load_yaml(FOLDER / "rules.yml")["groups"] for rule in group["rules"] if "alert" in rule
]
CASES: list[dict[str, Any]] = [
    case for test in load_yaml(FOLDER / "rules_test.yml")["tests"] for case in test["alert_rule_test"]
]
each_rule = pytest.mark.parametrize("rule", RULES, ids=[f"{r['alert']}-{r['labels']['severity']}" for r in RULES])


def test_promtool_accepts_configuration_and_rules() -> None:
    promtool("check", "config", FOLDER / "prometheus.yml")
    promtool("check", "rules", "--lint-fatal", FOLDER / "rules.yml")


def test_promtool_runs_the_rule_tests() -> None:
    promtool("test", "rules", FOLDER / "rules_test.yml")


@each_rule
def test_each_alert_is_seen_to_fire_and_to_stay_quiet(rule: dict[str, Any]) -> None:
    cases = [case for case in CASES if case["alertname"] == rule["alert"]]
    fired = [alert["exp_labels"]["severity"] for case in cases for alert in case.get("exp_alerts", [])]
    assert rule["labels"]["severity"] in fired
    assert [case for case in cases if not case.get("exp_alerts")]


@each_rule
def test_each_alert_says_what_to_do_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert "{{" not in rule["annotations"]["summary"], "a summary is a static sentence"
    assert rule["annotations"]["description"].count(". ") >= 1, "values first, then the corrective action"
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    text = (GRAFANA.parent / page).read_text(encoding="utf-8")
    section = re.search(rf"^## {rule['alert']}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section is not None, f"no section {rule['alert']} in {page}"
    assert anchor == rule["alert"].lower()
    for part in ("Meaning", "Impact", "Diagnosis", "Mitigation"):
        assert f"**{part}.**" in section[1], f"{rule['alert']}: no {part}"


@each_rule
def test_each_alert_is_about_an_exported_metric(rule: dict[str, Any]) -> None:
    assert metrics_in(rule["expr"]) <= exported_samples()


def test_runbooks_have_no_page_without_alert_and_name_real_metrics() -> None:
    text = Path(GRAFANA / "runbooks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## (\w+)$", text, re.M)) == {rule["alert"] for rule in RULES}
    assert {name for name in re.findall(r"wantui_\w+", text)} <= exported_samples()


def test_the_scrape_job_is_the_one_that_the_rules_watch() -> None:
    (job,) = load_yaml(FOLDER / "prometheus.yml")["scrape_configs"]
    assert job["job_name"] == "wantui"
    assert job["static_configs"][0]["targets"] == ["127.0.0.1:12022"]
