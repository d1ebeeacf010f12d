"""*Compatibility*: what can run where, why not, and how fresh that judgement is."""

from wan_dashboards.board import STATE_CHANGES, Board, Line, Panel, Section
from wan_dashboards.panels import BAD, Column, figures, gauges, grid, limit_line, lines, stacked, timeline
from wan_dashboards.queries import DEPLOYMENT, GPU, HOST, PLACED, enum_code, of_deployment
from wan_dashboards.words import VERDICT
from wan_tui.core.words import Verdict

ONE = "instance, deployment"
SEVERITIES = ("error", "warning")


def board() -> Board:
    return Board(
        uid="wantui-compatibility",
        title="Wan compatibility",
        description="Verdicts on deployments, the memory behind them, and the validation rules that fail.",
        annotations=(STATE_CHANGES,),
        sections=(
            Section(
                "Verdicts",
                [Line(4, _counts()), Line(9, [_matrix(), _headroom()], (14, 10)), Line(8, [_verdicts(), _memory()])],
            ),
            Section("What if", [Line(12, [_what_if(), _what_if_headroom()], (14, 10))]),
            Section("Rules", [Line(9, [_failing(), _outcomes()])]),
            Section("Freshness and files", [Line(8, [_age(), _runs(), _weights()])]),
        ),
    )


def _counts() -> list[Panel]:
    return [
        figures(
            "Deployments by verdict",
            "How many deployments got which verdict. Metric: wantui_deployment_verdict.",
            *(
                (
                    verdict.replace("_", " "),
                    f'sum(wantui_deployment_verdict{{{DEPLOYMENT}, verdict="{verdict}"}})',
                    ((None, "text"), (1, color)),
                )
                for verdict, color in VERDICT.items()
            ),
        ),
        figures(
            "Failing rules",
            "Errors and warnings: rules that deployments break. Metric: wantui_validation_rule_passed.",
            *(
                (
                    severity,
                    f'sum(1 - wantui_validation_rule_passed{{{DEPLOYMENT}, severity="{severity}"}})',
                    BAD if severity == "error" else ((None, "text"),),
                )
                for severity in SEVERITIES
            ),
        ),
    ]


def _matrix() -> Panel:
    return grid(
        "Model, profile, GPU",
        "The verdict on each configured combination. Metrics: wantui_deployment_info, wantui_deployment_gpu_info, "
        "wantui_deployment_verdict.",
        Column("Model", label="model", width=120),
        Column("Profile", label="profile", width=140),
        Column("GPU", label="gpu", width=60),
        Column("Deployment", label="deployment", width=150),
        Column("Host", label="instance"),
        Column("_info", expression=f"max by ({ONE}, model, profile) (wantui_deployment_info{{{DEPLOYMENT}}})"),
        Column("_gpu", expression=f"max by ({ONE}, gpu) (wantui_deployment_gpu_info{{{DEPLOYMENT}}})"),
        Column(
            "Verdict",
            expression=enum_code("wantui_deployment_verdict", "verdict", VERDICT, ONE, DEPLOYMENT),
            words=VERDICT,
        ),
        sort_by="Model",
    )


def _headroom() -> Panel:
    return gauges(
        "Headroom",
        "bytes",
        "Device memory that is left at the estimated peak; negative: short by so much. "
        "Metric: wantui_deployment_headroom_bytes.",
        (f"wantui_deployment_headroom_bytes{{{DEPLOYMENT}}}", of_deployment()),
        judged=((None, "red"), (0, "yellow"), (4 * 2**30, "green")),
    )


def _what_if() -> Panel:
    cell = "instance, model, profile, gpu"
    # Of an empty card there is always a verdict.
    words = {word: color for word, color in VERDICT.items() if word != Verdict.UNKNOWN}
    return grid(
        "Every model, profile and GPU",
        "What could be deployed: whether the default clip of a model fits with a profile if its GPU and the host held "
        "nothing else, and the memory that is left then. Metrics: wantui_compatibility_verdict, "
        "wantui_compatibility_headroom_bytes.",
        Column("Model", label="model", width=120),
        Column("Profile", label="profile", width=140),
        Column("GPU", label="gpu", width=60),
        Column("Host", label="instance"),
        Column(
            "Verdict",
            expression=enum_code("wantui_compatibility_verdict", "verdict", words, cell, GPU),
            words=words,
        ),
        Column(
            "To spare",
            expression=f"max by ({cell}) (wantui_compatibility_headroom_bytes{{{GPU}}})",
            unit="bytes",
            judged=((None, "red"), (0, "text")),
        ),
        sort_by="Model",
    )


def _what_if_headroom() -> Panel:
    return gauges(
        "What the best profile leaves",
        "bytes",
        "For each model the most memory that any profile leaves on any of the selected GPUs; negative: short by so "
        "much. Metric: wantui_compatibility_headroom_bytes.",
        (f"max by (model) (wantui_compatibility_headroom_bytes{{{GPU}}})", "{{model}}"),
        judged=((None, "red"), (0, "yellow"), (4 * 2**30, "green")),
    )


def _verdicts() -> Panel:
    code = enum_code("wantui_deployment_verdict", "verdict", VERDICT, ONE, DEPLOYMENT)
    text = "How the verdict on each deployment changed. Metric: wantui_deployment_verdict."
    return timeline("Verdict", text, VERDICT, (code, of_deployment()))


def _memory() -> Panel:
    return lines(
        "Needed and there",
        "bytes",
        "Estimated peak of each deployment, and the memory of the GPU that it is planned on. Metrics: "
        "wantui_deployment_vram_estimated_bytes, wantui_gpu_memory_total_bytes, wantui_deployment_gpu_info.",
        (f'wantui_deployment_vram_estimated_bytes{{{PLACED}, phase="peak"}}', of_deployment("needs")),
        (
            f'wantui_gpu_memory_total_bytes{{{HOST}, gpu=~"$gpu"}} and on (job, instance, gpu, uuid) '
            f"wantui_deployment_gpu_info{{{PLACED}}}",
            "GPU {{gpu}} · {{instance}} has",
        ),
    )


def _failing() -> Panel:
    by = f"{ONE}, rule, severity"
    return grid(
        "Rules that fail",
        "Deployment, rule and severity; on that host wan-tui rules CODE says what it looks at and how to mend it. "
        "Metric: wantui_validation_rule_passed.",
        Column("Rule", label="rule", width=110),
        Column("Severity", label="severity", width=110),
        Column("Deployment", label="deployment"),
        Column("Host", label="instance"),
        Column("_failed", expression=f"max by ({by}) (wantui_validation_rule_passed{{{DEPLOYMENT}}} == 0)"),
        sort_by="Rule",
    )


def _outcomes() -> Panel:
    return stacked(
        "Rules by outcome",
        "short",
        "How the rules came out, of all selected deployments; skipped ones could not be evaluated. "
        "Metric: wantui_validation_rules.",
        (f"sum by (outcome) (wantui_validation_rules{{{DEPLOYMENT}}})", "{{outcome}}"),
    )


def _age() -> Panel:
    panel = lines(
        "Age of the validation",
        "s",
        "Time since all rules were evaluated. Metric: wantui_validation_last_run_timestamp_seconds.",
        (f"time() - wantui_validation_last_run_timestamp_seconds{{{DEPLOYMENT}}}", of_deployment()),
    )
    return limit_line(panel, (None, "text"), (86_400, "red"))


def _runs() -> Panel:
    return lines(
        "Validation runs",
        "short",
        "Evaluations of all rules within the hour before, and those that could not be completed. "
        "Metrics: wantui_validation_runs_total, wantui_validation_failed_runs_total.",
        (f"sum by (instance) (increase(wantui_validation_runs_total{{{DEPLOYMENT}}}[1h]))", "runs · {{instance}}"),
        (
            f"sum by (instance) (increase(wantui_validation_failed_runs_total{{{DEPLOYMENT}}}[1h]))",
            "failed · {{instance}}",
        ),
    )


def _weights() -> Panel:
    weights = f"max by (model) (sum by (instance, model) (wantui_model_weights_bytes{{{HOST}}}))"
    return grid(
        "Models",
        "Published size of the weights of each model, and how many files its checkpoint lacks on the host that lacks "
        "most; empty where no host has or needs one. Metrics: wantui_model_weights_bytes, wantui_model_files_missing.",
        Column("Model", label="model"),
        Column(
            "Weights",
            expression=weights,
            unit="bytes",
        ),
        Column(
            "Files missing",
            expression=f"max by (model) (wantui_model_files_missing{{{HOST}}})",
            judged=((None, "text"), (1, "red")),
        ),
        sort_by="Model",
    )
