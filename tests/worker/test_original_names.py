"""Our names of the original layout, through diffusers' own converter; and what its loader makes of such files."""

from pathlib import Path

import pytest
import torch
from diffusers import GGUFQuantizationConfig, WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from diffusers.quantizers.gguf.utils import SUPPORTED_GGUF_QUANT_TYPES

from tests.core.validation.transformer_parts import BF16, F32, arrays, write_gguf
from tests.worker.test_catalogue_counts import COMPONENTS
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.catalog.original_names import PREFIX, original_name, original_tensors
from wan_tui.core.catalog.tensors import expected_tensors
from wan_tui.core.validation import transformer_file
from wan_tui.core.validation.transformer_file import check_transformer_file

TRANSFORMERS = {name: one for name, one in COMPONENTS.items() if one.class_name == "WanTransformer3DModel"}
POCKET = load_catalogue().find("ti2v-pocket")


@pytest.mark.parametrize("prefix", ["", PREFIX])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_the_converter_of_diffusers_turns_them_back(name: str, prefix: str) -> None:
    component = TRANSFORMERS[name]
    state = {prefix + key: torch.empty(shape, device="meta") for key, shape in original_tensors(component).items()}
    converted = convert_wan_transformer_to_diffusers(state)
    assert {key: tuple(tensor.shape) for key, tensor in converted.items()} == expected_tensors(component)


def test_each_name_has_its_own_and_no_other_has_one() -> None:
    component = TRANSFORMERS[POCKET.transformer.name]
    assert len(original_tensors(component)) == len(expected_tensors(component))
    assert original_name("blocks.0.attn1.to_out.0.weight") == "blocks.0.self_attn.o.weight"
    assert original_name("condition_embedder.text_embedder.linear_1.weight") == "text_embedding.0.weight"
    assert original_name("scale_shift_table") == "head.modulation"
    with pytest.raises(KeyError):
        original_name("proj_in.weight")


def test_the_quantisations_are_those_of_the_loader() -> None:
    assert {kind.name for kind in SUPPORTED_GGUF_QUANT_TYPES} == transformer_file._WIDENED
    assert set(WanTransformer3DModel._keep_in_fp32_modules) - {"rope"} == transformer_file._KEPT_IN_FP32


# One of each kind of tensor: which of them may be BF16 is a property of the loader, found by running it.
@pytest.mark.parametrize(
    "name",
    [
        *("patch_embedding.weight", "patch_embedding.bias", "scale_shift_table", "proj_out.weight", "proj_out.bias"),
        *("condition_embedder.time_embedder.linear_1.bias", "condition_embedder.time_proj.bias"),
        *("blocks.0.scale_shift_table", "blocks.0.norm2.weight", "blocks.0.norm2.bias"),
        *("blocks.0.attn1.norm_q.weight", "blocks.0.attn2.to_q.bias", "blocks.0.ffn.net.0.proj.weight"),
    ],
)
def test_what_we_call_unusable_does_fail_in_diffusers(name: str, tmp_path: Path) -> None:
    file = write_gguf(
        tmp_path / "model.gguf", arrays(POCKET), lambda key, _: BF16 if key == original_name(name) else F32
    )
    judged = {finding.code for finding in check_transformer_file(file, POCKET)}
    assert judged in (set(), {"WAN424"})
    if judged:
        with pytest.raises(RuntimeError):
            run_once(file, tmp_path)
    else:
        run_once(file, tmp_path)


def test_a_reshaped_convolution_fails_in_diffusers_too(tmp_path: Path) -> None:
    tensors = arrays(POCKET)
    weight = tensors["patch_embedding.weight"]
    tensors["patch_embedding.weight"] = weight.reshape(-1, *weight.shape[2:])
    file = write_gguf(tmp_path / "model.gguf", tensors)
    assert [finding.code for finding in check_transformer_file(file, POCKET)] == ["WAN418"]
    with pytest.raises(ValueError, match="patch_embedding"):
        run_once(file, tmp_path)


def run_once(file: Path, folder: Path) -> None:
    config = dict(POCKET.transformer.config)
    WanTransformer3DModel(**config).save_config(folder)
    network = WanTransformer3DModel.from_single_file(
        str(file),
        config=str(folder),
        quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float32),
        torch_dtype=torch.float32,
        local_files_only=True,
    )
    with torch.no_grad():
        network(torch.zeros(1, 48, 1, 4, 4), torch.tensor([5]), torch.zeros(1, 4, config["text_dim"]))
