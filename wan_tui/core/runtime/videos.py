"""Several videos at once: whether the device has room for them."""

from wan_tui.core.planning.memory import estimate_memory
from wan_tui.core.planning.plan import GenerationRequest, with_videos
from wan_tui.core.runtime.deployment import Deployment
from wan_tui.core.units import format_bytes


def batch_problem(deployment: Deployment, request: GenerationRequest) -> str | None:
    """Why the device is too small for so many videos at once, or None; one is judged when the deployment is."""
    found = deployment.compatibility
    plan, device = deployment.plan or found.plan, found.device_bytes
    if request.videos <= 1 or plan is None or not device:
        return None

    def peak_bytes(videos: int) -> int:
        image = True if request.image else None
        return estimate_memory(deployment.model, with_videos(plan, videos), request.clip, with_image=image).peak_bytes

    if (needed := peak_bytes(request.videos)) <= device:
        return None
    most = next((videos for videos in range(request.videos - 1, 1, -1) if peak_bytes(videos) <= device), 1)
    return (
        f"{request.videos} videos at once need {format_bytes(needed)} and {plan.device} has {format_bytes(device)}: "
        f"ask for at most {most}, or queue several requests"
    )
