"""Hardware samples as the planner's rooms: what a plan could have of each GPU, and of the host."""

from collections.abc import Collection, Mapping

from wan_tui.core.catalog.gpus import recognise_gpu
from wan_tui.core.config.settings import LimitSettings
from wan_tui.core.hardware.samples import GpuSample, HostSample
from wan_tui.core.planning.memory import GIB
from wan_tui.core.planning.planner import HostRoom, Room

# Clock limits that come from heat or from the power supply, as opposed to those that someone chose.
HELD_DOWN = frozenset({"sw_thermal_slowdown", "hw_thermal_slowdown", "hw_slowdown", "hw_power_brake_slowdown"})
# Clocks breathe: how much slower a card is held is told in quarters.
_SLOWDOWN_GRAIN = 4

# Free memory breathes; a verdict is only looked up again when it changed by more than this.
_GRAIN_BYTES = 64 << 20
# More programs breathe there than on a card.
_HOST_GRAIN_BYTES = 256 << 20


def room_of(
    sample: GpuSample,
    *,
    own_pids: Collection[int] = (),
    reserved: Mapping[str, int] | None = None,
    sharers: Mapping[str, int] | None = None,
    paces: Mapping[str, float] | None = None,
    limits: LimitSettings | None = None,
) -> Room | None:
    """The GPU as a room; None when it does not answer.

    Memory of ``own_pids`` counts as free. ``reserved`` are bytes, by uuid, that other deployments will come to hold:
    what is free is the smaller of what the driver says and of what they leave. ``sharers``, by uuid, are how many
    they are: where all of them compute, each takes its turn. ``paces``, by uuid, are observed to expected step times.
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
        slowdown=max(
            held_down_ratio(sample) * (1 + (sharers or {}).get(sample.uuid, 0)), (paces or {}).get(sample.uuid, 1.0)
        ),
    )


def held_down_ratio(sample: GpuSample) -> float:
    """How many times as long the card takes because heat or power hold its clock down; 1 when nothing does."""
    if not HELD_DOWN.intersection(sample.throttle_reasons or ()):
        return 1.0
    now, most = sample.sm_clock_hertz, sample.sm_clock_max_hertz
    if not now or not most:
        return 1.0
    return max(round(_SLOWDOWN_GRAIN * most / now) / _SLOWDOWN_GRAIN, 1.0)


def capability_of(text: str | None) -> tuple[int, int]:
    """``8.9`` as numbers; a card that does not tell counts as the oldest that computes in bf16."""
    if text is None:
        return (8, 0)
    major, _, minor = text.partition(".")
    return int(major), int(minor or 0)


def host_room(host: HostSample) -> HostRoom:
    """The host's memory, in grains."""
    available = host.memory_available_bytes // _HOST_GRAIN_BYTES * _HOST_GRAIN_BYTES
    return HostRoom(host.memory_total_bytes, available, host.matmul_flop_per_second)
