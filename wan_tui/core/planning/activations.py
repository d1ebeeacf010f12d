"""Device memory that the networks need beside their weights, phase by phase, in bytes.

Coefficients are data (activations.toml), made by ``wan-tui profile-architecture``: it runs the real modules of
diffusers and transformers on torch's meta device and tracks live storages. The formulas here add what the code around
the networks holds meanwhile; they follow AutoencoderKLWan and the Wan pipelines of diffusers 0.42 line by line.

All figures count inputs and outputs, assume fused attention, and leave out what no tensor shows: workspaces of
convolution kernels, the allocator's fragmentation and the CUDA context. Guidance runs two passes one after the other:
it costs time, not memory.
"""

import functools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

from wan_tui.core.catalog import Component, Model
from wan_tui.core.planning.tiles import TILE_SIDE, Size, decode_tiles, encode_tiles, is_tiled, latent_size
from wan_tui.core.words import Precision

# The text encoder and cross-attention always see the padded prompt (max_sequence_length of the Wan pipelines).
PROMPT_TOKENS = 512

# Kept by UniPC between steps: two predictions and the last sample.
_SCHEDULER_LATENTS = 3
_COLOURS = 3

Terms = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FlopTerms:
    """Operations of half a VAE a latent pixel, in the first pass and each later one; attention a pixel squared."""

    first: int
    next: int
    attention: int


@functools.lru_cache(maxsize=1024)
def denoise_bytes(model: Model, *, tokens: int, batch: int = 1, precision: Precision = Precision.BF16) -> int:
    """Peak of one transformer pass over ``batch`` clips of ``tokens`` latent tokens each."""
    terms = {"token": tokens * batch, "shared_token": tokens, "clip": batch, "fixed": 1}
    return _highest(_coefficients(model.transformer, precision)["peaks"], terms)


@functools.lru_cache(maxsize=1024)
def denoise_held_bytes(model: Model, *, tokens: int, batch: int = 1, precision: Precision = Precision.BF16) -> int:
    """The most that pipeline and scheduler hold while a transformer pass runs: add it to ``denoise_bytes``.

    In fp32: latents, the scheduler's history, and the mask (WanPipeline) or the condition and the first noise
    (WanImageToVideoPipeline; the picture itself, one frame, is left out). In the precision of the transformer: the
    predictions of both passes of guidance and the prompt that this pass does not see.
    """
    config = model.transformer.config
    values = tokens * math.prod(config["patch_size"])
    latent = config["out_channels"]
    beside = config["in_channels"] if model.task.needs_image else latent
    in_fp32 = values * ((1 + _SCHEDULER_LATENTS) * latent + beside) * 4
    prompt = PROMPT_TOKENS * config["text_dim"]
    return int(batch * (in_fp32 + (2 * values * latent + prompt) * precision.bytes_per_parameter))


@functools.lru_cache(maxsize=1024)
def text_encode_bytes(model: Model, *, batch: int = 1, precision: Precision = Precision.BF16) -> int:
    """Peak of encoding ``batch`` padded prompts at once (the negative prompt follows in a run of its own)."""
    return _highest(_coefficients(model.text_encoder, precision)["peaks"], {"clip": batch, "fixed": 1})


@functools.lru_cache(maxsize=1024)
def decode_bytes(
    model: Model,
    *,
    width: int,
    height: int,
    frames: int,
    precision: Precision = Precision.FP32,
    tiled: bool = False,
    sliced: bool = False,
    batch: int = 1,
) -> int:
    """Peak of decoding ``batch`` clips of ``frames`` frames of ``width`` x ``height`` pixels.

    ``tiled`` and ``sliced`` are the switches of the VAE: decode in tiles, decode one clip of the batch at a time.
    """
    if sliced and batch > 1:
        single = decode_bytes(model, width=width, height=height, frames=frames, precision=precision, tiled=tiled)
        clip = _COLOURS * width * height * frames * precision.bytes_per_parameter
        latents = (batch - 1) * _latent_bytes(model, latent_size(model.vae, width, height), frames, precision)
        # Earlier clips wait for the last one; then all are copied together.
        return max(single + (batch - 1) * clip + latents, 2 * batch * clip + latents)
    decoder = _Half.of(model.vae, "decode", precision)
    if not tiled or not is_tiled(model.vae, width, height):
        return batch * _decode_whole(model, decoder, latent_size(model.vae, width, height), frames)
    # A clip just above one tile is cut in two and could seem to need less than one tile does: never predict that.
    one_tile = latent_size(model.vae, min(width, TILE_SIDE), min(height, TILE_SIDE))
    cut = _decode_tiled(model, decoder, decode_tiles(model.vae, width, height), width * height, frames)
    return batch * max(cut, _decode_whole(model, decoder, one_tile, frames))


@functools.lru_cache(maxsize=1024)
def encode_image_bytes(
    model: Model,
    *,
    width: int,
    height: int,
    frames: int,
    precision: Precision = Precision.FP32,
    tiled: bool = False,
) -> int:
    """Peak of encoding the picture that a clip begins with; 0 for a model that takes none.

    i2v encodes a clip of full length, the picture and then nothing; ti2v the picture alone (WanImageToVideoPipeline.
    prepare_latents). The picture is encoded once, whatever the batch.
    """
    if not model.task.takes_image:
        return 0
    encoded = 1 if model.expand_timesteps else frames
    encoder = _Half.of(model.vae, "encode", precision)
    if not tiled or not is_tiled(model.vae, width, height):
        return _encode(model, encoder, (latent_size(model.vae, width, height),), width * height, encoded)
    one_tile = latent_size(model.vae, min(width, TILE_SIDE), min(height, TILE_SIDE))
    return max(
        _encode(model, encoder, encode_tiles(model.vae, width, height), width * height, encoded),
        _encode(model, encoder, (one_tile,), min(width, TILE_SIDE) * min(height, TILE_SIDE), encoded),
    )


def vae_flop_terms(vae: Component, half: str) -> FlopTerms:
    """Operation counts of one half of a VAE (``decode``, ``encode``) from the data file."""
    return FlopTerms(**_data()[vae.name][f"{half}_flop"])


def stored() -> Mapping[str, Any]:
    """The data file: a table a component, and ``made_with``: the versions and shapes behind its coefficients."""
    return MappingProxyType(_data())


@dataclass(frozen=True, slots=True)
class _Half:
    """The decoder or the encoder alone: one pass over one latent frame, history of its convolutions included."""

    passes: Mapping[str, Mapping[str, Any]]
    value_bytes: int

    @classmethod
    def of(cls, vae: Component, half: str, precision: Precision) -> "_Half":
        return cls(_coefficients(vae, precision)[half], precision.bytes_per_parameter)

    def working(self, size: Size, number: int) -> int:
        """Peak inside pass ``number`` (from 1) over a picture of ``size`` (height, width) latent pixels."""
        return _highest(self._pass(number)["peaks"], _vae_terms(size))

    def history(self, size: Size, number: int) -> int:
        """What the convolutions remember of the frames before, after pass ``number``."""
        return _highest((self._pass(number)["kept"],), _vae_terms(size))

    def _pass(self, number: int) -> Mapping[str, Any]:
        return self.passes[{1: "first", 2: "second"}.get(number, "next")]


def _decode_whole(model: Model, decoder: _Half, size: Size, frames: int) -> int:
    """AutoencoderKLWan._decode: pass by pass, the clip so far is copied together with each new piece."""
    passes = model.latent_frames(frames)
    latents = 2 * _area(size) * passes * int(model.vae.config["z_dim"]) * decoder.value_bytes  # and after a 1x1x1
    frame = _frame_bytes(model, size, decoder)
    piece = model.vae.config["scale_factor_temporal"] * frame
    # In the last pass: all pieces before it, and once more the one before it, which a variable still holds.
    before = (frames - 1) * frame - piece + frame if passes > 1 else 0
    previous = piece if passes > 2 else 0
    inside = decoder.working(size, passes) + before + previous
    # After it: the clip and its clamped (or unpatched) copy, the last piece, and still the history.
    after = decoder.history(size, passes) + 2 * frames * frame + (piece if passes > 1 else 0)
    return int(latents + max(inside, after))


def _decode_tiled(model: Model, decoder: _Half, tiles: tuple[Size, ...], pixels: int, frames: int) -> int:
    """AutoencoderKLWan.tiled_decode: all tiles are kept, then rows, the clip and its clamped copy are made of them."""
    passes = model.latent_frames(frames)
    latent = int(model.vae.config["z_dim"]) * decoder.value_bytes
    whole = _COLOURS * pixels * frames * decoder.value_bytes
    kept = peak = tile_bytes = 0
    for size in tiles:
        frame = _frame_bytes(model, size, decoder)
        tile_bytes = frames * frame
        before = (frames - model.vae.config["scale_factor_temporal"]) * frame if passes > 1 else 0
        inside = decoder.working(size, passes) + before
        joined = decoder.history(size, passes) + 2 * tile_bytes
        peak = max(peak, kept + _area(size) * latent + max(inside, joined))
        kept += tile_bytes
    # The pieces of the last tile are still in a variable.
    stitched = kept + tile_bytes + 3 * whole
    pixels_per_latent = model.vae.config["scale_factor_spatial"] ** 2
    return int(pixels // pixels_per_latent * passes * latent + max(peak, stitched))


def _encode(model: Model, encoder: _Half, tiles: tuple[Size, ...], pixels: int, frames: int) -> int:
    """AutoencoderKLWan._encode and .tiled_encode: the clip (folded once more by VAE 2.2) and the latents so far."""
    passes = model.latent_frames(frames)
    copies = 2 if model.vae.config.get("patch_size") else 1
    clip = copies * _COLOURS * pixels * frames * encoder.value_bytes
    moments = 2 * int(model.vae.config["z_dim"]) * encoder.value_bytes  # mean and log variance of each latent pixel
    # In the last pass: the latents of all before it; a whole picture's variable still holds those of the one before it.
    before = passes - 1 + (1 if passes > 2 and len(tiles) == 1 else 0)
    kept = peak = 0
    for size in tiles:
        tile = _area(size) * passes * moments
        inside = encoder.working(size, passes) + _area(size) * before * moments
        joined = encoder.history(size, passes) + 2 * tile
        peak = max(peak, kept + max(inside, joined))
        kept += tile if len(tiles) > 1 else 0
    return int(clip + max(peak, 3 * kept))


def _latent_bytes(model: Model, size: Size, frames: int, precision: Precision) -> int:
    values = _area(size) * model.latent_frames(frames) * int(model.vae.config["z_dim"])
    return values * precision.bytes_per_parameter


def _frame_bytes(model: Model, size: Size, half: _Half) -> int:
    """One decoded frame of a picture of ``size`` latent pixels."""
    return int(_COLOURS * _area(size) * model.vae.config["scale_factor_spatial"] ** 2 * half.value_bytes)


def _area(size: Size) -> int:
    return size[0] * size[1]


def _vae_terms(size: Size) -> Terms:
    # Padding adds a border, so a picture costs by its area and a little by its edge.
    return {"area": _area(size), "edge": sum(size), "fixed": 1}


def _highest(candidates: tuple[Terms, ...] | list[Terms], terms: Terms) -> int:
    return max(sum(candidate[name] * terms[name] for name in candidate) for candidate in candidates)


def _coefficients(component: Component, precision: Precision) -> Mapping[str, Any]:
    entry: Mapping[str, Any] = _data()[component.name]
    found: Mapping[str, Any] | None = entry.get(precision.value)
    # Both 16-bit formats take the same room, except where a module treats fp16 in its own way.
    return found if found is not None else entry[Precision.BF16.value]


@functools.cache
def _data() -> dict[str, Any]:
    return tomllib.loads(resources.files(__package__).joinpath("activations.toml").read_text("utf-8"))
