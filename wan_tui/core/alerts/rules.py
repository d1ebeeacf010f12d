"""The conditions, as functions of a snapshot and of how counters grew. Pure.

A test derives the list of rules from grafana/prometheus/rules.yml and lets promtool evaluate them on the same
snapshots: names, severities, times, summaries and what fires must be equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from wan_tui.core.words import LoadState, Severity, Verdict

if TYPE_CHECKING:
    from wan_tui.core.hardware.samples import GpuSample
    from wan_tui.core.runtime.state import DeploymentStatus, LabelledCount
    from wan_tui.core.snapshot import Snapshot

MINUTE = 60.0
HOUR = 3600.0
GIB = 2**30
# Hardware faults; the Xids of programs and those that only inform are left out.
CRITICAL_XIDS = frozenset({48, 62, 64, 74, 79, 95, 119, 120})

Increase = Callable[[str, str, float], float]
"""How much a counter (name, subject) grew within the last seconds."""


class Found(NamedTuple):
    """Where a condition holds now."""

    subject: str
    value: float
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    alert: str
    severity: str
    for_seconds: float
    summary: str
    find: Callable[[Snapshot, Increase], Iterable[Found]]


NOT_LOCAL = {
    ("WanTuiDown", "critical"): "an engine that does not run evaluates nothing: whoever watches it must tell",
    ("WanTuiVramEstimatePessimistic", "info"): "needs the highest peak of a whole day, which Prometheus keeps",
}
"""Rules that only Prometheus can evaluate, and why."""


def counters(snapshot: Snapshot) -> dict[tuple[str, str], float]:
    """Every counter that a rule asks the increase of, by name and subject."""
    found: dict[tuple[str, str], float] = {}
    for gpu in snapshot.gpus:
        if gpu.up and gpu.ecc_uncorrected_errors is not None:
            found["ecc_uncorrected", _gpu(gpu)] = gpu.ecc_uncorrected_errors
        if gpu.xid_errors is not None:
            found["xid_critical", _gpu(gpu)] = sum(e.count for e in gpu.xid_errors if e.xid in CRITICAL_XIDS)
    for d in snapshot.deployments:
        totals = d.totals
        found["load_failures", d.name] = _sum(totals.load_failures, without="cancelled")
        found["worker_restarts", d.name] = _sum(totals.worker_restarts, without="operator")
        found["out_of_memory", d.name] = _sum(totals.out_of_memory)
        found["jobs_failed", d.name] = _sum(totals.jobs_failed)
        found["jobs_finished", d.name] = totals.jobs_finished
        found["error_ratio_sum", d.name] = totals.estimate_error_ratio.sum
        found["error_ratio_count", d.name] = sum(totals.estimate_error_ratio.counts)
    return found


def _sum(counts: Iterable[LabelledCount], without: str = "") -> float:
    return sum(count.value for count in counts if count.label != without)


def _gpu(gpu: GpuSample) -> str:
    return f"gpu:{gpu.index}"


# -- driver, host and GPUs


def _nvml_unavailable(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    if snapshot.driver.present and not snapshot.driver.up:
        yield Found("", 0)


def _poller_stale(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    for poller in snapshot.pollers:
        if poller.last_success_at is not None:
            age = snapshot.taken_at - poller.last_success_at
            if age > 30 + 3 * poller.interval_seconds:
                yield Found(poller.poller, age)


def _call_stuck(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    if snapshot.driver.present and snapshot.driver.stuck_calls > 0:
        yield Found("", snapshot.driver.stuck_calls)


def _reload_failed(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    if not snapshot.config.last_reload_successful:
        yield Found("", 0)


def _storage_low(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    for volume in snapshot.host.volumes:
        if volume.volume in ("outputs", "cache") and volume.free_bytes < 20 * GIB:
            yield Found(volume.volume, volume.free_bytes)


def _gpu_lost(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    return (Found(_gpu(gpu), 0) for gpu in snapshot.gpus if not gpu.up)


def _gpu_missing(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    if snapshot.gpus_expected is not None and len(snapshot.gpus) < snapshot.gpus_expected:
        yield Found("", len(snapshot.gpus))


def _xid_critical(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    for gpu in snapshot.gpus:
        if gpu.xid_errors is not None and (grown := increase("xid_critical", _gpu(gpu), 10 * MINUTE)) > 0:
            yield Found(_gpu(gpu), grown)


def _recovery_action(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    for gpu in snapshot.gpus:
        if gpu.up and gpu.recovery_action not in (None, "none"):
            yield Found(_gpu(gpu), 1, gpu.recovery_action or "")


def _uncorrectable_ecc(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    for gpu in snapshot.gpus:
        if gpu.up and (grown := increase("ecc_uncorrected", _gpu(gpu), HOUR)) > 0:
            yield Found(_gpu(gpu), grown)


def _remap_failure(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    return (Found(_gpu(gpu), 1) for gpu in snapshot.gpus if gpu.up and gpu.remapped_rows_failure)


def _throttled(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    for gpu in snapshot.gpus:
        for reason in gpu.throttle_reasons or () if gpu.up else ():
            if reason in ("hw_thermal_slowdown", "hw_power_brake_slowdown"):
                yield Found(_gpu(gpu), 1, reason)


def _foreign_memory(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    ours = {d.worker.pid for d in snapshot.deployments if d.worker is not None}
    planned = {d.compatibility.plan.gpu_uuid for d in snapshot.deployments if d.compatibility.plan is not None}
    for gpu in snapshot.gpus:
        if not gpu.up or gpu.processes is None or gpu.uuid not in planned:
            continue
        held = [process.used_memory_bytes for process in gpu.processes if process.pid not in ours]
        if None not in held and (total := sum(figure or 0 for figure in held)) > GIB:
            yield Found(_gpu(gpu), total)


# -- deployments


def _with_verdict(verdict: Verdict, *, wanted: bool | None = None) -> Callable[[Snapshot, Increase], Iterable[Found]]:
    def find(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
        for d in snapshot.deployments:
            if d.compatibility.verdict is verdict and wanted in (None, d.wanted_loaded):
                yield Found(d.name, 1)

    return find


def _validation_failing(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    from wan_tui.core.validation.rulebook.rules import rules

    for d in snapshot.deployments:
        for code in d.validation.failed:
            if rules()[code].severity is Severity.ERROR:
                yield Found(d.name, 0, code)


def _validation_stale(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    for d in snapshot.deployments:
        if d.validation.last_run_at is not None and (age := snapshot.taken_at - d.validation.last_run_at) > 24 * HOUR:
            yield Found(d.name, age)


def _not_loaded(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    return (Found(d.name, 1) for d in snapshot.deployments if d.wanted_loaded and d.state is not LoadState.LOADED)


def _transition_stuck(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    for d in snapshot.deployments:
        if d.state in (LoadState.LOADING, LoadState.UNLOADING):
            yield Found(d.name, 1)


def _grown(counter: str, seconds: float, least: float) -> Callable[[Snapshot, Increase], Iterable[Found]]:
    """A counter of a deployment grew by ``least`` or more within ``seconds``."""

    def find(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
        for d in snapshot.deployments:
            if (grown := increase(counter, d.name, seconds)) >= least:
                yield Found(d.name, grown)

    return find


def _not_released(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    known = {gpu.uuid for gpu in snapshot.gpus}
    for d in snapshot.deployments:
        if _planned_on(d) in known and d.unreleased_bytes is not None and d.unreleased_bytes > 512 * 2**20:
            yield Found(d.name, d.unreleased_bytes)


def _stalled(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    for d in snapshot.deployments:
        if d.running_job is not None and d.worker is not None:
            silence = snapshot.taken_at - d.worker.last_progress_at
            if silence > 600:
                yield Found(d.name, silence)


def _queue_delayed(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    for d in snapshot.deployments:
        if d.oldest_queued_at is not None and (age := snapshot.taken_at - d.oldest_queued_at) > 1800:
            yield Found(d.name, age)


def _failure_ratio(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    for d in snapshot.deployments:
        failed = increase("jobs_failed", d.name, HOUR)
        ended = failed + increase("jobs_finished", d.name, HOUR)
        if ended >= 4 and failed / ended > 0.25:
            yield Found(d.name, failed / ended)


def _optimistic(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    known = {gpu.uuid for gpu in snapshot.gpus}
    for d in snapshot.deployments:
        memory, worker = d.memory_in_force, d.worker
        if memory is None or not memory.peak_bytes or worker is None or not worker.up or _planned_on(d) not in known:
            continue
        if worker.device_peak_bytes is not None and (ratio := worker.device_peak_bytes / memory.peak_bytes) > 1.05:
            yield Found(d.name, ratio)


def _slower(snapshot: Snapshot, increase: Increase) -> Iterable[Found]:
    for d in snapshot.deployments:
        runs = increase("error_ratio_count", d.name, 6 * HOUR)
        if runs >= 3 and (mean := increase("error_ratio_sum", d.name, 6 * HOUR) / runs) > 1.5:
            yield Found(d.name, mean)


def _planned_on(d: DeploymentStatus) -> str | None:
    return d.compatibility.plan.gpu_uuid if d.compatibility.plan is not None else None


# fmt: off
RULES = (
    Rule("WanTuiNvmlUnavailable", "critical", 5 * MINUTE, "The NVIDIA driver does not answer.", _nvml_unavailable),
    Rule("WanTuiPollerStale", "warning", 2 * MINUTE,
         "A background poll has not succeeded for some time, so its values are old.", _poller_stale),
    Rule("WanTuiNvmlCallStuck", "warning", 5 * MINUTE, "Driver calls hang.", _call_stuck),
    Rule("WanTuiConfigReloadFailed", "warning", 10 * MINUTE,
         "A changed configuration was refused; the one before still applies.", _reload_failed),
    Rule("WanTuiStorageLow", "warning", 15 * MINUTE, "A volume is nearly full.", _storage_low),
    Rule("WanTuiGpuLost", "critical", 2 * MINUTE, "A GPU is lost or does not answer.", _gpu_lost),
    Rule("WanTuiGpuMissing", "warning", 10 * MINUTE, "A host has fewer GPUs than declared.", _gpu_missing),
    Rule("WanTuiGpuXidCritical", "critical", 0, "The driver reported a hardware fault of a GPU.", _xid_critical),
    Rule("WanTuiGpuRecoveryActionNeeded", "critical", 0,
         "The driver asks for a reset of a GPU or a reboot.", _recovery_action),
    Rule("WanTuiGpuUncorrectableEcc", "critical", 0,
         "A GPU had memory errors that ECC could not correct.", _uncorrectable_ecc),
    Rule("WanTuiGpuRowRemapFailure", "critical", 0,
         "A GPU has a broken memory row that it cannot replace.", _remap_failure),
    Rule("WanTuiGpuThrottled", "warning", 5 * MINUTE, "The hardware holds the clocks of a GPU down.", _throttled),
    Rule("WanTuiGpuForeignMemory", "warning", 5 * MINUTE,
         "Another process holds memory of a GPU that a deployment is planned on.", _foreign_memory),
    Rule("WanTuiDeploymentIncompatible", "critical", 2 * MINUTE,
         "A deployment that should be loaded cannot run on its device.",
         _with_verdict(Verdict.INCOMPATIBLE, wanted=True)),
    Rule("WanTuiDeploymentIncompatible", "warning", 2 * MINUTE,
         "A configured deployment cannot run on its device.", _with_verdict(Verdict.INCOMPATIBLE, wanted=False)),
    Rule("WanTuiDeploymentVerdictUnknown", "warning", 15 * MINUTE,
         "Nobody can tell whether a deployment fits.", _with_verdict(Verdict.UNKNOWN)),
    Rule("WanTuiDeploymentTight", "info", 15 * MINUTE,
         "A deployment fits with little headroom.", _with_verdict(Verdict.TIGHT)),
    Rule("WanTuiValidationFailing", "warning", 5 * MINUTE,
         "A deployment breaks a validation rule that is an error.", _validation_failing),
    Rule("WanTuiValidationStale", "warning", 15 * MINUTE,
         "A deployment has not been validated for a day.", _validation_stale),
    Rule("WanTuiDeploymentNotLoaded", "critical", 15 * MINUTE,
         "A deployment that should be loaded is not.", _not_loaded),
    Rule("WanTuiDeploymentTransitionStuck", "warning", 20 * MINUTE,
         "A load or unload takes unusually long.", _transition_stuck),
    Rule("WanTuiDeploymentLoadFailing", "warning", 0,
         "Loads of a deployment fail again and again.", _grown("load_failures", 30 * MINUTE, 2)),
    Rule("WanTuiWorkerRestarting", "critical", 0,
         "The worker of a deployment keeps being restarted.", _grown("worker_restarts", 30 * MINUTE, 3)),
    Rule("WanTuiVramNotReleased", "warning", 5 * MINUTE,
         "GPU memory was not given back after an unload.", _not_released),
    Rule("WanTuiOutOfMemory", "warning", 0,
         "A deployment ran out of GPU memory.", _grown("out_of_memory", 15 * MINUTE, 1)),
    Rule("WanTuiOutOfMemory", "critical", 0,
         "A deployment runs out of GPU memory again and again.", _grown("out_of_memory", HOUR, 3)),
    Rule("WanTuiGenerationStalled", "critical", 0, "A running job makes no progress.", _stalled),
    Rule("WanTuiQueueDelayed", "warning", 5 * MINUTE, "Jobs wait long for a deployment.", _queue_delayed),
    Rule("WanTuiJobFailureRatioHigh", "warning", 10 * MINUTE, "Many jobs of a deployment fail.", _failure_ratio),
    Rule("WanTuiVramEstimateOptimistic", "warning", 10 * MINUTE,
         "A deployment takes more GPU memory than estimated, so verdicts cannot be trusted.", _optimistic),
    Rule("WanTuiGenerationSlowerThanEstimate", "warning", 30 * MINUTE,
         "Generations take much longer than estimated.", _slower),
)
# fmt: on
