"""What the engine evaluates itself is what Prometheus evaluates: the same list, the same times, the same outcome."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import snapshots
from tests.exporter.live import promtool
from tests.grafana.repository import GRAFANA, load_yaml, metrics_in
from tests.snapshot_parts import GIB, labelled, poller
from wan_exporter.collector import metric_families
from wan_tui.core.alerts.rules import NOT_LOCAL, RULES
from wan_tui.core.alerts.watch import AlertWatch
from wan_tui.core.hardware.samples import GpuProcess, VolumeSample, XidCount
from wan_tui.core.runtime.state import DeploymentStatus
from wan_tui.core.snapshot import ConfigStatus, Snapshot
from wan_tui.core.words import JobFailureReason, LoadFailureReason, LoadState, Phase, RestartReason, Verdict

IN_FILE: list[dict[str, Any]] = [
    rule
    for group in load_yaml(GRAFANA / "prometheus" / "rules.yml")["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
END = 7200
STEP = 60
USED = metrics_in((GRAFANA / "prometheus" / "rules.yml").read_text())
UNITS = {"s": 1, "m": 60, "h": 3600}


def seconds(text: str | None) -> float:
    return 0.0 if text is None else float(text[:-1]) * UNITS[text[-1]]


def test_every_rule_of_the_file_is_evaluated_here_or_has_a_reason_why_not() -> None:
    ours = {(rule.alert, rule.severity, rule.for_seconds, rule.summary) for rule in RULES}
    theirs = {
        (rule["alert"], rule["labels"]["severity"], seconds(rule.get("for")), rule["annotations"]["summary"])
        for rule in IN_FILE
        if (rule["alert"], rule["labels"]["severity"]) not in NOT_LOCAL
    }
    assert ours == theirs
    assert len(ours) == len(RULES)
    assert set(NOT_LOCAL) <= {(rule["alert"], rule["labels"]["severity"]) for rule in IN_FILE}
    assert all(len(reason) > 20 for reason in NOT_LOCAL.values())


# -- the same outcome on the same snapshots


def troubled(at: float) -> Snapshot:
    """Everything that a snapshot can say is wrong."""
    snapshot = snapshots.eight_gpus_one_lost(at)
    first, second, third, *others = snapshot.deployments
    gpus = list(snapshot.gpus)
    uuid = gpus[1].uuid
    gpus[1] = replace(gpus[1], processes=(*(gpus[1].processes or ()), GpuProcess(999_999, 2 * GIB, "python")))
    gpus[2] = replace(gpus[2], throttle_reasons=("hw_thermal_slowdown", "sw_power_cap"))
    gpus[3] = replace(gpus[3], remapped_rows_failure=True, recovery_action="gpu_reset")
    plan = first.compatibility.plan
    assert plan is not None
    assert first.worker is not None
    on_second_gpu = replace(first.compatibility, plan=replace(plan, device="gpu:1", gpu_uuid=uuid))
    memory = first.compatibility.memory
    assert memory is not None
    stalled = replace(
        first,
        compatibility=replace(on_second_gpu, verdict=Verdict.TIGHT),
        worker=replace(first.worker, last_progress_at=at - 700, device_peak_bytes=int(memory.peak_bytes * 1.2)),
        oldest_queued_at=at - 2400,
        unreleased_bytes=GIB,
        validation=replace(first.validation, failed=("WAN003",), last_run_at=at - 100_000),
    )
    loading = replace(second, state=LoadState.LOADING, wanted_loaded=True)
    unknown = replace(third, compatibility=replace(third.compatibility, verdict=Verdict.UNKNOWN))
    return replace(
        snapshot,
        driver=replace(snapshot.driver, stuck_calls=2),
        gpus_expected=9,
        gpus=tuple(gpus),
        deployments=(stalled, loading, unknown, *others),
        pollers=(replace(poller("nvml", at), last_success_at=at - 300), *snapshot.pollers[1:]),
        host=replace(snapshot.host, volumes=(VolumeSample("cache", "/var/cache/wan", 64 * GIB, 4 * GIB),)),
        config=ConfigStatus(last_reload_successful=False, last_success_at=at - 900, problem="line 3"),
    )


def driver_down(at: float) -> Snapshot:
    snapshot = troubled(at)
    return replace(snapshot, driver=replace(snapshot.driver, up=False))


def grown(at: float) -> Snapshot:
    """A host on which much failed within the last minutes."""
    snapshot = snapshots.eight_gpus_one_lost(at)
    first, *others = snapshot.deployments
    totals = replace(
        first.totals,
        out_of_memory=add(first, "out_of_memory", Phase.VAE_DECODE, 3),
        load_failures=add(first, "load_failures", LoadFailureReason.OUT_OF_MEMORY, 2),
        jobs_failed=add(first, "jobs_failed", JobFailureReason.OUT_OF_MEMORY, 4),
        worker_restarts=add(first, "worker_restarts", RestartReason.CRASHED, 3),
    )
    gpus = list(snapshot.gpus)
    gpus[5] = replace(gpus[5], ecc_uncorrected_errors=(gpus[5].ecc_uncorrected_errors or 0) + 2)
    return replace(snapshot, deployments=(replace(first, totals=totals), *others), gpus=tuple(gpus))


def faulty(at: float) -> Snapshot:
    """One GPU with a hardware fault, another with a program that made a mistake."""
    snapshot = snapshots.eight_gpus_one_lost(at)
    gpus = list(snapshot.gpus)
    gpus[4] = replace(gpus[4], xid_errors=(XidCount(13, 1, at),))
    gpus[5] = replace(gpus[5], xid_errors=(XidCount(48, 2, at),))
    return replace(snapshot, gpus=tuple(gpus))


def slow(at: float) -> Snapshot:
    """Six generations took three times their estimate."""
    snapshot = snapshots.eight_gpus_one_lost(at)
    first, *others = snapshot.deployments
    ratio = first.totals.estimate_error_ratio
    ratio = replace(ratio, counts=(*ratio.counts[:-1], ratio.counts[-1] + 6), sum=ratio.sum + 6 * 3.2)
    return replace(
        snapshot, deployments=(replace(first, totals=replace(first.totals, estimate_error_ratio=ratio)), *others)
    )


def unwanted(at: float) -> Snapshot:
    """What cannot run is not wanted either."""
    snapshot = snapshots.incompatible(at)
    return replace(snapshot, deployments=tuple(replace(d, wanted_loaded=False) for d in snapshot.deployments))


def add(deployment: DeploymentStatus, counter: str, label: Any, more: float) -> Any:
    counts = getattr(deployment.totals, counter)
    return labelled(type(label), {type(label)(c.label): c.value + (more if c.label == label else 0) for c in counts})


SITUATIONS: dict[str, tuple[Any, Any]] = {
    # before, and after the moment of change
    "empty": (snapshots.empty_host, snapshots.empty_host),
    "pocket": (snapshots.pocket_running, snapshots.pocket_running),
    "incompatible": (snapshots.incompatible, snapshots.incompatible),
    "eight": (snapshots.eight_gpus_one_lost, snapshots.eight_gpus_one_lost),
    "troubled": (troubled, troubled),
    "driver": (driver_down, driver_down),
    "unwanted": (unwanted, unwanted),
    "grown": (snapshots.eight_gpus_one_lost, grown),
    "slow": (snapshots.eight_gpus_one_lost, slow),
    "faulty": (snapshots.eight_gpus_one_lost, faulty),
}
# How many seconds before the end they change.
CHANGED_BEFORE = {"slow": 2700, "faulty": 300}


def here(before: Snapshot, after: Snapshot, changed_at: int) -> set[tuple[str, str, str]]:
    """What fires at END when the engine looks at the snapshots for two hours."""
    watch = AlertWatch()
    for at in range(0, END + 1, STEP):
        watch.look(replace(before if at < changed_at else after, taken_at=float(at)))
    return {(alert.name, alert.severity, alert.subject) for alert in watch.firing}


def series(before: Snapshot, after: Snapshot, changed_at: int) -> Iterator[dict[str, str]]:
    """The metrics of the snapshots as promtool takes them."""
    yield {"series": 'up{job="wantui",instance="a:1"}', "values": f"1x{END // STEP}"}
    values: dict[str, list[float | None]] = {}
    for number, snapshot in enumerate((before, after)):
        for family in metric_families(snapshot):
            for sample in (one for one in family.samples if one.name in USED):
                labels = ",".join(
                    f'{name}="{value}"' for name, value in {**sample.labels, "job": "wantui", "instance": "a:1"}.items()
                )
                values.setdefault(f"{sample.name}{{{labels}}}", [None, None])[number] = sample.value
    first = changed_at // STEP - 1
    for name, (one, two) in values.items():
        parts = [f"_x{first}" if one is None else f"{one:.17g}x{first}"]
        parts.append(f"_x{END // STEP - first}" if two is None else f"{two:.17g}x{END // STEP - first}")
        yield {"series": name, "values": " ".join(parts)}


def expected(firing: Iterable[tuple[str, str, str]]) -> Iterator[dict[str, Any]]:
    """Queries over ALERTS with the answers that follow from ``firing``, one per kind of subject."""
    gpus = {subject for _, _, subject in firing if subject.startswith("gpu:")}
    volumes, pollers = {"outputs", "cache", "models"}, {"nvml", "host", "manager"}
    deployments = {s for _, _, s in firing if s} - gpus - volumes - pollers
    kinds = (
        ("deployment", 'deployment!=""', deployments),
        ("gpu", 'deployment="",gpu!=""', gpus),
        ("volume", 'volume!=""', volumes),
        ("poller", 'poller!=""', pollers),
        ("", 'deployment="",gpu="",volume="",poller=""', {""}),
    )
    for label, matcher, subjects in kinds:
        by = ", ".join(filter(None, ("alertname", "severity", label)))
        samples = []
        for name, severity, subject in sorted(firing):
            if subject in subjects:
                text = f', {label}="{subject.removeprefix("gpu:")}"' if label else ""
                samples.append({"labels": f'{{alertname="{name}", severity="{severity}"{text}}}', "value": 1})
        yield {
            "expr": f'group by ({by}) (ALERTS{{alertstate="firing",{matcher}}})',
            "eval_time": f"{END}s",
            "exp_samples": samples,
        }


def test_prometheus_finds_the_same_on_the_same_snapshots(tmp_path: Path) -> None:
    tests, seen = [], set()
    for name, (before, after) in SITUATIONS.items():
        changed_at = END - CHANGED_BEFORE.get(name, 600)
        old, new = before(float(END)), after(float(END))
        firing = here(old, new, changed_at)
        seen |= {(name, severity) for name, severity, _ in firing}
        tests.append(
            {
                "interval": f"{STEP}s",
                "input_series": list(series(old, new, changed_at)),
                "promql_expr_test": list(expected(firing)),
            }
        )
    quiet = {(rule.alert, rule.severity) for rule in RULES} - seen
    assert not quiet, "the situations make every rule fire"
    file = tmp_path / "local.yml"
    file.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(GRAFANA / "prometheus" / "rules.yml")],
                "evaluation_interval": f"{STEP}s",
                "tests": tests,
            }
        )
    )
    promtool("test", "rules", file)


@pytest.mark.parametrize("name", ["empty", "pocket"])
def test_a_healthy_host_is_quiet(name: str) -> None:
    before, after = SITUATIONS[name]
    assert here(before(float(END)), after(float(END)), END) == set()
