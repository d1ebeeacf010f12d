"""What is known about a deployment now: its verdict by the planner, as observed here, and how the rules come out."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from wan_tui.core.catalog.profiles import Profile
from wan_tui.core.config import DeploymentSettings, Settings
from wan_tui.core.hardware.samples import HardwareSample, HostSample
from wan_tui.core.planning.assess import assess
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.compatibility import with_memory
from wan_tui.core.planning.plan import Clip, Compatibility
from wan_tui.core.planning.planner import Room
from wan_tui.core.planning.remedies import RUNS
from wan_tui.core.planning.roofline import estimate_on_device
from wan_tui.core.planning.rooms import held_down_ratio, room_of
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.estimates import Estimator
from wan_tui.core.runtime.ladder import capped
from wan_tui.core.runtime.replanning import REMEMBERED_SECONDS, Situation
from wan_tui.core.validation.deployment import judge_deployment
from wan_tui.core.validation.environment import host_abilities, judge_room
from wan_tui.core.validation.judgement import Judgement
from wan_tui.core.validation.lora_file import lora_parameters
from wan_tui.core.validation.options import judge_options, toolchain
from wan_tui.core.validation.transformer_file import files_quantization
from wan_tui.core.words import LoadState

P = ParamSpec("P")
T = TypeVar("T")

# A judgement rests for this many times the processor time that it took, so that planning for many deployments and cards
# stays a few hundredths of a core; but not longer than a verdict may be old.
_REST_RATIO, _LONGEST_REST_SECONDS = 50.0, 10.0


def timed(judge: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> tuple[T, float]:
    """What ``judge`` says, and when (monotonic) it is worth asking again."""
    began = time.thread_time()
    answer = judge(*arguments, **keywords)
    rest = min(_REST_RATIO * (time.thread_time() - began), _LONGEST_REST_SECONDS)
    return answer, time.monotonic() + rest


class Judge:
    """Judges deployments under ``settings``; reads nothing but what it is given and the history."""

    def __init__(self, settings: Settings, estimator: Estimator, libraries: Mapping[str, str]) -> None:
        self._settings = settings
        self._estimator = estimator
        self._profiles = settings.known_profiles
        self._abilities = host_abilities(libraries)
        self._libraries = libraries
        self._tools = {gpus: toolchain(for_gpus=gpus) for gpus in (False, True)}

    @property
    def profiles(self) -> Mapping[str, Profile]:
        """Every profile there is, by name."""
        return self._profiles

    @staticmethod
    def clip(deployment: Deployment) -> Clip:
        """What the deployment makes when a request does not say."""
        return default_clip(deployment.model, deployment.settings.defaults)

    def compatibility(
        self,
        deployment: Deployment,
        hardware: HardwareSample,
        host: HostSample,
        others: Sequence[Deployment],
        *,
        profiles: Mapping[str, Profile] | None = None,
        with_image: bool | None = None,
        batch: int = 1,
        remedies: bool = True,
    ) -> Compatibility:
        """The verdict for where its worker is or is about to be; without one for the best place.

        ``profiles`` (default: those of the settings), picture and ``batch`` as in ``assess``.
        """
        wanted = deployment.settings
        if deployment.plan is not None and deployment.is_placed:
            # A running worker stays where it is: judge that device, not the one that a new load would get.
            wanted = wanted.model_copy(update={"device": deployment.plan.device})
        return self._assess(
            wanted,
            deployment,
            hardware,
            host,
            others,
            known_paces(deployment, time.monotonic()),
            profiles=profiles,
            with_image=with_image,
            batch=batch,
            remedies=remedies,
        )

    def situation(
        self,
        deployment: Deployment,
        hardware: HardwareSample,
        host: HostSample,
        others: Sequence[Deployment],
        *,
        waiting: int,
        now: float,
    ) -> Situation | None:
        """What re-planning looks at, for one that is loaded on a GPU that answers; else None."""
        plan = deployment.plan
        if plan is None or plan.gpu_uuid is None or deployment.state is not LoadState.LOADED:
            return None
        paces = known_paces(deployment, now)
        rooms = self._rooms(deployment, hardware, others, paces)
        here = rooms.get(plan.device)
        offer = self._assess(deployment.settings, deployment, hardware, host, others, paces, remedies=False)
        load = self._estimator.load_seconds(deployment)
        there = rooms.get(offer.plan.device) if offer.plan else None
        if here is None or there is None or offer.plan is None or offer.seconds is None or load is None:
            return None
        seconds = estimate_on_device(deployment.model, here.gpu, plan, self.clip(deployment)).total.expected
        return Situation(
            plan=plan,
            seconds=seconds * here.slowdown,
            short_bytes=deployment.peak_bytes - here.free_bytes,
            offered=offer.plan,
            offered_seconds=offer.seconds.expected * there.slowdown,
            offered_runs=offer.verdict in RUNS,
            load_seconds=load.total_seconds.expected,
            waiting=waiting,
            held_down=max((held_down_ratio(gpu) for gpu in hardware.gpus if gpu.uuid == plan.gpu_uuid), default=1.0),
            pace=deployment.pace.ratio,
        )

    def _assess(
        self,
        wanted: DeploymentSettings,
        deployment: Deployment,
        hardware: HardwareSample,
        host: HostSample,
        others: Sequence[Deployment],
        paces: Mapping[str, float],
        *,
        profiles: Mapping[str, Profile] | None = None,
        with_image: bool | None = None,
        batch: int = 1,
        remedies: bool = True,
    ) -> Compatibility:
        reserved, sharers = held_by(deployment, others)
        return assess(
            deployment.model,
            wanted,
            hardware,
            host,
            own_pids=_pids(deployment, others),
            reserved=reserved,
            sharers=sharers,
            paces=paces,
            limits=capped(self._settings.limits, deployment),
            profiles=profiles or self._profiles,
            abilities=self._abilities,
            fixed=files_quantization(deployment.settings.files),
            with_image=with_image,
            batch=batch,
            remedies=remedies,
            lora_parameters=lora_parameters(deployment.settings.loras),
        )

    def _rooms(
        self,
        deployment: Deployment,
        hardware: HardwareSample,
        others: Sequence[Deployment],
        paces: Mapping[str, float],
    ) -> dict[str, Room]:
        reserved, sharers = held_by(deployment, others)
        limits = capped(self._settings.limits, deployment)
        found = [
            room_of(
                gpu, own_pids=_pids(deployment, others), reserved=reserved, sharers=sharers, paces=paces, limits=limits
            )
            for gpu in hardware.gpus
        ]
        return {room.device: room for room in found if room is not None}

    def as_observed(self, deployment: Deployment, answer: Compatibility) -> Compatibility:
        """The answer with the memory that was observed under its plan, once there were runs."""
        if answer.plan is None or answer.memory is None or answer.plan.device == "cpu":
            return answer
        memory = self._estimator.memory(deployment, answer.plan, self.clip(deployment), answer.memory)
        return with_memory(answer, memory) if memory.runs else answer

    def judgement(self, deployment: Deployment, checkpoint: Path | None, host: HostSample) -> Judgement:
        """What changes with the hardware, judged now; the rest as it was when it was last validated."""
        where, model, found = f"deployment {deployment.name}", deployment.model, deployment.compatibility
        has_weights = checkpoint is not None or model.weights == "pocket"
        hardware = judge_deployment(where, model, found, checkpoint, wanted_loaded=deployment.wanted_loaded)
        room = judge_room(where, model, found, has_weights=has_weights, host=host)
        plan, profile = found.plan, self._settings.known_profiles[deployment.settings.profile]
        tools = self._tools[plan is None or plan.device != "cpu"]
        options = judge_options(where, deployment.settings, profile, plan, self._libraries, tools)
        return hardware + room + options + deployment.validation.judgement


def held_by(asking: Deployment, others: Iterable[Deployment]) -> tuple[dict[str, int], dict[str, int]]:
    """By GPU: bytes that the other deployments, loaded or loading, will come to hold there, and how many they are."""
    held: dict[str, int] = {}
    number: dict[str, int] = {}
    for deployment in others:
        plan = deployment.plan
        if deployment is asking or plan is None or plan.gpu_uuid is None or not deployment.is_placed:
            continue
        held[plan.gpu_uuid] = held.get(plan.gpu_uuid, 0) + deployment.peak_bytes
        number[plan.gpu_uuid] = number.get(plan.gpu_uuid, 0) + 1
    return held, number


def _pids(deployment: Deployment, others: Iterable[Deployment]) -> list[int]:
    """Processes whose memory it can have: its own worker, and those that are gone and that the driver still books."""
    own = [deployment.worker.pid] if deployment.worker else []
    return own + [other.ended_pid for other in others if other.ended_pid is not None]


def known_paces(deployment: Deployment, now: float) -> dict[str, float]:
    """How slow GPUs are known to be for it: as observed where its worker is, as it was on those that it left."""
    paces = {uuid: pace for uuid, (pace, at) in deployment.left.items() if now - at < REMEMBERED_SECONDS}
    if deployment.plan is not None and deployment.plan.gpu_uuid is not None:
        paces[deployment.plan.gpu_uuid] = deployment.pace.ratio
    return paces
