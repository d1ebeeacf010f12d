"""Every execution option that a processor can run: the pocket model loads with it and makes nearly the same latents."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from wan_tui.core.catalog import load_catalogue
from wan_tui.core.planning.compatibility import cpu_plan
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.runtime.protocol import Load
from wan_tui.core.words import LoadFailureReason, OffloadMode, Precision, Quantization, StepCache
from wan_tui.worker.load import LoadedModel, LoadError, load_pipeline

MODEL = load_catalogue().find("t2v-pocket")


def load(folder: Path, **changes: Any) -> LoadedModel:
    plan: ExecutionPlan = dataclasses.replace(cpu_plan(), **changes)
    told: list[str] = []
    command = Load(model=MODEL.id, plan=plan, checkpoint=None, cache_directory=str(folder))
    loaded = load_pipeline(MODEL, command, lambda stage, ratio: told.append(stage))
    assert [stage.partition(" (")[0] for stage in told] == [
        "write pocket model",
        "read text_encoder",
        "read transformer",
        "read transformer_2",
        "read vae",
        "place on device",
    ]
    return loaded


def latents(loaded: LoadedModel) -> torch.Tensor:
    pipeline = loaded.pipeline
    with torch.no_grad():
        prompt, negative = pipeline.encode_prompt("a red circle", "", device=loaded.text_device)
        with loaded.without_text_encoder():
            result = pipeline(
                prompt_embeds=prompt,
                negative_prompt_embeds=negative,
                width=64,
                height=64,
                num_frames=9,
                num_inference_steps=3,
                generator=torch.Generator().manual_seed(1),
                output_type="latent",
            )
    found: torch.Tensor = result.frames
    assert torch.isfinite(found).all()
    return found.float()


@pytest.fixture(scope="module")
def plain(pocket_cache: Path) -> torch.Tensor:
    return latents(load(pocket_cache))


@pytest.mark.parametrize(
    ("changes", "most_error"),
    [
        ({"offload": OffloadMode.GROUP_LEAF}, 0.0),
        ({"offload": OffloadMode.GROUP_BLOCK}, 0.0),
        ({"text_encoder_on_cpu": True}, 0.0),
        ({"text_encoder_on_cpu": True, "offload": OffloadMode.GROUP_LEAF}, 0.0),
        ({"precision": Precision.BF16}, 0.1),
        ({"precision": Precision.BF16, "quantization": Quantization.FP8}, 0.3),
        ({"precision": Precision.BF16, "quantization": Quantization.FP8, "offload": OffloadMode.GROUP_LEAF}, 0.3),
        ({"precision": Precision.BF16, "quantization": Quantization.INT8}, 0.15),
        ({"cache": StepCache.FIRST_BLOCK}, 0.2),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_an_option_changes_memory_and_hardly_the_latents(
    pocket_cache: Path, plain: torch.Tensor, changes: dict[str, Any], most_error: float
) -> None:
    found = latents(load(pocket_cache, **changes))
    error = float((found - plain).norm() / plain.norm())
    assert error <= most_error
    if changes.get("quantization"):
        assert error > 0, "the option had no effect"


def test_tiling_and_slicing_are_switched_on(pocket_cache: Path) -> None:
    vae = load(pocket_cache, vae_tiling=True, vae_slicing=True).pipeline.vae
    assert vae.use_tiling
    assert vae.use_slicing


def test_8_bit_weights_are_8_bit_in_memory(pocket_cache: Path) -> None:
    loaded = load(pocket_cache, precision=Precision.BF16, quantization=Quantization.FP8)
    kinds = {weight.dtype for name, weight in loaded.pipeline.transformer.named_parameters() if "attn1.to_q" in name}
    assert kinds == {torch.float8_e4m3fn}


def test_what_this_host_cannot_quantize_is_a_reason_and_no_traceback(pocket_cache: Path) -> None:
    for quantization in (Quantization.NF4, Quantization.Q4_K_M):
        with pytest.raises(LoadError) as refused:
            load(pocket_cache, precision=Precision.BF16, quantization=quantization)
        assert refused.value.reason is LoadFailureReason.ENVIRONMENT, str(refused.value)
        assert "\n" not in str(refused.value)
