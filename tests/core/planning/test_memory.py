"""The memory model against what was published and measured; asking for more never predicts less."""

import dataclasses

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.core.planning.parts import CATALOGUE, GIB, clip, default_of, plan
from wan_tui.core.catalog import Model
from wan_tui.core.planning.memory import estimate_memory
from wan_tui.core.planning.plan import Clip, ExecutionPlan
from wan_tui.core.planning.weights import all_bytes, component_bytes, piece_bytes, stored_bytes
from wan_tui.core.words import OffloadMode, Phase, Precision, Quantization

MODELS = st.sampled_from(CATALOGUE.models)
PLANS = st.builds(
    plan,
    st.sampled_from(OffloadMode),
    tiling=st.booleans(),
    precision=st.sampled_from(Precision),
    vae_precision=st.sampled_from(Precision),
    quantization=st.sampled_from(Quantization),
    text_encoder_quantization=st.sampled_from((Quantization.NONE, Quantization.NF4)),
    text_encoder_on_cpu=st.booleans(),
    offload_stream=st.booleans(),
    vae_slicing=st.booleans(),
)
# Multiples of 32, as every model makes them.
CLIPS = st.builds(
    lambda width, height, frames: clip(32 * width, 32 * height, 4 * frames + 1),
    st.integers(2, 40),
    st.integers(2, 40),
    st.integers(0, 30),
)
EIGHT_BIT, FOUR_BIT = Quantization.INT8, Quantization.NF4


def phases(model: str, made: ExecutionPlan, wanted: Clip) -> dict[Phase, int]:
    """Activations alone."""
    estimate = estimate_memory(CATALOGUE.find(model), made, wanted)
    return {phase.phase: phase.activation_bytes for phase in estimate.phases}


def test_one_clean_published_run() -> None:
    """RTX 4090, diffusers, TI2V-5B 1280x704x73, model offload, VAE tiling: 12.54 GiB observed."""
    run = clip(1280, 704, 73, guidance=5.0)
    estimate = estimate_memory(CATALOGUE.find("ti2v-5B"), plan(OffloadMode.MODEL, tiling=True), run)
    assert estimate.peak_bytes / GIB == pytest.approx(12.54, rel=0.1)


@pytest.mark.parametrize(("size", "gib"), [((1280, 720), 8.03), ((832, 480), 3.49)])
def test_activations_of_one_pass_match_the_run_on_meta_tensors(size: tuple[int, int], gib: float) -> None:
    """To two per cent: pipeline and scheduler hold their latents beside it."""
    for phase in (Phase.DENOISE_HIGH_NOISE, Phase.DENOISE_LOW_NOISE):
        assert phases("t2v-A14B", plan(), clip(*size))[phase] / GIB == pytest.approx(gib, rel=0.02)


@pytest.mark.parametrize(
    ("model", "size", "gib"),
    [("t2v-A14B", (832, 480), 7.6), ("t2v-A14B", (1280, 720), 17.6), ("ti2v-5B", (1280, 704), 19.3)],
)
def test_decode_depends_on_the_frame_area_and_hardly_on_the_length(
    model: str, size: tuple[int, int], gib: float
) -> None:
    short, long = (phases(model, plan(), clip(*size, frames))[Phase.VAE_DECODE] / GIB for frames in (17, 81))
    assert long == pytest.approx(gib, rel=0.05)
    assert 0.95 * long < short <= long


def test_decode_in_16_bit_takes_half_and_in_tiles_much_less() -> None:
    whole, half, tiled = (
        phases("t2v-A14B", made, clip())[Phase.VAE_DECODE]
        for made in (plan(), plan(vae_precision=Precision.BF16), plan(tiling=True))
    )
    assert half / whole == pytest.approx(0.5, abs=0.03)
    assert 1.3 * GIB < tiled < 3.9 * GIB


def test_guidance_and_steps_cost_time_and_no_memory() -> None:
    model = CATALOGUE.find("t2v-A14B")
    one, two = clip(steps=4, guidance=1.0), clip(steps=50, guidance=7.0)
    assert estimate_memory(model, plan(), one) == estimate_memory(model, plan(), two)


def test_offload_only_ever_lowers_the_peak() -> None:
    for model in CATALOGUE.models:
        for quantization in (Quantization.NONE, EIGHT_BIT, FOUR_BIT):
            made = [
                plan(OffloadMode.NONE, quantization=quantization),
                plan(OffloadMode.NONE, tiling=True, quantization=quantization),
                plan(OffloadMode.MODEL, tiling=True, quantization=quantization),
                plan(OffloadMode.SEQUENTIAL, tiling=True, quantization=quantization),
            ]
            peaks = [estimate_memory(model, one, default_of(model)).peak_bytes for one in made]
            assert peaks == sorted(peaks, reverse=True)


def test_weights_lie_on_the_device_or_on_the_host() -> None:
    model = CATALOGUE.find("t2v-A14B")
    everything = all_bytes(model, plan())
    assert everything / GIB == pytest.approx(26.67 * 2 + 10.58 + 0.47, rel=0.01)
    resident = estimate_memory(model, plan(), clip())
    assert (resident.host_bytes, resident.loaded_bytes > everything) == (0, True)
    offloaded = estimate_memory(model, plan(OffloadMode.MODEL), clip())
    assert (offloaded.host_bytes, offloaded.loaded_bytes < GIB) == (everything, True)
    on_cpu = estimate_memory(model, plan(device="cpu", gpu_uuid=None), clip())
    assert on_cpu.host_bytes == everything
    assert {phase.context_bytes for phase in on_cpu.phases} == {0}
    beside = estimate_memory(model, plan(text_encoder_on_cpu=True), clip())
    assert beside.host_bytes == component_bytes(model, plan(), model.text_encoder)
    assert Phase.TEXT_ENCODE not in {phase.phase for phase in beside.phases}


@pytest.mark.parametrize(
    ("name", "quantization", "gib"),
    [
        ("t2v-A14B", Quantization.NONE, 26.67),
        ("t2v-A14B", Quantization.FP8, 13.58),
        ("t2v-A14B", Quantization.INT8, 13.58),
        ("t2v-A14B", Quantization.NF4, 7.86),
        ("ti2v-5B", Quantization.NONE, 9.37),
        ("ti2v-5B", Quantization.FP8, 4.76),
        ("ti2v-5B", Quantization.NF4, 2.77),
    ],
)
def test_one_expert_in_each_format(name: str, quantization: Quantization, gib: float) -> None:
    """Exact counts of the stored formats; their scales are within two per cent of them."""
    expert = CATALOGUE.find(name).transformer
    assert stored_bytes(expert, Precision.BF16, quantization) / GIB == pytest.approx(gib, rel=0.02)


@pytest.mark.parametrize(
    ("precision", "quantization", "gib"),
    [
        (Precision.BF16, Quantization.NONE, 10.58),
        (Precision.BF16, Quantization.NF4, 4.4),
        # 13.4 GB: transformers keeps the feed-forward's ends (wo) in fp32.
        (Precision.FP16, Quantization.NONE, 13.4e9 / GIB),
    ],
)
def test_the_text_encoder_in_each_format(precision: Precision, quantization: Quantization, gib: float) -> None:
    encoder = CATALOGUE.find("t2v-A14B").text_encoder
    assert stored_bytes(encoder, precision, quantization) / GIB == pytest.approx(gib, rel=0.03)


@settings(max_examples=150, deadline=None)
@given(MODELS, PLANS, CLIPS)
def test_the_peak_is_the_largest_phase(model: Model, made: ExecutionPlan, wanted: Clip) -> None:
    estimate = estimate_memory(model, made, wanted)
    assert estimate.peak_bytes == max(phase.total_bytes for phase in estimate.phases)
    assert estimate.host_load_bytes >= estimate.host_bytes >= 0
    assert len({phase.phase for phase in estimate.phases}) == len(estimate.phases)


@settings(max_examples=200, deadline=None)
@given(MODELS, PLANS, CLIPS, st.data())
def test_more_frames_pixels_or_clips_never_need_less_in_any_phase(
    model: Model, made: ExecutionPlan, wanted: Clip, data: st.DataObject
) -> None:
    key, more = data.draw(
        st.sampled_from(
            [
                ("frames", wanted.frames + 4 * data.draw(st.integers(1, 8))),
                ("width", wanted.width + 32 * data.draw(st.integers(1, 8))),
                ("height", wanted.height + 32 * data.draw(st.integers(1, 8))),
                ("batch", made.batch + data.draw(st.integers(1, 3))),
            ]
        )
    )
    if key == "batch":
        larger = estimate_memory(model, dataclasses.replace(made, batch=more), wanted)
    else:
        larger = estimate_memory(model, made, dataclasses.replace(wanted, **{key: more}))
    smaller = estimate_memory(model, made, wanted)
    assert larger.peak_bytes >= smaller.peak_bytes
    for before, after in zip(smaller.phases, larger.phases, strict=True):
        assert after.total_bytes >= before.total_bytes, before.phase


@settings(max_examples=150, deadline=None)
@given(MODELS, PLANS, st.sampled_from(Quantization), st.sampled_from(Quantization))
def test_fewer_bits_a_weight_never_take_more_bytes(
    model: Model, made: ExecutionPlan, one: Quantization, other: Quantization
) -> None:
    """Of whole components, and of the pieces that offload moves, on the device and on the host."""
    more, fewer = sorted((one, other), key=_bits, reverse=True)
    assume(more is fewer or _bits(more) > _bits(fewer))
    plain, small = (dataclasses.replace(made, quantization=kind) for kind in (more, fewer))
    assert all_bytes(model, small) <= all_bytes(model, plain)
    for _, component in model.components:
        assert piece_bytes(model, small, component) <= piece_bytes(model, plain, component)
        assert piece_bytes(model, made, component) <= component_bytes(model, made, component)


def _bits(quantization: Quantization) -> float:
    """In the order of the formats' names."""
    known = {"none": 16, "fp8": 8, "int8": 8, "int4": 4, "nf4": 4}
    return known.get(quantization.value) or int(quantization.value[1])


@settings(max_examples=60, deadline=None)
@given(MODELS, PLANS)
def test_less_precision_never_takes_more_bytes(model: Model, made: ExecutionPlan) -> None:
    in_turn = [dataclasses.replace(made, precision=precision) for precision in Precision]
    sizes = [all_bytes(model, one) for one in in_turn]
    assert list(Precision) == [Precision.FP32, Precision.FP16, Precision.BF16]
    assert sizes == sorted(sizes, reverse=True)
