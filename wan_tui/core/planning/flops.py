"""How many operations each network takes: what torch's FlopCounterMode counts on the real modules, as formulas.

A multiply-add is two operations. Only matrix products and convolutions count, as in torch's counter: what is left
out (norms, activations, rotary embedding) is memory traffic, not arithmetic that fills a tensor core.
tests/worker/test_profile.py compares every formula with the counter on the modules of diffusers and transformers.
"""

import math

from wan_tui.core.catalog import Model
from wan_tui.core.planning.activations import PROMPT_TOKENS, FlopTerms, vae_flop_terms
from wan_tui.core.planning.tiles import decode_tiles, encode_tiles, latent_size


def forward_flop(model: Model, tokens: int) -> float:
    """Operations of one transformer pass over one clip of ``tokens`` latent tokens and one padded prompt.

    Per layer: four projections of self-attention and the two of cross-attention that see the clip (6 d^2), the
    feed-forward (2 d f), the scores and sums of both attentions, and the prompt's keys and values (2 d^2).
    Around them: patch embedding, prompt projection, time embedding (per token in ti2v) and output projection.
    """
    config = model.transformer.config
    dim = config["num_attention_heads"] * config["attention_head_dim"]
    layers = config["num_layers"]
    patch = math.prod(config["patch_size"])
    linear = 2 * layers * (6 * dim**2 + 2 * dim * config["ffn_dim"]) * tokens
    attention = 4 * layers * dim * tokens**2
    cross = 4 * layers * dim * tokens * PROMPT_TOKENS + 4 * layers * dim**2 * PROMPT_TOKENS
    ends = 2 * tokens * dim * patch * (config["in_channels"] + config["out_channels"])
    prompt = 2 * PROMPT_TOKENS * (config["text_dim"] * dim + dim**2)
    times = tokens if model.expand_timesteps else 1
    time = 2 * times * (7 * dim**2 + config["freq_dim"] * dim)
    return float(linear + attention + cross + ends + prompt + time)


def text_encode_flop(model: Model) -> float:
    """Operations of encoding one padded prompt: four projections, attention and the gated feed-forward per layer."""
    config = model.text_encoder.config
    width, inner = config["d_model"], config["num_heads"] * config["d_kv"]
    linear = 2 * PROMPT_TOKENS * (4 * width * inner + 3 * width * config["d_ff"])
    attention = 4 * PROMPT_TOKENS**2 * inner
    return float(config["num_layers"] * (linear + attention))


def decode_flop(model: Model, width: int, height: int, frames: int, *, tiled: bool = False) -> float:
    """Operations of the VAE's decoder for a clip in pixels and frames; tiles overlap, so tiling takes more."""
    terms = vae_flop_terms(model.vae, "decode")
    tiles = decode_tiles(model.vae, width, height) if tiled else (latent_size(model.vae, width, height),)
    return sum(_passes_flop(terms, wide * high, model.latent_frames(frames)) for high, wide in tiles)


def encode_flop(model: Model, width: int, height: int, frames: int, *, tiled: bool = False) -> float:
    """Operations of the VAE's encoder for a clip in pixels and frames (one frame for the picture of ti2v)."""
    terms = vae_flop_terms(model.vae, "encode")
    tiles = encode_tiles(model.vae, width, height) if tiled else (latent_size(model.vae, width, height),)
    return sum(_passes_flop(terms, wide * high, model.latent_frames(frames)) for high, wide in tiles)


def _passes_flop(terms: FlopTerms, area: int, passes: int) -> float:
    convolutions = area * (terms.first + terms.next * (passes - 1))
    return float(convolutions + passes * terms.attention * area**2)
