"""Which plan: enumerate what a profile and a device allow, drop what does not fit, take the best of the rest.

The best is the fastest; among plans within two per cent of it the one that loses least quality, then the simplest, then
the one that takes least memory. Pure and deterministic.
"""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wan_tui.core.catalog import Model
from wan_tui.core.catalog.efficiency import load_efficiency
from wan_tui.core.catalog.gpus import GpuModel
from wan_tui.core.catalog.profiles import Profile, TextEncoderPlace
from wan_tui.core.planning.memory import GIB, estimate_memory
from wan_tui.core.planning.plan import Clip, ExecutionPlan, MemoryEstimate, PhaseMemory
from wan_tui.core.planning.roofline import CpuModel, RooflineEstimate, estimate_on_device
from wan_tui.core.planning.step_cache import QUALITY_LOSS
from wan_tui.core.words import AttentionBackend, OffloadMode, Precision, Quantization, StepCache

# Kept free of every phase of a plan that fits, as a share of the device: what the memory model may be wrong by.
MARGIN_RATIO = 0.05
# Plans this near to the fastest count as equally fast.
SAME_SPEED_RATIO = 1.02

# What offload does without a GPU library of its own; the others need torchao or bitsandbytes.
NATIVE = frozenset({Quantization.NONE, Quantization.FP8})
# GGUF needs a file of that type, so no plan assumes it unasked.
CHOOSABLE = frozenset(kind for kind in Quantization if not kind.is_gguf)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the libraries of a host can run; by default everything that needs no file of its own."""

    quantizations: frozenset[Quantization] = CHOOSABLE
    attentions: frozenset[AttentionBackend] = frozenset(AttentionBackend)
    compile: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A GPU as the planner sees it: ``total_bytes`` that exist, ``free_bytes`` that a plan could have now.

    ``slowdown``: everything takes so many times as long there as on the card alone and cool (others of ours that use
    it too, a clock held down by heat). It decides between rooms and is in no estimate.
    """

    device: str
    uuid: str | None
    total_bytes: int
    free_bytes: int
    gpu: GpuModel
    slowdown: float = 1.0

    @property
    def label(self) -> str:
        return f"{self.device} ({self.gpu.name})"


@dataclass(frozen=True, slots=True)
class HostRoom:
    """Memory of the host in bytes: all of it, and what is free now; and what its processors compute, if known."""

    total_bytes: int
    available_bytes: int
    matmul_flop_per_second: float | None = None

    @property
    def cpu(self) -> CpuModel | None:
        """The processors as a device."""
        rate = self.matmul_flop_per_second
        return CpuModel(matmul_flop_per_second=rate) if rate else None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan with what it takes; ``time`` is None until it is ranked."""

    plan: ExecutionPlan
    memory: MemoryEstimate
    time: RooflineEstimate | None = None

    @property
    def limiting_phase(self) -> PhaseMemory:
        return max(self.memory.phases, key=lambda phase: phase.total_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be planned: a clip of a model under a profile, ``batch`` clips at once.

    ``quantizations``, ``attentions`` and ``can_compile`` are what the host is able to (``Abilities``);
    ``lora_parameters`` what LoRAs add to a transformer.
    """

    model: Model
    clip: Clip
    profile: Profile
    with_image: bool | None = None
    batch: int = 1
    quantizations: frozenset[Quantization] = CHOOSABLE
    attentions: frozenset[AttentionBackend] = frozenset(AttentionBackend)
    can_compile: bool = True
    lora_parameters: int = 0


def usable_bytes(room: Room, profile: Profile) -> int:
    """What a plan may count on if nobody else were on the device."""
    return room.total_bytes if profile.memory_gib is None else min(room.total_bytes, int(profile.memory_gib * GIB))


def margin_bytes(room: Room, profile: Profile | None = None) -> int:
    """What a plan leaves free: a share of the device, or of what ``profile`` takes of it."""
    return int(MARGIN_RATIO * (room.total_bytes if profile is None else usable_bytes(room, profile)))


def legal_plans(task: Task, room: Room) -> Iterator[list[ExecutionPlan]]:
    """Plans that profile and GPU allow, in groups that differ by how hard they save memory: the easiest first.

    bf16 needs compute capability 8.0, fp8 8.9; older cards compute in fp16.
    """
    profile, model = task.profile, task.model
    precision = Precision.BF16 if room.gpu.supports_bf16 else Precision.FP16
    if precision not in profile.precisions or precision not in model.precisions:
        return
    # A profile may name what no model lists: then a file of that kind is given.
    kinds = dict.fromkeys([Quantization.NONE, *model.quantizations, *(k for k in profile.quantizations if k.is_gguf)])
    for quantization in kinds:
        if quantization not in profile.quantizations or quantization not in task.quantizations:
            continue
        if quantization is Quantization.FP8 and not room.gpu.supports_fp8:
            continue
        for offload, cache, attention in itertools.product(
            profile.offloads, profile.caches, attentions_of(task, room.gpu)
        ):
            base = ExecutionPlan(
                device=room.device,
                gpu_uuid=room.uuid,
                precision=precision,
                vae_precision=profile.vae_precision,
                offload=offload,
                vae_tiling=False,
                quantization=quantization,
                offload_stream=offload in (OffloadMode.GROUP_BLOCK, OffloadMode.GROUP_LEAF),
                vae_slicing=task.batch > 1,
                attention=attention,
                cache=cache,
                batch=task.batch,
                compile=profile.compile and task.can_compile and can_be_compiled(offload, cache),
                lora_parameters=task.lora_parameters,
            )
            yield list(_savings(base, task))


def attentions_of(task: Task, gpu: GpuModel) -> tuple[AttentionBackend, ...]:
    """Attention kernels that profile, libraries and card have in common; torch's own where there is none.

    flash-attn and SageAttention are made for compute capability 8.0 and newer.
    """
    able = [
        kind
        for kind in task.profile.attentions
        if kind in task.attentions and (gpu.supports_bf16 or kind in (AttentionBackend.SDPA, AttentionBackend.XFORMERS))
    ]
    return tuple(able) or (AttentionBackend.SDPA,)


def can_be_compiled(offload: OffloadMode, cache: StepCache) -> bool:
    """MagCache runs every block outside torch.compile; sequential offload swaps the weights that it compiled in."""
    return offload is not OffloadMode.SEQUENTIAL and cache is not StepCache.MAG


def _savings(base: ExecutionPlan, task: Task) -> Iterator[ExecutionPlan]:
    """``base`` and the same with tiling, with the text encoder out of the way, with both."""
    tilings = (False, True) if task.profile.vae_tiling is None else (task.profile.vae_tiling,)
    for place in task.profile.text_encoders:
        if place is TextEncoderPlace.NF4 and Quantization.NF4 not in task.quantizations:
            continue
        for tiling in tilings:
            yield dataclasses.replace(
                base,
                vae_tiling=tiling,
                text_encoder_on_cpu=place is TextEncoderPlace.HOST,
                text_encoder_quantization=Quantization.NF4 if place is TextEncoderPlace.NF4 else Quantization.NONE,
            )


def candidates(task: Task, room: Room, host: HostRoom, limit_bytes: int) -> tuple[list[Candidate], Candidate | None]:
    """Plans whose every phase takes at most ``limit_bytes``, and the one that takes least of all.

    Wherever the text encoder is, tiling only costs time once it is not needed.
    """
    fitting: list[Candidate] = []
    least: Candidate | None = None
    for group in legal_plans(task, room):
        settled: set[tuple[bool, Quantization]] = set()
        for plan in group:
            place = (plan.text_encoder_on_cpu, plan.text_encoder_quantization)
            if place in settled:
                continue
            memory = estimate_memory(task.model, plan, task.clip, with_image=task.with_image)
            if max(memory.host_bytes, memory.host_load_bytes) > host.total_bytes:
                continue
            found = Candidate(plan, memory)
            if least is None or memory.peak_bytes < least.memory.peak_bytes:
                least = found
            if memory.peak_bytes <= limit_bytes:
                fitting.append(found)
                settled.add(place)
    return fitting, least


def fits(task: Task, room: Room, host: HostRoom) -> bool:
    """Whether any plan leaves the margin free in every phase; stops at the first."""
    limit = min(room.free_bytes, usable_bytes(room, task.profile)) - margin_bytes(room, task.profile)
    for group in legal_plans(task, room):
        for plan in group:
            memory = estimate_memory(task.model, plan, task.clip, with_image=task.with_image)
            on_host = max(memory.host_bytes, memory.host_load_bytes)
            if memory.peak_bytes <= limit and on_host <= host.total_bytes:
                return True
    return False


def best(task: Task, room: Room, found: Iterable[Candidate], cpu: CpuModel | None = None) -> Candidate | None:
    """The best of ``found``, with its time."""
    timed = [dataclasses.replace(one, time=time_of(task, room, one.plan, cpu)) for one in found]
    if not timed:
        return None
    fastest = min(_seconds(one) for one in timed)
    near = [one for one in timed if _seconds(one) <= fastest * SAME_SPEED_RATIO]
    return min(near, key=_preference)


def time_of(task: Task, room: Room, plan: ExecutionPlan, cpu: CpuModel | None = None) -> RooflineEstimate:
    """Modelled time of a plan on the GPU of ``room``."""
    return estimate_on_device(task.model, room.gpu, plan, task.clip, with_image=task.with_image, host=cpu)


def _seconds(candidate: Candidate) -> float:
    assert candidate.time is not None
    return candidate.time.total.expected


def _preference(candidate: Candidate) -> tuple[float, int, float, int]:
    plan = candidate.plan
    return (quality_loss(plan), _complexity(plan), round(_seconds(candidate), 3), candidate.memory.peak_bytes)


def quality_loss(plan: ExecutionPlan) -> float:
    """Relative error of one forward pass that the plan's weights cause, and what a cache adds; 0 is none."""
    efficiency = load_efficiency()
    text = efficiency.quantization[plan.text_encoder_quantization].relative_error / 10
    return efficiency.quantization[plan.quantization].relative_error + text + QUALITY_LOSS[plan.cache]


def _complexity(plan: ExecutionPlan) -> int:
    order = list(OffloadMode)
    return (
        2 * order.index(plan.offload)
        + (plan.quantization is not Quantization.NONE)
        + (plan.text_encoder_quantization is not Quantization.NONE)
        + plan.text_encoder_on_cpu
        + plan.vae_tiling
        + (plan.attention is not AttentionBackend.SDPA)
    )


def largest_batch(task: Task, room: Room, plan: ExecutionPlan, limit_bytes: int, most: int = 16) -> int:
    """How many clips at once ``plan`` can make within ``limit_bytes``; 0 when not even one."""
    fits = 0
    for batch in range(1, most + 1):
        trial = dataclasses.replace(plan, batch=batch, vae_slicing=batch > 1)
        if estimate_memory(task.model, trial, task.clip, with_image=task.with_image).peak_bytes > limit_bytes:
            break
        fits = batch
    return fits
