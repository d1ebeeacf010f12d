"""Typed view of ``gpus.toml``: what each GPU can do, for estimates on cards that nobody here has measured."""

import functools
import math
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import Any

from wan_tui.core.errors import UsageError, unknown_name

MIB = 2**20
GIB = 2**30

# ECC on GDDR6 hides a sixteenth, drivers and firmware a little more; two sizes of one card differ by a sixth or more.
_MEMORY_TOLERANCE = 0.085

# No tensor cores before Volta: one fused multiply-add of each of 128 fp32 lanes per SM and clock (Pascal, Maxwell).
_FP32_OP_PER_SM_CLOCK = 256.0

# Words that distinguish nothing for an operator.
_FAMILY_WORDS = frozenset({"nvidia", "geforce", "rtx", "gtx", "tesla", "quadro", "generation", "gpu"})
_MEMORY_WORD = re.compile(r"(\d+)(g|gb|gib)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuModel:
    """One GPU product, as its maker publishes it. ``name`` is what NVML calls it.

    Memory is in bytes, bandwidths in bytes a second (``host_link`` and ``peer_link`` per direction), tensor rates in
    dense operations a second with fp32 accumulation, None where the card has no such tensor cores.
    ``sustained_share`` of the tensor rate is left when a power limit far below the chip's holds the clock down.
    ``rate_spread`` is 1 for a known card; the true rates of a ``bounded`` one lie within a factor of it.
    """

    name: str
    memory_bytes: int
    bandwidth_bytes_per_second: float
    fp16_op_per_second: float
    bf16_op_per_second: float | None
    fp8_op_per_second: float | None
    int8_op_per_second: float | None
    compute_capability: tuple[int, int]
    sm_count: int
    boost_clock_hertz: float
    architecture: str
    half_rate_fp32_accumulate: bool
    host_link: str
    host_link_bytes_per_second: float
    peer_link_bytes_per_second: float | None = None
    bounded: bool = False
    rate_spread: float = 1.0
    sustained_share: float = 1.0
    aliases: tuple[str, ...] = ()
    notes: str = ""
    sources: tuple[str, ...] = ()

    @property
    def memory_gib(self) -> int:
        """Memory as it is sold, in GiB."""
        return round(self.memory_bytes / GIB)

    @property
    def label(self) -> str:
        """Name and size, since a name alone may be two cards: ``NVIDIA GeForce RTX 3080 10 GiB``."""
        return f"{self.name} {self.memory_gib} GiB"

    @property
    def supports_bf16(self) -> bool:
        """Whether the tensor cores take bf16 (compute capability 8.0, Ampere)."""
        return self.compute_capability >= (8, 0)

    @property
    def supports_fp8(self) -> bool:
        """Whether the tensor cores multiply fp8 (compute capability 8.9, Ada); storing fp8 works everywhere."""
        return self.compute_capability >= (8, 9)

    @property
    def dense_op_per_second(self) -> float:
        """Rate of the 16-bit format that models run in on this card: bf16, or fp16 before Ampere."""
        return self.bf16_op_per_second if self.bf16_op_per_second is not None else self.fp16_op_per_second


@functools.cache
def gpu_table() -> tuple[GpuModel, ...]:
    """Every known GPU, one entry per NVML name and memory size, read once."""
    data = tomllib.loads(resources.files(__package__).joinpath("gpus.toml").read_text("utf-8"))
    return tuple(_gpu(entry) for entry in data["gpu"])


def find_gpu(name: str, memory_bytes: int | None) -> GpuModel | None:
    """The known card that NVML calls ``name`` and that has about ``memory_bytes``, or None.

    Totals lowered by ECC count as the same card. A card that reports no memory (unified) is found by name alone.
    """
    named = [gpu for gpu in gpu_table() if _same_product(gpu.name, name)]
    if memory_bytes is None:
        return named[0] if len(named) == 1 else None
    near = [gpu for gpu in named if _memory_error(gpu, memory_bytes) <= _MEMORY_TOLERANCE]
    return min(near, key=lambda gpu: _memory_error(gpu, memory_bytes), default=None)


def search_gpu(text: str) -> GpuModel:
    """The card that an operator means by ``3080 12``, ``rtx 4080``, ``a100 sxm 80gb``, …

    Raises UsageError that lists the candidates when several cards are meant, the nearest names when none is.
    """
    wanted = _words(text)
    matches = [gpu for gpu in gpu_table() if wanted and any(_means(wanted, words, gpu) for words in _spellings(gpu))]
    exact = [gpu for gpu in matches if any(_without_memory(wanted, gpu) >= words for words in _spellings(gpu))]
    candidates = exact or matches
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise UsageError(f"GPU {text!r} is ambiguous: {', '.join(gpu.label for gpu in candidates)}")
    raise unknown_name("GPU", text, {_short(gpu) for gpu in gpu_table()})


def bounded_gpu(
    name: str,
    memory_bytes: int,
    compute_capability: tuple[int, int],
    sm_count: int | None = None,
    clock_hertz: float | None = None,
) -> GpuModel:
    """A stand-in for a card that is not in the table, bounded by the known cards of its generation.

    Rates per SM and clock are taken between the slowest and the fastest known card of the same (or the nearest lower)
    compute capability; a GeForce is compared with GeForces where there are any. Without an SM count or a clock the
    smallest known one stands in. Bandwidths are the smallest of the generation. ``bounded`` says that this happened.
    """
    peers = _peers(name, compute_capability)
    sms = sm_count or min(gpu.sm_count for gpu in peers)
    clock = clock_hertz or min(gpu.boost_clock_hertz for gpu in peers)
    if compute_capability < (7, 0):
        low = high = _FP32_OP_PER_SM_CLOCK
    else:
        low, high = _range(gpu.dense_op_per_second / (gpu.sm_count * gpu.boost_clock_hertz) for gpu in peers)
    if not sm_count:
        high *= max(gpu.sm_count for gpu in peers) / sms
    if not clock_hertz:
        high *= max(gpu.boost_clock_hertz for gpu in peers) / clock
    dense = math.sqrt(low * high) * sms * clock
    has_bf16, has_fp8 = compute_capability >= (8, 0), compute_capability >= (8, 9)
    return GpuModel(
        name=name,
        memory_bytes=memory_bytes,
        bandwidth_bytes_per_second=min(gpu.bandwidth_bytes_per_second for gpu in peers),
        fp16_op_per_second=dense,
        bf16_op_per_second=dense if has_bf16 else None,
        fp8_op_per_second=2 * dense if has_fp8 else None,
        int8_op_per_second=2 * dense if compute_capability >= (7, 5) else None,
        compute_capability=compute_capability,
        sm_count=sms,
        boost_clock_hertz=clock,
        architecture=peers[0].architecture,
        half_rate_fp32_accumulate=all(gpu.half_rate_fp32_accumulate for gpu in peers),
        host_link=min(peers, key=lambda gpu: gpu.host_link_bytes_per_second).host_link,
        host_link_bytes_per_second=min(gpu.host_link_bytes_per_second for gpu in peers),
        bounded=True,
        rate_spread=math.sqrt(high / low),
        notes=f"not in the table: bounded by {', '.join(gpu.label for gpu in peers[:3])}, …",
    )


def recognise_gpu(
    name: str,
    memory_bytes: int,
    compute_capability: tuple[int, int],
    sm_count: int | None = None,
    clock_hertz: float | None = None,
) -> GpuModel:
    """The known card (``find_gpu``), or its bounded stand-in: an estimate is always possible."""
    return find_gpu(name, memory_bytes) or bounded_gpu(name, memory_bytes, compute_capability, sm_count, clock_hertz)


def _gpu(entry: dict[str, Any]) -> GpuModel:
    def rate(key: str) -> float | None:
        return entry[key] * 1e12 if key in entry else None

    major, minor = entry["compute_capability"].split(".")
    return GpuModel(
        name=entry["name"],
        memory_bytes=entry["memory_mib"] * MIB,
        bandwidth_bytes_per_second=entry["bandwidth_gbs"] * 1e9,
        fp16_op_per_second=entry["tflops_fp16"] * 1e12,
        bf16_op_per_second=rate("tflops_bf16"),
        fp8_op_per_second=rate("tflops_fp8"),
        int8_op_per_second=rate("tops_int8"),
        compute_capability=(int(major), int(minor)),
        sm_count=entry["sm_count"],
        boost_clock_hertz=entry["boost_mhz"] * 1e6,
        architecture=entry["architecture"],
        half_rate_fp32_accumulate=entry["half_rate_fp32_accumulate"],
        host_link=entry["host_link"],
        host_link_bytes_per_second=entry["host_link_gbs"] * 1e9,
        peer_link_bytes_per_second=entry["nvlink_gbs"] * 1e9 if "nvlink_gbs" in entry else None,
        sustained_share=entry.get("sustained_share", 1.0),
        aliases=tuple(entry.get("aliases", ())),
        notes=entry.get("notes", ""),
        sources=tuple(entry["sources"]),
    )


def _same_product(known: str, name: str) -> bool:
    """Drivers before 470 leave out the maker."""
    return known.casefold().removeprefix("nvidia ") == name.strip().casefold().removeprefix("nvidia ")


def _memory_error(gpu: GpuModel, memory_bytes: int) -> float:
    return abs(gpu.memory_bytes - memory_bytes) / gpu.memory_bytes


def _words(text: str) -> frozenset[str]:
    spaced = re.sub(r"\b(rtx|gtx)(?=\d)", r"\1 ", text.casefold())
    spaced = re.sub(r"\b(\d{4})(ti|super|d)\b", r"\1 \2", spaced)
    spaced = re.sub(r"\b(\d+)\s+(g|gb|gib)\b", r"\1\2", spaced)
    return frozenset(re.findall(r"[a-z0-9]+", spaced)) - _FAMILY_WORDS


def _spellings(gpu: GpuModel) -> list[frozenset[str]]:
    """Sets of words that name the card, without its memory."""
    return [_without_memory(_words(name), gpu) for name in (gpu.name, *gpu.aliases)]


def _without_memory(words: frozenset[str], gpu: GpuModel) -> frozenset[str]:
    return frozenset(word for word in words if not _is_memory(word, gpu))


def _is_memory(word: str, gpu: GpuModel) -> bool:
    match = _MEMORY_WORD.fullmatch(word)
    return match is not None and int(match[1]) in (gpu.memory_gib, round(gpu.memory_bytes / 1e9))


def _means(wanted: frozenset[str], words: frozenset[str], gpu: GpuModel) -> bool:
    return bool(wanted & words) and all(word in words or _is_memory(word, gpu) for word in wanted)


def _short(gpu: GpuModel) -> str:
    return " ".join(word for word in gpu.name.split() if word.casefold() not in _FAMILY_WORDS)


def _peers(name: str, capability: tuple[int, int]) -> list[GpuModel]:
    known = sorted({gpu.compute_capability for gpu in gpu_table() if not gpu.architecture.startswith("cdna")})
    nearest = max((one for one in known if one <= capability), default=known[0])
    generation = [gpu for gpu in gpu_table() if gpu.compute_capability == nearest]
    alike = [gpu for gpu in generation if ("geforce" in gpu.name.casefold()) == ("geforce" in name.casefold())]
    return alike or generation


def _range(values: Iterable[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return ordered[0], ordered[-1]
