"""The catalogue's parameter counts, to the last digit, from the real classes on torch's meta device."""

import pytest
import torch

from wan_tui.core.catalog import Component, load_catalogue
from wan_tui.worker.networks import network_of

COMPONENTS = {part.name: part for model in load_catalogue().models for _, part in model.components}


def build(component: Component) -> torch.nn.Module:
    with torch.device("meta"):
        module: torch.nn.Module = network_of(component)
    assert type(module).__name__ == component.class_name
    return module


@pytest.mark.parametrize("name", COMPONENTS)
def test_parameter_counts(name: str) -> None:
    component = COMPONENTS[name]
    module = build(component)
    assert sum(parameter.numel() for parameter in module.parameters()) == component.parameters
    kept = set(getattr(module, "_keep_in_fp32_modules", None) or ())
    if component.class_name == "WanTransformer3DModel":
        in_fp32 = sum(p.numel() for path, p in module.named_parameters() if kept & set(path.split(".")))
        assert in_fp32 == component.fp32_parameters
