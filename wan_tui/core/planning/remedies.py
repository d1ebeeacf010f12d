"""The smallest changes that would make a deployment fit, each judged again before it is offered."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping

from wan_tui.core.catalog.profiles import Profile, built_in_profiles
from wan_tui.core.hardware.samples import GpuProcess, GpuSample
from wan_tui.core.planning.compatibility import judge, smallest_clip
from wan_tui.core.planning.plan import Clip, Compatibility, Remedy
from wan_tui.core.planning.planner import HostRoom, Room, Task, fits
from wan_tui.core.units import format_bytes
from wan_tui.core.words import Verdict

RUNS = (Verdict.FITS, Verdict.OFFLOAD_REQUIRED)


def find_remedies(
    task: Task,
    rooms: tuple[Room, ...],
    host: HostRoom,
    *,
    others: tuple[Room, ...] = (),
    emptied: Collection[tuple[Room, tuple[GpuProcess, ...]]] = (),
    profiles: Mapping[str, Profile] | None = None,
) -> tuple[Remedy, ...]:
    """What would make ``task`` fit into one of ``rooms``, the mildest first.

    ``others`` are GPUs that the deployment may not use, ``emptied`` those of ``rooms`` that foreign processes hold
    memory of, as they would be without these processes.
    """
    found = [
        *_freeing(task, emptied, host),
        *_elsewhere(task, others, host),
        *_profiles(task, rooms, host, profiles or built_in_profiles()),
        *_fewer_frames(task, rooms, host),
        *_smaller(task, rooms, host),
    ]
    return tuple(found)


def holders_of(gpu: GpuSample, own_pids: Collection[int]) -> tuple[GpuProcess, ...]:
    """Foreign processes that are known to hold memory of ``gpu``."""
    return tuple(one for one in gpu.processes or () if one.pid not in own_pids and one.used_memory_bytes)


def _remedy(title: str, answer: Compatibility, **changes: str | int) -> Remedy:
    named = tuple((key.replace("__", "."), value) for key, value in changes.items())
    return Remedy(
        title=title,
        changes=named,
        verdict=answer.verdict,
        headroom_bytes=answer.headroom_bytes or 0,
        seconds=answer.seconds.expected if answer.seconds else None,
    )


def _freeing(task: Task, emptied: Collection[tuple[Room, tuple[GpuProcess, ...]]], host: HostRoom) -> Iterator[Remedy]:
    for room, held in emptied:
        answer = judge(task, (room,), host)
        if answer.verdict in RUNS:
            freed = sum(process.used_memory_bytes or 0 for process in held)
            who = ", ".join(f"{process.name or 'process'} {process.pid}" for process in held)
            yield _remedy(f"stop {who} on {room.device}: frees {format_bytes(freed)}", answer)


def _elsewhere(task: Task, others: tuple[Room, ...], host: HostRoom) -> Iterator[Remedy]:
    if not others:
        return
    answer = judge(task, others, host)
    if answer.verdict in RUNS and answer.plan is not None:
        room = next(room for room in others if room.device == answer.plan.device)
        yield _remedy(f"use {room.label}: {answer.reason}", answer, device=room.device)


def _profiles(task: Task, rooms: tuple[Room, ...], host: HostRoom, profiles: Mapping[str, Profile]) -> Iterator[Remedy]:
    """The fastest of the other profiles that runs."""
    offers = []
    for name, profile in profiles.items():
        if name == task.profile.name or profile.cpu_only:
            continue
        answer = judge(dataclasses.replace(task, profile=profile), rooms, host)
        if answer.verdict in RUNS and answer.seconds is not None:
            offers.append((answer.seconds.expected, name, answer))
    for _, name, answer in sorted(offers, key=lambda offer: offer[:2])[:1]:
        yield _remedy(f"profile {name}: {answer.reason}", answer, profile=name)


def _fewer_frames(task: Task, rooms: tuple[Room, ...], host: HostRoom) -> Iterator[Remedy]:
    """The longest clip that fits, by bisection: fewer frames never need more."""
    least = smallest_clip(task.model, task.clip).frames
    low, high = (least - 1) // 4, (task.clip.frames - 1) // 4 - 1  # frames are 4k+1
    if high < low or not _runs(task, rooms, host, frames=least):
        return
    while low < high:
        middle = (low + high + 1) // 2
        if _runs(task, rooms, host, frames=4 * middle + 1):
            low = middle
        else:
            high = middle - 1
    frames = 4 * low + 1
    answer = judge(_with(task, frames=frames), rooms, host)
    yield _remedy(f"{frames} frames instead of {task.clip.frames}", answer, defaults__frames=frames)


def _smaller(task: Task, rooms: tuple[Room, ...], host: HostRoom) -> Iterator[Remedy]:
    """The largest size of about the same shape that fits."""
    multiple, clip = task.model.size_multiple, task.clip
    least = smallest_clip(task.model, clip)
    for step in range(clip.width // multiple - 1, 0, -1):
        width = step * multiple
        height = task.model.nearest_side(round(clip.height * width / clip.width))
        if height > clip.height:
            continue
        if width * height < least.width * least.height:
            return
        if _runs(task, rooms, host, width=width, height=height):
            answer = judge(_with(task, width=width, height=height), rooms, host)
            title = f"{width}x{height} instead of {clip.width}x{clip.height}"
            yield _remedy(title, answer, defaults__width=width, defaults__height=height)
            return


def _runs(task: Task, rooms: tuple[Room, ...], host: HostRoom, **changes: int) -> bool:
    changed = _with(task, **changes)
    return any(fits(changed, room, host) for room in rooms)


def _with(task: Task, **changes: int) -> Task:
    clip: Clip = dataclasses.replace(task.clip, **changes)
    return dataclasses.replace(task, clip=clip)
