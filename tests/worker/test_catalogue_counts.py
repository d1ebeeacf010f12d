"""The catalogue's parameter counts, to the last digit, from the real classes on torch's meta device."""

import pytest
import torch
from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

from wan_tui.core.catalog import Component, load_catalogue

COMPONENTS = {part.name: part for model in load_catalogue().models for _, part in model.components}


def build(component: Component) -> torch.nn.Module:
    with torch.device("meta"):
        match component.class_name:
            case "WanTransformer3DModel":
                return WanTransformer3DModel(**component.config)
            case "AutoencoderKLWan":
                return AutoencoderKLWan(**component.config)
            case "UMT5EncoderModel":
                return UMT5EncoderModel(UMT5Config(**component.config))
    raise AssertionError(component.class_name)


@pytest.mark.parametrize("name", COMPONENTS)
def test_parameter_counts(name: str) -> None:
    component = COMPONENTS[name]
    module = build(component)
    assert sum(parameter.numel() for parameter in module.parameters()) == component.parameters
    kept = set(getattr(module, "_keep_in_fp32_modules", None) or ())
    if component.class_name == "WanTransformer3DModel":
        in_fp32 = sum(p.numel() for path, p in module.named_parameters() if kept & set(path.split(".")))
        assert in_fp32 == component.fp32_parameters
