"""The clip that a deployment makes when a request does not say otherwise."""

from wan_tui.core.catalog import Model
from wan_tui.core.config.settings import RequestDefaults
from wan_tui.core.planning.plan import Clip


def default_clip(model: Model, defaults: RequestDefaults | None = None) -> Clip:
    """What ``defaults`` say, the model's own for the rest; rounded to what the model makes."""
    wanted = defaults or RequestDefaults()
    width, height = model.default_size
    return Clip(
        width=model.nearest_side(wanted.width or width),
        height=model.nearest_side(wanted.height or height),
        frames=model.nearest_frames(wanted.frames or model.default_frames),
        steps=wanted.steps or model.default_steps,
        guidance=model.default_guidance if wanted.guidance is None else wanted.guidance,
    )
