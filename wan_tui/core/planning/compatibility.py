"""The verdict: which plan a task gets in a room, whether it fits, and where it is short. Pure."""

import dataclasses
import functools

from wan_tui.core.catalog import Model
from wan_tui.core.planning.memory import CUDA_CONTEXT_BYTES, estimate_memory
from wan_tui.core.planning.plan import Clip, Compatibility, ExecutionPlan, MemoryEstimate
from wan_tui.core.planning.planner import (
    MARGIN_RATIO,
    Candidate,
    HostRoom,
    Room,
    Task,
    best,
    can_be_compiled,
    candidates,
    legal_plans,
    margin_bytes,
    usable_bytes,
)
from wan_tui.core.planning.roofline import estimate_on_device
from wan_tui.core.planning.weights import largest_leaf_bytes
from wan_tui.core.units import format_bytes
from wan_tui.core.words import OffloadMode, Precision, Quantization, Verdict

_AMPLE = HostRoom(1 << 60, 1 << 60)
_ORDER = (Verdict.FITS, Verdict.OFFLOAD_REQUIRED, Verdict.TIGHT, Verdict.INCOMPATIBLE)


@functools.lru_cache(maxsize=512)
def judge(task: Task, rooms: tuple[Room, ...], host: HostRoom) -> Compatibility:
    """The best answer of ``rooms``: what runs before what is tight, then what ends first, then the first."""
    # How slow a room is now says nothing about what fits in it: one answer for the same room, busy or not.
    answers = [(judge_room(task, dataclasses.replace(room, slowdown=1.0), host), room.slowdown) for room in rooms]
    return min(answers, key=lambda one: _rank(*one))[0]


def _rank(answer: Compatibility, slowdown: float) -> tuple[int, float, float]:
    """What runs by when it would end and then by its headroom; what does not by how short it is, and then by time."""
    runs = answer.verdict in (Verdict.FITS, Verdict.OFFLOAD_REQUIRED)
    seconds = answer.seconds.expected * slowdown if answer.seconds else 0.0
    if runs:
        return 0, seconds, -(answer.headroom_bytes or 0)
    return _ORDER.index(answer.verdict), -(answer.headroom_bytes or 0), seconds


@functools.lru_cache(maxsize=512)
def judge_room(task: Task, room: Room, host: HostRoom) -> Compatibility:
    """The verdict for one GPU."""
    usable = usable_bytes(room, task.profile)
    free, margin = min(room.free_bytes, usable), margin_bytes(room, task.profile)
    for limit in (free - margin, free, usable - margin, usable):
        found, least = candidates(task, room, host, limit)
        chosen = best(task, room, found, host.cpu)
        if chosen is not None:
            return _possible(task, room, host, chosen, free)
    return _impossible(task, room, host, least, free)


def _possible(task: Task, room: Room, host: HostRoom, chosen: Candidate, free: int) -> Compatibility:
    """Some plan is within the device; whether it is within what is free now is another matter."""
    peak = chosen.memory.peak_bytes
    headroom = free - peak
    where = f"{room.device} ({room.gpu.name}, {format_bytes(room.total_bytes)})"
    text = f"peak {format_bytes(peak)} on {where}"
    with_what = chosen.plan.options
    if headroom < 0:
        verdict = Verdict.TIGHT
        reason = f"{text}, but what others hold leaves {format_bytes(room.free_bytes)}"
    elif headroom < margin_bytes(room, task.profile):
        verdict, reason = Verdict.TIGHT, f"{text} with {with_what}, {format_bytes(headroom)} of headroom"
    elif chosen.plan.offload is not OffloadMode.NONE:
        share = format_bytes(chosen.memory.host_bytes)
        verdict, reason = Verdict.OFFLOAD_REQUIRED, f"{text} with {with_what} and {share} on the host"
    else:
        verdict, reason = Verdict.FITS, f"{text}, {with_what}"
    return _answer(verdict, reason, chosen, headroom, usable_bytes(room, task.profile))


def _answer(verdict: Verdict, reason: str, chosen: Candidate, headroom: int, device: int) -> Compatibility:
    return Compatibility(
        verdict=verdict,
        reason=reason,
        plan=chosen.plan,
        memory=chosen.memory,
        headroom_bytes=headroom,
        device_bytes=device,
        limiting_phase=chosen.limiting_phase.phase,
        seconds=chosen.time.total if chosen.time else None,
        load_seconds=chosen.time.load if chosen.time else None,
    )


def _impossible(task: Task, room: Room, host: HostRoom, least: Candidate | None, free: int) -> Compatibility:
    """No plan makes this clip here: a shorter one might, or nothing does."""
    model, where = task.model, f"{room.device} ({room.gpu.name}, {format_bytes(room.total_bytes)})"
    usable = usable_bytes(room, task.profile)
    if least is None:
        return _nothing_legal(task, room, host)
    precision = least.plan.precision
    floor = largest_leaf_bytes(model, precision, text_encoder=not _may_leave_text_encoder(task)) + CUDA_CONTEXT_BYTES
    if floor > usable:
        reason = (
            f"the largest weight of {model.id} and the CUDA context need {format_bytes(floor)}: "
            f"more than {where} has, even with full offload"
        )
        return Compatibility(verdict=Verdict.INCOMPATIBLE, reason=reason, headroom_bytes=free - floor)
    peak = least.memory.peak_bytes
    # What takes least for this clip need not be what takes least for a small one.
    _, small = candidates(dataclasses.replace(task, clip=smallest_clip(model, task.clip)), room, host, 0)
    needs = f"peak {format_bytes(peak)} on {where} even with {least.plan.options}"
    if small is None or small.memory.peak_bytes > usable:
        roomier, _ = candidates(task, room, _AMPLE, usable)
        if roomier:
            kept = min(max(one.memory.host_bytes, one.memory.host_load_bytes) for one in roomier)
            reason = (
                f"plans that fit {where} keep at least {format_bytes(kept)} of weights in host memory, "
                f"this host has {format_bytes(host.total_bytes)}"
            )
            return _answer(Verdict.INCOMPATIBLE, reason, least, free - peak, usable)
        smallest = (small or least).memory.peak_bytes
        reason = f"{needs}, and the smallest clip takes {format_bytes(smallest)}"
        return _answer(Verdict.INCOMPATIBLE, reason, least, free - peak, usable)
    return _answer(Verdict.TIGHT, f"{needs}: only smaller clips fit", least, free - peak, usable)


def _may_leave_text_encoder(task: Task) -> bool:
    return any(place.value == "host" for place in task.profile.text_encoders)


def _nothing_legal(task: Task, room: Room, host: HostRoom) -> Compatibility:
    """Not one plan is left: the host cannot hold what is offloaded, or the profile forbids what the card can."""
    _, least = candidates(task, room, _AMPLE, 0)
    if least is None:
        card = f"{room.gpu.name} (compute capability {'.'.join(map(str, room.gpu.compute_capability))})"
        reason = f"profile {task.profile.name} allows nothing that {card} can compute"
        return Compatibility(verdict=Verdict.INCOMPATIBLE, reason=reason)
    offers = [one for group in _groups(task, room) for one in group]
    needed = min(max(one.memory.host_bytes, one.memory.host_load_bytes) for one in offers)
    reason = (
        f"loading {task.model.id} takes at least {format_bytes(needed)} of host memory, "
        f"this host has {format_bytes(host.total_bytes)}"
    )
    return Compatibility(
        verdict=Verdict.INCOMPATIBLE,
        reason=reason,
        plan=least.plan,
        memory=least.memory,
        headroom_bytes=min(room.free_bytes, usable_bytes(room, task.profile)) - least.memory.peak_bytes,
        limiting_phase=least.limiting_phase.phase,
    )


def _groups(task: Task, room: Room) -> list[list[Candidate]]:
    return [
        [Candidate(plan, estimate_memory(task.model, plan, task.clip, with_image=task.with_image)) for plan in group]
        for group in legal_plans(task, room)
    ]


def smallest_clip(model: Model, clip: Clip) -> Clip:
    """The least that still is a video: about a second of 256 x 256 pixels. Without room for it nothing runs."""
    side = model.nearest_side(256)
    return Clip(
        width=min(side, clip.width),
        height=min(side, clip.height),
        frames=min(17, clip.frames),
        steps=clip.steps,
        guidance=clip.guidance,
    )


def with_memory(answer: Compatibility, memory: MemoryEstimate) -> Compatibility:
    """``answer`` with a better estimate of the memory of its plan, which may take away the headroom or give it back."""
    if answer.memory is None or answer.headroom_bytes is None or not answer.device_bytes or answer.plan is None:
        return answer
    headroom = answer.headroom_bytes + answer.memory.peak_bytes - memory.peak_bytes
    changed = dataclasses.replace(
        answer,
        memory=memory,
        headroom_bytes=headroom,
        limiting_phase=max(memory.phases, key=lambda phase: phase.total_bytes).phase,
    )
    if answer.verdict not in (Verdict.FITS, Verdict.OFFLOAD_REQUIRED, Verdict.TIGHT):
        return changed
    observed = f"peak {format_bytes(memory.peak_bytes)} by {memory.runs} runs here with {answer.plan.options}"
    if headroom < MARGIN_RATIO * answer.device_bytes:
        reason = f"{observed}, {format_bytes(max(headroom, 0))} of headroom"
        return dataclasses.replace(changed, verdict=Verdict.TIGHT, reason=reason)
    resident = answer.plan.offload is OffloadMode.NONE
    verdict = Verdict.FITS if resident else Verdict.OFFLOAD_REQUIRED
    reason = f"{observed}, {format_bytes(headroom)} of headroom"
    return dataclasses.replace(changed, verdict=verdict, reason=reason)


def cpu_plan() -> ExecutionPlan:
    """Everything in fp32 in the memory of the host."""
    return ExecutionPlan(
        device="cpu",
        gpu_uuid=None,
        precision=Precision.FP32,
        vae_precision=Precision.FP32,
        offload=OffloadMode.NONE,
        vae_tiling=False,
    )


@functools.lru_cache(maxsize=128)
def judge_cpu(
    model: Model, clip: Clip, host: HostRoom, fixed: Quantization | None = None, task: Task | None = None
) -> Compatibility:
    """The verdict for the processors of the host; ``fixed`` is how given files are stored.

    Of the profile of ``task`` the step cache and torch.compile are taken, of several caches the first.
    """
    plan = dataclasses.replace(cpu_plan(), quantization=fixed or Quantization.NONE)
    if task is not None:
        cache = task.profile.caches[0]
        plan = dataclasses.replace(
            plan,
            cache=cache,
            compile=task.profile.compile and task.can_compile and can_be_compiled(plan.offload, cache),
            lora_parameters=task.lora_parameters,
            batch=task.batch,
            vae_slicing=task.batch > 1,
        )
    memory = estimate_memory(model, plan, clip)
    total, headroom = host.total_bytes, host.available_bytes - memory.peak_bytes
    free = format_bytes(host.available_bytes)
    needs = f"needs {format_bytes(memory.peak_bytes)} of host memory in fp32"
    if memory.peak_bytes > total:
        verdict, reason = Verdict.INCOMPATIBLE, f"{needs}, this host has {format_bytes(total)}"
    elif headroom < MARGIN_RATIO * total:
        verdict, reason = Verdict.TIGHT, f"{needs}, {free} of {format_bytes(total)} are free"
    else:
        verdict, reason = Verdict.FITS, f"{needs}, {free} are free"
    time = estimate_on_device(model, host.cpu, plan, clip) if host.cpu else None
    return _answer(verdict, reason, Candidate(plan, memory, time), headroom, host.total_bytes)
