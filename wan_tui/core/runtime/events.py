"""What a worker said, applied to its deployment and its job."""

import dataclasses
import time
from collections import defaultdict
from collections.abc import Callable

from wan_tui.core.runtime import protocol
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.estimates import Estimator, without
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.ladder import LOADING, step_down
from wan_tui.core.runtime.launcher import WorkerExit
from wan_tui.core.runtime.observing import LoadStages, PhasePeaks
from wan_tui.core.runtime.progress import after_phase, after_step
from wan_tui.core.runtime.state import WorkerStatus
from wan_tui.core.words import JobFailureReason, LoadState, Phase, Resolution, UnloadCause

# Failures that may not come again.
RETRIED = (JobFailureReason.WORKER_DIED, JobFailureReason.OUT_OF_MEMORY, JobFailureReason.INTERNAL)
MAG_MEASURED = "MagCache measured the model in this run and skipped nothing: the next runs are faster"
PROMPT_REUSED = "the prompt was still encoded from an earlier job: its text encoding was skipped"


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
                # torch's peak begins anew with every phase: the highest since the load is kept here.
                highest = (
                    max(event.peak_bytes, deployment.worker_status.device_peak_bytes or 0) if event.peak_bytes else None
                )
                deployment.worker_status = dataclasses.replace(
                    deployment.worker_status,
                    resident_memory_bytes=event.resident_bytes,
                    device_allocated_bytes=event.allocated_bytes,
                    device_reserved_bytes=event.reserved_bytes,
                    device_peak_bytes=highest,
                )
            case protocol.Log():
                self._log(event.level, deployment.name, event.message)
            case _ if getattr(event, "job", None) == deployment.running_job and deployment.running_job:
                self._job_event(deployment, deployment.running_job, event, now)

    def job_lost(self, deployment: Deployment, ended: WorkerExit, *, unloading: bool) -> None:
        """The worker is gone while a job ran on it."""
        job_id = deployment.running_job
        assert job_id is not None
        if deployment.timed_out:
            self._timed_out(deployment, job_id)
        elif unloading:
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
        deployment.stepped_down_for.discard(LOADING)
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
                deployment.pace.saw(deployment.model, job, event)
                self._queue.replace(after_step(job, event, now))
            case protocol.PreviewReady():
                self._queue.replace(dataclasses.replace(job, preview=event.preview))
            case protocol.JobFinished():
                self._finished(deployment, job_id, event)
            case protocol.JobFailed():
                if event.reason is JobFailureReason.OUT_OF_MEMORY:
                    deployment.tallies.out_of_memory[event.phase] += 1
                    if event.needed_bytes is not None:
                        self._estimator.ran_out(deployment, job.request, event.phase, event.needed_bytes)
                    if (notice := step_down(deployment, event)) is not None:
                        deployment.running_job = None
                        self._queue.requeue(job_id, notice)
                        self._log("warning", deployment.name, f"job {job_id}: {notice}")
                        return
                    deployment.vitals.ran_out()
                self._failed(deployment, job_id, event.reason, event.message)
            case protocol.JobCancelled() if deployment.timed_out:
                self._timed_out(deployment, job_id)
            case protocol.JobCancelled():
                self._cancelled(deployment, job_id)

    def _finished(self, deployment: Deployment, job_id: str, event: protocol.JobFinished) -> None:
        job = self._queue.get(job_id)
        skipped = (Phase.TEXT_ENCODE,) if event.prompt_reused else ()
        estimate = without(job.estimate, skipped) if job.estimate else None
        notices = (*job.notices, *_notices(event))
        job = self._queue.finish(
            job_id,
            observed_seconds=event.seconds,
            stages=event.stages,
            output=event.output,
            more_outputs=event.more_outputs,
            estimate=estimate,
            notices=notices,
        )
        tallies, resolution = deployment.tallies, Resolution.of(job.request.width, job.request.height)
        tallies.jobs_finished += 1
        tallies.video_seconds += event.video_seconds
        tallies.generation_seconds[resolution].observe(event.seconds)
        for stage in event.stages:
            tallies.stage_seconds[stage.stage].observe(stage.seconds)
        deployment.last_generation_seconds = event.seconds
        beside = ""
        if estimate is not None:
            estimated = estimate.total_seconds.expected
            tallies.estimated_seconds[resolution] += estimated
            tallies.error_ratio.observe(event.seconds / estimated)
            deployment.last_estimated_seconds = estimated
            beside = f" (estimated {estimated:.2f} s)"
        # torch's own peak of each phase where there is one, else what the heartbeats saw.
        peaks = {peak.phase: peak.reserved_bytes for peak in event.peaks} or self._peaks[deployment.name].of(job_id)
        # What is paid once says nothing about the next run.
        left_out = (*skipped, *event.measuring)
        stages = tuple(stage for stage in event.stages if stage.stage not in left_out)
        once = sum(stage.seconds for stage in event.stages if stage.stage in event.measuring) + event.compile_seconds
        compared = without(estimate, event.measuring) if estimate else None
        seconds = event.seconds - once
        self._estimator.observed(deployment, job.request, compared, seconds, stages, peaks, left_out)
        deployment.runs_since_load += 1
        deployment.running_job = None
        self._log(
            "info",
            deployment.name,
            f"job {job_id} finished in {event.seconds:.2f} s{beside}: {_where(event)}",
        )

    def _failed(self, deployment: Deployment, job_id: str, reason: JobFailureReason, message: str) -> None:
        deployment.running_job = None
        job = self._queue.get(job_id)
        if reason in RETRIED and job.retried < job.request.retries:
            number = job.retried + 1
            notice = f"retry {number} of {job.request.retries} after {reason}: {message}"
            self._queue.requeue(job_id, notice, retried=number)
            deployment.tallies.jobs_retried += 1
            self._log("warning", deployment.name, f"job {job_id}: {notice}")
            return
        self._queue.fail(job_id, reason, message)
        deployment.tallies.jobs_failed[reason] += 1
        self._log("error", deployment.name, f"job {job_id} failed ({reason}): {message}")

    def _timed_out(self, deployment: Deployment, job_id: str) -> None:
        limit = self._queue.get(job_id).request.timeout_seconds
        deployment.timed_out = False
        self._failed(deployment, job_id, JobFailureReason.TIMEOUT, f"not done within its timeout of {limit:g} s")

    def _cancelled(self, deployment: Deployment, job_id: str) -> None:
        """Because someone wanted it, or because the engine ends: then the next engine may go on with it."""
        deployment.running_job = None
        if deployment.state is LoadState.UNLOADING and deployment.unload_cause is UnloadCause.SHUTDOWN:
            self._queue.interrupt(job_id)
            deployment.tallies.jobs_interrupted += 1
            self._log("warning", deployment.name, f"job {job_id} interrupted: the engine ends")
            return
        self._queue.cancel(job_id)
        deployment.tallies.jobs_cancelled += 1
        self._log("info", deployment.name, f"job {job_id} cancelled")


def _notices(event: protocol.JobFinished) -> tuple[str, ...]:
    compiled = f"torch.compile took {event.compile_seconds:.1f} s of this run, once for clips like it"
    return (
        *((PROMPT_REUSED,) if event.prompt_reused else ()),
        *((compiled,) if event.compile_seconds >= 0.05 else ()),
        *((MAG_MEASURED,) if event.measuring else ()),
    )


def _where(event: protocol.JobFinished) -> str:
    return event.output + (f" and {len(event.more_outputs)} more" if event.more_outputs else "")
