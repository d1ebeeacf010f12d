"""Looks at every poll whether loaded deployments should get another plan, and gives it to them between two jobs."""

import asyncio
import time
from collections.abc import Callable, Sequence

from wan_tui.core.config.settings import ReplanningSettings
from wan_tui.core.hardware.samples import HardwareSample, HostSample
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.jobs import JobQueue
from wan_tui.core.runtime.judging import Judge
from wan_tui.core.runtime.replanning import Replanning, considered, wish_of
from wan_tui.core.words import LoadState, ReplanReason


class Replanner:
    """``log`` takes level, source and message, as the engine's does."""

    def __init__(self, queue: JobQueue, log: Callable[[str, str, str], None]) -> None:
        self._queue = queue
        self._log = log

    async def look(
        self,
        deployment: Deployment,
        judge: Judge,
        hardware: HardwareSample,
        host: HostSample,
        others: Sequence[Deployment],
        policy: ReplanningSettings,
    ) -> None:
        """Consider its plan anew, in a thread; a change that has become due is told."""
        plan, before = deployment.plan, deployment.replanning
        if not (policy.enabled and deployment.settings.replan) or deployment.memory_cap_bytes is not None:
            deployment.replanning = considered(before, None, policy, time.monotonic())
            return
        waiting, now = len(self._queue.queued(deployment.name)), time.monotonic()
        situation = await asyncio.to_thread(
            judge.situation, deployment, hardware, host, others, waiting=waiting, now=now
        )
        if deployment.plan is not plan or deployment.replanning is not before:  # changed while it was looked at
            return
        wish = wish_of(situation, policy) if situation else None
        found = deployment.replanning = considered(before, wish, policy, now)
        if found.due and not before.due and wish is not None:
            self._log("info", deployment.name, f"planned anew for the next job ({wish.reason}): {wish.text}")

    def change(self, deployment: Deployment) -> bool:
        """Whether its worker has to end now, since the next job is to run with another plan."""
        wish, plan = deployment.replanning.wish, deployment.plan
        if not deployment.replanning.due or wish is None or plan is None:
            return False
        if deployment.state is not LoadState.LOADED or deployment.running_job or deployment.replan:
            return False
        if not self._queue.queued(deployment.name):
            return False
        now = time.monotonic()
        if wish.reason in (ReplanReason.SLOW_STEPS, ReplanReason.THROTTLED) and plan.gpu_uuid is not None:
            deployment.left[plan.gpu_uuid] = (deployment.pace.ratio, now)
        deployment.replanning, deployment.replanned_at = Replanning(changed_at=now), time.time()
        self._log("info", deployment.name, f"changes its plan: {wish.text}")
        return True
