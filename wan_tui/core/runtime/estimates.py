"""Estimates for deployments: what the device was measured to do, corrected by this host's history."""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence

from wan_tui.core.catalog import Model
from wan_tui.core.hardware.samples import HardwareSample, HostSample
from wan_tui.core.history import TOTAL, Figure, History, Kind, Record, Unit, Versions
from wan_tui.core.planning.calibration import (
    BYTES,
    LOAD,
    Observation,
    Subject,
    calibrate_memory,
    calibrate_time,
    plan_key,
    posterior,
)
from wan_tui.core.planning.duration import DeviceRate, estimate_time
from wan_tui.core.planning.memory import GIB, estimate_memory
from wan_tui.core.planning.plan import (
    Bounds,
    Clip,
    ExecutionPlan,
    GenerationRequest,
    MemoryEstimate,
    StageSeconds,
    TimeEstimate,
    with_videos,
)
from wan_tui.core.planning.roofline import CpuModel, Device, estimate_on_device
from wan_tui.core.planning.rooms import host_room, room_of
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.words import AttentionBackend, Phase

# Modelled loading: a process that imports torch and diffusers, then weights from a disk of the usual kind.
LOAD_START_SECONDS = 6.0
LOAD_BYTES_PER_SECOND = 1e9


class Estimator:
    """Knows devices by name, so that history survives a reboot, a new driver and a moved card."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._devices: dict[str, str] = {}
        self._known: dict[str, Device] = {}
        self._cpu: CpuModel | None = None
        self._driver: str | None = None
        self._libraries = history.libraries()
        self._memory: dict[str, tuple[tuple[Subject, MemoryEstimate, tuple[int, int]], MemoryEstimate]] = {}

    def look_at(self, hardware: HardwareSample, host: HostSample) -> None:
        """Learn what ``cpu`` and ``gpu:N`` are on this host."""
        self._driver = hardware.driver.driver_version or self._driver
        self._devices["cpu"] = f"cpu {host.cpu_name} x{host.cpu_count}"
        self._cpu = host_room(host).cpu
        if self._cpu is not None:
            self._known["cpu"] = self._cpu
        for gpu in hardware.gpus:
            if gpu.memory_total_bytes:
                self._devices[f"gpu:{gpu.index}"] = f"{gpu.name} {round(gpu.memory_total_bytes / GIB)} GiB"
                if (room := room_of(gpu)) is not None:
                    self._known[room.device] = room.gpu

    def estimate(self, deployment: Deployment, request: GenerationRequest) -> TimeEstimate | None:
        """Estimate of a normalised request, or None while nothing is known about its device."""
        plan = deployment.plan or deployment.compatibility.plan
        if plan is None:
            return None
        plan = with_videos(plan, request.videos)
        if (modelled := self._modelled(deployment, plan, request)) is None:
            return None
        subject = self._subject(deployment, plan, request.clip, first=deployment.runs_since_load == 0)
        return calibrate_time(modelled, subject, self._observations(Kind.RUN, Unit.SECONDS, subject))

    def memory(
        self, deployment: Deployment, plan: ExecutionPlan, clip: Clip, modelled: MemoryEstimate
    ) -> MemoryEstimate:
        """``modelled`` memory of ``clip`` under ``plan``, corrected by the peaks that were observed on this host."""
        subject = self._subject(deployment, plan, clip, first=False)
        asked = (subject, modelled, self._history.version)
        if (known := self._memory.get(deployment.name)) is not None and known[0] == asked:
            return known[1]  # asked with every poll; solving it anew takes a tenth of a second
        found = calibrate_memory(modelled, subject, self._observations(Kind.RUN, Unit.BYTES, subject))
        self._memory[deployment.name] = asked, found
        return found

    def load_seconds(self, deployment: Deployment) -> TimeEstimate | None:
        """How long loading will take, from starting the process to ready."""
        plan = deployment.plan or deployment.compatibility.plan
        if plan is None:
            return None
        subject = self._subject(deployment, plan, None, first=deployment.last_load_seconds is None)
        modelled = modelled_load_seconds(deployment.model)
        found = posterior(
            dataclasses.replace(subject, stage=TOTAL), self._observations(Kind.LOAD, Unit.SECONDS, subject), LOAD
        )
        return TimeEstimate(basis=found.basis, runs=found.runs, total_seconds=found.bounds(modelled), stages=())

    def measured(self, deployment: Deployment, rate: DeviceRate) -> None:
        """Keep what a worker measured right after loading."""
        deployment.rate = rate
        if deployment.plan is not None:
            self._history.record_rate(deployment.model.id, self._rate_key(deployment.plan), rate)

    def loaded(self, deployment: Deployment, seconds: float, stages: Mapping[str, float]) -> TimeEstimate | None:
        """Keep a finished load and the seconds of its stages. Returns the estimate that it is kept beside."""
        plan, estimate = deployment.plan, self.load_seconds(deployment)
        if plan is None or estimate is None:
            return None
        whole = _figure(TOTAL, Unit.SECONDS, modelled_load_seconds(deployment.model), estimate.total_seconds, seconds)
        parts = (Figure(stage=stage, observed=took) for stage, took in stages.items())
        first = deployment.last_load_seconds is None
        self._record(Kind.LOAD, deployment, plan, first=first, estimate=estimate, figures=(whole, *parts))
        return estimate

    def observed(
        self,
        deployment: Deployment,
        request: GenerationRequest,
        estimate: TimeEstimate | None,
        seconds: float,
        stages: tuple[StageSeconds, ...],
        peaks: Mapping[Phase, int],
        skipped: tuple[Phase, ...] = (),
    ) -> None:
        """Keep a finished run beside its estimate: the next estimate is corrected by it.

        ``peaks`` are bytes that torch held on the device, by phase, as far as they were seen. ``skipped`` phases were
        not needed: nothing is learnt about them, and ``estimate`` and ``stages`` are without.
        """
        if deployment.plan is None:
            return
        plan = with_videos(deployment.plan, request.videos)
        modelled = self._modelled(deployment, plan, request)
        modelled = without(modelled, skipped) if modelled else None
        self._record(
            Kind.RUN,
            deployment,
            plan,
            first=deployment.runs_since_load == 0,
            estimate=estimate,
            figures=(
                *_time_figures(modelled, estimate, seconds, stages),
                *self._memory_figures(deployment, plan, request, peaks),
            ),
            request=request,
        )

    def ran_out(self, deployment: Deployment, request: GenerationRequest, phase: Phase, needed_bytes: int) -> None:
        """Keep what a run that ran out of memory in ``phase`` needed there at least, if that is more than was expected.

        If it is not, less was free than planned with, and the model is not to blame.
        """
        plan = deployment.plan
        if plan is None or plan.gpu_uuid is None:
            return
        figures = tuple(
            figure
            for figure in self._memory_figures(deployment, plan, request, {phase: needed_bytes})
            if figure.expected is None or figure.observed > figure.expected
        )
        if figures:
            self._record(Kind.RUN, deployment, plan, first=False, estimate=None, figures=figures, request=request)

    def _record(
        self,
        kind: Kind,
        deployment: Deployment,
        plan: ExecutionPlan,
        *,
        first: bool,
        estimate: TimeEstimate | None,
        figures: tuple[Figure, ...],
        request: GenerationRequest | None = None,
    ) -> None:
        record = Record(
            kind=kind,
            ended_at=time.time(),
            deployment=deployment.name,
            model=deployment.model.id,
            device=self._device(plan),
            plan_key=plan_key(plan),
            plan=plan,
            first=first,
            versions=self._versions(deployment, plan),
            figures=figures,
            clip=request.clip if request else None,
            request=request,
            basis=estimate.basis if estimate else None,
            runs=estimate.runs if estimate else 0,
        )
        self._history.record(record)

    def _memory_figures(
        self, deployment: Deployment, plan: ExecutionPlan, request: GenerationRequest, peaks: Mapping[Phase, int]
    ) -> Iterator[Figure]:
        if not peaks:
            return
        clip, with_image = request.clip, True if request.image else None
        subject = self._subject(deployment, plan, clip, first=False)
        observations = self._observations(Kind.RUN, Unit.BYTES, subject)
        modelled = estimate_memory(deployment.model, plan, clip, with_image=with_image)
        for phase in modelled.phases:
            if (seen := peaks.get(phase.phase)) is not None:
                found = posterior(dataclasses.replace(subject, stage=phase.phase), observations, BYTES)
                # torch does not see the context that its process holds beside what it allocates.
                observed, shown = seen + phase.context_bytes, found.bounds(phase.total_bytes)
                yield _figure(phase.phase, Unit.BYTES, phase.total_bytes, shown, observed)

    def _modelled(self, deployment: Deployment, plan: ExecutionPlan, request: GenerationRequest) -> TimeEstimate | None:
        rate = deployment.rate or self._history.rate(deployment.model.id, self._rate_key(plan))
        if rate is None:
            # No worker measured this yet: the published rates of the card, or a matrix product of the processors.
            image = True if request.image else None
            if (known := self._known.get(plan.device)) is None:
                return None
            clip, cpu = request.clip, self._cpu
            return estimate_on_device(deployment.model, known, plan, clip, with_image=image, host=cpu).time
        return estimate_time(
            deployment.model,
            rate,
            width=request.width,
            height=request.height,
            frames=request.frames,
            steps=request.steps,
            guidance=request.guidance,
            with_image=request.image is not None,
            cache=plan.cache,
            batch=request.videos,
        )

    def _observations(self, kind: Kind, unit: Unit, subject: Subject) -> Sequence[Observation]:
        return self._history.observations(kind, unit, model=subject.model, device=subject.device)

    def _subject(self, deployment: Deployment, plan: ExecutionPlan, clip: Clip | None, *, first: bool) -> Subject:
        return Subject(
            stage="",
            device=self._device(plan),
            model=deployment.model.id,
            plan=plan_key(plan),
            first=first,
            versions=self._versions(deployment, plan).key,
            clip=clip,
        )

    def _versions(self, deployment: Deployment, plan: ExecutionPlan) -> Versions:
        """Of the worker that runs; without one, of the last that did."""
        if (worker := deployment.worker_status) is not None and worker.torch_version:
            self._libraries = Versions(torch=worker.torch_version, diffusers=worker.diffusers_version)
        driver = None if plan.device == "cpu" else self._driver
        return dataclasses.replace(self._libraries, driver=driver)

    def _device(self, plan: ExecutionPlan) -> str:
        return self._devices.get(plan.device, plan.device)

    def _rate_key(self, plan: ExecutionPlan) -> str:
        compiled = " compiled" if plan.compile else ""
        kernel = "" if plan.attention is AttentionBackend.SDPA else f" {plan.attention}"
        return f"{self._device(plan)} {plan.precision} {plan.quantization} {plan.offload}{kernel}{compiled}"


def without(estimate: TimeEstimate, skipped: tuple[Phase, ...]) -> TimeEstimate:
    """``estimate`` of a run in which some stages are not needed."""
    left = tuple(stage for stage in estimate.stages if stage.stage not in skipped)
    less = sum(stage.seconds for stage in estimate.stages if stage.stage in skipped)
    total = estimate.total_seconds
    if not less or total.expected <= less:
        return estimate
    share = (total.expected - less) / total.expected
    bounds = Bounds(total.low * share, total.expected - less, total.high * share)
    return dataclasses.replace(estimate, total_seconds=bounds, stages=left)


def modelled_load_seconds(model: Model) -> float:
    """From starting the worker to ready, for weights that come from a local disk."""
    weights = sum(component.published_bytes for _, component in model.components)
    return LOAD_START_SECONDS + weights / LOAD_BYTES_PER_SECOND


def _time_figures(
    modelled: TimeEstimate | None, shown: TimeEstimate | None, seconds: float, stages: tuple[StageSeconds, ...]
) -> Iterator[Figure]:
    total = modelled.total_seconds.expected if modelled else None
    yield _figure(TOTAL, Unit.SECONDS, total, shown.total_seconds if shown else None, seconds)
    model_of = {stage.stage: stage.seconds for stage in modelled.stages} if modelled else {}
    shown_of = {stage.stage: stage for stage in shown.stages} if shown else {}
    for stage in stages:
        estimate = shown_of.get(stage.stage)
        yield Figure(
            stage=stage.stage,
            modelled=model_of.get(stage.stage),
            low=estimate.low if estimate else None,
            expected=estimate.seconds if estimate else None,
            high=estimate.high if estimate else None,
            observed=stage.seconds,
        )


def _figure(stage: str, unit: Unit, modelled: float | None, shown: Bounds | None, observed: float) -> Figure:
    return Figure(
        stage=stage,
        unit=unit,
        modelled=modelled,
        low=shown.low if shown else None,
        expected=shown.expected if shown else None,
        high=shown.high if shown else None,
        observed=observed,
    )
