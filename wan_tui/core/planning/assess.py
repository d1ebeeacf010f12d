"""From what the hardware said to the verdict of a deployment, with what would make it fit."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

from wan_tui.core.catalog import Model
from wan_tui.core.catalog.profiles import Profile, built_in_profiles
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.config.settings import LimitSettings
from wan_tui.core.hardware.samples import GpuSample, HardwareSample, HostSample
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.compatibility import judge, judge_cpu
from wan_tui.core.planning.plan import Compatibility
from wan_tui.core.planning.planner import Abilities, Task
from wan_tui.core.planning.remedies import RUNS, find_remedies, holders_of
from wan_tui.core.planning.rooms import host_room, room_of
from wan_tui.core.words import Quantization, Verdict


def assess(
    model: Model,
    deployment: DeploymentSettings,
    hardware: HardwareSample,
    host: HostSample,
    *,
    own_pids: Collection[int] = (),
    reserved: Mapping[str, int] | None = None,
    sharers: Mapping[str, int] | None = None,
    paces: Mapping[str, float] | None = None,
    limits: LimitSettings | None = None,
    profiles: Mapping[str, Profile] | None = None,
    abilities: Abilities | None = None,
    fixed: Quantization | None = None,
    with_image: bool | None = None,
    batch: int = 1,
    remedies: bool = True,
    lora_parameters: int = 0,
) -> Compatibility:
    """Choose device and plan for the deployment's default clip and judge it.

    ``own_pids`` are worker processes whose memory counts as free, ``reserved`` what others will hold, ``sharers`` how
    many they are and ``paces`` what was observed (``room_of``), ``profiles`` those that there are (default: the
    built-in ones), ``abilities`` what this host can run, ``fixed`` how the files that the deployment names are stored,
    whatever its profile says, ``lora_parameters`` what its LoRAs add. ``with_image`` says whether a picture is encoded
    (None: as the model needs), ``batch`` is clips at once; without ``remedies`` nothing is looked for that would make
    it fit.
    """
    known = profiles or built_in_profiles()
    able = abilities or Abilities()
    chosen = as_deployed(known[deployment.profile], deployment)
    quantizations = able.quantizations
    if fixed is not None:
        chosen = dataclasses.replace(chosen, quantizations=(fixed,))
        quantizations = quantizations | {fixed}
    task = Task(
        model=model,
        clip=default_clip(model, deployment.defaults),
        profile=chosen,
        with_image=with_image,
        batch=batch,
        quantizations=quantizations,
        attentions=able.attentions,
        can_compile=able.compile,
        lora_parameters=lora_parameters,
    )
    if chosen.cpu_only or deployment.device == "cpu":
        return judge_cpu(model, task.clip, host_room(host), fixed, task)
    if deployment.device == "auto" and not hardware.driver.present:
        return judge_cpu(model, task.clip, host_room(host), fixed, task)
    samples = _samples(deployment.device, hardware)
    if isinstance(samples, Compatibility):
        return samples
    found = {
        gpu.uuid: room
        for gpu in hardware.gpus
        if (room := room_of(gpu, own_pids=own_pids, reserved=reserved, sharers=sharers, paces=paces, limits=limits))
        is not None
    }
    allowed = tuple(found[gpu.uuid] for gpu in samples)
    answer = judge(task, allowed, host_room(host))
    if answer.verdict in RUNS or not remedies:
        return answer
    emptied = []
    for gpu in samples:
        holders = holders_of(gpu, own_pids)
        pids = {*own_pids, *(process.pid for process in holders)}
        room = room_of(gpu, own_pids=pids, reserved=reserved, sharers=sharers, paces=paces, limits=limits)
        if holders and room is not None:
            emptied.append((room, holders))
    found_remedies = find_remedies(
        task,
        allowed,
        host_room(host),
        others=tuple(room for room in found.values() if room not in allowed),
        emptied=emptied,
        profiles=known,
    )
    return dataclasses.replace(answer, remedies=found_remedies)


def as_deployed(profile: Profile, deployment: DeploymentSettings) -> Profile:
    """The profile with what the deployment itself decides."""
    changes: dict[str, Any] = {}
    if deployment.attention is not None:
        changes["attentions"] = (deployment.attention,)
    if deployment.cache is not None:
        changes["caches"] = (deployment.cache,)
    if deployment.compile is not None:
        changes["compile"] = deployment.compile
    return dataclasses.replace(profile, **changes)


def _samples(device: str, hardware: HardwareSample) -> tuple[GpuSample, ...] | Compatibility:
    """The GPUs that ``device`` allows and that answer, or why there are none."""
    if device == "auto":
        usable = tuple(gpu for gpu in hardware.gpus if gpu.up and gpu.memory_total_bytes)
        return usable or _unknown(f"no GPU answers ({hardware.driver.message})")
    index = int(device.removeprefix("gpu:"))
    gpu = next((gpu for gpu in hardware.gpus if gpu.index == index), None)
    if gpu is None:
        if not hardware.driver.present or hardware.driver.up:
            known = ", ".join(f"gpu:{gpu.index}" for gpu in hardware.gpus) or "no GPU"
            reason = f"device {device} is not in this host (it has {known})"
            return Compatibility(verdict=Verdict.INCOMPATIBLE, reason=reason)
        return _unknown(f"{device} cannot be read ({hardware.driver.message})")
    if not gpu.up or not gpu.memory_total_bytes:
        return _unknown(f"{device} does not answer ({gpu.error or 'no memory reading'})")
    return (gpu,)


def _unknown(reason: str) -> Compatibility:
    return Compatibility(verdict=Verdict.UNKNOWN, reason=reason)
