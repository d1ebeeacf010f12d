"""*Wan fleet*: are the hosts there, what is loaded, does it fit, who waits. One page for all of them."""

from wan_dashboards.board import GPU_LOST, OUT_OF_MEMORY, STATE_CHANGES, Board, Line, Panel, Section
from wan_dashboards.panels import (
    BAD,
    GOOD,
    NEUTRAL,
    Column,
    bars,
    counted,
    figures,
    grid,
    limit_line,
    lines,
    targets,
    timeline,
)
from wan_dashboards.queries import DEPLOYMENT, GPU, HOST, enum_code, of_deployment, of_gpu
from wan_dashboards.words import STATE, VERDICT

DETAIL = "/d/wantui-deployment?var-deployment=${__data.fields.Deployment}&${datasource:queryparam}&${__url_time_range}"
ONE = "instance, deployment"


def board() -> Board:
    return Board(
        uid="wantui-fleet",
        title="Wan fleet",
        description="Hosts that run wan-exporter: their GPUs, deployments and jobs.",
        annotations=(STATE_CHANGES, OUT_OF_MEMORY, GPU_LOST),
        sections=(
            Section("Now", [Line(4, _now(), (4, 4, 6, 4, 6))]),
            Section("Deployments", [Line(8, [_table()]), Line(8, [_state(), _verdict()])]),
            Section("Saturation", [Line(9, [_memory(), _queue()]), Line(9, [_waiting(), _ended()])]),
            Section("Versions", [Line(7, [_software(), _runtimes(), _storage()], (9, 8, 7))]),
        ),
    )


def _now() -> list[Panel]:
    gpu_up = f"wantui_gpu_up{{{GPU}}}"
    loaded, failed = (f'wantui_deployment_state{{{DEPLOYMENT}, state="{word}"}}' for word in ("loaded", "failed"))
    incompatible = f'wantui_deployment_verdict{{{DEPLOYMENT}, verdict="incompatible"}}'
    return [
        targets(),
        figures(
            "GPUs",
            "GPUs whose last reading worked, and those that are lost or do not answer. Metric: wantui_gpu_up.",
            ("up", f"sum({gpu_up})", GOOD),
            ("lost", f"sum(1 - {gpu_up})", BAD),
        ),
        figures(
            "Deployments",
            "Deployments that are loaded, that failed, and that cannot run on their device. "
            "Metrics: wantui_deployment_state, wantui_deployment_verdict.",
            ("loaded", f"sum({loaded})", NEUTRAL),
            ("failed", f"sum({failed})", BAD),
            ("incompatible", f"sum({incompatible})", BAD),
        ),
        figures(
            "Jobs",
            "Generations that run, and those that wait. Metrics: wantui_jobs_running, wantui_jobs_queued.",
            ("running", f"sum(wantui_jobs_running{{{DEPLOYMENT}}})", NEUTRAL),
            ("queued", f"sum(wantui_jobs_queued{{{DEPLOYMENT}}})", NEUTRAL),
        ),
        figures(
            "Last 24 hours",
            "Clips that were finished, jobs that failed and times that a device ran out of memory within a day. "
            "Metrics: wantui_jobs_finished_total, wantui_jobs_failed_total, wantui_oom_errors_total.",
            ("clips", f"round(sum(increase(wantui_jobs_finished_total{{{DEPLOYMENT}}}[24h])))", NEUTRAL),
            ("failed", f"round(sum(increase(wantui_jobs_failed_total{{{DEPLOYMENT}}}[24h])))", BAD),
            ("out of memory", f"round(sum(increase(wantui_oom_errors_total{{{DEPLOYMENT}}}[24h])))", BAD),
        ),
    ]


def _table() -> Panel:
    return grid(
        "What is deployed",
        "Each deployment with its model, profile and GPU, its state and verdict, device memory to spare, and seconds "
        "of the last generation beside their estimate. Metrics: wantui_deployment_info, wantui_deployment_gpu_info, "
        "wantui_deployment_state, wantui_deployment_verdict, wantui_deployment_headroom_bytes, "
        "wantui_generation_last_duration_seconds, wantui_generation_last_estimated_duration_seconds.",
        Column("Deployment", label="deployment", link=DETAIL),
        Column("Host", label="instance"),
        Column("Model", label="model"),
        Column("Profile", label="profile"),
        Column("GPU", label="gpu", width=70),
        Column("_info", expression=f"max by ({ONE}, model, profile) (wantui_deployment_info{{{DEPLOYMENT}}})"),
        Column("_gpu", expression=f"max by ({ONE}, gpu) (wantui_deployment_gpu_info{{{DEPLOYMENT}}})"),
        Column("State", expression=enum_code("wantui_deployment_state", "state", STATE, ONE, DEPLOYMENT), words=STATE),
        Column(
            "Verdict",
            expression=enum_code("wantui_deployment_verdict", "verdict", VERDICT, ONE, DEPLOYMENT),
            words=VERDICT,
        ),
        Column(
            "To spare",
            expression=f"max by ({ONE}) (wantui_deployment_headroom_bytes{{{DEPLOYMENT}}})",
            unit="bytes",
            judged=((None, "red"), (0, "text")),
        ),
        Column(
            "Last took",
            expression=f"max by ({ONE}) (wantui_generation_last_duration_seconds{{{DEPLOYMENT}}})",
            unit="s",
        ),
        Column(
            "Estimated",
            expression=f"max by ({ONE}) (wantui_generation_last_estimated_duration_seconds{{{DEPLOYMENT}}})",
            unit="s",
        ),
        sort_by="Deployment",
    )


def _state() -> Panel:
    code = enum_code("wantui_deployment_state", "state", STATE, ONE, DEPLOYMENT)
    text = "Load state of each deployment over time. Metric: wantui_deployment_state."
    return timeline("Load state", text, STATE, (code, of_deployment()))


def _verdict() -> Panel:
    code = enum_code("wantui_deployment_verdict", "verdict", VERDICT, ONE, DEPLOYMENT)
    text = "Whether each deployment can run on its device. Metric: wantui_deployment_verdict."
    return timeline("Verdict", text, VERDICT, (code, of_deployment()))


def _memory() -> Panel:
    panel = lines(
        "VRAM used",
        "percentunit",
        "Used share of each GPU's memory; absent while a GPU cannot be read. Metric: wantui_gpu_memory_used_ratio.",
        (f"wantui_gpu_memory_used_ratio{{{GPU}}}", of_gpu()),
    )
    return limit_line(panel.max(1).decimals(1), (None, "green"), (0.95, "red"))


def _queue() -> Panel:
    oldest = f"time() - wantui_jobs_oldest_queued_timestamp_seconds{{{DEPLOYMENT}}}"
    panel = lines(
        "Age of the oldest waiting job",
        "s",
        "How long the job that waits longest has waited; nothing while the queue is empty. "
        "Metric: wantui_jobs_oldest_queued_timestamp_seconds.",
        (oldest, of_deployment()),
    )
    return limit_line(panel, (None, "text"), (1800, "red"))


def _waiting() -> Panel:
    return counted(
        "Jobs over time",
        "Jobs that run and jobs that wait, of all selected deployments. "
        "Metrics: wantui_jobs_running, wantui_jobs_queued.",
        (f"sum by (instance) (wantui_jobs_running{{{DEPLOYMENT}}})", "running · {{instance}}"),
        (f"sum by (instance) (wantui_jobs_queued{{{DEPLOYMENT}}})", "queued · {{instance}}"),
    )


def _ended() -> Panel:
    return bars(
        "Jobs per hour",
        "short",
        "Jobs that ended within the hour before, by how. "
        "Metrics: wantui_jobs_finished_total, wantui_jobs_failed_total, wantui_jobs_cancelled_total.",
        *(
            (f"sum(increase(wantui_jobs_{how}_total{{{DEPLOYMENT}}}[1h]))", how)
            for how in ("finished", "failed", "cancelled")
        ),
    )


def _software() -> Panel:
    return grid(
        "Exporters and drivers",
        "Version of wan-tui and of the driver on each host. Metrics: wantui_build_info, wantui_nvml_info.",
        Column("Host", label="instance"),
        Column("wan-tui", label="version"),
        Column("Python", label="python_version"),
        Column("Driver", label="driver_version"),
        Column("CUDA", label="cuda_driver_version"),
        Column("_build", expression=f"max by (instance, version, python_version) (wantui_build_info{{{HOST}}})"),
        Column(
            "_driver",
            expression=f"max by (instance, driver_version, cuda_driver_version) (wantui_nvml_info{{{HOST}}})",
        ),
        sort_by="Host",
    )


def _runtimes() -> Panel:
    by = "instance, torch_version, diffusers_version, transformers_version"
    return grid(
        "Libraries of the workers",
        "What the running workers report, a row for each distinct set: more than one on a host is skew. "
        "Metric: wantui_runtime_info.",
        Column("Host", label="instance"),
        Column("torch", label="torch_version"),
        Column("diffusers", label="diffusers_version"),
        Column("transformers", label="transformers_version"),
        Column("_info", expression=f"max by ({by}) (wantui_runtime_info{{{HOST}}})"),
        sort_by="Host",
    )


def _storage() -> Panel:
    panel = lines(
        "Free space",
        "bytes",
        "Free space where models, videos and the cache are. Metric: wantui_storage_free_bytes.",
        (f"wantui_storage_free_bytes{{{HOST}}}", "{{volume}} · {{instance}}"),
    )
    return limit_line(panel, (None, "red"), (20 * 2**30, "text"))
