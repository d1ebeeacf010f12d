"""Bytes of weights: as stored on the device under a plan, and the pieces in which offload moves them."""

import functools

from wan_tui.core.catalog import Component, Model
from wan_tui.core.catalog.efficiency import load_efficiency
from wan_tui.core.planning.plan import ExecutionPlan
from wan_tui.core.words import OffloadMode, Precision, Quantization

# Group offload by block, diffusers' default group of one: the block that computes, and with a stream the next one.
_BLOCKS = {False: 1, True: 2}
# accelerate's hooks hold the leaf that computes while the next one arrives.
_LEAVES = 2


@functools.lru_cache(maxsize=1024)
def stored_bytes(component: Component, precision: Precision, quantization: Quantization = Quantization.NONE) -> int:
    """Weights of ``component`` in memory; an embedding stays in ``precision``, since no quantizer takes it."""
    if quantization is Quantization.NONE:
        return component.bytes(precision) + _widened_bytes(component, precision)
    each = load_efficiency().quantization[quantization].stored_bytes
    kept = _embedding(component)
    return int((component.parameters - kept) * each) + kept * precision.bytes_per_parameter


def _widened_bytes(component: Component, precision: Precision) -> int:
    """In fp16 transformers keeps the ends of UMT5's feed-forward layers (``wo``) in fp32: they overflow."""
    if component.class_name != "UMT5EncoderModel" or precision is not Precision.FP16:
        return 0
    config = component.config
    parameters = config["num_layers"] * config["d_ff"] * config["d_model"]
    return int(parameters * (Precision.FP32.bytes_per_parameter - precision.bytes_per_parameter))


def _embedding(component: Component) -> int:
    if component.class_name != "UMT5EncoderModel":
        return 0
    return int(component.config["vocab_size"] * component.config["d_model"])


def component_bytes(model: Model, plan: ExecutionPlan, component: Component) -> int:
    """Weights of a component as ``plan`` stores them."""
    if component is model.vae:
        return stored_bytes(component, plan.vae_precision)
    if component is model.text_encoder:
        return stored_bytes(component, plan.precision, plan.text_encoder_quantization)
    # Low-rank weights stay in the precision of what is computed, whatever the others are stored in.
    added = plan.lora_parameters * plan.precision.bytes_per_parameter
    return stored_bytes(component, plan.precision, plan.quantization) + added


def all_bytes(model: Model, plan: ExecutionPlan) -> int:
    """Weights of every component, wherever they are."""
    return sum(component_bytes(model, plan, component) for _, component in model.components)


def piece_bytes(model: Model, plan: ExecutionPlan, component: Component) -> int:
    """The part of ``component`` that is on the device while it computes under the plan's offload."""
    whole = component_bytes(model, plan, component)
    precision = plan.vae_precision if component is model.vae else plan.precision
    match plan.offload:
        case OffloadMode.NONE | OffloadMode.MODEL:
            return whole
        case OffloadMode.GROUP_BLOCK | OffloadMode.GROUP_LEAF if component is model.vae:
            return whole  # small, and made of convolutions that no block list groups
        case OffloadMode.GROUP_BLOCK:
            layers = int(component.config["num_layers"])
            # What belongs to no block (embeddings, ends) is a group that stays while the blocks run.
            rest = min(_largest_leaf(component, precision), whole // 2)
            return min(whole, rest + _BLOCKS[plan.offload_stream] * whole // layers)
        case OffloadMode.GROUP_LEAF | OffloadMode.SEQUENTIAL:
            return min(whole, _LEAVES * _largest_leaf(component, precision))


def largest_leaf_bytes(model: Model, precision: Precision, *, text_encoder: bool = True) -> int:
    """The least device memory that any plan needs for weights: the largest module that nothing can split."""
    parts = [part for _, part in model.components if text_encoder or part is not model.text_encoder]
    return max(_largest_leaf(part, precision) for part in parts)


@functools.lru_cache(maxsize=256)
def _largest_leaf(component: Component, precision: Precision) -> int:
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
