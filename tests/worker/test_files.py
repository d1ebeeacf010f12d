"""Single transformer files and LoRAs in the place of, or added to, what a checkpoint holds."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from diffusers import WanPipeline
from safetensors.torch import load_file

from tests.core.validation.transformer_parts import BF16, Q8, matrices, write_gguf, write_safetensors
from tests.worker.runs import MODEL, latents
from wan_tui.core.catalog.original_names import original_name
from wan_tui.core.planning.compatibility import cpu_plan
from wan_tui.core.runtime.protocol import Load, Lora
from wan_tui.core.words import LoadFailureReason, LoraExpert, Precision, Quantization
from wan_tui.worker.load import LoadedModel, LoadError, load_pipeline
from wan_tui.worker.pocket import ensure_pocket

EXPERTS = ("transformer", "transformer_2")
WIDTH = MODEL.transformer.config["num_attention_heads"] * MODEL.transformer.config["attention_head_dim"]


def load(cache: Path, plan: dict[str, Any], **files: Any) -> LoadedModel:
    command = Load(
        model=MODEL.id,
        plan=dataclasses.replace(cpu_plan(), **plan),
        checkpoint=None,
        cache_directory=str(cache),
        **files,
    )
    return load_pipeline(MODEL, command, lambda stage, ratio: None)


def weights(cache: Path, role: str) -> dict[str, Any]:
    folder = ensure_pocket(MODEL, cache)
    return {name: tensor.numpy() for name, tensor in load_file(folder / role / FILE).items()}


FILE = "diffusion_pytorch_model.safetensors"


def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.fixture(scope="module")
def plain(pocket_cache: Path) -> torch.Tensor:
    return latents(load(pocket_cache, {"precision": Precision.BF16}))


@pytest.mark.parametrize(
    ("kind", "quantization", "most_error"),
    [
        (Q8, Quantization.Q8_0, 0.1),
        (gguf.GGMLQuantizationType.Q4_0, Quantization.Q4_K_M, 0.6),
        (BF16, Quantization.NONE, 0.1),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
@pytest.mark.parametrize("original", [True, False], ids=["original names", "diffusers names"])
def test_a_gguf_file_for_each_expert_makes_nearly_the_same_latents(
    pocket_cache: Path,
    tmp_path: Path,
    plain: torch.Tensor,
    kind: Any,
    quantization: Quantization,
    most_error: float,
    original: bool,
) -> None:
    files = {}
    for role in EXPERTS:
        tensors = weights(pocket_cache, role)
        named = {original_name(name) if original else name: array for name, array in tensors.items()}
        # 32 inputs are one block of the type.
        files[role] = str(write_gguf(tmp_path / f"{role}.gguf", named, matrices(kind)))
    loaded = load(pocket_cache, {"precision": Precision.BF16, "quantization": quantization}, **files)
    assert loaded.reading["transformer"] == f"{quantization} from transformer.gguf"
    assert 0 < error(latents(loaded), plain) <= most_error


def test_a_safetensors_file_is_the_expert_that_it_is_given_for(
    pocket_cache: Path, tmp_path: Path, plain: torch.Tensor
) -> None:
    files = {
        role: str(write_safetensors(tmp_path / f"{role}.safetensors", weights(pocket_cache, role))) for role in EXPERTS
    }
    assert torch.equal(latents(load(pocket_cache, {"precision": Precision.BF16}, **files)), plain)
    swapped = {"transformer": files["transformer_2"], "transformer_2": files["transformer"]}
    assert not torch.equal(latents(load(pocket_cache, {"precision": Precision.BF16}, **swapped)), plain)


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize("damage", [Path.unlink, damaged], ids=["missing", "truncated"])
def test_a_file_that_cannot_be_read_is_a_reason(
    pocket_cache: Path, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    path = write_gguf(tmp_path / "a.gguf", weights(pocket_cache, "transformer"))
    damage(path)
    with pytest.raises(LoadError) as refused:
        load(pocket_cache, {"quantization": Quantization.Q8_0}, transformer=str(path), transformer_2=str(path))
    assert refused.value.reason is LoadFailureReason.CHECKPOINT
    assert str(path) in str(refused.value)


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rank 4 on the attention of two blocks, as diffusers saves it."""
    layers = {}
    generator = torch.Generator().manual_seed(7)
    for block in range(2):
        for part in ("to_q", "to_v"):
            name = f"blocks.{block}.attn1.{part}"
            layers[f"{name}.lora_A.weight"] = torch.randn(4, WIDTH, generator=generator)
            layers[f"{name}.lora_B.weight"] = torch.randn(WIDTH, 4, generator=generator)
    folder = tmp_path_factory.mktemp("lora")
    WanPipeline.save_lora_weights(folder, transformer_lora_layers=layers)
    return folder / "pytorch_lora_weights.safetensors"


def with_lora(cache: Path, path: Path, plan: dict[str, Any] | None = None, **options: Any) -> torch.Tensor:
    return latents(load(cache, plan or {}, loras=(Lora(path=str(path), **options),)))


def test_a_lora_without_weight_changes_nothing_and_with_weight_something(pocket_cache: Path, lora: Path) -> None:
    base = latents(load(pocket_cache, {}))
    assert torch.equal(with_lora(pocket_cache, lora, weight=0.0), base)
    half, whole = with_lora(pocket_cache, lora, weight=0.5), with_lora(pocket_cache, lora, weight=1.0)
    assert error(whole, base) > error(half, base) > 0


def test_a_lora_goes_into_the_expert_that_it_is_for(pocket_cache: Path, lora: Path) -> None:
    for expert, touched in (
        (LoraExpert.HIGH_NOISE, (True, False)),
        (LoraExpert.LOW_NOISE, (False, True)),
        (LoraExpert.BOTH, (True, True)),
    ):
        pipeline = load(pocket_cache, {}, loras=(Lora(path=str(lora), expert=expert),)).pipeline
        found = tuple(hasattr(network, "peft_config") for network in (pipeline.transformer, pipeline.transformer_2))
        assert found == touched, expert


@pytest.mark.parametrize("quantization", [Quantization.FP8, Quantization.INT8])
def test_a_lora_works_on_8_bit_weights(pocket_cache: Path, lora: Path, quantization: Quantization) -> None:
    plan = {"precision": Precision.BF16, "quantization": quantization}
    base = latents(load(pocket_cache, plan))
    assert torch.equal(with_lora(pocket_cache, lora, plan, weight=0.0), base)
    assert error(with_lora(pocket_cache, lora, plan), base) > 0


def test_several_loras_add_up(pocket_cache: Path, lora: Path) -> None:
    twice = (Lora(path=str(lora), weight=0.5), Lora(path=str(lora), weight=0.5))
    found = latents(load(pocket_cache, {}, loras=twice))
    assert error(found, with_lora(pocket_cache, lora)) < 1e-4


def test_a_lora_of_something_else_is_a_reason(pocket_cache: Path, tmp_path: Path) -> None:
    other = write_safetensors(tmp_path / "other.safetensors", {"unet.lora_A.weight": np.zeros((4, 4), np.float16)})
    for path, words in ((other, "Wan transformer"), (tmp_path / "none.safetensors", "no such file")):
        with pytest.raises(LoadError) as refused:
            load(pocket_cache, {}, loras=(Lora(path=str(path)),))
        assert refused.value.reason is LoadFailureReason.CHECKPOINT
        assert str(path) in str(refused.value)
        assert words in str(refused.value)
