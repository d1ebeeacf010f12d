"""Will it fit: device and host memory of a plan, phase by phase.

The peak is the largest phase, not the sum of the parts: the text encoder, one expert and the VAE never compute
at the same time, and with offload they are not even on the device together.
"""

from wan_tui.core.catalog import Component, Model
from wan_tui.core.planning.plan import ExecutionPlan, MemoryEstimate, PhaseMemory
from wan_tui.core.words import Basis, OffloadMode, Phase, Precision

GIB = 2**30

# Seen by NVML and not by torch: CUDA context with cuBLAS and cuDNN handles, 0.3 to 0.6 GiB on cards of 2020 to 2025.
CUDA_CONTEXT_BYTES = GIB // 2

# diffusers' AutoencoderKLWan: a tile is 256 x 256 pixels; the stitched clip is held three times over in fp32.
TILE_PIXELS = 256 * 256
STITCHED_BYTES_PER_PIXEL = 3 * 3 * 4

# The text encoder always sees the padded prompt (max_sequence_length of the Wan pipelines).
PROMPT_TOKENS = 512


def estimate_memory(model: Model, plan: ExecutionPlan, width: int, height: int, frames: int) -> MemoryEstimate:
    """Memory of generating ``frames`` frames of ``width`` x ``height`` pixels under ``plan``, in bytes."""
    context = 0 if plan.device == "cpu" else CUDA_CONTEXT_BYTES
    phases = tuple(
        PhaseMemory(
            phase=phase,
            weights_bytes=_resident_bytes(model, plan, component),
            activation_bytes=activations,
            context_bytes=context,
        )
        for phase, component, activations in (
            (Phase.TEXT_ENCODE, model.text_encoder, _text_activations(model, plan)),
            (Phase.DENOISE_HIGH_NOISE, model.transformer, _denoise_activations(model, plan, width, height, frames)),
            (Phase.VAE_DECODE, model.vae, _decode_activations(model, plan, width, height, frames)),
        )
    )
    everything = weights_bytes(model, plan)
    return MemoryEstimate(
        basis=Basis.MODELLED,
        loaded_bytes=context + (everything if plan.offload is OffloadMode.NONE else 0),
        peak_bytes=max(phase.total_bytes for phase in phases),
        host_bytes=everything if plan.device == "cpu" or plan.offload is not OffloadMode.NONE else 0,
        phases=phases,
    )


def weights_bytes(model: Model, plan: ExecutionPlan) -> int:
    """Bytes of all components in the precision of the plan."""
    return sum(component.bytes(_precision(model, plan, component)) for _, component in model.components)


def full_offload_floor_bytes(model: Model, precision: Precision) -> int:
    """The least device memory that any plan needs for weights: the largest single weight matrix.

    Sequential offload moves one leaf module at a time, and a leaf cannot be split.
    """
    return max(_largest_leaf(component, precision) for _, component in model.components)


def _precision(model: Model, plan: ExecutionPlan, component: Component) -> Precision:
    return plan.vae_precision if component is model.vae else plan.precision


def _resident_bytes(model: Model, plan: ExecutionPlan, computing: Component) -> int:
    if plan.offload is OffloadMode.NONE:
        return weights_bytes(model, plan)
    precision = _precision(model, plan, computing)
    if plan.offload is OffloadMode.MODEL:
        return computing.bytes(precision)
    return 2 * _largest_leaf(computing, precision)


def _largest_leaf(component: Component, precision: Precision) -> int:
    """Bytes of the largest module without children, from the component's configuration."""
    config = component.config
    if component.class_name == "WanTransformer3DModel":
        width = config["num_attention_heads"] * config["attention_head_dim"]
        parameters = width * max(config["ffn_dim"], 6 * width)
    elif component.class_name == "UMT5EncoderModel":
        parameters = config["d_model"] * max(config["vocab_size"], config["d_ff"])
    else:
        # A causal 3x3x3 convolution at the widest level.
        widest = max(config["base_dim"], config.get("decoder_base_dim") or 0) * max(config["dim_mult"])
        parameters = 27 * widest * widest
    return int(parameters) * precision.bytes_per_parameter


def _text_activations(model: Model, plan: ExecutionPlan) -> int:
    """Attention scores in fp32 (kept twice by softmax) and the gated feed-forward of one layer."""
    config = model.text_encoder.config
    scores = 2 * config["num_heads"] * PROMPT_TOKENS**2 * 4
    feed_forward = PROMPT_TOKENS * (config["d_model"] + 2 * config["d_ff"]) * plan.precision.bytes_per_parameter
    return int(scores + feed_forward)


def _denoise_activations(model: Model, plan: ExecutionPlan, width: int, height: int, frames: int) -> int:
    wider = plan.precision.bytes_per_parameter // 2  # the catalogue's figure is for 16 bit
    return model.tokens(width, height, frames) * model.activation_bytes_per_token * wider


def _decode_activations(model: Model, plan: ExecutionPlan, width: int, height: int, frames: int) -> int:
    narrower = Precision.FP32.bytes_per_parameter // plan.vae_precision.bytes_per_parameter
    per_pixel = model.decode_bytes_per_pixel // narrower
    if not plan.vae_tiling:
        return width * height * per_pixel
    return min(width * height, TILE_PIXELS) * per_pixel + width * height * frames * STITCHED_BYTES_PER_PIXEL
