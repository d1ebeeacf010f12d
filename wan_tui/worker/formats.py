"""In which number format each tensor of a component is held, as diffusers and transformers would have it in memory."""

from collections.abc import Iterable
from pathlib import Path

import torch
from accelerate import init_empty_weights
from diffusers import WanTransformer3DModel
from transformers import UMT5EncoderModel

from wan_tui.core.catalog import Component
from wan_tui.core.validation.safetensors_header import Fault, read_header
from wan_tui.core.words import Preparation

FP8 = torch.float8_e4m3fn
# Formats by their names in a safetensors header.
TORCH = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"F8_E4M3": FP8, "F8_E5M2": torch.float8_e5m2},
}
NAMES = {dtype: name for name, dtype in TORCH.items()}
_COMPUTED_IN = {
    Preparation.BF16: torch.bfloat16,
    Preparation.FP16: torch.float16,
    Preparation.FP8: torch.bfloat16,
}


def kept_in_fp32(component: Component, dtype: torch.dtype, name: str) -> bool:
    """Whether the libraries widen tensor ``name`` to fp32 when the component is read in ``dtype``."""
    match component.class_name:
        case "WanTransformer3DModel":
            return not set(WanTransformer3DModel._keep_in_fp32_modules).isdisjoint(name.split("."))
        case "UMT5EncoderModel" if dtype is torch.float16:
            return not set(UMT5EncoderModel._keep_in_fp32_modules or ()).isdisjoint(name.split("."))
    return False


def prepared_formats(component: Component, precision: Preparation, names: Iterable[str]) -> dict[str, torch.dtype]:
    """The format of each of ``names`` in a prepared checkpoint. What has none stays as it was published."""
    if component.class_name == "AutoencoderKLWan":
        return {}
    computed_in = _COMPUTED_IN[precision]
    formats = {name: torch.float32 if kept_in_fp32(component, computed_in, name) else computed_in for name in names}
    if component.class_name == "WanTransformer3DModel" and precision is Preparation.FP8:
        formats |= dict.fromkeys(formats.keys() & _cast_by_layer(component), FP8)
    return formats


def _cast_by_layer(component: Component) -> set[str]:
    """What diffusers' layerwise casting stores in 8 bit: asked of diffusers itself, on a network without values."""
    with init_empty_weights():
        network = WanTransformer3DModel(**component.config)
    network.enable_layerwise_casting(storage_dtype=FP8, compute_dtype=torch.bfloat16)
    return {name for name, weight in network.named_parameters() if weight.dtype is FP8}


def is_prepared_fp8(files: Iterable[Path]) -> bool:
    """Whether most of the weights in ``files`` are 8-bit floats of the kind that layerwise casting stores."""
    sizes: dict[str, int] = {}
    for file in files:
        for tensor in read_header(file).tensors.values():
            sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + torch.Size(tensor.shape).numel()
    return bool(sizes) and max(sizes, key=lambda dtype: sizes[dtype]) == NAMES[FP8]


def how_read(component: Component, files: Iterable[Path], dtype: torch.dtype) -> str:
    """``mapped`` when the files hold what the memory will, else what they have to be cast from."""
    foreign: set[str] = set()
    try:
        for file in files:
            for name, tensor in read_header(file).tensors.items():
                wanted = torch.float32 if kept_in_fp32(component, dtype, name) else dtype
                if tensor.dtype != NAMES[wanted]:
                    foreign.add(tensor.dtype)
    except (Fault, OSError):
        return "unreadable"
    return f"cast from {', '.join(sorted(foreign))}" if foreign else "mapped"
