"""Verdicts: what fits, what does not, and why. Headroom counts from the memory that is free."""

import dataclasses

import pytest

from tests.core.planning.parts import (
    AMPLE_HOST,
    CATALOGUE,
    GIB,
    NO_DRIVER,
    GpuProcess,
    card_sample,
    gpu,
    hardware,
    host,
    judged,
    room,
    task,
)
from wan_tui.core.catalog.gpus import search_gpu
from wan_tui.core.catalog.profiles import Profile, find_profile
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.config.settings import LimitSettings
from wan_tui.core.hardware.samples import HardwareSample
from wan_tui.core.planning.assess import assess
from wan_tui.core.planning.compatibility import smallest_clip
from wan_tui.core.planning.memory import CUDA_CONTEXT_BYTES, estimate_memory
from wan_tui.core.planning.planner import candidates
from wan_tui.core.planning.weights import largest_leaf_bytes
from wan_tui.core.words import OffloadMode, Phase, Precision, Quantization, Verdict


@pytest.mark.parametrize(
    ("model", "gib", "verdict", "offload"),
    [
        ("t2v-A14B", 80, Verdict.FITS, OffloadMode.NONE),
        ("t2v-A14B", 48, Verdict.OFFLOAD_REQUIRED, OffloadMode.MODEL),
        ("t2v-A14B", 16, Verdict.OFFLOAD_REQUIRED, OffloadMode.GROUP_BLOCK),
        ("t2v-A14B", 8, Verdict.OFFLOAD_REQUIRED, OffloadMode.GROUP_BLOCK),
        ("t2v-A14B", 6, Verdict.OFFLOAD_REQUIRED, OffloadMode.SEQUENTIAL),
        ("t2v-A14B", 4, Verdict.TIGHT, OffloadMode.SEQUENTIAL),
        ("t2v-A14B", 1, Verdict.INCOMPATIBLE, OffloadMode.SEQUENTIAL),
        ("ti2v-5B", 48, Verdict.FITS, OffloadMode.NONE),
        ("ti2v-5B", 24, Verdict.OFFLOAD_REQUIRED, OffloadMode.MODEL),
        ("ti2v-5B", 16, Verdict.OFFLOAD_REQUIRED, OffloadMode.GROUP_BLOCK),
        ("ti2v-5B", 6, Verdict.TIGHT, OffloadMode.SEQUENTIAL),
    ],
)
def test_the_fastest_plan_that_fits_is_taken(model: str, gib: float, verdict: Verdict, offload: OffloadMode) -> None:
    answer = judged(model, hardware(gpu(gib)), host(256))
    assert answer.verdict is verdict, answer.reason
    assert answer.plan is not None
    assert answer.plan.offload is offload
    assert answer.reason


def test_the_answer_says_where_the_peak_is_how_long_it_takes_and_what_stays_free() -> None:
    answer = judged("t2v-A14B", hardware(gpu(80, used_gib=2)), host(256))
    assert answer.memory is not None
    assert answer.headroom_bytes == 78 * GIB - answer.memory.peak_bytes
    assert answer.limiting_phase is Phase.VAE_DECODE
    assert answer.seconds is not None
    assert answer.load_seconds is not None
    assert 0 < answer.seconds.low < answer.seconds.expected < answer.seconds.high
    assert answer.remedies == ()


def test_incompatible_exactly_below_what_the_smallest_clip_takes() -> None:
    """About a second of 256 x 256, under whatever plan takes least for it: the text encoder may leave."""
    wanted = task("t2v-A14B")
    small = dataclasses.replace(wanted, clip=smallest_clip(wanted.model, wanted.clip))
    _, least = candidates(small, room(search_gpu("rtx 4090")), AMPLE_HOST, 0)
    assert least is not None
    assert least.plan.text_encoder_on_cpu
    enough = least.memory.peak_bytes
    for size, verdict in ((enough - 1, Verdict.INCOMPATIBLE), (enough, Verdict.TIGHT)):
        machine = hardware(gpu(1, memory_total_bytes=size, memory_free_bytes=size))
        assert judged("t2v-A14B", machine, host(256)).verdict is verdict


def test_no_plan_can_split_the_largest_weight() -> None:
    """UMT5's embedding, 256,384 x 4,096 in bf16, where the text encoder must stay on the device."""
    model, bf16 = CATALOGUE.find("t2v-A14B"), Precision.BF16
    floor = largest_leaf_bytes(model, bf16)
    assert floor == 256384 * 4096 * 2
    assert largest_leaf_bytes(model, bf16, text_encoder=False) < floor / 5
    profile = dataclasses.replace(find_profile("auto"), text_encoders=(find_profile("resident-bf16").text_encoders[0],))
    settings = DeploymentSettings(model=model.id)
    short = assess(model, settings, hardware(gpu(2)), host(256), profiles={"auto": profile})
    assert short.verdict is Verdict.INCOMPATIBLE
    assert short.headroom_bytes == int(1.5 * GIB) - floor - CUDA_CONTEXT_BYTES
    assert "even with full offload" in short.reason


def test_a_tight_verdict_because_of_the_clip_is_kept_where_a_smaller_one_fits() -> None:
    answer = judged("t2v-A14B", hardware(gpu(3)), host(256))
    assert answer.verdict is Verdict.TIGHT
    assert "only smaller clips fit" in answer.reason
    assert answer.memory is not None
    assert answer.headroom_bytes == int(2.5 * GIB) - answer.memory.peak_bytes < 0


def test_offload_needs_a_host_that_holds_the_weights() -> None:
    answer = judged("t2v-A14B", hardware(gpu(16)), host(16))
    assert answer.verdict is Verdict.INCOMPATIBLE
    assert "host memory" in answer.reason
    # 4-bit experts take about 22 GB there, bf16 about 69.
    small = judged("t2v-A14B", hardware(gpu(16)), host(32)).plan
    assert small is not None
    assert small.quantization in (Quantization.INT4, Quantization.NF4)
    large = judged("t2v-A14B", hardware(gpu(16)), host(96)).plan
    assert large is not None
    assert large.quantization is Quantization.NONE


def test_headroom_below_a_twentieth_is_tight() -> None:
    """With one plan to choose from: every weight resident, the VAE in one piece."""
    only = dataclasses.replace(find_profile("resident-bf16"), vae_tiling=False)
    model, settings = CATALOGUE.find("t2v-A14B"), DeploymentSettings(model="t2v-A14B")
    peak = assess(model, settings, hardware(gpu(80)), host(256), profiles={"auto": only}).memory
    assert peak is not None
    for factor, verdict in ((1.04, Verdict.TIGHT), (1.06, Verdict.FITS)):
        total = int(peak.peak_bytes * factor)
        machine = hardware(gpu(1, memory_total_bytes=total, memory_free_bytes=total))
        assert assess(model, settings, machine, host(256), profiles={"auto": only}).verdict is verdict


def test_a_profile_for_small_cards_keeps_a_margin_of_its_own_size() -> None:
    """Of the 8 GiB that it takes, not of the card, which may be twenty times as large."""
    answer = judged("t2v-A14B", hardware(gpu(141)), host(256), profile="low-vram")
    assert answer.verdict is Verdict.OFFLOAD_REQUIRED
    assert answer.memory is not None
    assert answer.memory.peak_bytes <= 0.95 * 8 * GIB
    assert answer.headroom_bytes == 8 * GIB - answer.memory.peak_bytes


def test_memory_of_others_counts_as_taken_and_ours_does_not() -> None:
    busy = gpu(80, used_gib=79, processes=(GpuProcess(42, 78 * GIB),))
    foreign = judged("t2v-A14B", hardware(busy), host(256))
    assert foreign.verdict is Verdict.TIGHT
    assert "what others hold leaves 1.0 GiB" in foreign.reason
    assert foreign.headroom_bytes is not None
    assert foreign.headroom_bytes < 0
    assert judged("t2v-A14B", hardware(busy), host(256), own_pids=(42,)).verdict is Verdict.FITS


def test_what_others_hold_decides_the_plan() -> None:
    busy = gpu(80, used_gib=70, processes=(GpuProcess(42, 69 * GIB),))
    answer = judged("t2v-A14B", hardware(busy), host(256))
    assert answer.verdict is Verdict.OFFLOAD_REQUIRED
    assert answer.memory is not None
    assert answer.memory.peak_bytes <= 10 * GIB - 4 * GIB


def test_what_other_deployments_will_hold_counts_as_taken() -> None:
    model, settings = CATALOGUE.find("t2v-A14B"), DeploymentSettings(model="t2v-A14B")
    free = hardware(gpu(80, used_gib=0))
    assert assess(model, settings, free, host(256)).verdict is Verdict.FITS
    kept = assess(model, settings, free, host(256), reserved={"GPU-0": 60 * GIB})
    assert kept.memory is not None
    assert kept.memory.peak_bytes <= 20 * GIB - 4 * GIB
    # What they hold already is not counted twice.
    half = hardware(gpu(80, used_gib=30))
    assert assess(model, settings, half, host(256), reserved={"GPU-0": 30 * GIB}).memory == (
        assess(model, settings, half, host(256)).memory
    )


def test_a_limit_of_the_host_bounds_every_plan() -> None:
    model, settings = CATALOGUE.find("t2v-A14B"), DeploymentSettings(model="t2v-A14B")
    limits = LimitSettings(max_vram_gib=24)
    answer = assess(model, settings, hardware(gpu(80)), host(256), limits=limits)
    assert answer.memory is not None
    assert answer.memory.peak_bytes <= 0.95 * 24 * GIB


def test_auto_takes_a_gpu_that_answers_and_has_room() -> None:
    machine = hardware(gpu(80, index=0, up=False), gpu(48, index=1, used_gib=47), gpu(48, index=2))
    chosen = judged("ti2v-5B", machine, host(256)).plan
    assert chosen is not None
    assert (chosen.device, chosen.gpu_uuid) == ("gpu:2", "GPU-2")


def test_auto_takes_the_fastest_of_those_that_run() -> None:
    slow, fast = search_gpu("a40"), search_gpu("h100 80gb hbm3")
    machine = hardware(card_sample(slow, index=0), card_sample(fast, index=1))
    chosen = judged("ti2v-5B", machine, host(256)).plan
    assert chosen is not None
    assert chosen.device == "gpu:1"


def test_old_cards_compute_in_fp16() -> None:
    for capability, precision in (("7.5", Precision.FP16), ("8.0", Precision.BF16), ("12.0", Precision.BF16)):
        chosen = judged("ti2v-5B", hardware(gpu(48, compute_capability=capability)), host(256)).plan
        assert chosen is not None
        assert chosen.precision is precision


def test_a_profile_that_the_card_cannot_follow_is_incompatible() -> None:
    answer = judged("ti2v-5B", hardware(gpu(96, compute_capability="7.5")), host(256), profile="resident-bf16")
    assert answer.verdict is Verdict.INCOMPATIBLE
    assert answer.plan is None
    assert "profile resident-bf16" in answer.reason
    assert "7.5" in answer.reason


def test_without_a_driver_the_cpu_is_the_device() -> None:
    fits = judged("ti2v-5B", NO_DRIVER, host(128))
    assert fits.verdict is Verdict.FITS
    assert fits.seconds is None
    small = judged("ti2v-5B", NO_DRIVER, host(32))
    assert small.verdict is Verdict.INCOMPATIBLE
    assert "fp32" in small.reason
    busy = judged("ti2v-5B", NO_DRIVER, host(128, available_gib=16))
    assert busy.verdict is Verdict.TIGHT
    assert busy.memory is not None
    assert busy.headroom_bytes == 16 * GIB - busy.memory.peak_bytes


def test_the_pocket_model_runs_on_the_cpu_of_any_host() -> None:
    answer = judged("t2v-pocket", hardware(gpu(80)), host(2), profile="cpu")
    assert answer.verdict is Verdict.FITS
    assert answer.plan is not None
    assert answer.plan.device == "cpu"


@pytest.mark.parametrize(
    ("machine", "device", "verdict", "says"),
    [
        (hardware(up=False), "auto", Verdict.UNKNOWN, "driver is dead"),
        (hardware(gpu(80, up=False)), "auto", Verdict.UNKNOWN, "no GPU answers"),
        (hardware(gpu(80, up=False, error="GPU is lost")), "gpu:0", Verdict.UNKNOWN, "GPU is lost"),
        (hardware(gpu(80, memory_total_bytes=None)), "gpu:0", Verdict.UNKNOWN, "no memory reading"),
        (hardware(gpu(80)), "gpu:3", Verdict.INCOMPATIBLE, "it has gpu:0"),
        (NO_DRIVER, "gpu:0", Verdict.INCOMPATIBLE, "not in this host"),
    ],
)
def test_what_cannot_be_known_or_is_not_there(
    machine: HardwareSample, device: str, verdict: Verdict, says: str
) -> None:
    answer = judged("ti2v-5B", machine, host(256), device=device)
    assert answer.verdict is verdict
    assert says in answer.reason
    assert answer.plan is None


def test_a_profile_of_ones_own_is_what_the_name_means() -> None:
    model = CATALOGUE.find("ti2v-5B")
    mine = Profile(name="mine", offloads=(OffloadMode.MODEL,), vae_precision=Precision.BF16)
    answer = assess(model, DeploymentSettings(model=model.id), hardware(gpu(80)), host(256), profiles={"auto": mine})
    assert answer.plan is not None
    assert (answer.plan.offload, answer.plan.vae_precision) == (OffloadMode.MODEL, Precision.BF16)
    assert answer.memory == estimate_memory(model, answer.plan, task(model.id).clip)
