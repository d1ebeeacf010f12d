"""Verdicts: what fits, what does not, and why."""

import pytest

from tests.core.planning.parts import GIB, NO_DRIVER, GpuProcess, gpu, hardware, host
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.hardware.samples import HardwareSample, HostSample
from wan_tui.core.planning.assess import assess
from wan_tui.core.planning.memory import CUDA_CONTEXT_BYTES, full_offload_floor_bytes
from wan_tui.core.planning.plan import Compatibility
from wan_tui.core.words import OffloadMode, Precision, Verdict

CATALOGUE = load_catalogue()


def judge(
    model: str, machine: HardwareSample, memory: HostSample, *, own_pids: tuple[int, ...] = (), **deployment: object
) -> Compatibility:
    settings = DeploymentSettings(model=model, **deployment)  # type: ignore[arg-type]
    return assess(CATALOGUE.find(model), settings, machine, memory, own_pids)


@pytest.mark.parametrize(
    ("model", "gib", "verdict", "offload"),
    [
        ("t2v-A14B", 80, Verdict.FITS, OffloadMode.NONE),
        ("t2v-A14B", 48, Verdict.OFFLOAD_REQUIRED, OffloadMode.MODEL),
        ("t2v-A14B", 16, Verdict.OFFLOAD_REQUIRED, OffloadMode.SEQUENTIAL),
        ("t2v-A14B", 4, Verdict.TIGHT, OffloadMode.SEQUENTIAL),
        ("t2v-A14B", 2, Verdict.INCOMPATIBLE, None),
        ("ti2v-5B", 48, Verdict.FITS, OffloadMode.NONE),
        ("ti2v-5B", 24, Verdict.OFFLOAD_REQUIRED, OffloadMode.MODEL),
        ("ti2v-5B", 10, Verdict.OFFLOAD_REQUIRED, OffloadMode.SEQUENTIAL),
    ],
)
def test_the_fastest_plan_that_fits_is_taken(
    model: str, gib: float, verdict: Verdict, offload: OffloadMode | None
) -> None:
    answer = judge(model, hardware(gpu(gib)), host(256))
    assert answer.verdict is verdict, answer.reason
    assert (answer.plan.offload if answer.plan else None) is offload
    assert answer.reason


def test_incompatible_exactly_below_the_largest_weight_and_the_context() -> None:
    """UMT5's embedding: 256,384 x 4,096 in bf16, which no offload can split."""
    floor = full_offload_floor_bytes(CATALOGUE.find("t2v-A14B"), Precision.BF16)
    assert floor == 256384 * 4096 * 2
    enough = floor + CUDA_CONTEXT_BYTES
    for size, verdict in ((enough - 1, Verdict.INCOMPATIBLE), (enough, Verdict.TIGHT)):
        machine = hardware(gpu(1, memory_total_bytes=size, memory_free_bytes=size))
        assert judge("t2v-A14B", machine, host(256)).verdict is verdict
    short = judge("t2v-A14B", hardware(gpu(2)), host(256))
    assert short.headroom_bytes == 2 * GIB - enough
    assert "even with full offload" in short.reason


def test_offload_needs_a_host_that_holds_the_weights() -> None:
    answer = judge("t2v-A14B", hardware(gpu(16)), host(32))
    assert answer.verdict is Verdict.INCOMPATIBLE
    assert "host memory" in answer.reason
    assert answer.memory is not None
    assert answer.memory.host_bytes > 32 * GIB


def test_headroom_below_a_twentieth_is_tight() -> None:
    peak = judge("t2v-A14B", hardware(gpu(80)), host(256)).memory
    assert peak is not None
    for factor, verdict in ((1.04, Verdict.TIGHT), (1.06, Verdict.FITS)):
        total = int(peak.peak_bytes * factor)
        machine = hardware(gpu(1, memory_total_bytes=total, memory_free_bytes=total))
        assert judge("t2v-A14B", machine, host(256)).verdict is verdict


def test_memory_of_others_counts_as_taken_and_ours_does_not() -> None:
    busy = gpu(80, used_gib=70, processes=(GpuProcess(42, 69 * GIB),))
    foreign = judge("t2v-A14B", hardware(busy), host(256))
    assert foreign.verdict is Verdict.TIGHT
    assert "other processes leave 10.0 GiB" in foreign.reason
    assert judge("t2v-A14B", hardware(busy), host(256), own_pids=(42,)).verdict is Verdict.FITS


def test_auto_takes_the_gpu_with_most_room_that_answers() -> None:
    machine = hardware(gpu(80, index=0, up=False), gpu(48, index=1, used_gib=40), gpu(24, index=2))
    plan = judge("ti2v-5B", machine, host(256)).plan
    assert plan is not None
    assert (plan.device, plan.gpu_uuid) == ("gpu:2", "GPU-2")


def test_old_cards_compute_in_fp16() -> None:
    for capability, precision in (("7.5", Precision.FP16), ("8.0", Precision.BF16), ("12.0", Precision.BF16)):
        plan = judge("ti2v-5B", hardware(gpu(48, compute_capability=capability)), host(256)).plan
        assert plan is not None
        assert plan.precision is precision


def test_without_a_driver_the_cpu_is_the_device() -> None:
    assert judge("ti2v-5B", NO_DRIVER, host(128)).verdict is Verdict.FITS
    small = judge("ti2v-5B", NO_DRIVER, host(32))
    assert small.verdict is Verdict.INCOMPATIBLE
    assert "fp32" in small.reason
    assert judge("ti2v-5B", NO_DRIVER, host(128, available_gib=16)).verdict is Verdict.TIGHT


def test_the_pocket_model_runs_on_the_cpu_of_any_host() -> None:
    answer = judge("t2v-pocket", hardware(gpu(80)), host(2), profile="cpu")
    assert answer.verdict is Verdict.FITS
    assert answer.plan is not None
    assert answer.plan.device == "cpu"


@pytest.mark.parametrize(
    ("machine", "device", "verdict", "says"),
    [
        (hardware(up=False), "auto", Verdict.UNKNOWN, "driver is dead"),
        (hardware(gpu(80, up=False)), "auto", Verdict.UNKNOWN, "no GPU answers"),
        (hardware(gpu(80, up=False, error="GPU is lost")), "gpu:0", Verdict.UNKNOWN, "GPU is lost"),
        (hardware(gpu(80)), "gpu:3", Verdict.INCOMPATIBLE, "it has gpu:0"),
        (NO_DRIVER, "gpu:0", Verdict.INCOMPATIBLE, "not in this host"),
    ],
)
def test_what_cannot_be_known_or_is_not_there(
    machine: HardwareSample, device: str, verdict: Verdict, says: str
) -> None:
    answer = judge("ti2v-5B", machine, host(256), device=device)
    assert answer.verdict is verdict
    assert says in answer.reason
    assert answer.plan is None
