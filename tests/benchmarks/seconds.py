"""What the time model says about a published row, before any factor is fitted."""

import dataclasses
from collections.abc import Sequence
from types import MappingProxyType

from tests.benchmarks.phases import stored_bytes
from tests.benchmarks.published import Published
from wan_tui.core.catalog.efficiency import KernelShares, load_efficiency
from wan_tui.core.catalog.gpus import GpuModel
from wan_tui.core.planning.flops import forward_flop
from wan_tui.core.planning.plan import Bounds
from wan_tui.core.planning.roofline import estimate_on_device

# Multiplying in 8 bit doubles the rate of the tensor cores; quantizing the activations takes a part of it back.
EIGHT_BIT_RATE = 1.7
# Attention that skips blocks: the share of them that is computed (Sparse-VideoGen: about half; SageSLA: a tenth).
SPARSE_SHARE = MappingProxyType({"SVG": 0.5, "SageSLA": 0.1})
# TeaCache's own README: 1.5 to 2 times faster.
TEACACHE_SHARE = 0.55
# Attention that writes its scores to memory.
MATERIALISED_ATTENTION = 0.15


def predicted_seconds(row: Published) -> float | None:
    """Seconds in the scope that the row reports: a run, its denoising, one step, or a run with loading."""
    bounds = _bounds(row)
    return bounds.expected if bounds else None


def within_interval(row: Published) -> bool | None:
    """Whether the observed time lies between the low and the high end of the estimate."""
    bounds = _bounds(row)
    return bounds.low <= row.seconds <= bounds.high if bounds and row.seconds else None


def half_of_peak_seconds(row: Published) -> float:
    """The simplest model: the operations of all forward passes at half the dense rate."""
    if row.gpu is None:
        raise ValueError(f"{row.id} names no GPU")
    tokens = row.model.tokens(row.clip.width, row.clip.height, row.clip.frames)
    passes = (2 if row.clip.guidance > 1 else 1) * (1 if row.scope == "step" else row.clip.steps)
    return passes * forward_flop(row.model, tokens) / (0.5 * row.gpu.dense_op_per_second * row.gpus)


def _bounds(row: Published) -> Bounds | None:
    if row.gpu is None or row.seconds is None:
        return None
    estimate = estimate_on_device(
        row.model,
        row.gpu,
        row.plan,
        row.clip,
        gpus=row.gpus,
        sharded="SDP" in row.offload_note,
        shares=_shares(row, row.gpu),
    )
    denoising = [stage.seconds for stage in estimate.stages if stage.stage.startswith("denoise")]
    others = [stage.seconds for stage in estimate.stages if not stage.stage.startswith("denoise")]
    cached = TEACACHE_SHARE if (row.cache_note or "").startswith("teacache") else 1.0
    denoise = _sum(denoising, cached)
    if row.scope == "step":
        experts = [seconds for _, seconds in estimate.step_seconds]
        return _sum(experts, cached / len(experts))
    if row.scope == "denoise":
        return denoise
    load = [Bounds(seconds, seconds, seconds) for seconds in [_load_seconds(row)] if row.scope == "total_with_load"]
    return _sum([denoise, *others, *load])


def _sum(parts: Sequence[Bounds], factor: float = 1.0) -> Bounds:
    return Bounds(
        factor * sum(part.low for part in parts),
        factor * sum(part.expected for part in parts),
        factor * sum(part.high for part in parts),
    )


def _load_seconds(row: Published) -> float:
    """Reading weights that are stored as they are used; the checkpoints of diffusers would be converted first."""
    table = load_efficiency()
    return table.load_floor_seconds + stored_bytes(row) / table.disk_bytes_per_second


def _shares(row: Published, gpu: GpuModel) -> KernelShares:
    """The kernels that the row names, which a plan of diffusers cannot all say."""
    table = load_efficiency()
    shares = table.of(gpu)
    note = row.attention_note
    kernel = "sage" if "sage" in note else "flash3" if _has_flash3(row, gpu) else "flash"
    attention = shares.attention_share(kernel)
    if note.startswith("math"):
        attention = MATERIALISED_ATTENTION
    for name, share in SPARSE_SHARE.items():
        if name in (row.cache_note or ""):
            attention /= share
    matmul = shares.matmul * (EIGHT_BIT_RATE if row.computes_in_8_bit else 1.0)
    return dataclasses.replace(
        shares, matmul=matmul, attention=MappingProxyType(dict.fromkeys(shares.attention, attention))
    )


def _has_flash3(row: Published, gpu: GpuModel) -> bool:
    """Said so, or the engine picks it on Hopper by itself; ``2/3`` and ``flash_attn`` promise FlashAttention-2."""
    if gpu.architecture != "hopper":
        return False
    return row.attention_note == "flash_attn3" or row.engine in ("lightx2v", "vllm-omni", "sglang")
