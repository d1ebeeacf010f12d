"""Whether a diffusers folder is the checkpoint that the catalogue describes, judged from headers alone.

Nothing is written, no weight is loaded, and no content of a file raises: it becomes a finding.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wan_tui.core.catalog import Component, Model
from wan_tui.core.catalog.checkpoints import INDEX
from wan_tui.core.validation.checkpoint_files import CheckpointFolder
from wan_tui.core.validation.checkpoint_weights import Weights, check_weights, same_weights
from wan_tui.core.validation.findings import Finding, worst_first
from wan_tui.core.validation.rulebook import finding
from wan_tui.core.validation.safetensors_header import Fault, show
from wan_tui.core.validation.tensor_comparison import PICKLES

# The rules that speak of a folder; the others of the group are of single files and of checksums.
CODES = tuple(f"WAN{number}" for number in range(401, 422))

# What the class takes when config.json does not say; a key absent here must be written.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "WanTransformer3DModel": {
        **{"patch_size": [1, 2, 2], "num_attention_heads": 40, "attention_head_dim": 128, "in_channels": 16},
        **{"out_channels": 16, "text_dim": 4096, "freq_dim": 256, "ffn_dim": 13824, "num_layers": 40},
        **{"cross_attn_norm": True, "qk_norm": "rms_norm_across_heads", "eps": 1e-6, "rope_max_seq_len": 1024},
        **{"image_dim": None, "added_kv_proj_dim": None},
    },
    "AutoencoderKLWan": {
        **{"base_dim": 96, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_scales": []},
        **{"temperal_downsample": [False, True, True], "is_residual": False, "in_channels": 3, "out_channels": 3},
        **{"scale_factor_temporal": 4, "scale_factor_spatial": 8, "decoder_base_dim": None, "patch_size": None},
    },
    "UMT5EncoderModel": {
        **{"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "layer_norm_epsilon": 1e-6},
        **{"feed_forward_proj": "gated-gelu", "is_encoder_decoder": True, "pad_token_id": 0, "eos_token_id": 1},
    },
}
# Without effect on inference, or on an encoder.
_WITHOUT_EFFECT = {"dropout", "dropout_rate", "num_decoder_layers", "scalable_attention", "is_encoder_decoder"}
_LIBRARIES = {"UMT5EncoderModel": "transformers"}


def check_checkpoint(folder: Path, model: Model) -> tuple[Finding, ...]:
    """What is wrong with the checkpoint of ``model`` in ``folder``, worst first."""
    try:
        files = CheckpointFolder.open(folder)
    except Fault as fault:
        return (finding(fault.code, show(str(folder)).strip("'"), fault.message),)
    try:
        index = files.json(INDEX)
    except Fault as fault:
        return (finding(fault.code, INDEX, fault.message),)
    if index is None:
        return (finding("WAN401", str(files.path), f"no {INDEX}"),)
    findings = [*_pipeline(index, model), *_values(index, model), *_stray_pickles(files)]
    findings += _side_files(files, index)
    weights: dict[str, Weights] = {}
    for role, component in model.components:
        entry = index.get(role)
        if not is_present(entry):
            code = "WAN405" if role == "transformer_2" else "WAN407"
            findings.append(finding(code, INDEX, f"no {role}, which {model.id} needs"))
            continue
        findings += _class(role, component, entry)
        findings += _config(files, role, component)
        weights[role] = check_weights(files, role, component)
        findings += weights[role].findings
    if {"transformer", "transformer_2"} <= weights.keys() and same_weights(
        weights["transformer"], weights["transformer_2"]
    ):
        findings.append(finding("WAN421", "transformer_2", "both experts are the same file as far as sampled"))
    return worst_first(findings)


def is_present(entry: Any) -> bool:
    """Whether ``entry`` of model_index.json names a component."""
    return entry is not None and not (isinstance(entry, list) and all(part is None for part in entry))


def pipeline_classes(model: Model) -> list[str]:
    """The diffusers pipelines that ``model`` may be published for."""
    classes = ["WanImageToVideoPipeline"] if model.task.needs_image else ["WanPipeline"]
    if model.task.takes_image and not model.task.needs_image:
        classes.append("WanImageToVideoPipeline")
    return classes


def _pipeline(index: Mapping[str, Any], model: Model) -> list[Finding]:
    allowed = pipeline_classes(model)
    findings = []
    if index.get("_class_name") not in allowed:
        message = f"_class_name is {show(index.get('_class_name'))}, {model.id} needs {' or '.join(allowed)}"
        findings.append(finding("WAN403", INDEX, message))
    if model.experts == 1 and is_present(index.get("transformer_2")):
        findings.append(finding("WAN405", INDEX, f"names a transformer_2; {model.id} has one transformer"))
    return findings


def _values(index: Mapping[str, Any], model: Model) -> list[Finding]:
    findings = []
    expected = {"boundary_ratio": model.boundary_ratio, "expand_timesteps": model.expand_timesteps}
    for key, value in expected.items():
        # What the pipelines take when the file does not say.
        found = index.get(key, None if key == "boundary_ratio" else False)
        if not _equal(found, value):
            message = f"{key} is {show(found)}, {model.id} needs {show(value)}"
            findings.append(finding("WAN404", INDEX, message))
    return findings


def _side_files(files: CheckpointFolder, index: Mapping[str, Any]) -> list[Finding]:
    """Tokenizer and scheduler: no weights, but no pipeline without them."""
    findings = []
    for role, name in (("scheduler", "scheduler_config.json"), ("tokenizer", "tokenizer_config.json")):
        where = f"{role}/{name}"
        if not is_present(index.get(role)):
            findings.append(finding("WAN407", INDEX, f"no {role}"))
            continue
        try:
            if files.json(where) is None:
                findings.append(finding("WAN407", where, "missing"))
        except Fault as fault:
            findings.append(finding(fault.code, where, fault.message))
    return findings


def _stray_pickles(files: CheckpointFolder) -> list[Finding]:
    stray = [name for name in files.names(".") if name.lower().endswith(PICKLES)]
    return [finding("WAN411", show(stray[0]).strip("'"), f"{len(stray)} pickle files beside {INDEX}")] if stray else []


def _class(role: str, component: Component, entry: Any) -> list[Finding]:
    needed = [_LIBRARIES.get(component.class_name, "diffusers"), component.class_name]
    if entry == needed:
        return []
    return [finding("WAN403", INDEX, f"{role} is {show(entry)}, the model needs {show(needed)}")]


def _config(files: CheckpointFolder, role: str, component: Component) -> list[Finding]:
    where = f"{role}/config.json"
    try:
        config = files.json(where)
    except Fault as fault:
        return [finding(fault.code, where, fault.message)]
    if config is None:
        return [finding("WAN407", where, "missing")]
    findings = []
    if (named := config.get("_class_name", component.class_name)) != component.class_name:
        findings.append(finding("WAN403", where, f"_class_name is {show(named)} instead of {component.class_name}"))
    if component.class_name == "UMT5EncoderModel" and config.get("model_type", "umt5") != "umt5":
        findings.append(finding("WAN403", where, f"model_type is {show(config['model_type'])} instead of 'umt5'"))
    defaults = _DEFAULTS.get(component.class_name, {})
    # A key that the catalogue leaves out has the class's default.
    for key, needed in {**defaults, **component.config}.items():
        if key in _WITHOUT_EFFECT or (key not in config and _has_default(key, needed, defaults)):
            continue
        if key not in config:
            findings.append(finding("WAN406", where, f"{key} is missing, {component.name} needs {show(needed)}"))
        elif not _equal(config[key], needed):
            message = f"{key} is {show(config[key])}, {component.name} needs {show(needed)}"
            findings.append(finding("WAN406", where, message))
    return findings


def _has_default(key: str, needed: Any, defaults: Mapping[str, Any]) -> bool:
    if key in ("latents_mean", "latents_std"):
        return len(needed) == 16  # the class has those of the 2.1 VAE
    return key in defaults and _equal(defaults[key], needed)


def _equal(found: Any, needed: Any) -> bool:
    """Equality of JSON values: 1 is 1.0, but true is not 1; floats to six digits, lists one by one."""
    if isinstance(needed, list | tuple):
        return (
            isinstance(found, list)
            and len(found) == len(needed)
            and all(_equal(one, other) for one, other in zip(found, needed, strict=True))
        )
    if isinstance(needed, bool) or isinstance(found, bool) or not isinstance(needed, int | float):
        return type(found) is type(needed) and bool(found == needed)
    if not isinstance(found, int | float):
        return False
    try:
        return math.isclose(found, needed, rel_tol=1e-6)
    except OverflowError:
        return False
