"""The collector is pure: a fixed snapshot has exactly these series."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests import snapshots
from tests.exporter.live import promtool
from tests.snapshot_parts import AT
from wan_exporter.collector import SnapshotCollector, metric_families
from wan_tui.core.hardware.samples import GpuProcess
from wan_tui.core.runtime.state import Histogram, ValidationStatus
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import (
    STAGES,
    JobFailureReason,
    LoadFailureReason,
    LoadState,
    Phase,
    Resolution,
    UnloadCause,
    Verdict,
)

SITUATIONS = (
    snapshots.empty_host,
    snapshots.pocket_running,
    snapshots.eight_gpus_one_lost,
    snapshots.incompatible,
)
every_situation = pytest.mark.parametrize("situation", SITUATIONS)
Labels = frozenset[tuple[str, str]]


def series(snapshot: Snapshot) -> dict[str, dict[Labels, float]]:
    """Name of each sample -> its labels -> its value."""
    found: dict[str, dict[Labels, float]] = {}
    for family in metric_families(snapshot):
        for sample in family.samples:
            labels = frozenset(sample.labels.items())
            assert labels not in found.setdefault(sample.name, {}), f"{sample.name} twice with {sorted(labels)}"
            found[sample.name][labels] = sample.value
    return found


def value(snapshot: Snapshot, name: str, **labels: str) -> float | None:
    """The one series of ``name`` that has ``labels``, None if there is none."""
    matching = [v for k, v in series(snapshot).get(name, {}).items() if set(labels.items()) <= k]
    assert len(matching) < 2, f"{name} with {labels}: {len(matching)} series"
    return matching[0] if matching else None


def words(snapshot: Snapshot, name: str, label: str) -> list[str]:
    return [dict(labels)[label] for labels in series(snapshot)[name]]


# --- the exposition as a whole --------------------------------------------------------------------------------------


@every_situation
def test_exposition_passes_promtool_and_reads_back(situation: Callable[[], Snapshot]) -> None:
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(situation))
    promtool("check", "metrics", text=generate_latest(registry).decode())
    families = list(text_string_to_metric_families(generate_openmetrics(registry).decode()))
    assert len({family.name for family in families}) == len(families) > 0


@every_situation
def test_every_family_is_named_documented_and_finite(situation: Callable[[], Snapshot]) -> None:
    names = Counter(family.name for family in metric_families(situation()))
    assert {name for name, times in names.items() if times > 1} == set()
    for family in metric_families(situation()):
        assert family.name.startswith("wantui_")
        assert family.documentation[0].isalnum()
        assert family.documentation.endswith(".")
        assert family.samples, f"{family.name} has no sample and should be left out"
        for sample in family.samples:
            assert abs(sample.value) < float("inf"), sample  # also false for NaN
            assert not any(name.endswith("_created") for name in (sample.name, family.name))


def test_the_same_snapshot_gives_the_same_text_and_nothing_private() -> None:
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(snapshots.eight_gpus_one_lost))
    text = generate_latest(registry).decode()
    assert text == generate_latest(registry).decode()
    for private in ("job-102", "lighthouse", "5001", "9001", "/var/lib", "fallen off the bus", 'python3"'):
        assert private not in text


def test_before_the_first_snapshot_there_is_nothing() -> None:
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(lambda: None))
    assert generate_latest(registry) == b""


# --- hardware -------------------------------------------------------------------------------------------------------


def test_a_host_without_a_driver_has_no_gpu_family_at_all() -> None:
    names = series(snapshots.empty_host())
    assert not [name for name in names if name.startswith(("wantui_gpu", "wantui_nvml"))]
    assert names["wantui_host_memory_available_bytes"] == {frozenset(): 24 * 2**30}
    assert words(snapshots.empty_host(), "wantui_storage_free_bytes", "volume") == ["models", "outputs"]


def test_a_driver_that_does_not_answer_is_down_not_absent() -> None:
    host = snapshots.eight_gpus_one_lost()
    down = replace(host, driver=replace(host.driver, up=False, stuck_calls=2, message="nvmlInit timed out"))
    assert value(down, "wantui_nvml_up") == 0
    assert value(down, "wantui_nvml_stuck_calls") == 2
    assert value(host, "wantui_nvml_up") == 1


def test_a_host_that_should_have_gpus_and_has_none_says_so() -> None:
    host = replace(snapshots.empty_host(), gpus_expected=8)
    assert (value(host, "wantui_gpus"), value(host, "wantui_gpus_expected")) == (0, 8)
    assert "wantui_nvml_up" not in series(host)


def test_a_lost_gpu_keeps_its_identity_and_its_errors_and_nothing_else() -> None:
    host = snapshots.eight_gpus_one_lost()
    assert value(host, "wantui_gpu_up", gpu="6") == 0
    assert value(host, "wantui_gpu_up", gpu="0", uuid="GPU-00000000-1111-4222-8333-444444444444") == 1
    assert value(host, "wantui_gpus") == 8
    lost = {name for name, found in series(host).items() if any(("gpu", "6") in labels for labels in found)}
    assert lost == {
        "wantui_gpu_up",
        "wantui_gpu_info",
        "wantui_gpu_xid_errors_total",
        "wantui_gpu_xid_last_timestamp_seconds",
        "wantui_deployment_gpu_info",
        "wantui_deployment_vram_estimated_bytes",
    }


def test_readings_of_a_lost_gpu_are_not_repeated() -> None:
    """A probe that keeps the last figures beside ``up=False`` must not make them look current."""
    host = snapshots.eight_gpus_one_lost()
    frozen = replace(host, gpus=tuple(replace(gpu, up=False) for gpu in host.gpus))
    assert value(frozen, "wantui_gpu_memory_used_bytes", gpu="0") is None
    assert value(frozen, "wantui_deployment_vram_observed_bytes", deployment="story") is None
    assert len(series(frozen)["wantui_gpu_up"]) == 8


def test_what_a_device_does_not_support_is_absent() -> None:
    card = snapshots.incompatible()
    assert value(card, "wantui_gpu_fan_speed_ratio", gpu="0") == pytest.approx(0.3)
    assert "wantui_gpu_ecc_corrected_errors_total" not in series(card)
    assert words(card, "wantui_gpu_temperature_celsius", "sensor") == ["core"]
    assert "wantui_gpu_fan_speed_ratio" not in series(snapshots.eight_gpus_one_lost())


def test_memory_by_owner_tells_workers_from_others() -> None:
    host = snapshots.eight_gpus_one_lost()
    expected: Mapping[tuple[str, str], float] = {
        ("0", "worker"): 71 * 2**30,
        ("0", "other"): 0,
        ("1", "worker"): 70 * 2**30,
        ("1", "other"): 3 * 2**30,
        ("2", "worker"): 0,
    }
    for (gpu, owner), size in expected.items():
        assert value(host, "wantui_gpu_process_memory_bytes", gpu=gpu, owner=owner) == size
    assert value(host, "wantui_gpu_processes", gpu="1", owner="other") == 1
    assert value(host, "wantui_gpu_memory_used_ratio", gpu="0") == pytest.approx((71 * 1024 + 4) / 81_559)


def test_memory_that_the_driver_hides_is_absent_but_its_process_counts() -> None:
    host = snapshots.eight_gpus_one_lost()
    hidden = replace(host.gpus[1], processes=(GpuProcess(5002, 70 * 2**30), GpuProcess(9001, None)))
    host = replace(host, gpus=(host.gpus[0], hidden, *host.gpus[2:]))
    assert value(host, "wantui_gpu_process_memory_bytes", gpu="1", owner="other") is None
    assert value(host, "wantui_gpu_process_memory_bytes", gpu="1", owner="worker") == 70 * 2**30
    assert value(host, "wantui_gpu_processes", gpu="1", owner="other") == 1


def test_every_throttle_reason_is_there_and_several_can_be_active() -> None:
    host = snapshots.eight_gpus_one_lost()
    hot = replace(host.gpus[0], throttle_reasons=("sw_power_cap", "hw_slowdown"))
    found = series(replace(host, gpus=(hot,)))["wantui_gpu_throttle_active"]
    assert len(found) == 9
    assert {dict(labels)["reason"] for labels, active in found.items() if active} == {"sw_power_cap", "hw_slowdown"}


# --- deployments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label", "vocabulary"),
    [
        ("wantui_deployment_state", "state", LoadState),
        ("wantui_deployment_verdict", "verdict", Verdict),
        ("wantui_job_phase", "phase", Phase),
    ],
)
def test_an_enum_has_every_word_and_exactly_one_is_1(name: str, label: str, vocabulary: type) -> None:
    host = snapshots.eight_gpus_one_lost()
    for deployment in host.deployments:
        found = {
            dict(labels)[label]: is_it
            for labels, is_it in series(host)[name].items()
            if ("deployment", deployment.name) in labels
        }
        assert list(found) == [word.value for word in vocabulary]  # type: ignore[attr-defined]
        assert sorted(found.values()) == [0.0] * (len(found) - 1) + [1.0]


def test_intent_state_and_verdict_of_each_deployment() -> None:
    host = snapshots.incompatible()
    assert value(host, "wantui_deployment_desired_loaded", deployment="cinema") == 1
    assert value(host, "wantui_deployment_verdict", deployment="cinema", verdict="incompatible") == 1
    assert value(host, "wantui_deployment_state", deployment="cinema", state="failed") == 1
    assert value(host, "wantui_deployment_desired_loaded", deployment="draft") == 0
    assert value(host, "wantui_deployment_verdict", deployment="draft", verdict="offload_required") == 1
    assert value(host, "wantui_deployment_info", deployment="draft", model="ti2v-5B", profile="rtx-4080") == 1


def test_estimated_and_observed_memory_stand_side_by_side() -> None:
    host = snapshots.eight_gpus_one_lost()
    estimated = "wantui_deployment_vram_estimated_bytes"
    assert value(host, estimated, deployment="story", gpu="0", phase="loaded") == int(64.4 * 2**30)
    assert value(host, estimated, deployment="story", gpu="0", phase="peak") == int(70.9 * 2**30)
    assert value(host, "wantui_deployment_vram_observed_bytes", deployment="story") == 71 * 2**30
    assert value(host, "wantui_deployment_vram_peak_bytes", deployment="story") == int(69.0 * 2**30)
    assert value(host, "wantui_deployment_vram_allocated_bytes", deployment="story") == int(66.1 * 2**30)
    assert value(host, "wantui_deployment_vram_torch_reserved_bytes", deployment="story") == int(69.8 * 2**30)


def test_a_deployment_on_the_cpu_has_no_gpu_memory() -> None:
    names = series(snapshots.pocket_running())
    assert not [name for name in names if name.startswith("wantui_deployment_vram")]
    assert "wantui_deployment_gpu_info" not in names
    assert names["wantui_worker_resident_memory_bytes"] == {frozenset({("deployment", "pocket")}): 640 * 2**20}


def test_a_worker_that_ended_is_down_and_its_figures_are_gone() -> None:
    host = snapshots.pocket_running()
    (pocket,) = host.deployments
    assert pocket.worker is not None
    ended = replace(host, deployments=(replace(pocket, worker=replace(pocket.worker, up=False)),))
    assert value(host, "wantui_worker_up", deployment="pocket") == 1
    assert value(ended, "wantui_worker_up", deployment="pocket") == 0
    assert value(ended, "wantui_worker_resident_memory_bytes", deployment="pocket") is None
    assert value(snapshots.incompatible(), "wantui_worker_up", deployment="draft") == 0


# --- jobs and durations ---------------------------------------------------------------------------------------------


def test_the_running_job_and_the_queue() -> None:
    host = snapshots.pocket_running()
    assert value(host, "wantui_jobs_running", deployment="pocket") == 1
    assert value(host, "wantui_jobs_queued", deployment="pocket") == 1
    assert value(host, "wantui_job_progress_ratio", deployment="pocket") == 0.5
    assert value(host, "wantui_job_estimated_completion_timestamp_seconds") == AT + 2
    assert value(host, "wantui_jobs_oldest_queued_timestamp_seconds") == AT - 1.5
    idle = snapshots.incompatible()
    for absent in ("wantui_job_progress_ratio", "wantui_jobs_oldest_queued_timestamp_seconds"):
        assert absent not in series(idle)


def test_bounded_series_exist_before_anything_happened() -> None:
    host = snapshots.incompatible()
    for name, label, vocabulary in (
        ("wantui_deployment_load_failures_total", "reason", LoadFailureReason),
        ("wantui_deployment_unloads_total", "cause", UnloadCause),
        ("wantui_jobs_failed_total", "reason", JobFailureReason),
        ("wantui_oom_errors_total", "phase", Phase),
        ("wantui_generation_estimated_seconds_total", "resolution", Resolution),
        ("wantui_generation_duration_seconds_count", "resolution", Resolution),
        ("wantui_generation_stage_duration_seconds_count", "stage", STAGES),
    ):
        found = [dict(labels)[label] for labels in series(host)[name] if ("deployment", "draft") in labels]
        assert found == list(vocabulary), name
    for name in ("finished", "cancelled", "interrupted", "retried"):
        assert value(host, f"wantui_jobs_{name}_total", deployment="draft") == 0
    assert "wantui_generation_last_duration_seconds" not in series(host)


def test_counters_and_last_values() -> None:
    host = snapshots.eight_gpus_one_lost()
    assert value(host, "wantui_jobs_finished_total", deployment="story") == 12
    assert value(host, "wantui_jobs_failed_total", deployment="archive", reason="worker_died") == 1
    assert value(host, "wantui_deployment_load_failures_total", deployment="archive", reason="worker_died") == 2
    assert value(host, "wantui_deployment_loads_total", deployment="archive") == 3, "one that worked, two that failed"
    assert value(host, "wantui_generation_last_duration_seconds", deployment="story") == 1190
    assert value(host, "wantui_generation_last_estimated_duration_seconds", deployment="story") == 1150
    assert value(host, "wantui_poller_failed_polls_total", poller="nvml") == 3


def test_a_histogram_is_cumulative_in_the_exposition() -> None:
    host = snapshots.pocket_running()
    (pocket,) = host.deployments
    waits = Histogram(bounds=(1.0, 5.0), counts=(2, 3, 4), sum=60.5)
    host = replace(host, deployments=(replace(pocket, totals=replace(pocket.totals, queue_seconds=waits)),))
    buckets = series(host)["wantui_job_queue_duration_seconds_bucket"]
    assert {dict(labels)["le"]: count for labels, count in buckets.items()} == {"1.0": 2, "5.0": 5, "+Inf": 9}
    assert value(host, "wantui_job_queue_duration_seconds_count") == 9
    assert value(host, "wantui_job_queue_duration_seconds_sum") == 60.5


def test_names_of_the_user_are_escaped() -> None:
    host = snapshots.pocket_running()
    odd = replace(host.deployments[0], profile='a"b\\c\nd')
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(lambda: replace(host, deployments=(odd,))))
    text = generate_latest(registry).decode()
    assert 'profile="a\\"b\\\\c\\nd"' in text
    promtool("check", "metrics", text=text)


def test_metric_is_what_prometheus_client_expects() -> None:
    assert all(isinstance(family, Metric) for family in metric_families(snapshots.pocket_running()))


def test_rules_that_failed_are_0_and_those_that_could_not_be_told_are_absent() -> None:
    snapshot = snapshots.incompatible()
    assert value(snapshot, "wantui_validation_rule_passed", deployment="cinema", rule="WAN001", severity="error") == 0
    assert value(snapshot, "wantui_validation_rule_passed", deployment="cinema", rule="WAN301") == 1
    assert value(snapshot, "wantui_validation_rule_passed", deployment="cinema", rule="WAN401") is None
    for outcome, number in (("passed", 1), ("failed", 1), ("skipped", 2)):
        assert value(snapshot, "wantui_validation_rules", deployment="cinema", outcome=outcome) == number
    assert value(snapshot, "wantui_validation_last_run_timestamp_seconds", deployment="cinema") == AT - 300
    assert value(snapshot, "wantui_validation_runs_total", deployment="cinema") == 1
    assert value(snapshot, "wantui_validation_failed_runs_total", deployment="cinema") == 0


def test_before_the_first_validation_there_is_no_time_of_one() -> None:
    snapshot = snapshots.pocket_running()
    (deployment,) = snapshot.deployments
    snapshot = replace(snapshot, deployments=(replace(deployment, validation=ValidationStatus()),))
    assert value(snapshot, "wantui_validation_last_run_timestamp_seconds", deployment="pocket") is None
    assert value(snapshot, "wantui_validation_runs_total", deployment="pocket") == 0
