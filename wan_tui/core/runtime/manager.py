"""Makes deployments what they are wanted to be, and runs jobs on them."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from wan_tui.core.catalog import Catalogue
from wan_tui.core.config import Settings
from wan_tui.core.errors import UsageError, WanTuiError, unknown_name
from wan_tui.core.hardware.samples import DriverStatus, HardwareSample, HostSample
from wan_tui.core.history import History
from wan_tui.core.planning.assess import assess
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.compatibility import with_memory
from wan_tui.core.planning.plan import Compatibility, GenerationRequest
from wan_tui.core.runtime import protocol
from wan_tui.core.runtime.deployment import Deployment, Launcher
from wan_tui.core.runtime.estimates import Estimator
from wan_tui.core.runtime.events import WorkerEvents
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.launcher import WorkerExit
from wan_tui.core.runtime.state import DeploymentStatus, Job
from wan_tui.core.runtime.status import deployment_status
from wan_tui.core.runtime.validator import validate
from wan_tui.core.validation.deployment import judge_deployment
from wan_tui.core.validation.environment import installed_libraries, judge_room, runnable_quantizations
from wan_tui.core.validation.judgement import Judgement
from wan_tui.core.validation.request import check_output, normalise
from wan_tui.core.words import JobFailureReason, JobState, LoadFailureReason, LoadState, UnloadCause, Verdict

Log = Callable[[str, str, str], None]

SHUTDOWN_GRACE_SECONDS = 1.0


class Manager:
    """Deployments and their jobs. Lives on the engine's loop; ``changed`` is called whenever something did."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        launcher: Launcher,
        history: History,
        log: Log,
        changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._launcher = launcher
        self._log = log
        self._changed = changed
        self._estimator = Estimator(history)
        self._checkpoints: Mapping[str, Path | None] = {}
        self._quantizations = runnable_quantizations(installed_libraries())
        self.validation_due = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.queue = JobQueue(settings.limits.max_queued_jobs)
        unassessed = Compatibility(verdict=Verdict.UNKNOWN, reason="the hardware has not been read yet")
        self._deployments = {
            name: Deployment(
                name=name,
                settings=deployment,
                model=catalogue.find(deployment.model),
                compatibility=unassessed,
                wanted_loaded=deployment.wanted_loaded,
            )
            for name, deployment in settings.deployments.items()
        }
        self._events = WorkerEvents(self.queue, self._estimator, log)

    def statuses(self) -> tuple[DeploymentStatus, ...]:
        return tuple(
            deployment_status(
                deployment,
                self.queue.queued(deployment.name),
                self.queue.get(deployment.running_job) if deployment.running_job else None,
            )
            for deployment in self._deployments.values()
        )

    async def assess(self, hardware: HardwareSample, host: HostSample, checkpoints: Mapping[str, Path | None]) -> None:
        """Judge every deployment against fresh samples; planning is done in a thread."""
        if checkpoints != self._checkpoints:
            self._checkpoints = checkpoints
            self.validation_due.set()
        self._estimator.look_at(hardware, host)
        for deployment in self._deployments.values():
            answer = await asyncio.to_thread(self._compatibility, deployment, hardware, host)
            deployment.compatibility = self._as_observed(deployment, answer)
            deployment.judgement = self._judge(deployment, checkpoints.get(deployment.name), host)
        self._changed()

    def _compatibility(self, deployment: Deployment, hardware: HardwareSample, host: HostSample) -> Compatibility:
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
            reserved=self._reserved(deployment),
            limits=self._settings.limits,
            profile=self._settings.profile(deployment.settings),
            quantizations=self._quantizations,
        )

    def _as_observed(self, deployment: Deployment, answer: Compatibility) -> Compatibility:
        """The answer with the memory that was observed under its plan, once there were runs."""
        if answer.plan is None or answer.memory is None or answer.plan.device == "cpu":
            return answer
        clip = default_clip(deployment.model, deployment.settings.defaults)
        memory = self._estimator.memory(deployment, answer.plan, clip, answer.memory)
        return with_memory(answer, memory) if memory.runs else answer

    def _reserved(self, asking: Deployment) -> dict[str, int]:
        """Bytes by GPU that the other deployments, loaded or loading, will come to hold there."""
        held: dict[str, int] = {}
        for deployment in self._deployments.values():
            memory, plan = deployment.compatibility.memory, deployment.plan
            if deployment is asking or deployment.worker is None or plan is None or plan.gpu_uuid is None:
                continue
            held[plan.gpu_uuid] = held.get(plan.gpu_uuid, 0) + (memory.peak_bytes if memory else 0)
        return held

    @staticmethod
    def _judge(deployment: Deployment, checkpoint: Path | None, host: HostSample) -> Judgement:
        """What changes with the hardware, judged now; the rest as it was when it was last validated."""
        where, model, found = f"deployment {deployment.name}", deployment.model, deployment.compatibility
        has_weights = checkpoint is not None or model.weights == "pocket"
        hardware = judge_deployment(where, model, found, checkpoint, wanted_loaded=deployment.wanted_loaded)
        room = judge_room(where, model, found, has_weights=has_weights, host=host)
        return hardware + room + deployment.validation.judgement

    async def validate(self, driver: DriverStatus, host: HostSample) -> None:
        """Evaluate every rule for every deployment; what takes a disk is done in a thread."""
        self.validation_due.clear()
        for deployment in self._deployments.values():
            checkpoint = self._checkpoints.get(deployment.name)
            await validate(deployment, checkpoint, self._settings.limits, driver, host, self._log)
            deployment.judgement = self._judge(deployment, checkpoint, host)
            self._changed()

    def load_wanted(self) -> None:
        """Load what the configuration wants loaded; what cannot run is ``failed`` with the reason."""
        for deployment in self._deployments.values():
            if deployment.wanted_loaded:
                self._begin_load(deployment)

    async def load(self, name: str) -> None:
        """Want a deployment loaded. Raises UsageError (unknown name) or WanTuiError (it cannot run here)."""
        deployment = self._find(name)
        if deployment.state is LoadState.UNLOADING:
            raise WanTuiError(f"{name} is unloading: load it again when that is done")
        if deployment.state in (LoadState.LOADING, LoadState.LOADED):
            deployment.wanted_loaded = True
            self._changed()
            return
        self._refuse_what_cannot_run(deployment)
        self._begin_load(deployment)

    async def unload(self, name: str) -> None:
        """Want a deployment unloaded: its jobs end as cancelled, its worker exits."""
        deployment = self._find(name)
        deployment.wanted_loaded = False
        for job in self.queue.queued(name):
            self.queue.cancel(job.id)
            deployment.tallies.jobs_cancelled += 1
        self._begin_unload(deployment, UnloadCause.OPERATOR)

    async def generate(self, request: GenerationRequest) -> str:
        """Queue a request and return the job's id; loads the deployment if it is not. Raises WanTuiError."""
        deployment = self._find(request.deployment)
        normalised, notices = normalise(request, deployment.model, self._settings.limits)
        if deployment.state is not LoadState.LOADED:
            self._refuse_what_cannot_run(deployment)
        await asyncio.to_thread(self._check_output, request.output)
        job = self.queue.submit(normalised, notices)
        self.queue.update(job.id, estimate=self._estimator.estimate(deployment, normalised))
        self._log("info", deployment.name, f"job {job.id} queued" + "".join(f"; {notice}" for notice in notices))
        if deployment.state in (LoadState.UNLOADED, LoadState.FAILED):
            self._begin_load(deployment)
        self._start_next_job(deployment)
        self._changed()
        return job.id

    async def cancel(self, job_id: str) -> None:
        """Cancel a job: at once when queued, at the next step when running. Raises UsageError otherwise."""
        job = self.queue.get(job_id)
        deployment = self._find(job.request.deployment)
        if job.state.ended:
            raise UsageError(f"job {job_id} is already {job.state}")
        if job.state is JobState.QUEUED:
            self.queue.cancel(job_id)
            deployment.tallies.jobs_cancelled += 1
            self._log("info", deployment.name, f"job {job_id} cancelled")
        elif deployment.worker is not None:
            deployment.worker.send(protocol.Cancel(job=job_id))
        self._changed()

    async def close(self) -> None:
        """Stop every worker and wait until the processes are gone."""
        for deployment in self._deployments.values():
            deployment.wanted_loaded = False
            self._begin_unload(deployment, UnloadCause.SHUTDOWN)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _find(self, name: str) -> Deployment:
        if name not in self._deployments:
            raise unknown_name("deployment", name, self._deployments)
        return self._deployments[name]

    def _check_output(self, output: str | None) -> None:
        if output is None:
            outputs = self._settings.paths.outputs
            try:
                outputs.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise WanTuiError(f"output directory {outputs} cannot be made: {error.strerror}") from None
            check_output(outputs / "clip.mp4.new")
            return
        path = Path(output)
        if not path.is_absolute():
            raise UsageError(f"output {output}: must be an absolute path")
        taken = [job for job in self.queue.jobs if not job.state.ended and job.request.output == output]
        if taken:
            raise UsageError(f"output {output}: job {taken[0].id} will write it; choose another name")
        check_output(path)

    def _refuse_what_cannot_run(self, deployment: Deployment) -> None:
        verdict, reason = deployment.compatibility.verdict, deployment.compatibility.reason
        if deployment.compatibility.plan is None or verdict is Verdict.INCOMPATIBLE:
            raise WanTuiError(f"{deployment.name} cannot be loaded ({verdict}): {reason}")

    def _begin_load(self, deployment: Deployment) -> None:
        deployment.wanted_loaded = True
        deployment.tallies.loads += 1
        deployment.plan = deployment.compatibility.plan
        if deployment.plan is None or deployment.compatibility.verdict is Verdict.INCOMPATIBLE:
            deployment.load_failure = (LoadFailureReason.INCOMPATIBLE, deployment.compatibility.reason)
            self._load_failed(deployment)
            return
        deployment.load_failure = None
        deployment.runs_since_load = 0
        deployment.enter(LoadState.LOADING)
        self._log("info", deployment.name, f"loading {deployment.model.id} on {deployment.plan.device}")
        self._spawn(self._start_worker(deployment))
        self._changed()

    async def _start_worker(self, deployment: Deployment) -> None:
        assert deployment.plan is not None

        def on_event(event: protocol.Event) -> None:
            self._events.handle(deployment, event)
            self._start_next_job(deployment)
            self._changed()

        def on_exit(ended: WorkerExit) -> None:
            self._worker_gone(deployment, ended)

        try:
            worker = await self._launcher.start(deployment.plan, on_event, on_exit)
        except OSError as error:
            message = f"cannot start a worker process: {error.strerror or error}"
            deployment.load_failure = (LoadFailureReason.ENVIRONMENT, message)
            self._load_failed(deployment)
            return
        deployment.worker = worker
        if deployment.state is not LoadState.LOADING:  # unloaded while the process started
            self._spawn(worker.stop(protocol.Exit(), 0))
            return
        checkpoint = self._checkpoints.get(deployment.name)
        worker.send(deployment.load_command(self._settings.paths.cache, str(checkpoint) if checkpoint else None))

    def _begin_unload(self, deployment: Deployment, cause: UnloadCause) -> None:
        if deployment.state is LoadState.FAILED and deployment.worker is None:
            deployment.enter(LoadState.UNLOADED)
        elif deployment.state in (LoadState.LOADING, LoadState.LOADED):
            deployment.enter(LoadState.UNLOADING)
            deployment.unload_cause = cause
            self._log("info", deployment.name, "unloading")
            if deployment.worker is not None:
                self._spawn(self._stop_worker(deployment, cause))
        self._changed()

    async def _stop_worker(self, deployment: Deployment, cause: UnloadCause) -> None:
        assert deployment.worker is not None
        if deployment.running_job is not None:
            deployment.worker.send(protocol.Cancel(job=deployment.running_job))
        if cause is UnloadCause.SHUTDOWN:
            await deployment.worker.stop(protocol.Exit(), SHUTDOWN_GRACE_SECONDS)
        else:
            await deployment.worker.stop(protocol.Exit())

    def _worker_gone(self, deployment: Deployment, ended: WorkerExit) -> None:
        state = deployment.state
        deployment.worker = deployment.worker_status = None
        if deployment.running_job is not None:
            self._events.job_lost(deployment, ended, unloading=state is LoadState.UNLOADING)
        if state is LoadState.UNLOADING:
            cause = deployment.unload_cause or UnloadCause.OPERATOR
            deployment.tallies.unloads[cause] += 1
            deployment.enter(LoadState.UNLOADED)
            self._log("info", deployment.name, "unloaded: the worker process is gone")
            if cause is not UnloadCause.SHUTDOWN and self.queue.queued(deployment.name):
                self._begin_load(deployment)  # submitted while it was unloading
        elif state is LoadState.LOADING:
            if deployment.load_failure is None:
                deployment.load_failure = (LoadFailureReason.WORKER_DIED, ended.description)
            self._load_failed(deployment)
        else:
            deployment.tallies.unloads[UnloadCause.FAILED] += 1
            deployment.enter(LoadState.FAILED, ended.description)
            self._log("error", deployment.name, ended.description)
            if self.queue.queued(deployment.name):
                self._begin_load(deployment)
        self._changed()

    def _load_failed(self, deployment: Deployment) -> None:
        reason, message = deployment.load_failure or (LoadFailureReason.INTERNAL, "unknown")
        deployment.tallies.load_failures[reason] += 1
        deployment.enter(LoadState.FAILED, message)
        self._log("error", deployment.name, f"load failed ({reason}): {message}")
        for job in self.queue.queued(deployment.name):
            self.queue.fail(job.id, JobFailureReason.LOAD_FAILED, message)
            deployment.tallies.jobs_failed[JobFailureReason.LOAD_FAILED] += 1
        self._changed()

    def _start_next_job(self, deployment: Deployment) -> None:
        queued = self.queue.queued(deployment.name)
        if deployment.state is not LoadState.LOADED or deployment.running_job or not queued or not deployment.worker:
            return
        job, now = queued[0], time.time()
        deployment.running_job = job.id
        deployment.tallies.queue_seconds.observe(now - job.submitted_at)
        estimate = self._estimator.estimate(deployment, job.request) or job.estimate
        end = now + estimate.total_seconds.expected if estimate else None
        job = self.queue.update(job.id, state=JobState.RUNNING, started_at=now, estimate=estimate, estimated_end_at=end)
        deployment.worker.send(protocol.Generate(job=job.id, request=job.request, output=str(self._output_of(job))))

    def _output_of(self, job: Job) -> Path:
        if job.request.output is not None:
            return Path(job.request.output)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(job.submitted_at))
        return self._settings.paths.outputs / f"{stamp}-{job.request.deployment}-{job.id}.mp4"

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
