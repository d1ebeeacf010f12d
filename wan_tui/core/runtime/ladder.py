"""After an out-of-memory: one step down to a plan that takes less, and the job once more."""

import dataclasses

from wan_tui.core.config.settings import LimitSettings
from wan_tui.core.planning.memory import GIB
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.runtime.protocol import JobFailed
from wan_tui.core.units import format_bytes

# A plan of the next step takes at most this share of what the failed one was estimated to take.
STEP_RATIO = 0.85


def step_down(deployment: Deployment, event: JobFailed) -> str | None:
    """Ask for a smaller plan, and say so; None where there is none: on a processor, or a second time in a row.

    The deployment takes no job until it was planned again (``Deployment.replan``).
    """
    plan, memory = deployment.plan, deployment.compatibility.memory
    if plan is None or plan.gpu_uuid is None or memory is None or deployment.memory_cap_bytes is not None:
        return None
    deployment.memory_cap_bytes = int(STEP_RATIO * memory.peak_bytes)
    deployment.replan = True
    return (
        f"out of memory in {event.phase}: planned anew for at most {format_bytes(deployment.memory_cap_bytes)} "
        f"instead of {format_bytes(memory.peak_bytes)}, then tried once more"
    )


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
