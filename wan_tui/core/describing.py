"""What the catalogue knows of a model, as far as readers of the snapshot need it."""

from wan_tui.core.catalog import Model
from wan_tui.core.snapshot import ComponentSize, ModelSummary


def summary_of(model: Model) -> ModelSummary:
    width, height = model.default_size
    return ModelSummary(
        id=model.id,
        title=model.title,
        task=model.task,
        repository=model.repository,
        parameters=model.parameters,
        components=tuple(ComponentSize(role, part.published_bytes) for role, part in model.components),
        size_multiple=model.size_multiple,
        default_width=width,
        default_height=height,
        default_frames=model.default_frames,
        default_steps=model.default_steps,
        default_guidance=model.default_guidance,
        max_frames=model.max_frames,
        max_pixels=model.max_pixels,
        fps=model.fps,
    )
