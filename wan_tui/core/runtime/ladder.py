"""After an out-of-memory: one step down to a plan that takes less, and the job once more."""

import dataclasses

from wan_tui.core.config.settings import LimitSettings
from wan_tui.core.planning.memory import GIB
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.protocol import JobFailed
from wan_tui.core.units import format_bytes

# A plan of the next step takes at most this share of what the failed one was estimated to take.
STEP_RATIO = 0.85


# What is stepped down for when it is no job.
LOADING = "loading"


def step_down(deployment: Deployment, event: JobFailed) -> str | None:
    """Ask for a smaller plan after a job, and say so; None on a processor, or for the same job a second time.

    The deployment takes no job until it was planned again (``Deployment.replan``).
    """
    return _step_down(deployment, event.job, f"out of memory in {event.phase}")


def step_down_load(deployment: Deployment) -> str | None:
    """The same after a load; None when the load before was stepped down for and failed as well."""
    return _step_down(deployment, LOADING, "out of memory while loading")


def _step_down(deployment: Deployment, what_for: str, what: str) -> str | None:
    plan, memory = deployment.plan, deployment.compatibility.memory
    if plan is None or plan.gpu_uuid is None or memory is None or what_for in deployment.stepped_down_for:
        return None
    deployment.stepped_down_for.add(what_for)
    deployment.cap_before_bytes = deployment.memory_cap_bytes
    deployment.memory_cap_bytes = int(STEP_RATIO * memory.peak_bytes)
    deployment.replan = True
    return (
        f"{what}: planned anew for at most {format_bytes(deployment.memory_cap_bytes)} "
        f"instead of {format_bytes(memory.peak_bytes)}, then tried once more"
    )


def is_planned_anew(deployment: Deployment) -> bool:
    """Whether the deployment was judged since it was asked to step down: an answer from before is no answer."""
    return deployment.replan and deployment.judged_cap_bytes == deployment.memory_cap_bytes


def capped(limits: LimitSettings, deployment: Deployment) -> LimitSettings:
    """The limits, no looser than the deployment's cap."""
    if deployment.memory_cap_bytes is None:
        return limits
    most = deployment.memory_cap_bytes / GIB
    if limits.max_vram_gib is not None:
        most = min(most, limits.max_vram_gib)
    return limits.model_copy(update={"max_vram_gib": most})


def has_smaller_plan(deployment: Deployment) -> bool:
    """Whether planning anew, with the cap, found another plan that runs."""
    found, plan = deployment.compatibility, deployment.plan
    if found.plan is None or plan is None or (found.headroom_bytes or 0) < 0:
        return False
    return dataclasses.replace(found.plan, device=plan.device, gpu_uuid=plan.gpu_uuid) != plan
