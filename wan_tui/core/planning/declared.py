"""What an earlier configuration declared, held against the planner: the plan under which it holds, or the bound."""

import dataclasses
import functools
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.catalog.gpus import GpuModel, search_gpu
from wan_tui.core.catalog.profiles import find_profile
from wan_tui.core.planning.flops import decode_flop, forward_flop
from wan_tui.core.planning.memory import GIB, estimate_memory
from wan_tui.core.planning.plan import Clip
from wan_tui.core.planning.planner import Candidate, Room, Task, legal_plans, quality_loss, time_of
from wan_tui.core.words import OffloadMode, Quantization

# Cards boost above the clock that their rates are published for, never by more than this.
BOOST = 1.15
_PIECEWISE = (OffloadMode.GROUP_BLOCK, OffloadMode.GROUP_LEAF, OffloadMode.SEQUENTIAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A declared figure: ``holds`` with the plan in ``why``, or not, for the bound in ``why``."""

    model: str
    figure: str
    holds: bool
    why: str
    reachable: tuple[str, ...] = ()


def check_declared() -> tuple[Declared, ...]:
    """All declared figures, model by model."""
    data = _data()
    gpu, frames = search_gpu(data["gpu"]), int(data["frames"])
    found: list[Declared] = []
    for name, entry in data.items():
        if isinstance(entry, dict):
            found += _of_model(load_catalogue().find(name), entry, gpu, frames)
    return tuple(found)


def _of_model(model: Model, entry: dict[str, Any], gpu: GpuModel, frames: int) -> Iterator[Declared]:
    width, height = model.default_size
    clip = Clip(
        width=width,
        height=height,
        frames=model.nearest_frames(frames),
        steps=model.default_steps,
        guidance=model.default_guidance,
    )
    yield _memory(model, clip, gpu, entry["vram_gb"])
    yield _resident(model, clip, gpu)
    yield _seconds(model, clip, gpu, entry["seconds"])
    yield _minimum(model, clip, gpu, *entry["minimum_vram_gb"])


def shape(clip: Clip) -> str:
    guided = "with guidance" if clip.guidance > 1 else "without guidance"
    return f"{clip.width}x{clip.height}, {clip.frames} frames, {clip.steps} steps {guided}"


def _memory(model: Model, clip: Clip, gpu: GpuModel, gib: float) -> Declared:
    """With one component at a time on the device; moving single blocks would hold more figures, at a price in time."""
    plans = [one for one in _plans(model, clip, gpu) if one.plan.offload is OffloadMode.MODEL]
    within = [one for one in plans if one.memory.peak_bytes <= gib * GIB]
    figure = f"{gib:g} GB of VRAM at {clip.frames} frames"
    if not within:
        least = min(one.memory.peak_bytes for one in plans) / GIB
        return Declared(model=model.id, figure=figure, holds=False, why=f"at least {least:.1f} GiB with model offload")
    mildest = min(within, key=_mildest)
    plain = min(plans, key=lambda one: (quality_loss(one.plan), one.memory.peak_bytes))
    why = f"{_peak(mildest)} with {mildest.plan.options}; {_peak(plain)} with {plain.plan.options}"
    return Declared(model=model.id, figure=figure, holds=True, why=why)


def _resident(model: Model, clip: Clip, gpu: GpuModel) -> Declared:
    """The declared profile for this card had no offload."""
    plans = [one for one in _plans(model, clip, gpu) if _stays(one)]
    figure = f"no offload on {gpu.memory_gib} GB"
    eight = [one for one in plans if one.plan.quantization in (Quantization.FP8, Quantization.INT8)]
    four = [one for one in plans if one.plan.quantization in (Quantization.NF4, Quantization.INT4)]
    plain = [one for one in plans if quality_loss(one.plan) == 0]
    least = [min(group, key=lambda one: one.memory.peak_bytes) for group in (plain, eight, four)]
    why = "; ".join(f"{_peak(one)} with {one.plan.options}" for one in least)
    fits = any(one.memory.peak_bytes <= gpu.memory_bytes for one in least)
    return Declared(model=model.id, figure=figure, holds=fits, why=why)


def _stays(candidate: Candidate) -> bool:
    return candidate.plan.offload is OffloadMode.NONE and not candidate.plan.text_encoder_on_cpu


def _seconds(model: Model, clip: Clip, gpu: GpuModel, seconds: float) -> Declared:
    figure = f"{seconds:g} s at {clip.frames} frames"
    half, eight = lower_bound_seconds(model, clip, gpu), lower_bound_seconds(model, clip, gpu, in_fp8=True)
    bound = f"{shape(clip)}: at least {half:.0f} s in 16 bit and {eight:.0f} s in fp8, even at {BOOST:.0%} of its rate"
    shapes = (
        dataclasses.replace(clip, width=256, height=256),
        dataclasses.replace(clip, width=832, height=480),
        dataclasses.replace(clip, width=832, height=480, guidance=1.0),
    )
    reachable = [text for one in shapes if (text := _most_steps(model, one, gpu, seconds)) is not None]
    return Declared(model=model.id, figure=figure, holds=eight <= seconds, why=bound, reachable=tuple(reachable))


def lower_bound_seconds(model: Model, clip: Clip, gpu: GpuModel, *, in_fp8: bool = False) -> float:
    """No kernel is faster: exact operations at the published dense rate, boosted; the VAE always in 16 bit."""
    passes = 2 if clip.guidance > 1 else 1
    denoise = passes * clip.steps * forward_flop(model, model.tokens(clip.width, clip.height, clip.frames))
    decode = decode_flop(model, clip.width, clip.height, clip.frames)
    rate = gpu.fp8_op_per_second if in_fp8 and gpu.fp8_op_per_second else gpu.dense_op_per_second
    return denoise / (BOOST * rate) + decode / (BOOST * gpu.dense_op_per_second)


def _most_steps(model: Model, clip: Clip, gpu: GpuModel, seconds: float) -> str | None:
    """How many steps the estimate allows in that time, when it is any number that makes a video."""
    room = _room(gpu)
    fitting = [one.plan for one in _plans(model, clip, gpu) if one.memory.peak_bytes <= gpu.memory_bytes]

    def most(end: str) -> int:
        def takes(steps: int) -> float:
            task = Task(model=model, clip=dataclasses.replace(clip, steps=steps), profile=find_profile("auto"))
            return min(float(getattr(time_of(task, room, plan).total, end)) for plan in fitting)

        one, two = takes(1), takes(2)
        return int((seconds - one) / (two - one)) + 1 if seconds > one else 0

    expected, best = most("expected"), most("low")
    if expected < 4:
        return None
    return f"reachable at {shape(dataclasses.replace(clip, steps=expected))} ({best} steps at best)"


def _minimum(model: Model, clip: Clip, gpu: GpuModel, low: float, high: float) -> Declared:
    """The least that any plan takes: block by block for a short clip, and for the longest at the largest size."""
    plans = [one for one in _plans(model, clip, gpu) if one.plan.offload in _PIECEWISE]
    least = min(plans, key=lambda one: one.memory.peak_bytes)
    largest = dataclasses.replace(clip, width=1280, height=model.max_pixels // 1280, frames=model.max_frames)
    full = min(_plans(model, largest, gpu), key=lambda one: one.memory.peak_bytes)
    why = f"{_peak(least)} with {least.plan.options}; {_peak(full)} at {shape(largest)} whatever the offload"
    return Declared(
        model=model.id,
        figure=f"minimum {low:g} to {high:g} GB of VRAM",
        holds=least.memory.peak_bytes <= high * GIB,
        why=why,
    )


def _plans(model: Model, clip: Clip, gpu: GpuModel) -> list[Candidate]:
    """Every legal plan, GGUF weights included, whether it fits or not."""
    task = Task(model=model, clip=clip, profile=find_profile("auto"), quantizations=frozenset(Quantization))
    plans = (plan for group in legal_plans(task, _room(gpu)) for plan in group)
    return [Candidate(plan, estimate_memory(model, plan, clip)) for plan in plans]


def _room(gpu: GpuModel) -> Room:
    return Room(device="gpu:0", uuid=None, total_bytes=gpu.memory_bytes, free_bytes=gpu.memory_bytes, gpu=gpu)


def _mildest(candidate: Candidate) -> tuple[float, float]:
    return quality_loss(candidate.plan), -candidate.memory.peak_bytes


def _peak(candidate: Candidate) -> str:
    return f"{candidate.memory.peak_bytes / GIB:.1f} GiB"


@functools.cache
def _data() -> dict[str, Any]:
    folder = resources.files("wan_tui.core.catalog")
    return tomllib.loads(folder.joinpath("declared.toml").read_text("utf-8"))
