"""Typed view of ``efficiency.toml``: shares of the published rates that real kernels reach, and costs of weights."""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

from wan_tui.core.catalog.gpus import GpuModel
from wan_tui.core.words import AttentionBackend, Quantization, StepCache

# Operations per SM and clock below which a card's tensor rate is cut on purpose: (architecture, whole rate).
_WHOLE_RATE = MappingProxyType({"hopper": 4096.0, "ada_pro": 1024.0, "ga10x_pro": 1024.0})
_CUT_BELOW = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelShares:
    """Shares of a device's dense 16-bit rate that its kernels reach; attention in 8 bit may pass 1."""

    matmul: float
    attention: Mapping[str, float]

    def attention_share(self, backend: AttentionBackend | str) -> float:
        """Share of ``backend``; a kernel that this generation lacks runs as ``sdpa``."""
        return self.attention.get(str(backend), self.attention["sdpa"])


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightCost:
    """Bytes of one stored weight with its scales, bytes moved to widen it in each forward, and the error it causes."""

    stored_bytes: float
    widening_bytes: float
    relative_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """Everything in ``efficiency.toml``; units are in the names, the reasons in the file."""

    shares: Mapping[str, KernelShares]
    quantization: Mapping[Quantization, WeightCost]
    cache: Mapping[StepCache, float]
    spread: Mapping[str, float]
    bandwidth_share: float
    elementwise_bytes: float
    elementwise_bytes_per_token_time: float
    launch_seconds_per_block: float
    compiled_elementwise_share: float
    compiled_launch_share: float
    vae_share: float
    tf32_rate: float
    fp32_rate_before_ampere: float
    text_encoder_share: float
    pinned_share: float
    pageable_share: float
    sequential_seconds_per_leaf: float
    peer_share: float
    peer_pcie_share: float
    disk_bytes_per_second: float
    load_floor_seconds: float
    cpu_bytes_per_second: float
    host_flop_per_second: float
    compile_seconds: float

    def of(self, gpu: GpuModel) -> KernelShares:
        """Kernel shares of a GPU: by its generation, or as ``cut`` when its maker lowered the tensor rate."""
        whole = _WHOLE_RATE.get(gpu.architecture)
        per_clock = gpu.dense_op_per_second / (gpu.sm_count * gpu.boost_clock_hertz)
        if whole and per_clock < _CUT_BELOW * whole and not gpu.bounded:
            return self.shares["cut_hopper" if gpu.architecture == "hopper" else "cut"]
        return self.shares[gpu.architecture]


@functools.cache
def load_efficiency() -> Efficiency:
    """The built-in constants, read once."""
    data = tomllib.loads(resources.files(__package__).joinpath("efficiency.toml").read_text("utf-8"))
    memory, vae, link = data["memory"], data["vae"], data["link"]
    return Efficiency(
        shares=MappingProxyType({name: _shares(entry) for name, entry in data["share"].items()}),
        quantization=MappingProxyType(
            {Quantization(name): WeightCost(**entry) for name, entry in data["quantization"].items()}
        ),
        cache=MappingProxyType({StepCache(name): share for name, share in data["cache"].items()}),
        spread=MappingProxyType(data["spread"]),
        vae_share=vae.pop("share"),
        text_encoder_share=data["text_encoder"]["share"],
        **memory,
        **vae,
        **link,
    )


def _shares(entry: dict[str, Any]) -> KernelShares:
    return KernelShares(
        matmul=entry["matmul"],
        attention=MappingProxyType({name: share for name, share in entry.items() if name != "matmul"}),
    )
