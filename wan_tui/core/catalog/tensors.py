"""Names and shapes of the tensors of a component, from its configuration alone.

What the classes of diffusers and transformers hold when built; tests/worker/test_tensor_tables.py builds every
component of the catalogue on torch's meta device and compares.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from wan_tui.core.catalog.models import Component

Entry = tuple[str, tuple[int, ...]]

# Tied weights: a file may hold either name or both.
ALIASES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {"UMT5EncoderModel": MappingProxyType({"encoder.embed_tokens.weight": "shared.weight"})}
)


def expected_tensors(component: Component) -> dict[str, tuple[int, ...]]:
    """Every tensor of ``component`` by name, tied ones under each of their names."""
    match component.class_name:
        case "WanTransformer3DModel":
            return dict(_transformer(component.config))
        case "UMT5EncoderModel":
            return dict(_umt5(component.config))
        case "AutoencoderKLWan":
            return dict(_vae(component.config))
        case other:
            raise ValueError(f"no tensor table for component class {other}")


def _linear(name: str, wide: int, narrow: int) -> Iterator[Entry]:
    yield f"{name}.weight", (wide, narrow)
    yield f"{name}.bias", (wide,)


def _convolution(name: str, out: int, into: int, kernel: Iterable[int]) -> Iterator[Entry]:
    yield f"{name}.weight", (out, into, *kernel)
    yield f"{name}.bias", (out,)


def _transformer(config: Mapping[str, Any]) -> Iterator[Entry]:
    dim = config["num_attention_heads"] * config["attention_head_dim"]
    patch = config["patch_size"]
    condition = "condition_embedder"
    yield "scale_shift_table", (1, 2, dim)
    yield from _convolution("patch_embedding", dim, config["in_channels"], patch)
    yield from _linear(f"{condition}.time_embedder.linear_1", dim, config["freq_dim"])
    yield from _linear(f"{condition}.time_embedder.linear_2", dim, dim)
    yield from _linear(f"{condition}.time_proj", 6 * dim, dim)
    yield from _linear(f"{condition}.text_embedder.linear_1", dim, config["text_dim"])
    yield from _linear(f"{condition}.text_embedder.linear_2", dim, dim)
    for layer in range(config["num_layers"]):
        block = f"blocks.{layer}"
        yield f"{block}.scale_shift_table", (1, 6, dim)
        for attention in ("attn1", "attn2"):
            for part in ("to_q", "to_k", "to_v", "to_out.0"):
                yield from _linear(f"{block}.{attention}.{part}", dim, dim)
            yield f"{block}.{attention}.norm_q.weight", (dim,)
            yield f"{block}.{attention}.norm_k.weight", (dim,)
        if config["cross_attn_norm"]:
            yield f"{block}.norm2.weight", (dim,)
            yield f"{block}.norm2.bias", (dim,)
        yield from _linear(f"{block}.ffn.net.0.proj", config["ffn_dim"], dim)
        yield from _linear(f"{block}.ffn.net.2", dim, config["ffn_dim"])
    yield from _linear("proj_out", config["out_channels"] * math.prod(patch), dim)


def _umt5(config: Mapping[str, Any]) -> Iterator[Entry]:
    width, inner, wide = config["d_model"], config["num_heads"] * config["d_kv"], config["d_ff"]
    yield "shared.weight", (config["vocab_size"], width)
    yield "encoder.embed_tokens.weight", (config["vocab_size"], width)
    for layer in range(config["num_layers"]):
        attention, feed = f"encoder.block.{layer}.layer.0", f"encoder.block.{layer}.layer.1"
        for part in "qkv":
            yield f"{attention}.SelfAttention.{part}.weight", (inner, width)
        yield f"{attention}.SelfAttention.o.weight", (width, inner)
        buckets = (config["relative_attention_num_buckets"], config["num_heads"])
        yield f"{attention}.SelfAttention.relative_attention_bias.weight", buckets
        yield f"{attention}.layer_norm.weight", (width,)
        yield f"{feed}.DenseReluDense.wi_0.weight", (wide, width)
        yield f"{feed}.DenseReluDense.wi_1.weight", (wide, width)
        yield f"{feed}.DenseReluDense.wo.weight", (width, wide)
        yield f"{feed}.layer_norm.weight", (width,)
    yield "encoder.final_layer_norm.weight", (width,)


_CUBE, _POINT = (3, 3, 3), (1, 1, 1)


def _vae(config: Mapping[str, Any]) -> Iterator[Entry]:
    latent = config["z_dim"]
    yield from _encoder(config)
    yield from _convolution("quant_conv", 2 * latent, 2 * latent, _POINT)
    yield from _convolution("post_quant_conv", latent, latent, _POINT)
    yield from _decoder(config)


def _encoder(config: Mapping[str, Any]) -> Iterator[Entry]:
    dims = [config["base_dim"] * factor for factor in (1, *config["dim_mult"])]
    yield from _convolution("encoder.conv_in", dims[0], config["in_channels"], _CUBE)
    position = 0
    for index, (into, out) in enumerate(itertools.pairwise(dims)):
        last = index == len(dims) - 2
        sources = [into] + [out] * (config["num_res_blocks"] - 1)
        names = (
            [f"encoder.down_blocks.{index}.resnets.{number}" for number in range(len(sources))]
            if config["is_residual"]
            else [f"encoder.down_blocks.{position + number}" for number in range(len(sources))]
        )
        for name, source in zip(names, sources, strict=True):
            yield from _resnet(name, source, out)
        position += len(sources)
        if not last:
            sampler = (
                f"encoder.down_blocks.{index}.downsampler"
                if config["is_residual"]
                else f"encoder.down_blocks.{position}"
            )
            position += 1
            yield from _convolution(f"{sampler}.resample.1", out, out, (3, 3))
            if config["temperal_downsample"][index]:
                yield from _convolution(f"{sampler}.time_conv", out, out, (3, 1, 1))
    yield from _ends("encoder", dims[-1], dims[-1], 2 * config["z_dim"])


def _decoder(config: Mapping[str, Any]) -> Iterator[Entry]:
    factors = [config["dim_mult"][-1], *reversed(config["dim_mult"])]
    dims = [config.get("decoder_base_dim", config["base_dim"]) * factor for factor in factors]
    temporal = config["temperal_downsample"][::-1]
    yield from _convolution("decoder.conv_in", dims[0], config["z_dim"], _CUBE)
    for index, (into, out) in enumerate(itertools.pairwise(dims)):
        block = f"decoder.up_blocks.{index}"
        first = into // 2 if index and not config["is_residual"] else into
        for number in range(config["num_res_blocks"] + 1):
            yield from _resnet(f"{block}.resnets.{number}", out if number else first, out)
        if index < len(dims) - 2:
            sampler = f"{block}.upsampler" if config["is_residual"] else f"{block}.upsamplers.0"
            kept = out if config["is_residual"] else out // 2
            yield from _convolution(f"{sampler}.resample.1", kept, out, (3, 3))
            if temporal[index]:
                yield from _convolution(f"{sampler}.time_conv", 2 * out, out, (3, 1, 1))
    yield from _ends("decoder", dims[0], dims[-1], config["out_channels"])


def _resnet(name: str, into: int, out: int) -> Iterator[Entry]:
    yield f"{name}.norm1.gamma", (into, 1, 1, 1)
    yield from _convolution(f"{name}.conv1", out, into, _CUBE)
    yield f"{name}.norm2.gamma", (out, 1, 1, 1)
    yield from _convolution(f"{name}.conv2", out, out, _CUBE)
    if into != out:
        yield from _convolution(f"{name}.conv_shortcut", out, into, _POINT)


def _ends(half: str, middle: int, last: int, channels: int) -> Iterator[Entry]:
    yield from _resnet(f"{half}.mid_block.resnets.0", middle, middle)
    attention = f"{half}.mid_block.attentions.0"
    yield f"{attention}.norm.gamma", (middle, 1, 1)
    yield from _convolution(f"{attention}.to_qkv", 3 * middle, middle, (1, 1))
    yield from _convolution(f"{attention}.proj", middle, middle, (1, 1))
    yield from _resnet(f"{half}.mid_block.resnets.1", middle, middle)
    yield f"{half}.norm_out.gamma", (last, 1, 1, 1)
    yield from _convolution(f"{half}.conv_out", channels, last, _CUBE)
