"""Time on devices that nobody measured: what the figures rest on, and how they move with plan and clip."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wan_tui.core.catalog import load_catalogue
from wan_tui.core.catalog.gpus import GIB, GpuModel, bounded_gpu, gpu_table, search_gpu
from wan_tui.core.planning.flops import forward_flop
from wan_tui.core.planning.plan import Clip, ExecutionPlan
from wan_tui.core.planning.roofline import CpuModel, Device, RooflineEstimate, StageCost, estimate_on_device
from wan_tui.core.words import AttentionBackend, Basis, OffloadMode, Phase, Precision, Quantization, StepCache

CATALOGUE = load_catalogue()
RTX_4080 = search_gpu("4080")
RTX_4090 = search_gpu("4090")
A100 = search_gpu("a100 sxm 80gb")
CPU = CpuModel(matmul_flop_per_second=2e11)
PLAN = ExecutionPlan(
    device="gpu:0",
    gpu_uuid=None,
    precision=Precision.BF16,
    vae_precision=Precision.FP32,
    offload=OffloadMode.NONE,
    vae_tiling=False,
)
CLIP = Clip(width=832, height=480, frames=81, steps=40, guidance=4.0)


def estimate(
    model: str = "t2v-A14B",
    device: Device = RTX_4090,
    *,
    clip: Clip = CLIP,
    gpus: int = 1,
    host: CpuModel | None = None,
    with_image: bool | None = None,
    **plan: object,
) -> RooflineEstimate:
    changed = dataclasses.replace(PLAN, **plan)  # type: ignore[arg-type]
    entry = CATALOGUE.find(model)
    return estimate_on_device(entry, device, changed, clip, gpus=gpus, host=host, with_image=with_image)


def stages(answer: RooflineEstimate) -> dict[Phase, StageCost]:
    return {stage.stage: stage for stage in answer.stages}


def denoising(answer: RooflineEstimate) -> float:
    return sum(stage.seconds.expected for stage in answer.stages if stage.stage.startswith("denoise"))


def test_stages_in_the_order_of_the_pipeline() -> None:
    assert [stage.stage for stage in estimate().stages] == [
        Phase.TEXT_ENCODE,
        Phase.DENOISE_HIGH_NOISE,
        Phase.DENOISE_LOW_NOISE,
        Phase.VAE_DECODE,
        Phase.WRITE_OUTPUT,
    ]
    assert Phase.IMAGE_ENCODE in stages(estimate("i2v-A14B"))
    assert Phase.DENOISE_LOW_NOISE not in stages(estimate("ti2v-5B"))


def test_the_same_form_as_a_measured_device_gives() -> None:
    answer = estimate()
    assert answer.time.basis is Basis.MODELLED
    assert answer.time.total_seconds == answer.total
    assert sum(stage.seconds for stage in answer.time.stages) == pytest.approx(answer.total.expected)
    assert [stage.stage for stage in answer.time.stages] == [stage.stage for stage in answer.stages]


def test_one_clean_published_run() -> None:
    """A100, diffusers, Wan 2.1 t2v-14B (the same blocks) 1280 x 720 x 81, 50 steps with guidance: 3477 s."""
    model = dataclasses.replace(CATALOGUE.find("t2v-A14B"), experts=1, boundary_ratio=None)
    clip = Clip(width=1280, height=720, frames=81, steps=50, guidance=5.0)
    assert estimate_on_device(model, A100, PLAN, clip).total.expected == pytest.approx(3477, rel=0.1)


def test_no_card_is_ever_faster_than_its_dense_rate() -> None:
    model = CATALOGUE.find("t2v-A14B")
    flop = 2 * CLIP.steps * forward_flop(model, model.tokens(CLIP.width, CLIP.height, CLIP.frames))
    for gpu in gpu_table():
        precision = Precision.BF16 if gpu.supports_bf16 else Precision.FP16
        answer = estimate(device=gpu, precision=precision)
        assert denoising(answer) > flop / gpu.dense_op_per_second, gpu.label


def test_a_declared_38_seconds_for_17_frames_on_an_rtx_4080_cannot_hold_with_40_guided_steps() -> None:
    clip = dataclasses.replace(CLIP, frames=17)
    total = estimate(device=RTX_4080, clip=clip, quantization=Quantization.NF4, offload=OffloadMode.MODEL).total
    assert total.low > 100
    distilled = dataclasses.replace(clip, steps=6, guidance=1.0)
    assert denoising(estimate(device=RTX_4080, clip=distilled)) < 38


def test_guidance_doubles_the_steps_and_nothing_else() -> None:
    guided, plain = estimate(), estimate(clip=dataclasses.replace(CLIP, guidance=1.0))
    assert denoising(guided) == pytest.approx(2 * denoising(plain))
    assert stages(guided)[Phase.VAE_DECODE] == stages(plain)[Phase.VAE_DECODE]


def test_both_experts_take_the_same_time_per_step() -> None:
    answer = estimate()
    (high, one), (low, other) = answer.step_seconds
    assert (high, low) == (Phase.DENOISE_HIGH_NOISE, Phase.DENOISE_LOW_NOISE)
    assert one == other
    assert one.expected * CLIP.steps == pytest.approx(denoising(answer))


@pytest.mark.parametrize("quantization", [one for one in Quantization if one is not Quantization.NONE])
def test_weights_stored_in_fewer_bits_are_widened_first_and_save_no_time(quantization: Quantization) -> None:
    assert denoising(estimate(quantization=quantization)) > denoising(estimate())


def test_moving_fewer_bits_saves_time_where_the_link_is_the_limit() -> None:
    short = dataclasses.replace(CLIP, frames=1)
    plans = {"clip": short, "offload": OffloadMode.GROUP_LEAF, "offload_stream": True}
    wide, narrow = (denoising(estimate(**plans, quantization=q)) for q in (Quantization.NONE, Quantization.FP8))  # type: ignore[arg-type]
    assert narrow < 0.7 * wide


def test_offload_from_fast_to_slow() -> None:
    seconds = [
        estimate(offload=OffloadMode.NONE).total.expected,
        estimate(offload=OffloadMode.GROUP_BLOCK, offload_stream=True).total.expected,
        estimate(offload=OffloadMode.MODEL).total.expected,
        estimate(offload=OffloadMode.GROUP_BLOCK).total.expected,
    ]
    assert seconds[0] < seconds[1]
    assert seconds[0] < seconds[2] < seconds[3]
    assert seconds[1] < seconds[3]


def test_a_stream_hides_the_transfer_behind_long_steps_but_not_behind_short_ones() -> None:
    streamed = {"offload": OffloadMode.GROUP_BLOCK, "offload_stream": True}
    long = denoising(estimate(**streamed))  # type: ignore[arg-type]
    assert long == pytest.approx(denoising(estimate()))
    short = dataclasses.replace(CLIP, width=256, height=256, frames=1)
    answer = estimate(clip=short, **streamed)  # type: ignore[arg-type]
    pinned_seconds = 28.6e9 / 25e9  # one expert over PCIe 4.0 x16
    assert denoising(answer) == pytest.approx(2 * short.steps * pinned_seconds, rel=0.1)


def test_model_offload_moves_every_component_once() -> None:
    resident, offloaded = estimate(), estimate(offload=OffloadMode.MODEL)
    assert resident.transfer_seconds == 0
    extra = offloaded.total.expected - resident.total.expected
    assert extra == pytest.approx(offloaded.transfer_seconds)
    assert 7 <= extra <= 28  # 69 GB pageable: 7 to 14 s, there and back
    longer = estimate(offload=OffloadMode.MODEL, clip=dataclasses.replace(CLIP, steps=80))
    assert longer.transfer_seconds == pytest.approx(offloaded.transfer_seconds)


def test_piecewise_offload_moves_the_vae_for_every_latent_frame_and_tile() -> None:
    def moved(**plan: object) -> float:
        return stages(estimate(offload=OffloadMode.GROUP_LEAF, **plan))[Phase.VAE_DECODE].transfer_seconds  # type: ignore[arg-type]

    assert moved(vae_tiling=True) > 10 * moved()
    assert moved(clip=dataclasses.replace(CLIP, frames=41)) == pytest.approx(moved() * 11 / 21)


def test_the_vae_in_fp32_runs_as_tf32_at_half_the_rate_and_tiles_overlap() -> None:
    def decode(**plan: object) -> float:
        return stages(estimate(**plan))[Phase.VAE_DECODE].seconds.expected  # type: ignore[arg-type]

    assert decode() == pytest.approx(2 * decode(vae_precision=Precision.BF16))
    assert 1.3 < decode(vae_tiling=True) / decode() < 2.0


def test_decoding_is_a_large_part_of_a_distilled_run() -> None:
    answer = estimate(clip=dataclasses.replace(CLIP, steps=4, guidance=1.0))
    assert 0.1 < stages(answer)[Phase.VAE_DECODE].seconds.expected / answer.total.expected < 0.5


def test_a_prompt_encoded_on_the_host_costs_what_the_host_makes_of_it() -> None:
    def encode(host: CpuModel | None, *, on_cpu: bool) -> float:
        return stages(estimate(host=host, text_encoder_on_cpu=on_cpu))[Phase.TEXT_ENCODE].seconds.expected

    slow, fast = (CpuModel(matmul_flop_per_second=rate) for rate in (1e11, 1e12))
    assert encode(slow, on_cpu=True) == pytest.approx(10 * encode(fast, on_cpu=True))
    assert encode(None, on_cpu=False) < 0.5 < encode(None, on_cpu=True)


def test_attention_backends_and_caches_are_faster_than_without() -> None:
    assert denoising(estimate(attention=AttentionBackend.SAGE)) < 0.8 * denoising(estimate())
    for cache in StepCache:
        cached, plain = estimate(cache=cache), estimate()
        assert denoising(cached) <= denoising(plain)
        if cache is not StepCache.NONE:
            assert cached.total.high / cached.total.expected > plain.total.high / plain.total.expected


def test_two_gpus_are_faster_than_one_and_slower_than_twice_as_fast() -> None:
    for gpu in (A100, RTX_4090):
        one, two = denoising(estimate(device=gpu)), denoising(estimate(device=gpu, gpus=2))
        assert one / 2 < two < one


def test_an_unknown_card_has_wider_bounds() -> None:
    known = estimate(device=RTX_4080).total
    guess = bounded_gpu("Graphics Device", 16 * GIB, (8, 9), 76, 2.5e9)
    unknown = estimate(device=guess).total
    assert unknown.high / unknown.low > known.high / known.low
    assert unknown.low < known.expected < unknown.high


def test_the_pocket_model_runs_on_a_cpu_in_seconds() -> None:
    clip = Clip(width=64, height=64, frames=9, steps=4, guidance=4.0)
    answer = estimate("t2v-pocket", CPU, clip=clip)
    assert 0 < answer.total.expected < 10
    assert estimate("t2v-A14B", CPU).total.expected > 86400


def test_loading_is_apart_and_takes_less_when_nothing_stays_on_the_device() -> None:
    resident, offloaded = estimate().load, estimate(offload=OffloadMode.MODEL).load
    assert resident.expected > offloaded.expected > 8
    assert resident.high >= 3 * resident.expected


SHAPES = st.builds(
    Clip,
    width=st.integers(8, 80).map(lambda n: 16 * n),
    height=st.integers(8, 45).map(lambda n: 16 * n),
    frames=st.integers(0, 30).map(lambda n: 4 * n + 1),
    steps=st.integers(1, 60),
    guidance=st.sampled_from([1.0, 4.0]),
)
PLANS = st.builds(
    dataclasses.replace,
    st.just(PLAN),
    precision=st.sampled_from([Precision.BF16, Precision.FP16]),
    offload=st.sampled_from(OffloadMode),
    offload_stream=st.booleans(),
    quantization=st.sampled_from(Quantization),
    text_encoder_quantization=st.sampled_from(Quantization),
    text_encoder_on_cpu=st.booleans(),
    vae_tiling=st.booleans(),
    attention=st.sampled_from(AttentionBackend),
    cache=st.sampled_from(StepCache),
    batch=st.integers(1, 3),
)
DEVICES: st.SearchStrategy[GpuModel | CpuModel] = st.sampled_from([*gpu_table(), CPU])
MODELS = st.sampled_from([model.id for model in CATALOGUE.models])


@given(
    MODELS, DEVICES, PLANS, SHAPES, st.sampled_from(["width", "height", "frames", "steps", "batch"]), st.integers(1, 9)
)
def test_more_work_never_takes_less_time(
    model: str, device: Device, plan: ExecutionPlan, clip: Clip, what: str, more: int
) -> None:
    entry = CATALOGUE.find(model)
    larger, plan_for_larger = clip, plan
    if what == "batch":
        plan_for_larger = dataclasses.replace(plan, batch=plan.batch + more)
    else:
        unit = {"width": 16, "height": 16, "frames": 4, "steps": 1}[what]
        larger = dataclasses.replace(clip, **{what: getattr(clip, what) + unit * more})
    small = estimate_on_device(entry, device, plan, clip).total
    large = estimate_on_device(entry, device, plan_for_larger, larger).total
    for end in ("low", "expected", "high"):
        assert getattr(large, end) >= getattr(small, end) * (1 - 1e-12)


@given(MODELS, DEVICES, PLANS, SHAPES, st.integers(1, 8))
def test_every_stage_has_ordered_bounds_around_its_parts(
    model: str, device: Device, plan: ExecutionPlan, clip: Clip, gpus: int
) -> None:
    answer = estimate_on_device(CATALOGUE.find(model), device, plan, clip, gpus=gpus)
    for stage in answer.stages:
        assert 0 <= stage.seconds.low <= stage.seconds.expected <= stage.seconds.high
        busy = stage.compute_seconds + stage.memory_seconds
        assert max(busy, stage.transfer_seconds) <= stage.seconds.expected * (1 + 1e-12)
        assert stage.seconds.expected <= (busy + stage.transfer_seconds) * (1 + 1e-12)
    assert answer.total.low <= answer.total.expected <= answer.total.high < float("inf")
