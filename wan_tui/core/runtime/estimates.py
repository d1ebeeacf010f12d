"""Time estimates for deployments: what the device was measured to do, corrected by this host's history."""

from wan_tui.core.hardware.samples import HardwareSample, HostSample
from wan_tui.core.history import History, Run
from wan_tui.core.planning.duration import DeviceRate, estimate_time
from wan_tui.core.planning.memory import GIB
from wan_tui.core.planning.plan import ExecutionPlan, GenerationRequest, StageSeconds, TimeEstimate
from wan_tui.core.runtime.deployment import Deployment


class Estimator:
    """Knows devices by name, so that history survives a reboot, a new driver and a moved card."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._devices: dict[str, str] = {}

    def look_at(self, hardware: HardwareSample, host: HostSample) -> None:
        """Learn what ``cpu`` and ``gpu:N`` are on this host."""
        self._devices["cpu"] = f"cpu {host.cpu_name} x{host.cpu_count}"
        for gpu in hardware.gpus:
            if gpu.memory_total_bytes:
                self._devices[f"gpu:{gpu.index}"] = f"{gpu.name} {round(gpu.memory_total_bytes / GIB)} GiB"

    def estimate(self, deployment: Deployment, request: GenerationRequest) -> TimeEstimate | None:
        """Estimate of a normalised request, or None while its device has never been measured."""
        plan = deployment.plan or deployment.compatibility.plan
        if plan is None or (rate := self._rate(deployment, plan)) is None:
            return None
        warm = deployment.runs_since_load > 0
        ratios = self._history.past_ratios(deployment.model.id, self._device(plan), warm=warm)
        return self._modelled(deployment, rate, request, tuple(ratios))

    def measured(self, deployment: Deployment, rate: DeviceRate) -> None:
        """Keep what a worker measured right after loading."""
        deployment.rate = rate
        if deployment.plan is not None:
            self._history.record_rate(deployment.model.id, self._device(deployment.plan), rate)

    def observed(
        self,
        deployment: Deployment,
        request: GenerationRequest,
        estimate: TimeEstimate | None,
        seconds: float,
        stages: tuple[StageSeconds, ...],
    ) -> None:
        """Keep a finished run beside its estimate: the next estimate is corrected by it."""
        plan = deployment.plan
        if estimate is None or plan is None or (rate := self._rate(deployment, plan)) is None:
            return
        run = Run(
            model=deployment.model.id,
            device=self._device(plan),
            warm=deployment.runs_since_load > 0,
            request=request,
            plan=plan,
            modelled_seconds=self._modelled(deployment, rate, request, ()).total_seconds.expected,
            estimated_seconds=estimate.total_seconds.expected,
            observed_seconds=seconds,
            stages=stages,
        )
        self._history.record_run(run)

    @staticmethod
    def _modelled(
        deployment: Deployment, rate: DeviceRate, request: GenerationRequest, ratios: tuple[float, ...]
    ) -> TimeEstimate:
        return estimate_time(
            deployment.model,
            rate,
            width=request.width,
            height=request.height,
            frames=request.frames,
            steps=request.steps,
            guidance=request.guidance,
            past_ratios=ratios,
        )

    def _rate(self, deployment: Deployment, plan: ExecutionPlan) -> DeviceRate | None:
        return deployment.rate or self._history.rate(deployment.model.id, self._device(plan))

    def _device(self, plan: ExecutionPlan) -> str:
        return f"{self._devices.get(plan.device, plan.device)} {plan.precision} {plan.offload}"
