"""The activation and operation models against the real modules of diffusers and transformers.

A new release that changes what a network holds or computes fails here; ``wan-tui profile-architecture --output`` then
writes the new data file.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanImageToVideoPipeline, WanPipeline
from PIL import Image
from torch.profiler import ProfilerActivity

from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.planning import activations, flops
from wan_tui.core.words import Precision
from wan_tui.worker import profile
from wan_tui.worker.pocket import ensure_pocket
from wan_tui.worker.storages import LiveStorages

CATALOGUE = load_catalogue()
POCKETS = [model for model in CATALOGUE.models if model.weights == "pocket"]
PUBLISHED = [model for model in CATALOGUE.models if model.weights == "checkpoint"]
PARTS = {
    part.name: (part, model.expand_timesteps and part is model.transformer)
    for model in CATALOGUE.models
    for _, part in model.components
}
EXACT = pytest.approx(1.0, rel=1e-3)

# Width, height, frames: the A14B models and the 5B, from a thumbnail to the largest clip that they were published for.
SHAPES_A14B = [(256, 256, 17), (480, 832, 17), (832, 480, 49), (832, 480, 81), (1280, 720, 49), (1280, 720, 81)]
SHAPES_5B = [(256, 256, 17), (480, 832, 17), (832, 480, 49), (832, 480, 121), (1280, 704, 81), (1280, 704, 121)]
EVERY_SHAPE = [(model, shape) for model in PUBLISHED for shape in (SHAPES_5B if model.id == "ti2v-5B" else SHAPES_A14B)]
SMALL_SHAPES = [(model, (256, 256, 17)) for model in PUBLISHED] + [
    (model, shape) for model in POCKETS for shape in ((64, 64, 5), (128, 64, 17))
]
LABEL = {"ids": lambda value: value.id if isinstance(value, Model) else "x".join(map(str, value))}


def latent_shape(model: Model, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    width, height, frames = shape
    stride = model.vae.config["scale_factor_spatial"]
    return model.latent_frames(frames), height // stride, width // stride


def fitted(model: Model, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The shape as the pipeline would floor it."""
    width, height, frames = shape
    return (
        width // model.size_multiple * model.size_multiple,
        height // model.size_multiple * model.size_multiple,
        frames,
    )


@pytest.mark.parametrize("name", PARTS)
def test_the_stored_coefficients_are_those_of_the_installed_libraries(name: str) -> None:
    assert profile.profile_component(*PARTS[name]) == activations.stored()[name]


def compare_memory(model: Model, shape: tuple[int, int, int]) -> dict[str, float]:
    """Predicted over tracked bytes of each phase."""
    width, height, frames = fitted(model, shape)
    latents = latent_shape(model, (width, height, frames))
    tokens = model.tokens(width, height, frames)
    found: dict[str, float] = {}
    for batch in (1, 2):
        tracked = profile.trace_denoise(
            model.transformer, Precision.BF16, model.expand_timesteps, (*latents, batch)
        ).peak_bytes
        found[f"denoise {batch}"] = activations.denoise_bytes(model, tokens=tokens, batch=batch) / tracked
    size = {"width": width, "height": height, "frames": frames}
    for precision in (Precision.FP32, Precision.BF16):
        tracked = profile.trace_vae(model.vae, precision, "decode", latents).peak_bytes
        found[f"decode {precision}"] = activations.decode_bytes(model, precision=precision, **size) / tracked
    if model.task.takes_image:
        encoded = (1, *latents[1:]) if model.expand_timesteps else latents
        tracked = profile.trace_vae(model.vae, Precision.FP32, "encode", encoded).peak_bytes
        found["encode"] = activations.encode_image_bytes(model, **size) / tracked
    return found


def compare_flop(model: Model, shape: tuple[int, int, int], layers: int | None = None) -> dict[str, float]:
    """Formula over torch's counter, for each network."""
    width, height, frames = fitted(model, shape)
    latents = latent_shape(model, (width, height, frames))
    counted = profile.count_denoise(model.transformer, model.expand_timesteps, latents, layers)
    return {
        "forward": flops.forward_flop(model, model.tokens(width, height, frames)) / counted,
        "decode": flops.decode_flop(model, width, height, frames) / profile.count_vae(model.vae, "decode", latents),
        "encode": flops.encode_flop(model, width, height, frames) / profile.count_vae(model.vae, "encode", latents),
    }


@pytest.mark.parametrize(("model", "shape"), SMALL_SHAPES, **LABEL)
def test_predicted_bytes_are_the_tracked_ones(model: Model, shape: tuple[int, int, int]) -> None:
    ratios = compare_memory(model, shape)
    assert ratios == dict.fromkeys(ratios, EXACT)


@pytest.mark.parametrize(("model", "shape"), SMALL_SHAPES, **LABEL)
def test_predicted_operations_are_the_counted_ones(model: Model, shape: tuple[int, int, int]) -> None:
    ratios = compare_flop(model, shape)
    assert ratios == dict.fromkeys(ratios, EXACT)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("model", "shape"), EVERY_SHAPE, **LABEL)
def test_every_published_shape(model: Model, shape: tuple[int, int, int]) -> None:
    ratios = compare_memory(model, shape)
    assert ratios == dict.fromkeys(ratios, EXACT)
    ratios = compare_flop(model, shape)
    assert ratios == dict.fromkeys(ratios, EXACT)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("precision", Precision)
def test_text_encoding(precision: Precision, batch: int) -> None:
    for model in (PUBLISHED[0], POCKETS[0]):
        tracked = profile.trace_text(model.text_encoder, precision, batch).peak_bytes
        assert activations.text_encode_bytes(model, batch=batch, precision=precision) / tracked == EXACT
        assert flops.text_encode_flop(model) == profile.count_text(model.text_encoder, layers=None)


@pytest.mark.slow
@pytest.mark.parametrize("model", PUBLISHED, ids=lambda model: model.id)
def test_two_layers_reach_the_peak_of_all(model: Model) -> None:
    shape = (*latent_shape(model, (1280, 704, 81)), 1)
    two, every = (
        profile.trace_denoise(model.transformer, Precision.BF16, model.expand_timesteps, shape, layers).peak_bytes
        for layers in (2, None)
    )
    assert two == every
    prompts = [profile.trace_text(model.text_encoder, Precision.BF16, 1, layers).peak_bytes for layers in (2, None)]
    assert prompts[0] == prompts[1]


@pytest.mark.parametrize(
    ("name", "shape", "excess"),
    [
        # Far above one tile the prediction is the tracked peak.
        ("ti2v-pocket", (512, 320, 5), 0.003),
        ("i2v-pocket", (512, 256, 9), 0.003),
        # Just above it, the prediction is that of one whole tile: never less for a larger picture.
        ("i2v-pocket", (288, 288, 5), 0.1),
        pytest.param("i2v-A14B", (320, 288, 9), 0.01, marks=pytest.mark.slow),
        pytest.param("ti2v-5B", (640, 576, 9), 0.01, marks=pytest.mark.slow),
    ],
)
def test_tiles_as_a_real_tiled_run(name: str, shape: tuple[int, int, int], excess: float) -> None:
    model = CATALOGUE.find(name)
    width, height, frames = shape
    size = {"width": width, "height": height, "frames": frames}
    latents = latent_shape(model, shape)
    tracked = profile.trace_vae(model.vae, Precision.FP32, "decode", latents, tiled=True).peak_bytes
    assert 0.998 < activations.decode_bytes(model, tiled=True, **size) / tracked < 1 + excess
    encoded = (1, *latents[1:]) if model.expand_timesteps else latents
    tracked = profile.trace_vae(model.vae, Precision.FP32, "encode", encoded, tiled=True).peak_bytes
    assert 0.998 < activations.encode_image_bytes(model, tiled=True, **size) / tracked < 1.01
    counted = profile.count_vae(model.vae, "decode", latents, tiled=True)
    assert flops.decode_flop(model, width, height, frames, tiled=True) == pytest.approx(counted, rel=1e-4)
    counted = profile.count_vae(model.vae, "encode", latents, tiled=True)
    assert flops.encode_flop(model, width, height, frames, tiled=True) == pytest.approx(counted, rel=1e-4)


@pytest.mark.parametrize("sliced", [False, True])
@pytest.mark.parametrize("tiled", [False, True])
def test_a_batch_whole_or_one_clip_at_a_time(tiled: bool, sliced: bool) -> None:
    model = CATALOGUE.find("ti2v-pocket")
    width, height, frames = 512, 320, 5
    latents = latent_shape(model, (width, height, frames))
    switches = {"tiled": tiled, "sliced": sliced, "batch": 3}
    tracked = profile.trace_vae(model.vae, Precision.FP32, "decode", latents, **switches).peak_bytes
    predicted = activations.decode_bytes(model, width=width, height=height, frames=frames, **switches)
    assert predicted / tracked == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("model", POCKETS, ids=lambda model: model.id)
def test_what_a_pipeline_holds_during_a_pass(model: Model, pocket_cache: Path) -> None:
    width, height, frames = 128, 128, 17
    absent = {"image_encoder": None, "image_processor": None} if model.task.needs_image else {}
    pipeline_class = WanImageToVideoPipeline if model.task.needs_image else WanPipeline
    pipeline = pipeline_class.from_pretrained(ensure_pocket(model, pocket_cache), dtype=torch.bfloat16, **absent)
    pipeline.set_progress_bar_config(disable=True)
    networks = [getattr(pipeline, role) for role, _ in model.components]
    held: list[int] = []

    def before(_: object, __: object, inputs: dict[str, Any]) -> None:
        storages = {id(value.untyped_storage()): value for value in inputs.values() if isinstance(value, torch.Tensor)}
        held.append(live.live_bytes - sum(value.untyped_storage().nbytes() for value in storages.values()))

    for role, _ in model.components:
        if role.startswith("transformer"):
            getattr(pipeline, role).register_forward_pre_hook(before, with_kwargs=True)
    picture = {"image": Image.new("RGB", (width, height))} if model.task.needs_image else {}
    with torch.no_grad(), LiveStorages(*networks) as live:
        pipeline(
            prompt="a red circle",
            width=width,
            height=height,
            num_frames=frames,
            num_inference_steps=4,
            guidance_scale=4.0,
            output_type="latent",
            **picture,
        )
    predicted = activations.denoise_held_bytes(model, tokens=model.tokens(width, height, frames))
    image_bytes = width * height * 3 * 4 if picture else 0
    assert max(held) - image_bytes == pytest.approx(predicted, rel=2e-3)


def allocator_peak(run: Any) -> int:
    """The most that torch's CPU allocator had given out at once, by its own events."""
    with torch.no_grad(), torch.profiler.profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = top = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        top = max(top, now)
    return top


def real(model: Model, role: str, precision: Precision) -> Any:
    """A network with values, on the CPU."""
    module = profile.build(getattr(model, role), precision).to_empty(device="cpu")
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data.zero_()
    return module


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
@pytest.mark.parametrize("name", ["t2v-pocket", "ti2v-pocket"])
def test_the_allocator_agrees_exactly_about_the_transformer(name: str, precision: Precision) -> None:
    """From a few thousand tokens on: below, the CPU's attention kernel has a workspace that would be the peak."""
    model, dtype = CATALOGUE.find(name), profile.DTYPES[precision]
    frames, side = 5, 64
    tokens = frames * (side // 2) ** 2
    config = model.transformer.config
    module = real(model, "transformer", precision)

    def run() -> None:
        module(
            hidden_states=torch.zeros(1, config["in_channels"], frames, side, side, dtype=dtype),
            timestep=torch.zeros((1, tokens) if model.expand_timesteps else (1,)),
            encoder_hidden_states=torch.zeros(1, activations.PROMPT_TOKENS, config["text_dim"], dtype=dtype),
        )

    predicted = activations.denoise_bytes(model, tokens=tokens, precision=precision)
    assert allocator_peak(run) / predicted == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("name", ["t2v-pocket", "ti2v-pocket"])
def test_the_allocator_sees_workspaces_of_the_vae_that_no_tensor_shows(name: str) -> None:
    """The tensors of a decode are a lower bound: a convolution kernel takes a workspace of its own beside them.

    On the CPU that is up to three times the tensors in fp32; how much cuDNN takes only a GPU can tell.
    """
    model = CATALOGUE.find(name)
    side, frames = 128, 9
    latents = latent_shape(model, (side, side, frames))
    module = real(model, "vae", Precision.FP32)
    latent = torch.zeros(1, model.vae.config["z_dim"], *latents)
    tracked = profile.trace_vae(model.vae, Precision.FP32, "decode", latents).peak_bytes
    with torch.no_grad(), LiveStorages(module) as live:
        module.decode(latent.clone())
    assert live.peak_bytes == pytest.approx(tracked, rel=1e-3), "meta or real: the same tensors"
    assert 1.0 < allocator_peak(lambda: module.decode(latent.clone())) / tracked < 4.0


def test_a_storage_counts_while_it_lives_and_once() -> None:
    weight = torch.empty(1000)
    module = torch.nn.ParameterList([torch.nn.Parameter(weight)])
    with torch.no_grad(), LiveStorages(module) as live:
        first = torch.zeros(100)
        view = first[10:].view(9, 10)
        doubled = module[0] * 2
        assert live.live_bytes == 400 + 4000
        del first
        assert live.live_bytes == 400 + 4000, "a view keeps it"
        del view, doubled
        assert live.live_bytes == 0
    assert live.peak_bytes == 4400


def test_a_network_that_breaks_the_formula_is_an_error_not_a_wrong_figure() -> None:
    linear = [({"area": area, "fixed": 1}, [7 * area + 3, area]) for area in (10_000, 20_000, 30_000)]
    assert profile.fit(linear) == [{"area": 7, "fixed": 3}, {"area": 1, "fixed": 0}]
    square = [({"area": area, "fixed": 1}, [area**2]) for area in (10_000, 20_000, 30_000)]
    with pytest.raises(profile.ProfileError, match="do not follow"):
        profile.fit(square)
    longer = [({"area": 1, "fixed": 1}, [1]), ({"area": 2, "fixed": 1}, [2, 2])]
    with pytest.raises(profile.ProfileError, match="depend on the shape"):
        profile.fit(longer)
    assert profile.envelope(
        [{"area": 1, "fixed": 50}, {"area": 2, "fixed": 0}, {"area": 1, "fixed": 0}],
        [
            {"area": 10, "fixed": 1},
            {"area": 100, "fixed": 1},
        ],
    ) == [{"area": 1, "fixed": 50}, {"area": 2, "fixed": 0}]
