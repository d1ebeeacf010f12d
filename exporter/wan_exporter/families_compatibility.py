"""The what-if matrix: each model with each profile on each GPU of this host, if that GPU and the host were empty.

It depends on nothing that changes from poll to poll, so it is reckoned once for each kind of card (about 0.1 s).
"""

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from wan_exporter.families import Families, gauge
from wan_tui.core.catalog import load_catalogue
from wan_tui.core.catalog.profiles import built_in_profiles
from wan_tui.core.errors import UsageError
from wan_tui.core.hardware.samples import GpuSample, HostSample
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.compatibility import judge
from wan_tui.core.planning.planner import HostRoom, Room, Task
from wan_tui.core.planning.rooms import host_room, room_of
from wan_tui.core.snapshot import Snapshot
from wan_tui.core.words import Verdict

CELL = ("model", "profile", "gpu")
VERDICTS = tuple(word for word in Verdict if word is not Verdict.UNKNOWN)
"""Of an empty card that is known there is always a verdict."""
_TASTES = ("fast", "quality")
PROFILES = tuple(name for name, profile in built_in_profiles().items() if not profile.cpu_only and name not in _TASTES)
"""``fast`` and ``quality`` say what is liked, not what is there, and every profile costs 15 series per GPU."""
KINDS = 64


@dataclass(frozen=True, slots=True)
class Cell:
    model: str
    profile: str
    verdict: Verdict
    headroom_bytes: int | None


def compatibility_families(snapshot: Snapshot) -> Families:
    models = tuple(model.id for model in snapshot.models)
    cells = list(_cells(snapshot.gpus, snapshot.host, models))
    yield from gauge(
        "wantui_compatibility_verdict",
        "What-if, for planning and not for alerts: whether the default clip of the model fits with the profile if the "
        "GPU and the host held nothing else; exactly one verdict is 1. exclude[]=compatibility leaves it out.",
        (*CELL, "verdict"),
        [
            ((cell.model, cell.profile, gpu, verdict), float(verdict is cell.verdict))
            for gpu, cell in cells
            for verdict in VERDICTS
        ],
    )
    yield from gauge(
        "wantui_compatibility_headroom_bytes",
        "What-if: memory of the GPU beyond the estimated peak of the best plan; negative is what it is short of.",
        CELL,
        [((cell.model, cell.profile, gpu), cell.headroom_bytes) for gpu, cell in cells],
    )


def _cells(gpus: Iterable[GpuSample], host: HostSample, models: tuple[str, ...]) -> Iterator[tuple[str, Cell]]:
    whole_host = host_room(replace(host, memory_available_bytes=host.memory_total_bytes))
    for gpu in gpus:
        room = _empty(gpu)
        if room is not None:
            yield from ((str(gpu.index), cell) for cell in _matrix(room, whole_host, models))


def _empty(gpu: GpuSample) -> Room | None:
    """The GPU without anything on it, as every one of its kind is; None for one in MIG mode or of unknown size."""
    if not gpu.memory_total_bytes or gpu.mig_mode == "enabled":
        return None
    free = gpu.memory_total_bytes - (gpu.memory_reserved_bytes or 0)
    kind = replace(gpu, index=0, uuid="", up=True, memory_free_bytes=free, processes=None, throttle_reasons=None)
    return room_of(kind)


@functools.lru_cache(maxsize=KINDS)
def _matrix(room: Room, host: HostRoom, models: tuple[str, ...]) -> tuple[Cell, ...]:
    return tuple(_judged(room, host, models))


def _judged(room: Room, host: HostRoom, models: tuple[str, ...]) -> Iterator[Cell]:
    catalogue = load_catalogue()
    for name in models:
        try:
            model = catalogue.find(name)
        except UsageError:  # of a catalogue that is not this program's
            continue
        if model.weights != "checkpoint":
            continue
        for profile in PROFILES:
            task = Task(model=model, clip=default_clip(model), profile=built_in_profiles()[profile])
            answer = judge(task, (room,), host)
            yield Cell(name, profile, answer.verdict, answer.headroom_bytes)
