"""Makes deployments loaded and unloaded: starts workers, one load at a time per device, and sees them off."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from wan_tui.core.hardware.samples import DriverStatus, HardwareSample
from wan_tui.core.runtime import leftovers, protocol
from wan_tui.core.runtime.deployment import Deployment, Launcher
from wan_tui.core.runtime.events import WorkerEvents
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.ladder import has_smaller_plan, step_down_load
from wan_tui.core.runtime.launcher import WorkerExit
from wan_tui.core.runtime.room import (
    RELEASE_PATIENCE_SECONDS,
    Gates,
    cannot_run,
    held_bytes,
    makes_way,
    sampled_after,
)
from wan_tui.core.runtime.state import Job
from wan_tui.core.units import format_bytes
from wan_tui.core.words import JobFailureReason, LoadFailureReason, LoadState, RestartReason, UnloadCause

SHUTDOWN_GRACE_SECONDS = 1.0

Log = Callable[[str, str, str], None]


class Loader:
    """Changes load states. ``next_job`` is asked after every event, ``changed`` told after every change.

    ``place`` gives a deployment that is about to load its plan; ``stranded`` is told of one that failed to, before
    the jobs that are left to it fail. ``hardware`` and ``checkpoints`` are the newest readings; the manager keeps them
    so. ``on_worker_line`` is told the deployment and each line that its worker writes to stderr.
    """

    def __init__(
        self,
        deployments: Callable[[], Iterable[Deployment]],
        launcher: Launcher,
        queue: JobQueue,
        events: WorkerEvents,
        cache: Path,
        models: Path,
        log: Log,
        next_job: Callable[[Deployment], None],
        changed: Callable[[], None],
        place: Callable[[Deployment], Awaitable[None]],
        stranded: Callable[[Deployment], None],
    ) -> None:
        self._deployments = deployments
        self._launcher = launcher
        self._queue = queue
        self._events = events
        self.use(cache, models)
        self._log = log
        self._next_job = next_job
        self._changed = changed
        self._place = place
        self._stranded = stranded
        self._gates = Gates()
        self.on_worker_line: Callable[[str, str], None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.hardware = HardwareSample(DriverStatus(present=False, up=False, message="not read yet"))
        self.checkpoints: Mapping[str, Path | None] = {}

    def use(self, cache: Path, models: Path) -> None:
        """Directories of the next loads."""
        self._cache, self._models = cache, models

    async def finished(self) -> None:
        """Wait until nothing that was begun is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def kill(self, deployment: Deployment, reason: str) -> None:
        """End a worker that no longer answers; ``reason`` is what its failure will say."""
        if deployment.kill_reason is None and deployment.worker is not None:
            deployment.kill_reason = reason
            self._log("error", deployment.name, f"{reason}: ending it")
            self._spawn(deployment.worker.stop(protocol.Exit(), 0))

    def begin_load(self, deployment: Deployment) -> None:
        deployment.wanted_loaded = True
        deployment.tallies.loads += 1
        deployment.plan, deployment.held_back = None, False
        deployment.load_failure = deployment.kill_reason = None
        if _refused(deployment):
            self.load_failed(deployment)
            return
        deployment.runs_since_load = 0
        deployment.vitals.began()
        deployment.enter(LoadState.LOADING)
        self._spawn(self._start_worker(deployment))
        self._changed()

    async def _start_worker(self, deployment: Deployment) -> None:
        def on_event(event: protocol.Event) -> None:
            hear(deployment, event)
            self._events.handle(deployment, event)
            self._next_job(deployment)
            self._changed()

        def on_exit(ended: WorkerExit) -> None:
            self._worker_gone(deployment, ended)

        await self._place(deployment)
        if deployment.state is LoadState.LOADING and _refused(deployment):
            self.load_failed(deployment)
        if deployment.state is not LoadState.LOADING or deployment.plan is None:
            self._called_off(deployment)
            return
        self._log("info", deployment.name, f"loading {deployment.model.id} on {deployment.plan.device}")
        self._changed()
        async with self._gates.of(deployment.plan.device):
            if await self._room_for(deployment):
                await self._launch(deployment, on_event, on_exit)
                await deployment.settled.wait()
            else:
                self._called_off(deployment)

    def _called_off(self, deployment: Deployment) -> None:
        """Unloaded before there was a process: nobody else will say that it is."""
        if deployment.state is LoadState.UNLOADING and deployment.worker is None:
            self._unloaded(deployment)

    async def _room_for(self, deployment: Deployment) -> bool:
        """Unload idle deployments that hold the room; False when the load was called off meanwhile."""
        leaving = makes_way(deployment, self._deployments())
        for other in leaving:
            other.wanted_loaded = False
            self._log("info", other.name, f"makes way for {deployment.name}")
            self.begin_unload(other, UnloadCause.EVICTED)
        for other in leaving:
            deployment.load_stage = "waiting for room"
            await other.settled.wait()
        deployment.vitals.began()
        return deployment.state is LoadState.LOADING

    async def _launch(
        self,
        deployment: Deployment,
        on_event: Callable[[protocol.Event], None],
        on_exit: Callable[[WorkerExit], None],
    ) -> None:
        assert deployment.plan is not None
        try:
            worker = await self._launcher.start(deployment.plan, on_event, on_exit)
        except OSError as error:
            message = f"cannot start a worker process: {error.strerror or error}"
            deployment.load_failure = (LoadFailureReason.ENVIRONMENT, message)
            self.load_failed(deployment)
            return
        deployment.worker = worker
        if self.on_worker_line is not None and (listen := getattr(worker, "listen", None)) is not None:
            listen(partial(self.on_worker_line, deployment.name))
        if deployment.state is not LoadState.LOADING:  # unloaded while the process started
            self._spawn(worker.stop(protocol.Exit(), 0))
            return
        checkpoint = self.checkpoints.get(deployment.name)
        worker.send(deployment.load_command(self._cache, self._models, checkpoint))

    def begin_unload(self, deployment: Deployment, cause: UnloadCause) -> None:
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
        state, pid = deployment.state, deployment.worker.pid if deployment.worker else None
        if deployment.kill_reason is not None:
            ended = WorkerExit(ended.returncode, (deployment.kill_reason,), told=True)
        deployment.worker = deployment.worker_status = None
        if pid is not None and deployment.plan is not None and deployment.plan.gpu_uuid is not None:
            deployment.ended_pid = pid
            self._spawn(self._see_memory_back(deployment, deployment.plan.gpu_uuid, pid))
        if deployment.running_job is not None:
            self._spawn(self._clear(deployment, self._queue.get(deployment.running_job), pid))
            self._events.job_lost(deployment, ended, unloading=state is LoadState.UNLOADING)
        if state is LoadState.UNLOADING:
            self._unloaded(deployment)
        elif state is LoadState.LOADING:
            if deployment.load_failure is None:
                deployment.load_failure = (LoadFailureReason.WORKER_DIED, ended.description)
            self.load_failed(deployment)
        else:
            deployment.tallies.unloads[UnloadCause.FAILED] += 1
            deployment.enter(LoadState.FAILED, ended.description)
            deployment.vitals.failed(RestartReason.STALLED if deployment.kill_reason else RestartReason.CRASHED)
            self._log("error", deployment.name, ended.description)
        self._changed()

    def _unloaded(self, deployment: Deployment) -> None:
        cause = deployment.unload_cause or UnloadCause.OPERATOR
        deployment.tallies.unloads[cause] += 1
        deployment.plan = None
        deployment.enter(LoadState.UNLOADED)
        self._log("info", deployment.name, "unloaded: the worker process is gone")
        again = cause not in (UnloadCause.SHUTDOWN, UnloadCause.RECONFIGURED)
        wanted = self._queue.queued(deployment.name) or (cause is UnloadCause.FAILED and deployment.pinned)
        if again and wanted:
            self.begin_load(deployment)  # submitted while it was unloading, or unloaded to be planned anew
        self._changed()

    def load_failed(self, deployment: Deployment) -> None:
        reason, message = deployment.load_failure or (LoadFailureReason.INTERNAL, "unknown")
        deployment.tallies.load_failures[reason] += 1
        deployment.enter(LoadState.FAILED, message)
        deployment.vitals.failed(RestartReason.LOAD_FAILED)
        self._log("error", deployment.name, f"load failed ({reason}): {message}")
        if reason is LoadFailureReason.OUT_OF_MEMORY and (notice := step_down_load(deployment)) is not None:
            self._log("warning", deployment.name, notice)
        elif reason is not LoadFailureReason.WORKER_DIED:  # what ends a process may not come again: its jobs wait
            self.fail_queued(deployment, message)
        self._changed()

    def fail_queued(self, deployment: Deployment, message: str) -> None:
        """Nothing will run the jobs that wait: say so to each."""
        self._stranded(deployment)
        for job in self._queue.queued(deployment.name):
            self._queue.fail(job.id, JobFailureReason.LOAD_FAILED, message)
            deployment.tallies.jobs_failed[JobFailureReason.LOAD_FAILED] += 1
        self._changed()

    def step_down(self, deployment: Deployment) -> None:
        """After an out-of-memory: load the smaller plan that was found, or give the job up."""
        deployment.replan = False
        first = self._queue.queued(deployment.name)[:1]
        found = deployment.compatibility
        if has_smaller_plan(deployment) and found.plan is not None and found.memory is not None:
            deployment.tallies.worker_restarts[RestartReason.OUT_OF_MEMORY] += 1
            text = f"now with {found.plan.options}, estimated peak {format_bytes(found.memory.peak_bytes)}"
            self._log("warning", deployment.name, text)
            for job in first:
                self._queue.update(job.id, notices=(*job.notices, text))
            if deployment.state is LoadState.FAILED:  # it ran out while loading
                self.begin_load(deployment)
            else:
                self.begin_unload(deployment, UnloadCause.FAILED)  # its queue has it loaded again
            return
        deployment.memory_cap_bytes = deployment.cap_before_bytes
        text = "out of memory, and no smaller plan runs here"
        if deployment.state is LoadState.FAILED:
            self.fail_queued(deployment, text)
            return
        for job in first:
            self._queue.fail(job.id, JobFailureReason.OUT_OF_MEMORY, text)
            deployment.tallies.jobs_failed[JobFailureReason.OUT_OF_MEMORY] += 1
            self._log("error", deployment.name, f"job {job.id} failed: {text}")
        deployment.vitals.ran_out()
        self._next_job(deployment)

    async def _clear(self, deployment: Deployment, job: Job, pid: int | None) -> None:
        """Nothing that is not whole stays beside the videos."""
        found = await asyncio.to_thread(leftovers.clear, job, pid)
        if found.removed:
            names = ", ".join(file.name for file in found.removed)
            self._log("info", deployment.name, f"job {job.id}: removed what was not finished: {names}")
        if found.video is not None:
            self._log("warning", deployment.name, f"job {job.id}: its video was whole already: {found.video}")

    async def _see_memory_back(self, deployment: Deployment, gpu_uuid: str, pid: int) -> None:
        """After a worker is gone the driver should give its memory back; what it keeps is told."""
        patience = time.time() + RELEASE_PATIENCE_SECONDS
        # What the last poll saw says nothing about now: only one after that time does.
        while left := held_bytes(self.hardware, gpu_uuid, pid):
            if sampled_after(self.hardware, gpu_uuid, patience):
                break
            await asyncio.sleep(0.25)
        deployment.unreleased_bytes = left
        if deployment.ended_pid == pid:
            deployment.ended_pid = None
        if left:
            self._log("warning", deployment.name, f"the driver still books {format_bytes(left)} for the ended worker")
        self._changed()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _refused(deployment: Deployment) -> bool:
    """Whether it is not to be loaded; then its failure says why."""
    if deployment.load_failure is None and cannot_run(deployment):
        deployment.load_failure = (LoadFailureReason.INCOMPATIBLE, deployment.compatibility.reason)
    return deployment.load_failure is not None


def hear(deployment: Deployment, event: protocol.Event) -> None:
    """A sign of life."""
    now = deployment.vitals.heard_at = time.monotonic()
    if isinstance(event, protocol.Memory):
        deployment.vitals.measured(event, idle=deployment.running_job is None)
    elif not isinstance(event, protocol.Log):
        deployment.vitals.progress_at = now
    if deployment.running_job is not None or isinstance(event, protocol.Loaded):
        deployment.vitals.idle_since = now
