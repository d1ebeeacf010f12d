"""Hardware samples as the planner's rooms: what a plan could have of each GPU, and of the host."""

from collections.abc import Collection, Mapping

from wan_tui.core.catalog.gpus import recognise_gpu
from wan_tui.core.config.settings import LimitSettings
from wan_tui.core.hardware.samples import GpuSample, HostSample
from wan_tui.core.planning.memory import GIB
from wan_tui.core.planning.planner import HostRoom, Room

# Free memory breathes; a verdict is only looked up again when it changed by more than this.
_GRAIN_BYTES = 64 << 20


def room_of(
    sample: GpuSample,
    *,
    own_pids: Collection[int] = (),
    reserved: Mapping[str, int] | None = None,
    limits: LimitSettings | None = None,
) -> Room | None:
    """The GPU as a room; None when it does not answer.

    Memory of ``own_pids`` counts as free. ``reserved`` are bytes, by uuid, that other deployments will come to hold:
    what is free is the smaller of what the driver says and of what they leave.
    """
    if not sample.up or not sample.memory_total_bytes:
        return None
    total = sample.memory_total_bytes
    if limits is not None and limits.max_vram_gib is not None:
        total = min(total, int(limits.max_vram_gib * GIB))
    ours = sum(p.used_memory_bytes or 0 for p in sample.processes or () if p.pid in own_pids)
    free = sample.memory_total_bytes if sample.memory_free_bytes is None else sample.memory_free_bytes
    left = sample.memory_total_bytes - (reserved or {}).get(sample.uuid, 0)
    available = max(min(total, free + ours, left), 0)
    return Room(
        device=f"gpu:{sample.index}",
        uuid=sample.uuid,
        total_bytes=total,
        free_bytes=available if available == total else available // _GRAIN_BYTES * _GRAIN_BYTES,
        gpu=recognise_gpu(
            sample.name,
            sample.memory_total_bytes,
            capability_of(sample.compute_capability),
            clock_hertz=sample.sm_clock_max_hertz,
        ),
    )


def capability_of(text: str | None) -> tuple[int, int]:
    """``8.9`` as numbers; a card that does not tell counts as the oldest that computes in bf16."""
    if text is None:
        return (8, 0)
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


def host_room(host: HostSample) -> HostRoom:
    """The host's memory, in grains."""
    available = host.memory_available_bytes // _GRAIN_BYTES * _GRAIN_BYTES
    return HostRoom(host.memory_total_bytes, available, host.matmul_flop_per_second)
