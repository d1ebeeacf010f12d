"""Jobs that wait are shared out over the replicas of their deployment: each goes where it is predicted to end first."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from wan_tui.core.errors import unknown_name
from wan_tui.core.planning.plan import TimeEstimate
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.estimates import Estimator
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.state import Job
from wan_tui.core.words import LoadState, Verdict

# An estimate reads the history: one that is this old still tells which of two replicas is the faster.
ESTIMATE_AGE_SECONDS = 10.0
# Of jobs about which nothing is known: only their number counts then.
UNKNOWN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Replica:
    """One that could take jobs: ``free_in_seconds`` until it could begin one, loading included.

    Those that are not ``usable`` (failed, without room, unloaded by an operator) take jobs only when none is.
    """

    name: str
    free_in_seconds: float
    usable: bool = True


def share_out(
    jobs: Sequence[str],
    replicas: Sequence[Replica],
    seconds: Callable[[str, str], float],
    fixed: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Replica by job, for ``jobs`` in the order in which they begin; ``seconds(job, replica)`` is how long one runs.

    Each goes where it ends first, given what was put there before it; of equals to the first. ``fixed`` stay.
    """
    free = {one.name: one.free_in_seconds for one in ([r for r in replicas if r.usable] or replicas)}
    for replica in (fixed or {}).values():
        free.setdefault(replica, next(one.free_in_seconds for one in replicas if one.name == replica))
    chosen: dict[str, str] = {}
    for job in jobs:
        ends = {name: at + seconds(job, name) for name, at in free.items()}
        name = (fixed or {}).get(job) or min(ends, key=lambda one: ends[one])
        chosen[job] = name
        free[name] = ends[name]
    return chosen


class Balancer:
    """Knows which deployments are replicas of one another, and keeps ``Job.replica`` of what waits."""

    def __init__(
        self, deployments: Callable[[], Mapping[str, Deployment]], queue: JobQueue, estimator: Estimator
    ) -> None:
        self._deployments = deployments
        self._queue = queue
        self._estimator = estimator
        self._estimates: dict[tuple[object, ...], tuple[float, float]] = {}

    def find(self, name: str) -> Deployment:
        """Raises UsageError for a name that is not known."""
        known = self._deployments()
        if name not in known:
            raise unknown_name("deployment", name, known)
        return known[name]

    def group(self, queue: str) -> list[Deployment]:
        """All replicas that run the jobs of ``queue``, the first one first."""
        return [deployment for deployment in self._deployments().values() if deployment.queue == queue]

    def meant(self, name: str) -> list[Deployment]:
        """What a command to ``name`` is about: all replicas, or the one that it names (NAME-1 is the first).

        Raises UsageError for a name that is not known.
        """
        first = name.removesuffix("-1")
        if name not in self._deployments() and first in self._deployments() and len(self.group(first)) > 1:
            return [self.find(first)]
        found = self.find(name)
        return self.group(name) if found.queue == name else [found]

    def has_replicas(self, deployment: Deployment) -> bool:
        return len(self.group(deployment.queue)) > 1

    def balance(self, queue: str) -> None:
        """Say anew of every job that waits for ``queue`` which replica will run it."""
        group, jobs = self.group(queue), self._queue.waiting(queue)
        if not jobs or len(group) < 2:
            return
        names = {deployment.name: deployment for deployment in group}
        waiting, now = {job.id: job for job in jobs}, time.time()
        chosen = share_out(
            list(waiting),
            [self._replica(deployment, now) for deployment in group],
            lambda job, name: self._seconds(names[name], waiting[job]),
            dict(_fixed(jobs, names)),
        )
        for job_id, name in chosen.items():
            if waiting[job_id].replica != name:
                estimate = self._estimator.estimate(names[name], waiting[job_id].request)
                self._queue.update(job_id, replica=name, estimate=estimate or waiting[job_id].estimate)

    def _replica(self, deployment: Deployment, now: float) -> Replica:
        state = deployment.state
        if state is LoadState.LOADED:
            running = self._queue.get(deployment.running_job) if deployment.running_job else None
            left = 0.0
            if running is not None:
                left = max(running.estimated_end_at - now, 0) if running.estimated_end_at else _total(running.estimate)
            changes = deployment.replan or deployment.replanning.due
            left += self._load_seconds(deployment) if changes else 0.0
            return Replica(deployment.name, left, not deployment.held_back)
        load = self._load_seconds(deployment)
        if state is LoadState.LOADING:
            left = max(load - (now - deployment.state_changed_at), 0.0)
            return Replica(deployment.name, left, not deployment.held_back)
        found = deployment.compatibility
        room = found.plan is not None and found.verdict is not Verdict.INCOMPATIBLE and (found.headroom_bytes or 0) >= 0
        return Replica(deployment.name, load, room and state is not LoadState.FAILED and not deployment.held_back)

    def _load_seconds(self, deployment: Deployment) -> float:
        key = ("load", deployment.name, deployment.plan or deployment.compatibility.plan)
        return self._kept(key, lambda: self._estimator.load_seconds(deployment))

    def _seconds(self, deployment: Deployment, job: Job) -> float:
        request = job.request
        shape = (request.width, request.height, request.frames, request.steps, request.guidance, bool(request.image))
        key = ("run", deployment.name, deployment.plan or deployment.compatibility.plan, *shape)
        return self._kept(key, lambda: self._estimator.estimate(deployment, request))

    def _kept(self, key: tuple[object, ...], estimate: Callable[[], TimeEstimate | None]) -> float:
        now = time.monotonic()
        if key not in self._estimates or now - self._estimates[key][0] > ESTIMATE_AGE_SECONDS:
            self._estimates = {k: v for k, v in self._estimates.items() if now - v[0] <= ESTIMATE_AGE_SECONDS}
            self._estimates[key] = now, _total(estimate())
        return self._estimates[key][1]


def _total(estimate: TimeEstimate | None) -> float:
    return estimate.total_seconds.expected if estimate else UNKNOWN_SECONDS


def _fixed(jobs: Iterable[Job], replicas: Mapping[str, Deployment]) -> Iterable[tuple[str, str]]:
    """After an out-of-memory a job waits for the smaller plan of its replica: another would only run out as well."""
    for job in jobs:
        home = replicas.get(job.replica or "")
        if job.begun and home is not None and home.memory_cap_bytes is not None and home.state is not LoadState.FAILED:
            yield job.id, home.name
