"""Published runs of Wan models, as rows that the estimators can be asked about.

``data/measurements.json`` keeps every row as its source prints it, with address and quotation. Here each becomes a
model, a GPU, a plan and a clip, with what its engine does differently from diffusers stated as facts about the
engine (its code and documentation), never as a factor: factors are fitted in ``fitting``. The facts were chosen with
these rows in sight, so scores on these rows flatter the predictor a little, even of a source left out.
"""

import dataclasses
import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.catalog.gpus import GpuModel, gpu_table
from wan_tui.core.planning.plan import Clip, ExecutionPlan
from wan_tui.core.words import AttentionBackend, OffloadMode, Precision, Quantization, StepCache

DATA = Path(__file__).parent / "data" / "measurements.json"

# Engines that decode in 16 bit; the others follow the published pipelines, which keep the VAE in fp32.
VAE_IN_16_BIT = frozenset({"lightx2v", "comfyui", "wan2gp", "fastvideo", "wanvideowrapper", "turbodiffusion", "sglang"})
_QUANTIZATION = {
    "fp8-w8a8": Quantization.FP8,
    "fp8-weight-only": Quantization.FP8,
    "int8-w8a8": Quantization.INT8,
    "gguf-q4_k_m": Quantization.Q4_K_M,
    "gguf-q5_k_m": Quantization.Q5_K_M,
    "gguf-q8_0": Quantization.Q8_0,
}
# CLIP ViT-H of the Wan 2.1 image-to-video models, bytes in 16 bit.
CLIP_BYTES = 630766080 * 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One row. ``seconds`` is None without a usable time, ``peak_bytes`` None without a usable peak."""

    id: str
    source: str
    engine: str
    model: Model
    model_name: str
    gpu: GpuModel | None
    gpus: int
    plan: ExecutionPlan
    clip: Clip
    offload_note: str
    attention_note: str
    cache_note: str | None
    compiled: bool
    computes_in_8_bit: bool
    fp32_weights: bool  # the Wan 2.1 scripts load the transformer in fp32 and autocast
    scope: str
    seconds: float | None
    peak_bytes: float | None

    @property
    def quantization_class(self) -> str:
        """What the numbers are computed from: the second level of the hierarchy of factors."""
        if self.computes_in_8_bit:
            return "8-bit compute"
        kind = "16-bit" if self.plan.quantization is Quantization.NONE else "weight-only"
        return f"{kind}, cached" if self.cache_note else kind

    @property
    def source_repository(self) -> str:
        """Owner and repository of a GitHub page, else the page: several pages of one author share their errors."""
        match = re.match(r"https://github\.com/([^/]+/[^/]+)", self.source)
        return match[1] if match else self.source


@functools.cache
def published_rows() -> tuple[Published, ...]:
    """All rows of the file, in its order."""
    return tuple(_row(entry) for entry in json.loads(DATA.read_text("utf-8"))["rows"])


def _row(entry: dict[str, Any]) -> Published:
    engine = entry["engine"]
    note = entry["offload"] or "none"
    steps = entry["steps"] or 40
    return Published(
        id=entry["id"],
        source=entry["source_url"],
        engine=engine,
        model=_model(entry["model"]),
        model_name=entry["model"],
        # Of two sizes under one name, the larger: the rows that do not say were made on it.
        gpu=max(
            (gpu for gpu in gpu_table() if gpu.name == entry["gpu"]), key=lambda gpu: gpu.memory_bytes, default=None
        ),
        gpus=entry["n_gpus"],
        plan=ExecutionPlan(
            device="gpu:0",
            gpu_uuid=None,
            precision=Precision.BF16,
            vae_precision=Precision.BF16 if engine in VAE_IN_16_BIT else Precision.FP32,
            offload=_offload(note),
            vae_tiling=_tiled(entry),
            quantization=_QUANTIZATION.get(entry["quant"] or "", Quantization.NONE),
            text_encoder_on_cpu="t5_cpu" in note or "T5 moved to CPU" in note,
            offload_stream="block" in note or "unknown" in note,
            attention=AttentionBackend.SAGE if "sage" in (entry["attention"] or "").lower() else AttentionBackend.SDPA,
            cache=StepCache.MAG if "magcache" in (entry["cache"] or "") else StepCache.NONE,
        ),
        clip=Clip(
            width=entry["width"],
            height=entry["height"],
            frames=entry["frames"],
            steps=steps,
            guidance=5.0 if entry["cfg"] else 1.0,
        ),
        offload_note=note,
        attention_note=entry["attention"] or "",
        cache_note=entry["cache"],
        compiled=bool(entry["compile"]),
        computes_in_8_bit="w8a8" in (entry["quant"] or ""),
        fp32_weights=entry["precision"].startswith("fp32") or engine == "wan-official-2.1",
        scope=entry["time_scope"],
        seconds=entry["seconds_per_step"] if entry["time_scope"] == "step" else entry["seconds_total"],
        peak_bytes=_peak_bytes(entry),
    )


def _peak_bytes(entry: dict[str, Any]) -> float | None:
    """A share of the card that the engine fills on purpose is not a need."""
    if entry["peak_vram_gb"] is None or "percent of card" in (entry["vram_scope"] or ""):
        return None
    return float(entry["peak_vram_gb"]) * 2**30


def _offload(note: str) -> OffloadMode:
    if note.startswith(("none", "FSDP", "HSDP", "offload_model+t5_cpu, ulysses")):
        return OffloadMode.NONE
    if "leaf" in note:
        return OffloadMode.GROUP_LEAF
    if note.startswith("sequential"):
        return OffloadMode.SEQUENTIAL
    if "block" in note or note.startswith("unknown"):
        return OffloadMode.GROUP_BLOCK
    return OffloadMode.MODEL


def _tiled(entry: dict[str, Any]) -> bool:
    """As the row says, or as the engine does by default."""
    said = f"{entry['software']} {entry['notes']}".lower()
    return "tiling" in said or "tiled vae" in said or entry["engine"] in ("comfyui", "wanvideowrapper", "candle")


@functools.cache
def _model(name: str) -> Model:
    """Wan 2.2 from the catalogue; Wan 2.1 is the same blocks in one dense transformer, with the older VAE."""
    catalogue = load_catalogue()
    if name.startswith("wan2.2-"):
        return catalogue.find(name.removeprefix("wan2.2-"))
    like = catalogue.find("i2v-A14B" if "i2v" in name else "t2v-A14B")
    transformer = like.transformer
    if name == "wan2.1-t2v-1.3b":
        config = {**transformer.config, "num_attention_heads": 12, "num_layers": 30, "ffn_dim": 8960}
        transformer = dataclasses.replace(
            transformer, parameters=1418996800, fp32_parameters=3127296, config=MappingProxyType(config)
        )
    elif name == "wan2.1-i2v-14b":
        transformer = dataclasses.replace(transformer, parameters=16394878784, fp32_parameters=29196800)
    return dataclasses.replace(like, id=name, transformer=transformer, experts=1, boundary_ratio=None)
