"""Starts the jobs of deployments, one at a time each, and sees that none runs longer than it may."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from wan_tui.core.config.template import names_index, render
from wan_tui.core.runtime import protocol
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.estimates import Estimator
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.outputs import names_of
from wan_tui.core.runtime.state import Job
from wan_tui.core.words import JobState, LoadState

# How long a worker may take to come to the end of a step once its job has run out of time.
TIMEOUT_GRACE_SECONDS = 60.0


class Runner:
    """``kill`` ends a worker, with the reason, that does not let go of a job in time."""

    def __init__(
        self,
        queue: JobQueue,
        estimator: Estimator,
        outputs: Path,
        template: str,
        kill: Callable[[Deployment, str], None],
    ) -> None:
        self._queue = queue
        self._estimator = estimator
        self.use(outputs, template)
        self.paused = False
        self._kill = kill

    def use(self, outputs: Path, template: str) -> None:
        """Where videos go, and how they are named."""
        self._outputs, self._template = outputs, template

    def start_next(self, deployment: Deployment) -> None:
        """Send the next job to the worker if it is free and there is one; nothing while ``paused``."""
        if self.paused or deployment.replan or deployment.vitals.ran_out_at is not None:
            return
        queued = self._queue.queued(deployment.name)
        if deployment.state is not LoadState.LOADED or deployment.running_job or not queued or not deployment.worker:
            return
        job, now = queued[0], time.time()
        deployment.running_job, deployment.timed_out = job.id, False
        deployment.tallies.queue_seconds.observe(now - job.submitted_at)
        estimate = self._estimator.estimate(deployment, job.request) or job.estimate
        end = now + estimate.total_seconds.expected if estimate else None
        outputs = self._names(deployment, job)
        job = self._queue.update(
            job.id,
            state=JobState.RUNNING,
            started_at=now,
            estimate=estimate,
            estimated_end_at=end,
            target=outputs[0],
            more_targets=outputs[1:],
        )
        command = protocol.Generate(
            job=job.id,
            request=job.request,
            output=outputs[0],
            more_outputs=outputs[1:],
            numbered=job.request.output is None,
            estimate=estimate,
        )
        deployment.worker.send(command)
        if job.request.timeout_seconds is not None:
            asyncio.get_running_loop().call_later(job.request.timeout_seconds, self._time_out, deployment, job)

    def _time_out(self, deployment: Deployment, started: Job) -> None:
        if self._runs(deployment, started) and deployment.worker is not None:
            deployment.timed_out = True
            deployment.worker.send(protocol.Cancel(job=started.id))
            loop = asyncio.get_running_loop()
            loop.call_later(TIMEOUT_GRACE_SECONDS, self._insist, deployment, started)

    def _insist(self, deployment: Deployment, started: Job) -> None:
        if self._runs(deployment, started):
            text = f"job {started.id} did not stop within {TIMEOUT_GRACE_SECONDS:.0f} s of its timeout"
            self._kill(deployment, text)

    def _runs(self, deployment: Deployment, started: Job) -> bool:
        """Whether this very run of the job still goes on."""
        return deployment.running_job == started.id and self._queue.get(started.id).started_at == started.started_at

    def _names(self, deployment: Deployment, job: Job) -> tuple[str, ...]:
        videos = job.request.videos
        if job.request.output is None and videos > 1 and names_index(self._template):
            return tuple(str(self._outputs / self._name(deployment, job, index)) for index in range(1, videos + 1))
        first = Path(job.request.output or self._outputs / self._name(deployment, job, 1))
        return tuple(str(place) for place in names_of(first, videos))

    def _name(self, deployment: Deployment, job: Job, index: int) -> str:
        request, submitted = job.request, time.localtime(job.submitted_at)
        values: dict[str, str | int] = {
            "job": int(job.id),
            "deployment": request.deployment,
            "model": deployment.model.id,
            "seed": request.seed + index - 1,
            "date": time.strftime("%Y%m%d", submitted),
            "time": time.strftime("%H%M%S", submitted),
            "width": request.width,
            "height": request.height,
            "frames": request.frames,
            "index": index,
        }
        return render(self._template, values)
