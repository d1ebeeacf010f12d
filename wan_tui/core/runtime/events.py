"""What a worker said, applied to its deployment and its job."""

import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable

from wan_tui.core.runtime import protocol
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.estimates import Estimator
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.launcher import WorkerExit
from wan_tui.core.runtime.observing import LoadStages, PhasePeaks
from wan_tui.core.runtime.progress import after_phase, after_step
from wan_tui.core.runtime.state import WorkerStatus
from wan_tui.core.words import JobFailureReason, LoadState, Phase, Resolution


class WorkerEvents:
    """One handler per event; none of them waits for anything."""

    def __init__(self, queue: JobQueue, estimator: Estimator, log: Callable[[str, str, str], None]) -> None:
        self._queue = queue
        self._estimator = estimator
        self._log = log
        self._load_stages: defaultdict[str, LoadStages] = defaultdict(lambda: LoadStages(time.time()))
        self._peaks: defaultdict[str, PhasePeaks] = defaultdict(PhasePeaks)

    def handle(self, deployment: Deployment, event: protocol.Event) -> None:
        now = time.time()
        if not isinstance(event, protocol.Memory | protocol.Log) and deployment.worker_status is not None:
            deployment.worker_status = dataclasses.replace(deployment.worker_status, last_progress_at=now)
        match event:
            case protocol.Hello():
                self._load_stages[deployment.name] = LoadStages(deployment.state_changed_at)
                self._peaks[deployment.name] = PhasePeaks()
                deployment.worker_status = WorkerStatus(
                    pid=event.pid,
                    up=True,
                    started_at=now,
                    last_progress_at=now,
                    torch_version=event.torch_version,
                    diffusers_version=event.diffusers_version,
                    transformers_version=event.transformers_version,
                    cuda_version=event.cuda_version,
                )
            case protocol.LoadStage():
                deployment.load_stage, deployment.load_progress_ratio = event.stage, event.progress_ratio
                self._load_stages[deployment.name].began(event.stage, now)
            case protocol.Loaded():
                self._loaded(deployment, event, now)
            case protocol.LoadFailed():
                deployment.load_failure = (event.reason, event.message)
            case protocol.Memory() if deployment.worker_status is not None:
                phase = self._queue.get(deployment.running_job).phase if deployment.running_job else Phase.IDLE
                self._peaks[deployment.name].saw(deployment.running_job, phase, event)
                deployment.worker_status = dataclasses.replace(
                    deployment.worker_status,
                    resident_memory_bytes=event.resident_bytes,
                    device_allocated_bytes=event.allocated_bytes,
                    device_reserved_bytes=event.reserved_bytes,
                    device_peak_bytes=event.peak_bytes,
                )
            case protocol.Log():
                self._log(event.level, deployment.name, event.message)
            case _ if getattr(event, "job", None) == deployment.running_job and deployment.running_job:
                self._job_event(deployment, deployment.running_job, event, now)

    def job_lost(self, deployment: Deployment, ended: WorkerExit, *, unloading: bool) -> None:
        """The worker is gone while a job ran on it."""
        job_id = deployment.running_job
        assert job_id is not None
        if unloading:
            self._cancelled(deployment, job_id)
        else:
            self._failed(deployment, job_id, JobFailureReason.WORKER_DIED, ended.description)

    def _loaded(self, deployment: Deployment, event: protocol.Loaded, now: float) -> None:
        if deployment.state is not LoadState.LOADING:
            return
        seconds = now - deployment.state_changed_at
        deployment.tallies.load_seconds.observe(seconds)
        estimate = self._estimator.loaded(deployment, seconds, self._load_stages[deployment.name].ended(now))
        beside = f", estimated {estimate.total_seconds.expected:.1f} s" if estimate else ""
        deployment.last_load_seconds = seconds
        deployment.enter(LoadState.LOADED)
        self._estimator.measured(deployment, event.rate)
        self._log(
            "info", deployment.name, f"loaded in {seconds:.1f} s (the model itself in {event.seconds:.1f} s{beside})"
        )

    def _job_event(self, deployment: Deployment, job_id: str, event: protocol.Event, now: float) -> None:
        job = self._queue.get(job_id)
        match event:
            case protocol.PhaseStarted():
                self._queue.replace(after_phase(job, event, now))
            case protocol.StepDone():
                deployment.tallies.step_seconds[event.expert].observe(event.seconds)
                self._queue.replace(after_step(job, event, now))
            case protocol.PreviewReady():
                self._queue.replace(dataclasses.replace(job, preview=event.preview))
            case protocol.JobFinished():
                self._finished(deployment, job_id, event)
            case protocol.JobFailed():
                if event.reason is JobFailureReason.OUT_OF_MEMORY:
                    deployment.tallies.out_of_memory[event.phase] += 1
                self._failed(deployment, job_id, event.reason, event.message)
            case protocol.JobCancelled():
                self._cancelled(deployment, job_id)

    def _finished(self, deployment: Deployment, job_id: str, event: protocol.JobFinished) -> None:
        job = self._queue.finish(job_id, observed_seconds=event.seconds, stages=event.stages, output=event.output)
        tallies, resolution = deployment.tallies, Resolution.of(job.request.width, job.request.height)
        tallies.jobs_finished += 1
        tallies.video_seconds += event.video_seconds
        tallies.generation_seconds[resolution].observe(event.seconds)
        for stage in event.stages:
            tallies.stage_seconds[stage.stage].observe(stage.seconds)
        deployment.last_generation_seconds = event.seconds
        beside = ""
        if job.estimate is not None:
            estimated = job.estimate.total_seconds.expected
            tallies.estimated_seconds[resolution] += estimated
            tallies.error_ratio.observe(event.seconds / estimated)
            deployment.last_estimated_seconds = estimated
            beside = f" (estimated {estimated:.2f} s)"
        peaks = self._peaks[deployment.name].of(job_id)
        self._estimator.observed(deployment, job.request, job.estimate, event.seconds, event.stages, peaks)
        deployment.runs_since_load += 1
        deployment.running_job = None
        self._log("info", deployment.name, f"job {job_id} finished in {event.seconds:.2f} s{beside}: {event.output}")

    def _failed(self, deployment: Deployment, job_id: str, reason: JobFailureReason, message: str) -> None:
        self._queue.fail(job_id, reason, message)
        deployment.tallies.jobs_failed[reason] += 1
        deployment.running_job = None
        self._log("error", deployment.name, f"job {job_id} failed ({reason}): {message}")

    def _cancelled(self, deployment: Deployment, job_id: str) -> None:
        self._queue.cancel(job_id)
        deployment.tallies.jobs_cancelled += 1
        deployment.running_job = None
        self._log("info", deployment.name, f"job {job_id} cancelled")
