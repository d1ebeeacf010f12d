"""``wan-tui models``."""

import json

from wan_tui.cli.text import columns
from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.units import format_bytes


def print_models(*, as_json: bool) -> int:
    models = load_catalogue().models
    if as_json:
        print(json.dumps([_facts(model) for model in models], indent=2))
        return 0
    header = ["MODEL", "TASK", "PARAMETERS", "ON DISK", "DEFAULT CLIP", "WEIGHTS"]
    rows = [
        [
            model.id,
            model.task,
            _count(model.parameters),
            format_bytes(sum(part.published_bytes for _, part in model.components)),
            f"{model.default_size[0]}x{model.default_size[1]}, {model.default_frames} frames at {model.fps} fps",
            model.repository if model.weights == "checkpoint" else "built in",
        ]
        for model in models
    ]
    print(columns(header, rows))
    return 0


def _facts(model: Model) -> dict[str, object]:
    return {
        "id": model.id,
        "canonical_id": model.canonical_id,
        "title": model.title,
        "task": model.task,
        "repository": model.repository,
        "weights": model.weights,
        "parameters": model.parameters,
        "components": {
            role: {"class": part.class_name, "parameters": part.parameters, "published_bytes": part.published_bytes}
            for role, part in model.components
        },
        "experts": model.experts,
        "boundary_ratio": model.boundary_ratio,
        "fps": model.fps,
        "size_multiple": model.size_multiple,
        "default_width": model.default_size[0],
        "default_height": model.default_size[1],
        "default_frames": model.default_frames,
        "default_steps": model.default_steps,
        "default_guidance": model.default_guidance,
        "max_pixels": model.max_pixels,
        "max_frames": model.max_frames,
    }


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.1f} B" if parameters >= 1e9 else f"{parameters / 1e3:.0f} k"
