"""Whether a catalogue entry agrees with itself."""

from collections.abc import Iterator

from wan_tui.core.catalog import Model
from wan_tui.core.validation.findings import Finding, worst_first
from wan_tui.core.validation.rulebook import finding


def catalogue_findings(model: Model) -> tuple[Finding, ...]:
    """What is wrong with the facts of ``model``, worst first; nothing for the built-in ones."""
    return worst_first(_findings(model))


def _findings(model: Model) -> Iterator[Finding]:
    where = f"model {model.id}"
    for name, frames in (("default_frames", model.default_frames), ("max_frames", model.max_frames)):
        if frames % 4 != 1:
            yield finding("WAN301", where, f"{name} = {frames}")
    width, height = model.default_size
    if width % model.size_multiple or height % model.size_multiple or width * height > model.max_pixels:
        limits = f"multiple {model.size_multiple}, at most {model.max_pixels} pixels"
        yield finding("WAN302", where, f"default_size = {width}x{height} ({limits})")
    boundary = model.boundary_ratio
    if (model.experts == 2) != (boundary is not None and 0 < boundary < 1):
        yield finding("WAN303", where, f"experts = {model.experts}, boundary_ratio = {boundary}")
    transformer, vae, text = model.transformer.config, model.vae.config, model.text_encoder.config
    pairs = (
        ("transformer out_channels", transformer["out_channels"], "vae z_dim", vae["z_dim"]),
        ("transformer text_dim", transformer["text_dim"], "text encoder d_model", text["d_model"]),
    )
    for ours, value, theirs, expected in pairs:
        if value != expected:
            yield finding("WAN304", where, f"{ours} = {value}, {theirs} = {expected}")
    multiple = vae["scale_factor_spatial"] * transformer["patch_size"][1]
    if model.size_multiple != multiple:
        yield finding("WAN305", where, f"size_multiple = {model.size_multiple}, stride times patch = {multiple}")
