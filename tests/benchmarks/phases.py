"""What the memory model says about a published row, before any factor is fitted: the largest of three phases.

``phases_of`` says what other engines than diffusers keep on the device while they compute, with the activations that
were profiled on the modules of diffusers; for the diffusers rows ``estimate_memory`` can take its place.
"""

from dataclasses import dataclass

from tests.benchmarks.published import CLIP_BYTES, Published
from wan_tui.core.catalog import Component, Model, load_catalogue
from wan_tui.core.catalog.efficiency import load_efficiency
from wan_tui.core.planning.activations import decode_bytes, denoise_bytes, text_encode_bytes
from wan_tui.core.planning.memory import CUDA_CONTEXT_BYTES
from wan_tui.core.words import OffloadMode, Precision, Quantization

# The caching allocator leaves 5 to 15 % of what is computed with in fragments.
FRAGMENTATION = 1.1
# Block offload: computing, arriving and (with a stream) leaving.
BLOCKS_RESIDENT = 3


@dataclass(frozen=True, slots=True)
class Phase:
    """Bytes of one phase."""

    weights: float
    activations: float


def predicted_peak(row: Published) -> float:
    """Bytes at the peak on one GPU, no more than the card has."""
    peak = max(phase.weights + FRAGMENTATION * phase.activations for phase in phases_of(row)) + CUDA_CONTEXT_BYTES
    return min(peak, row.gpu.memory_bytes) if row.gpu else peak


def stored_bytes(row: Published) -> float:
    """All weights, as the engine stores them."""
    return _expert(row) * row.model.experts + _text(row) + _vae(row) + _image_encoder(row)


def phases_of(row: Published) -> tuple[Phase, Phase, Phase]:
    """Text encoding, denoising, decoding: weights that are resident, and what is computed with them."""
    model = row.model
    expert, text, vae = _expert(row), _text(row), _vae(row) + _image_encoder(row)
    prompt, activations = text_encode_bytes(model), _denoise(row)
    if "SDP" in row.offload_note:
        resident = _sharded(row) + vae
        return Phase(resident, prompt), Phase(resident, activations), Phase(resident, _decode(row))
    if row.plan.offload is OffloadMode.NONE:
        resident = expert * model.experts + vae + (0.0 if row.plan.text_encoder_on_cpu or _moves_text(row) else text)
        return Phase(resident, prompt), Phase(resident, activations), Phase(resident, _decode(row))
    encoding = 0.0 if row.plan.text_encoder_on_cpu else text
    if row.plan.offload is OffloadMode.MODEL:
        return Phase(encoding, prompt), Phase(expert, activations), Phase(vae, _decode(row))
    layers = model.transformer.config["num_layers"]
    kept = {"block-0.8": 0.2}.get(row.offload_note, BLOCKS_RESIDENT / layers)
    if row.plan.offload is not OffloadMode.GROUP_BLOCK:
        kept = 1 / layers
    layered_text = encoding / model.text_encoder.config["num_layers"] * 4
    return Phase(layered_text, prompt), Phase(expert * kept, activations), Phase(vae, _decode(row))


def _denoise(row: Published) -> float:
    """Activations of one pass on one of the GPUs, by the width of the model.

    The official 2.2 scripts embed the timestep per token for every model, as diffusers does for TI2V-5B alone.
    """
    catalogue, clip = load_catalogue(), row.clip
    per_token = row.engine == "wan-official-2.2" or row.model.expand_timesteps
    profiled = catalogue.find("ti2v-5B" if per_token else "t2v-A14B")
    tokens = row.model.tokens(clip.width, clip.height, clip.frames) // row.gpus
    return denoise_bytes(profiled, tokens=tokens, batch=row.plan.batch) * _width(row.model) / _width(profiled)


def _width(model: Model) -> int:
    config = model.transformer.config
    return int(config["num_attention_heads"] * config["attention_head_dim"])


def _moves_text(row: Published) -> bool:
    """Even without offload the official scripts and Turbo encode the prompt first and drop the encoder."""
    return row.engine in ("wan-official-2.1", "wan-official-2.2", "turbodiffusion")


def _sharded(row: Published) -> float:
    """The official scripts shard both experts in fp32 and the text encoder in bf16; vLLM-Omni shards what it stores."""
    if row.engine == "vllm-omni":
        return (_expert(row) * row.model.experts) / row.gpus + _text(row)
    experts = row.model.transformer.parameters * 4.0 * row.model.experts
    return (experts + _text(row)) / row.gpus


def _expert(row: Published) -> float:
    transformer = row.model.transformer
    if row.fp32_weights:
        return transformer.parameters * 4.0
    return _stored(transformer, row.plan.quantization)


def _text(row: Published) -> float:
    """LightX2V quantizes the text encoder with the transformer."""
    quantized = row.computes_in_8_bit and row.engine == "lightx2v"
    encoder = row.model.text_encoder
    if not quantized:
        return float(encoder.bytes(Precision.BF16))
    embedding = int(encoder.config["vocab_size"]) * int(encoder.config["d_model"])
    return (encoder.parameters - embedding) * 1.02 + embedding * 2.0


def _vae(row: Published) -> float:
    return float(row.model.vae.bytes(row.plan.vae_precision))


def _image_encoder(row: Published) -> float:
    return float(CLIP_BYTES) if row.model_name == "wan2.1-i2v-14b" else 0.0


def _stored(component: Component, quantization: Quantization) -> float:
    if quantization is Quantization.NONE:
        return float(component.bytes(Precision.BF16))
    return component.parameters * load_efficiency().quantization[quantization].stored_bytes


def _decode(row: Published) -> float:
    clip, plan = row.clip, row.plan
    return decode_bytes(
        row.model,
        width=clip.width,
        height=clip.height,
        frames=clip.frames,
        precision=plan.vae_precision,
        tiled=plan.vae_tiling,
        batch=plan.batch,
    )
