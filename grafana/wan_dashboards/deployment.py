"""*Deployment*: one deployment in detail, estimates beside observations."""

from wan_dashboards.board import OUT_OF_MEMORY, STATE_CHANGES, Board, Line, Panel, Section
from wan_dashboards.panels import (
    bars,
    colored,
    counted,
    dashed,
    heat,
    limit_line,
    lines,
    signed_lines,
    stacked,
    timeline,
)
from wan_dashboards.queries import (
    DEPLOYMENT,
    PLACED,
    WINDOW,
    enum_code,
    mean,
    of_deployment,
    quantile,
)
from wan_dashboards.words import PHASE, STATE, VERDICT

ONE = "instance, deployment"
ESTIMATED = "wantui_deployment_vram_estimated_bytes"


def board() -> Board:
    return Board(
        uid="wantui-deployment",
        title="Wan deployment",
        description="State, memory, time and jobs of deployments: what was estimated beside what was seen.",
        annotations=(STATE_CHANGES, OUT_OF_MEMORY),
        sections=(
            Section("State", [Line(7, [_state(), _verdict()]), Line(7, [_phase(), _worker()])]),
            Section("VRAM", [Line(12, [_memory(), _torch()]), Line(9, [_headroom(), _foreign(), _unreleased()])]),
            Section(
                "Time",
                [
                    Line(10, [_last(), _quantiles()]),
                    Line(9, [_error(), _bias()]),
                    Line(9, [_steps(), _stages(), _loads()]),
                ],
            ),
            Section("Jobs", [Line(9, [_queue(), _waits(), _progress()]), Line(8, [_failures(), _oom(), _unloads()])]),
            Section("Energy", [Line(8, [_energy(), _throughput()])]),
        ),
    )


def _state() -> Panel:
    code = enum_code("wantui_deployment_state", "state", STATE, ONE, DEPLOYMENT)
    return timeline(
        "Load state", "Load state over time. Metric: wantui_deployment_state.", STATE, (code, of_deployment())
    )


def _verdict() -> Panel:
    code = enum_code("wantui_deployment_verdict", "verdict", VERDICT, ONE, DEPLOYMENT)
    text = "Whether the deployment can run on its device. Metric: wantui_deployment_verdict."
    return timeline("Verdict", text, VERDICT, (code, of_deployment()))


def _phase() -> Panel:
    code = enum_code("wantui_job_phase", "phase", PHASE, ONE, DEPLOYMENT)
    return timeline("Phase", "What the worker does. Metric: wantui_job_phase.", PHASE, (code, of_deployment()))


def _worker() -> Panel:
    restarts = f"sum by ({ONE}, reason) (increase(wantui_worker_restarts_total{{{DEPLOYMENT}}}[{WINDOW}]))"
    return counted(
        "Worker",
        "Whether the worker process runs, and how often it was restarted within the hour before, by reason. "
        "Metrics: wantui_worker_up, wantui_worker_restarts_total.",
        (f"wantui_worker_up{{{DEPLOYMENT}}}", of_deployment("up")),
        (f"{restarts} > 0", of_deployment("restarted: {{reason}}")),
    )


def _memory() -> Panel:
    panel = lines(
        "VRAM, estimated and observed",
        "bytes",
        "Estimated for the default clip after loading and at the peak (dashed), what the driver counts for the worker, "
        "and the highest that torch held since the worker started. Jobs larger than the default clip may lie above. "
        "Metrics: wantui_deployment_vram_estimated_bytes, wantui_deployment_vram_observed_bytes, "
        "wantui_deployment_vram_peak_bytes.",
        (f'{ESTIMATED}{{{PLACED}, phase="loaded"}}', of_deployment("estimated loaded")),
        (f'{ESTIMATED}{{{PLACED}, phase="peak"}}', of_deployment("estimated peak")),
        (f"wantui_deployment_vram_observed_bytes{{{PLACED}}}", of_deployment("observed")),
        (f"wantui_deployment_vram_peak_bytes{{{PLACED}}}", of_deployment("observed peak")),
    )
    return dashed(panel, "/estimated/")


def _torch() -> Panel:
    return lines(
        "VRAM inside torch",
        "bytes",
        "Memory in tensors, and what the allocator of torch holds: the gap between them is cache and fragmentation. "
        "Metrics: wantui_deployment_vram_allocated_bytes, wantui_deployment_vram_torch_reserved_bytes.",
        (f"wantui_deployment_vram_allocated_bytes{{{PLACED}}}", of_deployment("allocated")),
        (f"wantui_deployment_vram_torch_reserved_bytes{{{PLACED}}}", of_deployment("reserved")),
    )


def _headroom() -> Panel:
    panel = signed_lines(
        "Headroom",
        "bytes",
        "Device memory that is left at the estimated peak; below 0 the deployment is short of it. "
        "Metric: wantui_deployment_headroom_bytes.",
        (f"wantui_deployment_headroom_bytes{{{DEPLOYMENT}}}", of_deployment()),
    )
    return limit_line(panel, (None, "red"), (0, "text"))


def _foreign() -> Panel:
    held = 'wantui_gpu_process_memory_bytes{job=~"$job", instance=~"$instance", gpu=~"$gpu", owner="other"}'
    placed = f"max by (job, instance, gpu, uuid) (wantui_deployment_gpu_info{{{PLACED}}})"
    return lines(
        "VRAM of others",
        "bytes",
        "What processes that are no workers hold on the GPUs of the selected deployments. "
        "Metrics: wantui_gpu_process_memory_bytes, wantui_deployment_gpu_info.",
        (f"{held} and on (job, instance, gpu, uuid) {placed}", "GPU {{gpu}} · {{instance}}"),
    )


def _unreleased() -> Panel:
    panel = lines(
        "Not given back after an unload",
        "bytes",
        "What the driver still booked for the last worker seconds after it was gone; absent before the first unload. "
        "Metric: wantui_deployment_unload_unreleased_bytes.",
        (f"wantui_deployment_unload_unreleased_bytes{{{PLACED}}}", of_deployment()),
    )
    return limit_line(panel, (None, "text"), (512 * 2**20, "red"))


def _last() -> Panel:
    panel = counted(
        "Last generation, estimated and observed",
        "Seconds of the last finished generation, without loading and waiting, beside its estimate (dashed). "
        "Metrics: wantui_generation_last_duration_seconds, wantui_generation_last_estimated_duration_seconds.",
        (f"wantui_generation_last_duration_seconds{{{DEPLOYMENT}}}", of_deployment("observed")),
        (f"wantui_generation_last_estimated_duration_seconds{{{DEPLOYMENT}}}", of_deployment("estimated")),
    )
    return dashed(panel.unit("s"), "/estimated/")


def _quantiles() -> Panel:
    ended = f"sum by ({ONE}) (increase(wantui_generation_duration_seconds_count{{{DEPLOYMENT}}}[{WINDOW}]))"
    estimated = f"sum by ({ONE}) (increase(wantui_generation_estimated_seconds_total{{{DEPLOYMENT}}}[{WINDOW}]))"
    panel = lines(
        "Generation time, estimated and observed",
        "s",
        "Half and nine tenths of the generations of the hour before took at most so long; beside them the mean "
        "estimate (dashed). Metrics: wantui_generation_duration_seconds, wantui_generation_estimated_seconds_total.",
        (quantile(0.5, "wantui_generation_duration_seconds", ONE), of_deployment("p50")),
        (quantile(0.9, "wantui_generation_duration_seconds", ONE), of_deployment("p90")),
        (f"{estimated} / ({ended} > 0)", of_deployment("estimated")),
    )
    return dashed(panel, "/estimated/")


def _error() -> Panel:
    ratio = "wantui_generation_estimate_error_ratio"
    return heat(
        "Estimate error",
        "none",
        "Generations of the hour before by observed divided by estimated seconds; 1 is a perfect estimate. "
        f"Metric: {ratio}.",
        f"sum by (le) (increase({ratio}_bucket{{{DEPLOYMENT}}}[{WINDOW}]))",
    )


def _bias() -> Panel:
    ratio = "wantui_generation_estimate_error_ratio"
    panel = lines(
        "Mean estimate error",
        "none",
        "Observed divided by estimated seconds, mean of the generations that finished in the hour before; above 1 they "
        f"took longer. Metric: {ratio}.",
        (mean(ratio, ONE), of_deployment()),
    )
    return limit_line(panel.decimals(2), (None, "text"), (1.5, "red"))


def _steps() -> Panel:
    step = "wantui_generation_step_duration_seconds"
    return lines(
        "Step time by expert",
        "s",
        f"Seconds of one denoising step, mean of the hour before. Metric: {step}.",
        (mean(step, f"{ONE}, expert"), of_deployment("{{expert}}")),
    )


def _stages() -> Panel:
    stage = "wantui_generation_stage_duration_seconds"
    return stacked(
        "Time by stage",
        "s",
        f"Seconds that the stages of one generation took, mean of the hour before. Metric: {stage}.",
        (mean(stage, "stage"), "{{stage}}"),
    )


def _loads() -> Panel:
    panel = counted(
        "Loading time",
        "Seconds of the last load that succeeded, and the slowest tenth of the loads of a day. "
        "Metrics: wantui_deployment_last_load_duration_seconds, wantui_deployment_load_duration_seconds.",
        (f"wantui_deployment_last_load_duration_seconds{{{DEPLOYMENT}}}", of_deployment("last")),
        (
            f"histogram_quantile(0.9, sum by ({ONE}, le) "
            f"(increase(wantui_deployment_load_duration_seconds_bucket{{{DEPLOYMENT}}}[1d])))",
            of_deployment("p90"),
        ),
    )
    return panel.unit("s")


def _queue() -> Panel:
    return counted(
        "Queue",
        "Jobs that run and jobs that wait. Metrics: wantui_jobs_running, wantui_jobs_queued.",
        (f"sum by ({ONE}) (wantui_jobs_running{{{DEPLOYMENT}}})", of_deployment("running")),
        (f"sum by ({ONE}) (wantui_jobs_queued{{{DEPLOYMENT}}})", of_deployment("queued")),
    )


def _waits() -> Panel:
    return lines(
        "Waiting time",
        "s",
        "Nine tenths of the jobs that started in the hour before had waited at most so long. "
        "Metric: wantui_job_queue_duration_seconds.",
        (quantile(0.9, "wantui_job_queue_duration_seconds", ONE), of_deployment("p90")),
    )


def _progress() -> Panel:
    panel = lines(
        "Progress",
        "percentunit",
        "Progress of the running job; absent when none runs. Metric: wantui_job_progress_ratio.",
        (f"wantui_job_progress_ratio{{{DEPLOYMENT}}}", of_deployment()),
    )
    return panel.max(1)


def _failures() -> Panel:
    return bars(
        "Failures by reason",
        "short",
        "Jobs that failed within the hour before, by reason; empty when none did. Metric: wantui_jobs_failed_total.",
        (f"sum by (reason) (increase(wantui_jobs_failed_total{{{DEPLOYMENT}}}[{WINDOW}])) > 0", "{{reason}}"),
    )


def _oom() -> Panel:
    panel = bars(
        "Out of memory by phase",
        "short",
        "Times that the device ran out of memory within the hour before, by phase; empty when it did not. "
        "Metric: wantui_oom_errors_total.",
        (f"sum by (phase) (increase(wantui_oom_errors_total{{{DEPLOYMENT}}}[{WINDOW}])) > 0", "{{phase}}"),
    )
    return panel.override_by_name("vae_decode", colored("purple"))


def _unloads() -> Panel:
    return bars(
        "Loads and unloads",
        "short",
        "Loads that began and that failed, and unloads by cause, within the hour before. Metrics: "
        "wantui_deployment_loads_total, wantui_deployment_load_failures_total, wantui_deployment_unloads_total.",
        (f"sum(increase(wantui_deployment_loads_total{{{DEPLOYMENT}}}[{WINDOW}]))", "loads"),
        (f"sum(increase(wantui_deployment_load_failures_total{{{DEPLOYMENT}}}[{WINDOW}]))", "failed loads"),
        (
            f"sum by (cause) (increase(wantui_deployment_unloads_total{{{DEPLOYMENT}}}[{WINDOW}])) > 0",
            "unload: {{cause}}",
        ),
    )


def _energy() -> Panel:
    placed = f"max by (job, instance, gpu, uuid) (wantui_deployment_gpu_info{{{PLACED}}})"
    joules = f'increase(wantui_gpu_energy_joules_total{{job=~"$job", instance=~"$instance", gpu=~"$gpu"}}[{WINDOW}])'
    seconds = f"sum by (instance) (increase(wantui_generation_video_seconds_total{{{DEPLOYMENT}}}[{WINDOW}]))"
    used = f"sum by (instance) ({joules} and on (job, instance, gpu, uuid) {placed})"
    return lines(
        "Energy per second of video",
        "joule",
        "Energy of the GPUs of the selected deployments, idle time included, divided by the video made in the hour "
        "before. Metrics: wantui_gpu_energy_joules_total, wantui_generation_video_seconds_total, "
        "wantui_deployment_gpu_info.",
        (f"{used} / ({seconds} > 0)", "{{instance}}"),
    )


def _throughput() -> Panel:
    return lines(
        "Video per hour",
        "s",
        "Seconds of video that were generated in the hour before. Metric: wantui_generation_video_seconds_total.",
        (f"increase(wantui_generation_video_seconds_total{{{DEPLOYMENT}}}[{WINDOW}])", of_deployment()),
    )
