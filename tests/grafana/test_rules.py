"""The alert rules: valid, about exported metrics, each with a page, a test that fires and one that stays quiet."""

import asyncio
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.exporter.live import promtool
from tests.grafana.alertmanager import alertmanager
from tests.grafana.repository import GRAFANA, exported_labels, exported_samples, load_yaml, matchers_in, metrics_in

FOLDER = GRAFANA / "prometheus"
ALERTMANAGER = FOLDER / "alertmanager.yml"
ALL: list[dict[str, Any]] = [rule for group in load_yaml(FOLDER / "rules.yml")["groups"] for rule in group["rules"]]
RULES = [rule for rule in ALL if "alert" in rule]
RECORDED: dict[str, str] = {rule["record"]: rule["expr"] for rule in ALL if "record" in rule}
CASES: list[dict[str, Any]] = [
    case for test in load_yaml(FOLDER / "rules_test.yml")["tests"] for case in test["alert_rule_test"]
]
# Every alert with its severity and how long its condition must hold.
ALERTS = {
    ("WanTuiDown", "critical", "5m"),
    ("WanTuiNvmlUnavailable", "critical", "5m"),
    ("WanTuiPollerStale", "warning", "2m"),
    ("WanTuiNvmlCallStuck", "warning", "5m"),
    ("WanTuiConfigReloadFailed", "warning", "10m"),
    ("WanTuiStorageLow", "warning", "15m"),
    ("WanTuiGpuLost", "critical", "2m"),
    ("WanTuiGpuMissing", "warning", "10m"),
    ("WanTuiGpuXidCritical", "critical", None),
    ("WanTuiGpuRecoveryActionNeeded", "critical", None),
    ("WanTuiGpuUncorrectableEcc", "critical", None),
    ("WanTuiGpuRowRemapFailure", "critical", None),
    ("WanTuiGpuThrottled", "warning", "5m"),
    ("WanTuiGpuForeignMemory", "warning", "5m"),
    ("WanTuiDeploymentIncompatible", "critical", "2m"),
    ("WanTuiDeploymentIncompatible", "warning", "2m"),
    ("WanTuiDeploymentVerdictUnknown", "warning", "15m"),
    ("WanTuiDeploymentTight", "info", "15m"),
    ("WanTuiValidationFailing", "warning", "5m"),
    ("WanTuiValidationStale", "warning", "15m"),
    ("WanTuiDeploymentNotLoaded", "critical", "15m"),
    ("WanTuiDeploymentTransitionStuck", "warning", "20m"),
    ("WanTuiDeploymentLoadFailing", "warning", None),
    ("WanTuiWorkerRestarting", "critical", None),
    ("WanTuiVramNotReleased", "warning", "5m"),
    ("WanTuiOutOfMemory", "warning", None),
    ("WanTuiOutOfMemory", "critical", None),
    ("WanTuiGenerationStalled", "critical", None),
    ("WanTuiQueueDelayed", "warning", "5m"),
    ("WanTuiJobFailureRatioHigh", "warning", "10m"),
    ("WanTuiVramEstimateOptimistic", "warning", "10m"),
    ("WanTuiVramEstimatePessimistic", "info", "1h"),
    ("WanTuiGenerationSlowerThanEstimate", "warning", "30m"),
}
each_rule = pytest.mark.parametrize("rule", RULES, ids=[f"{r['alert']}-{r['labels']['severity']}" for r in RULES])


def test_promtool_accepts_configuration_and_rules() -> None:
    promtool("check", "config", FOLDER / "prometheus.yml")
    promtool("check", "rules", "--lint-fatal", FOLDER / "rules.yml", FOLDER / "recording.yml")


def test_promtool_runs_the_rule_tests() -> None:
    promtool("test", "rules", FOLDER / "rules_test.yml")


def test_no_alert_is_missing_or_changed_by_accident() -> None:
    assert {(rule["alert"], rule["labels"]["severity"], rule.get("for")) for rule in RULES} == ALERTS
    assert len(RULES) == len(ALERTS)


@each_rule
def test_each_alert_is_seen_to_fire_and_to_stay_quiet(rule: dict[str, Any]) -> None:
    cases = [case for case in CASES if case["alertname"] == rule["alert"]]
    fired = [alert["exp_labels"]["severity"] for case in cases for alert in case.get("exp_alerts", [])]
    assert rule["labels"]["severity"] in fired
    assert [case for case in cases if not case.get("exp_alerts")]


@each_rule
def test_each_alert_says_what_to_do_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert "{{" not in rule["annotations"]["summary"], "a summary is a static sentence"
    assert rule["annotations"]["description"].count(". ") >= 1, "values first, then the corrective action"
    text = Path(GRAFANA / "runbooks.md").read_text(encoding="utf-8")
    section = re.search(rf"^## {rule['alert']}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section is not None, f"no section {rule['alert']} in runbooks.md"
    for part in ("Meaning", "Impact", "Diagnosis", "Mitigation"):
        assert f"**{part}.**" in section[1], f"{rule['alert']}: no {part}"


@each_rule
def test_each_alert_links_to_its_runbook_and_to_the_dashboard_of_what_it_is_about(rule: dict[str, Any]) -> None:
    boards = {board["uid"]: board for board in map(load_yaml, (GRAFANA / "dashboards").glob("*.json"))}
    (book, page), (board, chosen) = (_link(rule["annotations"][name]) for name in ("runbook_url", "dashboard_url"))
    (panel,) = [one for one in boards[book]["panels"] if str(one["id"]) == page["viewPanel"]]
    assert panel["title"] == rule["alert"]
    variables = {variable["name"] for variable in boards[board]["templating"]["list"]}
    assert {name.removeprefix("var-") for name in chosen} <= variables
    given = {"instance", *(matched for matched in ("gpu", "deployment") if f"$labels.{matched}" in str(chosen))}
    assert chosen == {f"var-{name}": f"{{{{ $labels.{name} }}}}" for name in given}


def _link(url: str) -> tuple[str, dict[str, str]]:
    """The uid of the dashboard that an address leads to, and its parameters."""
    address, _, query = url.partition("?")
    root, _, uid = address.rpartition("/d/")
    assert root == "http://localhost:3000", "the Grafana of compose.yaml"
    return uid, dict(part.split("=", 1) for part in query.split("&"))


@each_rule
def test_each_alert_is_about_exported_metrics_and_labels(rule: dict[str, Any]) -> None:
    expression, exported = with_recorded_written_out(rule["expr"]), exported_labels()
    assert metrics_in(expression)
    assert metrics_in(expression) <= set(exported)
    for metric, label, value in matchers_in(expression):
        assert value in exported[metric][label], f"{metric} is never exported with {label}={value}"


def with_recorded_written_out(expression: str) -> str:
    """``expression`` with the expressions of the recording rules in the place of their names."""
    while found := [name for name in RECORDED if name in expression]:
        for name in found:
            expression = expression.replace(name, f"({RECORDED[name]})")
    return expression


def test_what_is_recorded_is_named_by_level_metric_and_operation_and_used_twice() -> None:
    expressions = " ".join(rule["expr"] for rule in ALL)
    for name in RECORDED:
        assert re.fullmatch(r"[a-z_]+:wantui_\w+:\w+", name)
        assert expressions.count(name) >= 2


def test_runbooks_have_no_page_without_alert_and_name_real_metrics() -> None:
    text = Path(GRAFANA / "runbooks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## (\w+)$", text, re.M)) == {rule["alert"] for rule in RULES}
    assert {name for name in re.findall(r"wantui_\w+", text)} <= exported_samples()
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= {rule["alert"].lower() for rule in RULES}


def test_the_scrape_job_is_the_one_that_the_rules_watch() -> None:
    (job,) = load_yaml(FOLDER / "prometheus.yml")["scrape_configs"]
    assert job["job_name"] == "wantui"
    assert job["static_configs"][0]["targets"] == ["127.0.0.1:12022"]


# --- Alertmanager ---------------------------------------------------------------------------------------------------


def amtool(*arguments: str | Path) -> str:
    """Run amtool, fail with everything that it says, and return what it prints."""
    path = shutil.which("amtool")
    if path is None:
        pytest.skip("amtool is not installed (Debian: apt-get install prometheus-alertmanager): NOT checked")
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def test_amtool_accepts_the_example() -> None:
    amtool("check-config", ALERTMANAGER)


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "pager"), ("warning", "chat"), ("info", "chat")])
def test_only_critical_alerts_wake_somebody(severity: str, receiver: str) -> None:
    routed = amtool("config", "routes", "test", f"--config.file={ALERTMANAGER}", f"severity={severity}")
    assert routed.strip() == receiver


def test_the_example_names_existing_alerts_only() -> None:
    named = set(re.findall(r"WanTui\w+", ALERTMANAGER.read_text(encoding="utf-8")))
    assert named <= {rule["alert"] for rule in RULES}


async def test_what_follows_from_a_worse_alert_is_muted(tmp_path: Path) -> None:
    story = {"deployment": "story"}
    async with alertmanager(tmp_path, ALERTMANAGER) as url:
        muted = await muted_of(
            url,
            alert("WanTuiOutOfMemory", "critical", **story),
            alert("WanTuiOutOfMemory", "warning", **story),
            alert("WanTuiOutOfMemory", "warning", deployment="draft"),
            alert("WanTuiGpuLost", "critical", gpu="6"),
            alert("WanTuiDeploymentNotLoaded", "critical", **story),
            alert("WanTuiDeploymentNotLoaded", "critical", instance="render-02:12022", **story),
            alert("WanTuiGpuUncorrectableEcc", "critical", gpu="3"),
            alert("WanTuiDeploymentIncompatible", "critical", instance="render-03:12022", **story),
            alert("WanTuiDeploymentLoadFailing", "warning", instance="render-03:12022", **story),
            alert("WanTuiDeploymentLoadFailing", "warning", instance="render-03:12022", deployment="draft"),
            alert("WanTuiNvmlUnavailable", "critical", instance="render-04:12022"),
            alert("WanTuiGpuLost", "critical", instance="render-04:12022", gpu="0"),
        )
    assert muted == {
        ("WanTuiOutOfMemory", "warning", "render-01:12022", "story"),
        ("WanTuiDeploymentNotLoaded", "critical", "render-01:12022", "story"),
        ("WanTuiDeploymentLoadFailing", "warning", "render-03:12022", "story"),
        ("WanTuiGpuLost", "critical", "render-04:12022", None),
    }


def alert(name: str, severity: str, **labels: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": name, "severity": severity, "job": "wantui", "instance": "render-01:12022", **labels}
    }


async def muted_of(url: str, *alerts: dict[str, Any]) -> set[tuple[str | None, ...]]:
    """Alert, severity, instance and deployment of those that are inhibited when all of them are active."""
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/api/v2/alerts", json=alerts) as response:
            assert response.status == 200, await response.text()
        async with asyncio.timeout(20):  # the inhibitor learns of them a moment after the post
            while True:
                async with session.get(f"{url}/api/v2/alerts") as response:
                    known = await response.json()
                muted = {
                    tuple(entry["labels"].get(label) for label in ("alertname", "severity", "instance", "deployment"))
                    for entry in known
                    if entry["status"]["inhibitedBy"]
                }
                if len(known) == len(alerts) and len(muted) >= 4:
                    return muted
                await asyncio.sleep(0.1)
