"""Makes deployments what they are wanted to be, and runs jobs on them."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from wan_tui.core.catalog import Catalogue
from wan_tui.core.config import Settings
from wan_tui.core.errors import UsageError, WanTuiError
from wan_tui.core.hardware.samples import DriverStatus, HardwareSample, HostSample
from wan_tui.core.history import History
from wan_tui.core.planning.plan import GenerationRequest
from wan_tui.core.planning.questions import Assessment, Question
from wan_tui.core.runtime import protocol, queueing
from wan_tui.core.runtime.asking import Asker
from wan_tui.core.runtime.balancing import Balancer
from wan_tui.core.runtime.deployment import Deployment, Launcher
from wan_tui.core.runtime.estimates import Estimator
from wan_tui.core.runtime.events import WorkerEvents
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.judging import Judge, timed
from wan_tui.core.runtime.ladder import is_planned_anew
from wan_tui.core.runtime.loading import Loader, Log
from wan_tui.core.runtime.output_place import check_places
from wan_tui.core.runtime.queue_store import QueueStore, kept_queue
from wan_tui.core.runtime.rebuilding import Rebuilder, new_deployment
from wan_tui.core.runtime.reloading import Changes, changes
from wan_tui.core.runtime.replanner import Replanner
from wan_tui.core.runtime.restoring import restore
from wan_tui.core.runtime.room import cannot_run, no_room_for_another
from wan_tui.core.runtime.running import Runner
from wan_tui.core.runtime.state import DeploymentStatus, Job
from wan_tui.core.runtime.status import deployment_status
from wan_tui.core.runtime.supervision import Step, decide
from wan_tui.core.runtime.timeline import Timeline, record_memory
from wan_tui.core.runtime.validator import validate
from wan_tui.core.runtime.videos import batch_problem
from wan_tui.core.validation.environment import Libraries, installed_libraries
from wan_tui.core.validation.request import normalise
from wan_tui.core.words import (
    JobState,
    LoadFailureReason,
    LoadState,
    UnloadCause,
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
        self._deployments = {name: new_deployment(name, settings, catalogue) for name in settings.replicas}
        self._balancer = Balancer(lambda: self._deployments, self.queue, self._estimator)
        self._replanner = Replanner(self.queue, log)
        self._placing = asyncio.Lock()
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
            place=self._place,
            stranded=lambda deployment: self._balancer.balance(deployment.queue),
        )
        self._rebuilder = Rebuilder(
            deployments=self._deployments,
            catalogue=catalogue,
            queue=self.queue,
            loader=self._loader,
            assess=self._assess,
            unload=self.unload,
            log=log,
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
            if time.monotonic() >= deployment.judge_again_at:
                await self._assess(deployment, host)
            others, policy = list(self._deployments.values()), self._settings.replanning
            await self._replanner.look(deployment, self._judge, hardware, host, others, policy)
        self._supervise()
        record_memory(self._deployments.values(), self.queue, hardware, host.sampled_at)
        self._changed()

    async def _assess(self, deployment: Deployment, host: HostSample) -> None:
        others, wanted, cap = list(self._deployments.values()), deployment.settings, deployment.memory_cap_bytes
        judged = await asyncio.to_thread(
            timed, self._judge.compatibility, deployment, self._loader.hardware, host, others
        )
        answer, deployment.judge_again_at = judged
        if deployment.settings is wanted:  # else it was configured anew meanwhile, and is judged again
            deployment.compatibility = found = self._judge.as_observed(deployment, answer)
            if found.memory is not None and found.plan == deployment.plan:
                deployment.peak_bytes = found.memory.peak_bytes
            deployment.judged_cap_bytes = cap
            checkpoint = self._loader.checkpoints.get(deployment.name)
            deployment.judgement = self._judge.judgement(deployment, checkpoint, host)

    async def _place(self, deployment: Deployment) -> None:
        """Plan a load that is about to begin, one after the other: each counts on what those before it were given."""
        async with self._placing:
            hardware, others = self._loader.hardware, list(self._deployments.values())
            answer = await asyncio.to_thread(self._judge.compatibility, deployment, hardware, self._host, others)
            if deployment.state is not LoadState.LOADING:
                return
            deployment.place(self._judge.as_observed(deployment, answer))
            if (refusal := no_room_for_another(deployment, others)) is not None:
                deployment.load_failure = (LoadFailureReason.CANCELLED, refusal)

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
        self._due |= set(self._deployments) if name is None else {self._balancer.find(name).name}
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
        for job in self.queue.jobs:
            if job.state is JobState.QUEUED:  # there may be other replicas than there were
                deployment = self._balancer.find(job.request.deployment)
                estimate = self._estimator.estimate(deployment, job.request)
                self.queue.update(job.id, replica=None, estimate=estimate)
        for deployment in self._deployments.values():
            self._balancer.balance(deployment.queue)
            if self.queue.queued(deployment.name) and deployment.state in (LoadState.UNLOADED, LoadState.FAILED):
                self._loader.begin_load(deployment)

    async def load(self, name: str) -> None:
        """Want a deployment loaded, with all its replicas or just the one named.

        Raises UsageError (unknown name) or WanTuiError (it cannot run here).
        """
        self._refuse_when_closing()
        meant = self._balancer.meant(name)
        able = [deployment for deployment in meant if not cannot_run(deployment)] or meant
        for deployment in able:
            self._load(deployment)

    def _load(self, deployment: Deployment) -> None:
        if deployment.state is LoadState.UNLOADING:
            raise WanTuiError(f"{deployment.name} is unloading: load it again when that is done")
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
        """Want a deployment unloaded: its jobs end as cancelled, its worker exits.

        What waits for a replica that is unloaded by name goes to the others.
        """
        meant = self._balancer.meant(name)
        for deployment in meant:
            deployment.wanted_loaded = deployment.pinned = False
            deployment.held_back = len(meant) < len(self._balancer.group(deployment.queue))
        self._balancer.balance(meant[0].queue)
        for deployment in meant:
            for job in self.queue.queued(deployment.name):
                self.queue.cancel(job.id)
                deployment.tallies.jobs_cancelled += 1
        for deployment in meant:
            self._loader.begin_unload(deployment, UnloadCause.OPERATOR)
        self._deal(meant[0].queue)

    async def pin(self, name: str, *, pinned: bool) -> None:
        """Want a deployment loaded for good, or leave it to its keep-alive. Raises as ``load`` does."""
        if pinned:
            await self.load(name)
            return
        for deployment in self._balancer.meant(name):
            deployment.pinned = False
        self._changed()

    def timeline(self, name: str) -> Timeline:
        """The device memory of a deployment over the last hour. Raises UsageError for an unknown name."""
        return self._balancer.find(name).timeline.frozen()

    async def generate(self, request: GenerationRequest) -> str:
        """Queue a request and return the job's id; loads the deployment if it is not. Raises WanTuiError."""
        self._refuse_when_closing()
        deployment = self._balancer.meant(request.deployment)[0]
        group = self._balancer.group(deployment.queue)
        normalised, notices = normalise(request, deployment.model, self._settings.limits)
        if not any(one.state is LoadState.LOADED or not cannot_run(one) for one in group):
            self._refuse_what_cannot_run(deployment)
        if problem := batch_problem(deployment, normalised):
            raise UsageError(problem)
        await asyncio.to_thread(check_places, request, self._settings.paths.outputs, self.queue.jobs)
        job = self.queue.submit(dataclasses.replace(normalised, deployment=deployment.queue), notices)
        self.queue.update(job.id, estimate=self._estimator.estimate(deployment, normalised))
        self._balancer.balance(deployment.queue)
        deployment = self._balancer.find(self.queue.get(job.id).replica or deployment.queue)
        self._log("info", deployment.queue, f"job {job.id} queued" + "".join(f"; {notice}" for notice in notices))
        if deployment.state in (LoadState.UNLOADED, LoadState.FAILED):
            self._loader.begin_load(deployment)
        self._deal(deployment.queue)
        self._changed()
        if self._store is not None:
            await asyncio.wrap_future(self._store.keep(self.queue.get(job.id)))
        return job.id

    async def cancel(self, job_id: str) -> None:
        """Cancel a job: at once when queued, at the next step when running. Raises UsageError otherwise."""
        job = self.queue.get(job_id)
        if job.state.ended:
            raise UsageError(f"job {job_id} is already {job.state}")
        deployment = self._balancer.find(job.replica or job.request.deployment)
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
            self._balancer.find(job.replica or job.request.deployment).tallies.jobs_cancelled += 1
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
        await self._rebuilder.apply(found, settings, host)
        self.want_validation()
        self._changed()
        return found

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
        self._rebuilder.close()
        for deployment in self._deployments.values():
            deployment.wanted_loaded = False
            self._loader.begin_unload(deployment, UnloadCause.SHUTDOWN)
        await self._loader.finished()

    def _refuse_what_cannot_run(self, deployment: Deployment) -> None:
        if cannot_run(deployment):
            found = deployment.compatibility
            raise WanTuiError(f"{deployment.name} cannot be loaded ({found.verdict}): {found.reason}")

    def _start_next_job(self, deployment: Deployment) -> None:
        """What follows an event of its worker; while it runs a job that is nothing."""
        if deployment.running_job is None:
            self._deal(deployment.queue)

    def _deal(self, queue: str) -> None:
        """Give what waits to the replica where it ends first; those that have something begin, and load for it."""
        self._balancer.balance(queue)
        group = self._balancer.group(queue)
        for deployment in group:
            if self._replanner.change(deployment):
                self._loader.begin_unload(deployment, UnloadCause.REPLANNED)
            idle = deployment.state is LoadState.UNLOADED and len(group) > 1 and not self._closing
            if idle and self.queue.queued(deployment.name):
                self._loader.begin_load(deployment)
            self._runner.start_next(deployment)

    def _supervise(self) -> None:
        """Act on what is silent, stuck, idle or broken; part of every poll."""
        policy, now = self._settings.supervision, time.monotonic()
        for deployment in self._deployments.values():
            if deployment.queue == deployment.name:
                self._deal(deployment.queue)
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
