"""What is known about a deployment now: its verdict by the planner, as observed here, and how the rules come out."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from wan_tui.core.catalog.profiles import Profile
from wan_tui.core.config import Settings
from wan_tui.core.hardware.samples import HardwareSample, HostSample
from wan_tui.core.planning.assess import assess
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.compatibility import with_memory
from wan_tui.core.planning.plan import Clip, Compatibility
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.estimates import Estimator
from wan_tui.core.runtime.ladder import capped
from wan_tui.core.validation.deployment import judge_deployment
from wan_tui.core.validation.environment import judge_room, runnable_quantizations
from wan_tui.core.validation.judgement import Judgement
from wan_tui.core.validation.transformer_file import files_quantization


class Judge:
    """Judges deployments under ``settings``; reads nothing but what it is given and the history."""

    def __init__(self, settings: Settings, estimator: Estimator, libraries: Mapping[str, str]) -> None:
        self._settings = settings
        self._estimator = estimator
        self._profiles = settings.known_profiles
        self._quantizations = runnable_quantizations(libraries)

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
        """The verdict; ``profiles`` (default: those of the settings), picture and ``batch`` as in ``assess``."""
        wanted = deployment.settings
        if deployment.plan is not None and deployment.worker is not None:
            # A running worker stays where it is: judge that device, not the one that a new load would get.
            wanted = wanted.model_copy(update={"device": deployment.plan.device})
        return assess(
            deployment.model,
            wanted,
            hardware,
            host,
            own_pids=[deployment.worker.pid] if deployment.worker else [],
            reserved=self._reserved(deployment, others),
            limits=capped(self._settings.limits, deployment),
            profiles=profiles or self._profiles,
            quantizations=self._quantizations,
            fixed=files_quantization(deployment.settings.files),
            with_image=with_image,
            batch=batch,
            remedies=remedies,
        )

    def as_observed(self, deployment: Deployment, answer: Compatibility) -> Compatibility:
        """The answer with the memory that was observed under its plan, once there were runs."""
        if answer.plan is None or answer.memory is None or answer.plan.device == "cpu":
            return answer
        memory = self._estimator.memory(deployment, answer.plan, self.clip(deployment), answer.memory)
        return with_memory(answer, memory) if memory.runs else answer

    @staticmethod
    def _reserved(asking: Deployment, others: Iterable[Deployment]) -> dict[str, int]:
        """Bytes by GPU that the other deployments, loaded or loading, will come to hold there."""
        held: dict[str, int] = {}
        for deployment in others:
            memory, plan = deployment.compatibility.memory, deployment.plan
            if deployment is asking or deployment.worker is None or plan is None or plan.gpu_uuid is None:
                continue
            held[plan.gpu_uuid] = held.get(plan.gpu_uuid, 0) + (memory.peak_bytes if memory else 0)
        return held

    @staticmethod
    def judgement(deployment: Deployment, checkpoint: Path | None, host: HostSample) -> Judgement:
        """What changes with the hardware, judged now; the rest as it was when it was last validated."""
        where, model, found = f"deployment {deployment.name}", deployment.model, deployment.compatibility
        has_weights = checkpoint is not None or model.weights == "pocket"
        hardware = judge_deployment(where, model, found, checkpoint, wanted_loaded=deployment.wanted_loaded)
        room = judge_room(where, model, found, has_weights=has_weights, host=host)
        return hardware + room + deployment.validation.judgement
