"""Families about validation: how each rule came out for each deployment, and when that was told last."""

from collections.abc import Iterable

from wan_exporter.families import Families, Samples, counter, gauge
from wan_tui.core.runtime.state import DeploymentStatus
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.validation.rulebook.rules import rules
from wan_tui.core.words import Outcome

DEPLOYMENT = ("deployment",)


def validation_families(snapshot: Snapshot) -> Families:
    deployments = snapshot.deployments
    yield from gauge(
        "wantui_validation_rule_passed",
        "1 when the deployment passes the rule, 0 when it does not; absent when the rule could not be evaluated. "
        "wan-tui rules CODE explains a rule.",
        (*DEPLOYMENT, "rule", "severity"),
        _rules(deployments),
    )
    yield from gauge(
        "wantui_validation_rules",
        "Rules that apply to the deployment, by how they came out.",
        (*DEPLOYMENT, "outcome"),
        [
            ((d.name, outcome), len(codes))
            for d in deployments
            for outcome, codes in (
                (Outcome.PASSED, d.validation.passed),
                (Outcome.FAILED, d.validation.failed),
                (Outcome.SKIPPED, d.validation.skipped),
            )
        ],
    )
    yield from gauge(
        "wantui_validation_last_run_timestamp_seconds",
        "Unix time at which all rules were last evaluated; the hardware rules are, with every poll.",
        DEPLOYMENT,
        [((d.name,), d.validation.last_run_at) for d in deployments],
    )
    yield from gauge(
        "wantui_validation_last_duration_seconds",
        "How long the last evaluation of all rules took.",
        DEPLOYMENT,
        [((d.name,), d.validation.last_duration_seconds) for d in deployments],
    )
    yield from counter(
        "wantui_validation_runs_total",
        "Evaluations of all rules that began, those that failed included.",
        DEPLOYMENT,
        [((d.name,), d.validation.runs) for d in deployments],
    )
    yield from counter(
        "wantui_validation_failed_runs_total",
        "Evaluations of all rules that could not be completed.",
        DEPLOYMENT,
        [((d.name,), d.validation.failed_runs) for d in deployments],
    )


def _rules(deployments: Iterable[DeploymentStatus]) -> Samples:
    for deployment in deployments:
        found = deployment.validation
        values = {**dict.fromkeys(found.passed, 1.0), **dict.fromkeys(found.failed, 0.0)}
        for code, value in sorted(values.items()):
            yield (deployment.name, code, rules()[code].severity), value
