"""Synthetic weights: the networks of a loaded checkpoint to the last parameter and format, with random values."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.planning.compatibility import cpu_plan
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.runtime.protocol import Load
from wan_tui.core.words import LoadFailureReason, OffloadMode, Precision, Quantization
from wan_tui.worker.load import LoadedModel, LoadError, load_pipeline
from wan_tui.worker.synthetic import build_synthetic, make_component

CATALOGUE = load_catalogue()
POCKETS = [model for model in CATALOGUE.models if model.weights == "pocket"]
BF16 = {"precision": Precision.BF16}
PLANS: list[dict[str, Any]] = [
    {},
    BF16,
    {"precision": Precision.FP16, "vae_precision": Precision.BF16},
    {**BF16, "quantization": Quantization.FP8},
    {**BF16, "quantization": Quantization.INT8},
    {**BF16, "quantization": Quantization.FP8, "offload": OffloadMode.GROUP_LEAF},
    {**BF16, "text_encoder_on_cpu": True},
]


def plan(**changes: Any) -> ExecutionPlan:
    return dataclasses.replace(cpu_plan(), **changes)


def synthetic(model: Model, **changes: Any) -> LoadedModel:
    return build_synthetic(model, plan(**changes), lambda stage, ratio: None)


def loaded(model: Model, cache: Path, **changes: Any) -> LoadedModel:
    command = Load(model=model.id, plan=plan(**changes), checkpoint=None, cache_directory=str(cache))
    return load_pipeline(model, command, lambda stage, ratio: None)


def latents(model: LoadedModel, seed: int = 1) -> torch.Tensor:
    pipeline = model.pipeline
    picture = {"image": Image.new("RGB", (64, 64), "red")} if model.model.task.needs_image else {}
    with torch.no_grad():
        prompt, negative = pipeline.encode_prompt("anything", "", device=model.text_device)
        with model.without_text_encoder():
            found: torch.Tensor = pipeline(
                prompt_embeds=prompt,
                negative_prompt_embeds=negative,
                width=64,
                height=64,
                num_frames=9,
                num_inference_steps=3,
                generator=torch.Generator().manual_seed(seed),
                output_type="latent",
                **picture,
            ).frames
    return found.float()


@pytest.mark.parametrize("changes", PLANS, ids=lambda changes: " ".join(map(str, changes.values())) or "as it is")
@pytest.mark.parametrize("model", POCKETS, ids=lambda model: model.id)
def test_it_is_what_loading_makes(model: Model, changes: dict[str, Any], pocket_cache: Path) -> None:
    made, read = synthetic(model, **changes).pipeline, loaded(model, pocket_cache, **changes).pipeline
    assert type(made) is type(read)
    assert made.config.boundary_ratio == read.config.boundary_ratio
    assert made.config.expand_timesteps == read.config.expand_timesteps
    assert _public(made.scheduler.config) == _public(read.scheduler.config)
    for role, component in model.components:
        ours, theirs = getattr(made, role), getattr(read, role)
        assert type(ours) is type(theirs)
        assert not ours.training
        assert sum(weight.numel() for weight in ours.parameters()) == component.parameters
        assert _tensors(ours) == _tensors(theirs)
        assert [type(part) for part in ours.modules()] == [type(part) for part in theirs.modules()]


def _public(config: Any) -> dict[str, Any]:
    return {key: value for key, value in config.items() if not key.startswith("_")}


def _tensors(module: torch.nn.Module) -> dict[str, tuple[object, ...]]:
    """Shape, format, device and subclass (torchao's) of every parameter and buffer."""
    named = (*module.named_parameters(), *module.named_buffers())
    return {name: (type(t.data), tuple(t.shape), t.dtype, t.device) for name, t in named}


@pytest.mark.parametrize("changes", PLANS, ids=lambda changes: " ".join(map(str, changes.values())) or "as it is")
@pytest.mark.parametrize("model", POCKETS, ids=lambda model: model.id)
def test_it_denoises_to_finite_latents(model: Model, changes: dict[str, Any]) -> None:
    found = latents(synthetic(model, **changes))
    assert torch.isfinite(found).all()
    assert 0.1 < float(found.std()) < 10, "neither dead nor blown up"


@pytest.mark.parametrize("model", POCKETS, ids=lambda model: model.id)
def test_it_decodes_to_finite_pixels(model: Model) -> None:
    vae = synthetic(model).pipeline.vae
    with torch.no_grad():
        pixels = vae.decode(torch.randn(1, vae.config.z_dim, 2, 8, 8), return_dict=False)[0]
    assert torch.isfinite(pixels).all()
    assert float(pixels.std()) > 0


def test_the_tables_of_the_rotary_embedding_are_real(pocket_cache: Path) -> None:
    model = CATALOGUE.find("t2v-pocket")
    ours, theirs = (found.pipeline.transformer.rope for found in (synthetic(model), loaded(model, pocket_cache)))
    assert torch.equal(ours.freqs_cos, theirs.freqs_cos)
    assert torch.equal(ours.freqs_sin, theirs.freqs_sin)


def test_a_seed_gives_the_same_weights_and_no_two_networks_the_same() -> None:
    model = CATALOGUE.find("t2v-pocket")
    first, again = synthetic(model).pipeline, synthetic(model).pipeline
    for (name, one), other in zip(first.transformer.named_parameters(), again.transformer.parameters(), strict=True):
        assert torch.equal(one, other), name
    assert not torch.equal(first.transformer.proj_out.weight, first.transformer_2.proj_out.weight)


def test_the_two_names_of_an_embedding_are_one_tensor() -> None:
    encoder = synthetic(CATALOGUE.find("t2v-pocket")).pipeline.text_encoder
    assert encoder.shared.weight is encoder.encoder.embed_tokens.weight


def test_it_takes_the_memory_of_its_weights_and_no_second_copy() -> None:
    component = CATALOGUE.find("ti2v-5B").vae  # the smallest network of real size: 705 million parameters
    with torch.profiler.profile(profile_memory=True) as profile:
        module = make_component(component, plan(precision=Precision.BF16), torch.device("cpu"))
    stored = sum(weight.numel() * weight.element_size() for weight in module.parameters())
    assert stored == component.bytes(Precision.BF16)
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    assert stored < peak < stored + 100e6


@pytest.mark.parametrize("kind", [Quantization.NF4, Quantization.Q4_K_M])
def test_formats_that_only_a_checkpoint_can_have_are_a_reason(kind: Quantization) -> None:
    with pytest.raises(LoadError, match="no random") as refused:
        synthetic(CATALOGUE.find("t2v-pocket"), quantization=kind)
    assert refused.value.reason is LoadFailureReason.ENVIRONMENT
