"""Makes deployments what they are wanted to be, and runs jobs on them."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from wan_tui.core.catalog import Catalogue
from wan_tui.core.config import DeploymentSettings, Settings
from wan_tui.core.errors import UsageError, WanTuiError, unknown_name
from wan_tui.core.hardware.samples import DriverStatus, HardwareSample, HostSample
from wan_tui.core.history import History
from wan_tui.core.planning.plan import Compatibility, GenerationRequest
from wan_tui.core.planning.questions import Assessment, Question
from wan_tui.core.runtime import protocol, queueing
from wan_tui.core.runtime.asking import Asker
from wan_tui.core.runtime.deployment import Deployment, Launcher
from wan_tui.core.runtime.estimates import Estimator
from wan_tui.core.runtime.events import WorkerEvents
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.judging import Judge
from wan_tui.core.runtime.ladder import is_planned_anew
from wan_tui.core.runtime.loading import Loader, Log
from wan_tui.core.runtime.queue_store import QueueStore, kept_queue
from wan_tui.core.runtime.reloading import Changes, changes
from wan_tui.core.runtime.restoring import restore
from wan_tui.core.runtime.running import Runner
from wan_tui.core.runtime.state import DeploymentStatus, Job
from wan_tui.core.runtime.status import deployment_status
from wan_tui.core.runtime.supervision import Step, decide
from wan_tui.core.runtime.timeline import Timeline, record_memory
from wan_tui.core.runtime.validator import validate
from wan_tui.core.validation.environment import Libraries, installed_libraries
from wan_tui.core.validation.request import check_output, normalise
from wan_tui.core.words import (
    JobState,
    LoadState,
    UnloadCause,
    Verdict,
)


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
        store: QueueStore | None = None,
        libraries: Libraries = installed_libraries,
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._closing = False
        self._leaving: set[str] = set()
        self._reloads: set[asyncio.Task[None]] = set()
        self._store = store
        self._log = log
        self._changed = changed
        self._estimator = Estimator(history)
        self._libraries = libraries
        self._judge = Judge(settings, self._estimator, libraries())
        self.validation_due = asyncio.Event()
        self._due: set[str] = set()
        limit = settings.limits.max_queued_jobs
        self.queue = JobQueue(limit) if store is None else kept_queue(limit, store)
        self._deployments = {name: self._new_deployment(name, wanted) for name, wanted in settings.deployments.items()}
        self._loader = Loader(
            deployments=lambda: self._deployments.values(),
            launcher=launcher,
            queue=self.queue,
            events=WorkerEvents(self.queue, self._estimator, log),
            cache=settings.paths.cache,
            models=settings.paths.models,
            log=log,
            next_job=self._start_next_job,
            changed=changed,
        )
        paths = settings.paths
        self._runner = Runner(self.queue, self._estimator, paths.outputs, paths.output_template, self._loader.kill)

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
        if checkpoints != self._loader.checkpoints:
            self._loader.checkpoints = checkpoints
            self.want_validation()
        self._loader.hardware = hardware
        self._estimator.look_at(hardware, host)
        self._host = host
        for deployment in list(self._deployments.values()):
            await self._assess(deployment, host)
        self._supervise()
        record_memory(self._deployments.values(), self.queue, hardware, host.sampled_at)
        self._changed()

    async def _assess(self, deployment: Deployment, host: HostSample) -> None:
        others, wanted, cap = list(self._deployments.values()), deployment.settings, deployment.memory_cap_bytes
        answer = await asyncio.to_thread(self._judge.compatibility, deployment, self._loader.hardware, host, others)
        if deployment.settings is wanted:  # else it was configured anew meanwhile, and is judged again
            deployment.compatibility = self._judge.as_observed(deployment, answer)
            deployment.judged_cap_bytes = cap
            checkpoint = self._loader.checkpoints.get(deployment.name)
            deployment.judgement = self._judge.judgement(deployment, checkpoint, host)

    async def validate(self, driver: DriverStatus, host: HostSample) -> None:
        """Evaluate every rule for the deployments that are due, or all; what takes a disk is done in a thread."""
        self.validation_due.clear()
        due, self._due = self._due or set(self._deployments), set()
        for deployment in [one for one in self._deployments.values() if one.name in due]:
            checkpoint = self._loader.checkpoints.get(deployment.name)
            await validate(deployment, checkpoint, self._settings.limits, self._libraries, driver, host, self._log)
            deployment.judgement = self._judge.judgement(deployment, checkpoint, host)
            self._changed()

    def want_validation(self, name: str | None = None) -> None:
        """Have the rules evaluated soon, for one deployment or for all. Raises UsageError for an unknown name."""
        self._due |= set(self._deployments) if name is None else {self._find(name).name}
        self.validation_due.set()

    def listen_to_workers(self, on_line: Callable[[str, str], None]) -> None:
        """``on_line`` is told the deployment and each line that its worker writes to stderr."""
        self._loader.on_worker_line = on_line

    def load_wanted(self) -> None:
        """Load what the configuration wants loaded; what cannot run is ``failed`` with the reason."""
        for deployment in self._deployments.values():
            if deployment.wanted_loaded:
                deployment.pinned = True
                self._loader.begin_load(deployment)

    def resume(self, jobs: Sequence[Job], whole: Mapping[str, Path]) -> None:
        """Take up the jobs of an earlier engine (``restore``); deployments that have some are loaded."""
        restore(self.queue, jobs, self._deployments.values(), self._log, whole)
        for deployment in self._deployments.values():
            for job in self.queue.queued(deployment.name):
                self.queue.update(job.id, estimate=self._estimator.estimate(deployment, job.request))
            if self.queue.queued(deployment.name) and deployment.state in (LoadState.UNLOADED, LoadState.FAILED):
                self._loader.begin_load(deployment)

    async def load(self, name: str) -> None:
        """Want a deployment loaded. Raises UsageError (unknown name) or WanTuiError (it cannot run here)."""
        self._refuse_when_closing()
        deployment = self._find(name)
        if deployment.state is LoadState.UNLOADING:
            raise WanTuiError(f"{name} is unloading: load it again when that is done")
        deployment.pinned = True
        if deployment.state in (LoadState.LOADING, LoadState.LOADED):
            deployment.wanted_loaded = True
            self._changed()
            return
        self._refuse_what_cannot_run(deployment)
        # An operator's word closes the breaker and lifts what an out-of-memory had lowered.
        deployment.vitals.restarts.clear()
        deployment.memory_cap_bytes = None
        deployment.stepped_down_for.clear()
        self._loader.begin_load(deployment)

    async def unload(self, name: str) -> None:
        """Want a deployment unloaded: its jobs end as cancelled, its worker exits."""
        deployment = self._find(name)
        deployment.wanted_loaded = deployment.pinned = False
        for job in self.queue.queued(name):
            self.queue.cancel(job.id)
            deployment.tallies.jobs_cancelled += 1
        self._loader.begin_unload(deployment, UnloadCause.OPERATOR)

    async def pin(self, name: str, *, pinned: bool) -> None:
        """Want a deployment loaded for good, or leave it to its keep-alive. Raises as ``load`` does."""
        if pinned:
            await self.load(name)
            return
        self._find(name).pinned = False
        self._changed()

    def timeline(self, name: str) -> Timeline:
        """The device memory of a deployment over the last hour. Raises UsageError for an unknown name."""
        return self._find(name).timeline.frozen()

    async def generate(self, request: GenerationRequest) -> str:
        """Queue a request and return the job's id; loads the deployment if it is not. Raises WanTuiError."""
        self._refuse_when_closing()
        deployment = self._find(request.deployment)
        normalised, notices = normalise(request, deployment.model, self._settings.limits)
        if deployment.state is not LoadState.LOADED:
            self._refuse_what_cannot_run(deployment)
        await asyncio.to_thread(self._check_output, request.output)
        job = self.queue.submit(normalised, notices)
        self.queue.update(job.id, estimate=self._estimator.estimate(deployment, normalised))
        self._log("info", deployment.name, f"job {job.id} queued" + "".join(f"; {notice}" for notice in notices))
        if deployment.state in (LoadState.UNLOADED, LoadState.FAILED):
            self._loader.begin_load(deployment)
        self._start_next_job(deployment)
        self._changed()
        if self._store is not None:
            await asyncio.wrap_future(self._store.keep(self.queue.get(job.id)))
        return job.id

    async def cancel(self, job_id: str) -> None:
        """Cancel a job: at once when queued, at the next step when running. Raises UsageError otherwise."""
        job = self.queue.get(job_id)
        if job.state.ended:
            raise UsageError(f"job {job_id} is already {job.state}")
        deployment = self._find(job.request.deployment)
        if job.state is JobState.QUEUED:
            self.queue.cancel(job_id)
            deployment.tallies.jobs_cancelled += 1
            self._log("info", deployment.name, f"job {job_id} cancelled")
        elif deployment.worker is not None:
            deployment.worker.send(protocol.Cancel(job=job_id))
        self._changed()

    async def answer(self, questions: Sequence[Question]) -> tuple[Assessment, ...]:
        """What would be, one answer for each question. Raises UsageError for a name that is unknown."""
        asker = Asker(
            catalogue=self._catalogue,
            deployments=self._deployments,
            judge=self._judge,
            estimator=self._estimator,
            limits=self._settings.limits,
            hardware=self._loader.hardware,
            host=self._host,
        )
        return await asker.answer(questions)

    def move(self, job_id: str, by: int) -> None:
        """Let a waiting job run ``by`` places later (negative: earlier). Raises UsageError."""
        queueing.move(self.queue, job_id, by)
        self._changed()

    def remove(self, job_id: str) -> None:
        """Take a job that waits or has ended off the list. Raises UsageError while it runs."""
        job = queueing.remove(self.queue, job_id)
        if job.state is JobState.QUEUED:
            self._find(job.request.deployment).tallies.jobs_cancelled += 1
        self._log("info", job.request.deployment, f"job {job_id} removed from the queue")
        self._changed()

    async def reload(self, settings: Settings, host: HostSample, checkpoints: Mapping[str, Path | None]) -> Changes:
        """Take up another configuration; deployments that it does not change keep worker and jobs.

        A loaded one that needs another worker is unloaded and, if it is wanted, loaded again.
        """
        found = changes(self._settings, settings)
        self._settings, self._host = settings, host
        self._judge = Judge(settings, self._estimator, self._libraries())
        self._loader.checkpoints = checkpoints
        self._loader.use(settings.paths.cache, settings.paths.models)
        self._runner.use(settings.paths.outputs, settings.paths.output_template)
        self.queue.limit = settings.limits.max_queued_jobs
        for name in found.removed:
            self._begin(self._remove(self._deployments[name]))
        for name in found.rebuilt:
            self._begin(self._rebuild(self._deployments[name], settings.deployments[name]))
        for name in found.adjusted:
            self._adjust(self._deployments[name], settings.deployments[name])
        for name in found.added:
            if name in self._leaving:  # removed a moment ago and back again
                await self._settled(self._deployments[name])
            deployment = self._deployments[name] = self._new_deployment(name, settings.deployments[name])
            await self._assess(deployment, host)
            if deployment.wanted_loaded:
                deployment.pinned = True
                self._loader.begin_load(deployment)
        self.want_validation()
        self._changed()
        return found

    def _new_deployment(self, name: str, wanted: DeploymentSettings) -> Deployment:
        return Deployment(
            name=name,
            settings=wanted,
            model=self._catalogue.find(wanted.model),
            compatibility=Compatibility(verdict=Verdict.UNKNOWN, reason="the hardware has not been read yet"),
            wanted_loaded=wanted.wanted_loaded,
        )

    async def _remove(self, deployment: Deployment) -> None:
        self._leaving.add(deployment.name)
        try:
            await self.unload(deployment.name)
            await self._settled(deployment)
            if self._deployments[deployment.name] is deployment:
                del self._deployments[deployment.name]
        finally:
            self._leaving.discard(deployment.name)
        self._log("info", deployment.name, "removed: it is no longer configured")
        self._changed()

    async def _rebuild(self, deployment: Deployment, wanted: DeploymentSettings) -> None:
        was_up = deployment.state in (LoadState.LOADING, LoadState.LOADED)
        if was_up:
            self._log("info", deployment.name, "configured otherwise: its worker ends")
            self._loader.begin_unload(deployment, UnloadCause.RECONFIGURED)
        await self._settled(deployment)
        deployment.model = self._catalogue.find(wanted.model)
        again = wanted.wanted_loaded or (was_up and deployment.pinned) or bool(self.queue.queued(deployment.name))
        self._adjust(deployment, wanted, load=False)
        await self._assess(deployment, self._host)
        if again and not self._closing and deployment.state in (LoadState.UNLOADED, LoadState.FAILED):
            deployment.vitals.restarts.clear()
            self._loader.begin_load(deployment)
        self._changed()

    def _adjust(self, deployment: Deployment, wanted: DeploymentSettings, *, load: bool = True) -> None:
        before, deployment.settings = deployment.settings, wanted
        if before.wanted_loaded == wanted.wanted_loaded:
            return
        # No longer wanted is not unwanted: its keep-alive decides when it goes.
        deployment.pinned = wanted.wanted_loaded
        deployment.wanted_loaded = wanted.wanted_loaded or deployment.state is LoadState.LOADED
        if load and wanted.wanted_loaded and deployment.state in (LoadState.UNLOADED, LoadState.FAILED):
            self._loader.begin_load(deployment)

    @staticmethod
    async def _settled(deployment: Deployment) -> None:
        if deployment.state in (LoadState.LOADING, LoadState.UNLOADING):
            await deployment.settled.wait()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    def _refuse_when_closing(self) -> None:
        if self._closing:
            raise WanTuiError("the engine is stopping and takes nothing new; what waits is kept for the next one")

    async def drain(self, patience_seconds: float) -> None:
        """Take nothing new, start nothing that waits (it is kept), and let what runs finish in time."""
        self._closing = self._runner.paused = True
        deadline = time.monotonic() + patience_seconds
        while any(deployment.running_job for deployment in self._deployments.values()):
            if time.monotonic() >= deadline:
                self._log("warning", "engine", f"jobs still run after {patience_seconds:g} s: they are interrupted")
                return
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Stop every worker and wait until the processes are gone."""
        self._closing = True
        for task in self._reloads:
            task.cancel()
        for deployment in self._deployments.values():
            deployment.wanted_loaded = False
            self._loader.begin_unload(deployment, UnloadCause.SHUTDOWN)
        await self._loader.finished()

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

    def _start_next_job(self, deployment: Deployment) -> None:
        self._runner.start_next(deployment)

    def _supervise(self) -> None:
        """Act on what is silent, stuck, idle or broken; part of every poll."""
        policy, now = self._settings.supervision, time.monotonic()
        for deployment in self._deployments.values():
            if is_planned_anew(deployment):
                self._loader.step_down(deployment)
            if deployment.replan:
                continue
            waiting = bool(self.queue.queued(deployment.name))
            decision = decide(deployment, deployment.vitals, policy, waiting=waiting, now=now)
            if decision is None:
                continue
            match decision.step:
                case Step.UNLOAD:
                    deployment.wanted_loaded = False
                    self._log("info", deployment.name, decision.text)
                    self._loader.begin_unload(deployment, UnloadCause.IDLE)
                case Step.RESTART:
                    deployment.vitals.restarts.append(now)
                    deployment.tallies.worker_restarts[decision.reason] += 1
                    self._log("warning", deployment.name, f"{decision.text}, after it {decision.reason}")
                    self._loader.begin_load(deployment)
                case Step.KILL:
                    self._loader.kill(deployment, decision.text)
                case Step.REPLACE:
                    deployment.tallies.worker_restarts[decision.reason] += 1
                    self._log("warning", deployment.name, f"{decision.text}: replacing it")
                    self._loader.begin_unload(deployment, UnloadCause.FAILED)
                case Step.GIVE_UP:
                    self._loader.fail_queued(deployment, decision.text)
