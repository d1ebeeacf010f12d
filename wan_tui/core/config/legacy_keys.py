"""The keys of the older ``config.json``: the kind of value of each, and whether wan-tui uses it."""

import math
import re
from pathlib import Path

from wan_tui.core.catalog import load_catalogue
from wan_tui.core.errors import UsageError

QUANTIZATIONS = ("none", "fp32", "fp16", "bf16", "fp8", "int8", "int4")
MODEL_KEYS = ("default_model", "t2v_model", "i2v_model", "ti2v_model")
FOREIGN = {"ui": "settings of the web interface", "prompt_enhancement": "settings of prompt enhancement"}

_TUNING = {
    "default_quantization": ("quantization", False),
    "quantization_levels": ("quantizations", False),
    "vae_tile_size": ("count", False),
    "vae_tile_size_range": ("range", False),
    "max_vram_usage_gb": ("positive", True),
    "enable_offload": ("switch", False),
}
_DIRECTORIES = {"output_directory": ("path", True), "models_directory": ("path", True)}
_MODELS = dict.fromkeys(MODEL_KEYS, ("model", True))

SECTIONS: dict[str, dict[str, tuple[str, bool]]] = {
    "system": {**_TUNING, **_DIRECTORIES, "max_queue_size": ("count", True)},
    "directories": {**_DIRECTORIES, "loras_directory": ("path", False)},
    "generation": {
        "default_resolution": ("size", True),
        "default_steps": ("count", True),
        "max_steps": ("count", True),
        "default_duration": ("positive", True),
        "max_duration": ("positive", False),
        "default_fps": ("positive", True),
        "max_prompt_length": ("count", False),
    },
    "models": _MODELS,
    "model": _MODELS,
    "optimization": _TUNING,
    "performance": {"stats_refresh_interval": ("interval", True), "vram_warning_threshold": ("ratio", False)},
}

_EXPECTED = {
    "quantization": f"one of {', '.join(QUANTIZATIONS)}",
    "quantizations": f"a list of {', '.join(QUANTIZATIONS)}",
    "count": "a whole number from 1 to 1000000",
    "positive": "a number above 0, at most 1000000",
    "range": "[smallest, largest], whole numbers from 1",
    "switch": "true or false",
    "path": "a directory",
    "model": "the id of a model",
    "size": "a size such as 832x480",
    "interval": "seconds from 0.1 to 60",
    "ratio": "a number between 0 and 1",
}


def expected(kind: str) -> str:
    return _EXPECTED[kind]


def takes(kind: str, value: object) -> bool:
    """Whether ``value`` is of ``kind``."""
    match kind:
        case "quantization":
            return isinstance(value, str) and value in QUANTIZATIONS
        case "quantizations":
            return isinstance(value, list) and bool(value) and all(takes("quantization", item) for item in value)
        case "count":
            return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1_000_000
        case "positive":
            return _number(value, 1e-6, 1e6)
        case "interval":
            return _number(value, 0.1, 60)
        case "ratio":
            return _number(value, 0, 1)
        case "range":
            return _is_range(value)
        case "switch":
            return isinstance(value, bool)
        case "path":
            return isinstance(value, str) and bool(value.strip()) and value.isprintable() and _has_a_home(value)
        case "size":
            return isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,4}[xX][1-9][0-9]{0,4}", value) is not None
    return _is_model(value)


def _number(value: object, low: float, high: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return low <= value <= high and math.isfinite(value)


def _has_a_home(path: str) -> bool:
    """``~nobody`` stands for no directory."""
    try:
        Path(path).expanduser()
    except RuntimeError:
        return False
    return True


def _is_range(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2 or not all(takes("count", item) for item in value):
        return False
    return bool(value[0] <= value[1])


def _is_model(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        load_catalogue().find(value)
    except UsageError:
        return False
    return True
