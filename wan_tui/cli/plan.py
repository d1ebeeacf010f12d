"""``wan-tui plan``: will it fit, how long will it take; on this host, or on a card that nobody has here."""

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_tui.cli.text import columns
from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.catalog.gpus import search_gpu
from wan_tui.core.catalog.profiles import Profile, built_in_profiles, find_profile
from wan_tui.core.config import Settings, load_settings
from wan_tui.core.config.settings import RequestDefaults
from wan_tui.core.errors import UsageError, unknown_name
from wan_tui.core.hardware.look import look
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.compatibility import judge, judge_cpu
from wan_tui.core.planning.declared import check_declared
from wan_tui.core.planning.memory import GIB
from wan_tui.core.planning.plan import Bounds, Compatibility
from wan_tui.core.planning.planner import (
    CHOOSABLE,
    HostRoom,
    Room,
    Task,
    largest_batch,
    margin_bytes,
    time_of,
    usable_bytes,
)
from wan_tui.core.planning.remedies import RUNS, find_remedies
from wan_tui.core.planning.roofline import RooflineEstimate, estimate_on_device
from wan_tui.core.planning.rooms import host_room, room_of
from wan_tui.core.units import MISSING, format_bytes, format_seconds
from wan_tui.core.words import OffloadMode, Precision, Quantization

# Cards that people ask about, for --all.
USUAL_GPUS = ("rtx 3080 10gb", "rtx 4080 16gb", "rtx 4090", "rtx 5090", "l40s", "a100-sxm4-80gb", "h100 80gb hbm3")
_AMPLE = HostRoom(1 << 50, 1 << 50)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The command line: None means the model's default, or this host."""

    models: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    vram: float | None = None
    host_memory: float | None = None
    profile: str | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    steps: int | None = None
    guidance: float | None = None
    image: bool = False
    batch: int = 1
    precision: str | None = None
    offload: str | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a plan is made for: GPUs (none: the processors), and the host around them."""

    name: str
    rooms: tuple[Room, ...]
    host: HostRoom


def print_plans(config: Path | None, question: Question, *, explain: bool, as_json: bool) -> int:
    """One answer for each model; exit status 1 when one cannot run there. Raises UsageError."""
    settings = load_settings(config)
    place = _places(question, settings)
    answers = []
    for model in _models(question.models):
        for where in place:
            task = _task(model, question, settings)
            answers.append((where, task, _judge(task, where)))
    if as_json:
        print(json.dumps([_facts(*answer) for answer in answers], indent=2))
    else:
        print("\n\n".join(_text(*answer, explain=explain) for answer in answers))
    return 0 if all(answer.verdict in RUNS for _, _, answer in answers) else 1


def print_matrix(config: Path | None, question: Question, *, as_json: bool) -> int:
    """Every model under every profile on every GPU that was named, else on the usual ones."""
    settings = load_settings(config)
    asked = dataclasses.replace(question, gpus=question.gpus or USUAL_GPUS)
    profiles = [question.profile] if question.profile else [n for n, p in built_in_profiles().items() if not p.cpu_only]
    answers = []
    for model in _models(question.models):
        for profile in profiles:
            for where in _places(asked, settings):
                task = _task(model, dataclasses.replace(asked, profile=profile), settings)
                answers.append((where, task, judge(task, where.rooms, where.host)))
    if as_json:
        print(json.dumps([_facts(*answer) for answer in answers], indent=2))
        return 0
    head = ["MODEL", "PROFILE", "GPU", "VERDICT", "PEAK", "HEADROOM", "TIME", "PLAN"]
    print(columns(head, [_row(*answer) for answer in answers]))
    return 0


def print_declared(*, as_json: bool) -> int:
    """The figures of the earlier configuration: under which plan each holds, or which bound it breaks."""
    found = check_declared()
    if as_json:
        print(json.dumps([dataclasses.asdict(one) for one in found], indent=2))
        return 0
    for one in found:
        print(f"{one.model}: {one.figure}: {'holds' if one.holds else 'does not hold'}")
        print(f"  {one.why}")
        for line in one.reachable:
            print(f"  {line}")
    return 0


def _models(names: Iterable[str]) -> list[Model]:
    chosen = [load_catalogue().find(name) for name in names]
    return chosen or [model for model in load_catalogue().models if model.weights == "checkpoint"]


def _task(model: Model, question: Question, settings: Settings) -> Task:
    defaults = RequestDefaults(
        width=question.width,
        height=question.height,
        frames=question.frames,
        steps=question.steps,
        guidance=question.guidance,
    )
    profile = find_profile(question.profile or "auto", settings.known_profiles)
    quantizations = CHOOSABLE
    if question.precision is not None:
        profile, quantizations = _in_precision(profile, question.precision)
    if question.offload is not None:
        profile = dataclasses.replace(profile, offloads=(_word(OffloadMode, "offload", question.offload),))
    return Task(
        model=model,
        clip=default_clip(model, defaults),
        profile=profile,
        with_image=True if question.image else None,
        batch=question.batch,
        quantizations=quantizations,
    )


def _in_precision(profile: Profile, word: str) -> tuple[Profile, frozenset[Quantization]]:
    """What people call a precision: a number format to compute in, or one to store the transformers in."""
    words = {**{p.value: p for p in Precision}, **{q.value: q for q in Quantization if q is not Quantization.NONE}}
    if word.casefold() not in words:
        raise unknown_name("precision", word, words)
    chosen = words[word.casefold()]
    if isinstance(chosen, Precision):
        return dataclasses.replace(profile, precisions=(chosen,), quantizations=(Quantization.NONE,)), CHOOSABLE
    return dataclasses.replace(profile, quantizations=(chosen,)), CHOOSABLE | {chosen}


def _word(words: type[OffloadMode], kind: str, name: str) -> OffloadMode:
    try:
        return words(name.casefold().replace("-", "_"))
    except ValueError:
        raise unknown_name(kind, name, words) from None


def _places(question: Question, settings: Settings) -> list[_Place]:
    if not question.gpus and question.vram is None:
        return [_this_host(settings)]
    named = [gpu for gpu in question.gpus if not _is_index(gpu)]
    places = [_imagined(gpu, question) for gpu in named]
    for index in (gpu for gpu in question.gpus if _is_index(gpu)):
        here = _this_host(settings)
        device = f"gpu:{index.removeprefix('gpu:')}"
        room = next((room for room in here.rooms if room.device == device), None)
        if room is None:
            known = ", ".join(room.device for room in here.rooms) or "no GPU"
            raise UsageError(f"GPU {index} is not in this host (it has {known}); name a card, such as --gpu 'rtx 4080'")
        places.append(_Place(room.label, (_resized(room, question.vram),), here.host))
    if not question.gpus:
        places.append(_imagined("rtx 4090", question))
    return places


def _is_index(text: str) -> bool:
    return text.removeprefix("gpu:").isdigit() and len(text.removeprefix("gpu:")) <= 2


def _imagined(text: str, question: Question) -> _Place:
    """An empty card of that name in a host with the memory that was named, else with enough."""
    gpu = search_gpu(text)
    room = Room(device="gpu:0", uuid=None, total_bytes=gpu.memory_bytes, free_bytes=gpu.memory_bytes, gpu=gpu)
    size = int(question.host_memory * GIB) if question.host_memory else None
    host = HostRoom(size, size) if size else _AMPLE
    return _Place(gpu.label, (_resized(room, question.vram),), host)


def _resized(room: Room, gib: float | None) -> Room:
    if gib is None:
        return room
    if not 1 <= gib <= 1024:
        raise UsageError(f"--vram {gib:g}: give GiB from 1 to 1024")
    return dataclasses.replace(room, total_bytes=int(gib * GIB), free_bytes=int(gib * GIB))


def _this_host(settings: Settings) -> _Place:
    hardware, host = look(cpu_cache=settings.paths.cache)
    rooms = [room_of(gpu, limits=settings.limits) for gpu in hardware.gpus]
    return _Place(f"this host ({host.hostname})", tuple(room for room in rooms if room is not None), host_room(host))


def _judge(task: Task, where: _Place) -> Compatibility:
    if not where.rooms or task.profile.cpu_only:
        return judge_cpu(task.model, task.clip, where.host)
    answer = judge(task, where.rooms, where.host)
    if answer.verdict in RUNS:
        return answer
    return dataclasses.replace(answer, remedies=find_remedies(task, where.rooms, where.host))


def _room(where: _Place, answer: Compatibility) -> Room | None:
    device = answer.plan.device if answer.plan else None
    return next((room for room in where.rooms if room.device == device), None)


def _time(where: _Place, task: Task, answer: Compatibility) -> RooflineEstimate | None:
    """Stage by stage, for the device that the plan is for; None when nothing is known about it."""
    if answer.plan is None:
        return None
    if (room := _room(where, answer)) is not None:
        return time_of(task, room, answer.plan, where.host.cpu)
    cpu = where.host.cpu
    return estimate_on_device(task.model, cpu, answer.plan, task.clip, with_image=task.with_image) if cpu else None


def _text(where: _Place, task: Task, answer: Compatibility, *, explain: bool) -> str:
    clip = task.clip
    shape = f"{clip.width}x{clip.height}, {clip.frames} frames, {clip.steps} steps, guidance {clip.guidance:g}"
    lines = [f"{task.model.id} on {where.name}: {answer.verdict}", f"  {shape}", f"  {answer.reason}"]
    room = _room(where, answer)
    estimate = _time(where, task, answer)
    if estimate is not None and answer.verdict in RUNS:
        stages = [
            [f"  {stage.stage}", *_bounds(stage.seconds)] for stage in estimate.stages if stage.seconds.expected > 0
        ]
        rows = [*stages, ["  total", *_bounds(estimate.total)], ["  load, once", *_bounds(estimate.load)]]
        lines += ["", columns(["  TIME (modelled)", "EXPECTED", "LOW", "HIGH"], rows)]
    if room is not None and answer.plan is not None and answer.verdict in RUNS:
        limit = min(room.free_bytes, usable_bytes(room, task.profile)) - margin_bytes(room, task.profile)
        batch = largest_batch(task, room, answer.plan, limit)
        if batch > task.batch:
            lines += ["", f"  up to {batch} clips at once with this plan"]
        if room.gpu.bounded:
            lines.append(f"  the card is {room.gpu.notes}")
    if explain and answer.memory is not None:
        lines += ["", _memory_table(answer)]
    if answer.remedies:
        lines += ["", "  what would make it fit:"]
        lines += [f"    {remedy.title}{_promise(remedy.verdict, remedy.seconds)}" for remedy in answer.remedies]
    return "\n".join(lines)


def _promise(verdict: str, seconds: float | None) -> str:
    return f" -> {verdict}" + (f", about {format_seconds(seconds)}" if seconds is not None else "")


def _memory_table(answer: Compatibility) -> str:
    assert answer.memory is not None
    rows = [
        [
            f"  {phase.phase}{' (peak)' if phase.phase is answer.limiting_phase else ''}",
            *(
                format_bytes(size)
                for size in (
                    phase.total_bytes,
                    phase.weights_bytes,
                    phase.activation_bytes,
                    phase.workspace_bytes,
                    phase.slack_bytes,
                    phase.context_bytes,
                )
            ),
        ]
        for phase in answer.memory.phases
    ]
    rows.append(["  after loading", format_bytes(answer.memory.loaded_bytes), *[MISSING] * 5])
    head = ["  DEVICE MEMORY (modelled)", "TOTAL", "WEIGHTS", "ACTIVATIONS", "WORKSPACE", "SLACK", "CONTEXT"]
    kept, loading = format_bytes(answer.memory.host_bytes), format_bytes(answer.memory.host_load_bytes)
    return f"{columns(head, rows)}\n  host memory: {kept} of weights, {loading} while loading"


def _bounds(bounds: Bounds) -> list[str]:
    return [format_seconds(bounds.expected), format_seconds(bounds.low), format_seconds(bounds.high)]


def _row(where: _Place, task: Task, answer: Compatibility) -> list[str]:
    return [
        task.model.id,
        task.profile.name,
        where.name,
        answer.verdict,
        format_bytes(answer.memory.peak_bytes) if answer.memory else MISSING,
        _signed(answer.headroom_bytes),
        format_seconds(answer.seconds.expected) if answer.seconds else MISSING,
        answer.plan.options if answer.plan else answer.reason,
    ]


def _signed(size: int | None) -> str:
    if size is None:
        return MISSING
    return format_bytes(size) if size >= 0 else f"-{format_bytes(-size)}"


def _facts(where: _Place, task: Task, answer: Compatibility) -> dict[str, Any]:
    room = _room(where, answer)
    facts = {
        "model": task.model.id,
        "profile": task.profile.name,
        "where": where.name,
        "clip": dataclasses.asdict(task.clip),
        **dataclasses.asdict(answer),
    }
    estimate = _time(where, task, answer)
    if estimate is not None:
        facts["time"] = {
            "basis": "modelled",
            "report": estimate.report,
            "total": dataclasses.asdict(estimate.total),
            "load": dataclasses.asdict(estimate.load),
            "stages": {stage.stage: dataclasses.asdict(stage.seconds) for stage in estimate.stages},
            "step": {expert: dataclasses.asdict(bounds) for expert, bounds in estimate.step_seconds},
        }
    if room is not None:
        facts["gpu"] = {"name": room.gpu.name, "memory_bytes": room.total_bytes, "bounded": room.gpu.bounded}
    return facts
