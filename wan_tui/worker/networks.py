"""The classes of diffusers and transformers that the components of the catalogue are of."""

from typing import Any

from diffusers import AutoencoderKLWan, WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

from wan_tui.core.catalog import Component


def network_of(component: Component) -> Any:
    """``component`` with the values that its class begins with, on torch's current device. Raises ValueError."""
    match component.class_name:
        case "WanTransformer3DModel":
            return WanTransformer3DModel(**component.config)
        case "AutoencoderKLWan":
            return AutoencoderKLWan(**component.config)
        case "UMT5EncoderModel":
            return UMT5EncoderModel(UMT5Config(**component.config))
    raise ValueError(f"no constructor for component class {component.class_name}")
