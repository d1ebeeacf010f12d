"""The older ``config.json``: what of it is used, as the tables of wan-tui.toml, and what is wrong with it."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.config.legacy_keys import FOREIGN, MODEL_KEYS, SECTIONS, expected, takes
from wan_tui.core.config.problems import Assign, Kind, Problem, Rename, dotted, edited, shown, unknown_key
from wan_tui.core.errors import UsageError

FATAL = {Kind.UNKNOWN_MODEL, Kind.LEGACY_BAD_VALUE}


@dataclass(frozen=True, slots=True)
class Legacy:
    """``settings``: the tables that wan-tui.toml would have."""

    settings: dict[str, Any]
    problems: tuple[Problem, ...]


def load_json(text: str) -> dict[str, Any]:
    """Raises ValueError for what is no JSON object, or says a key twice."""
    try:
        data = json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(data, dict):
        raise ValueError("not a JSON object")
    return data


def read_legacy(file: Path, text: str) -> dict[str, Any]:
    """The tables of ``file``. Raises UsageError at the first value that cannot be taken over."""
    try:
        legacy = parse_legacy(load_json(text))
    except ValueError as error:
        raise UsageError(f"{file}: not valid JSON: {error}") from None
    for problem in legacy.problems:
        if problem.kind in FATAL:
            raise UsageError(f"{file}: {problem.key}: {problem.message}")
    return legacy.settings


def parse_legacy(data: dict[str, Any]) -> Legacy:
    """Never raises: every oddity is a problem."""
    problems = list(_keys(data))
    for problem in problems:
        if isinstance(problem.edit, Rename):
            data = edited(data, problem.edit)  # what is judged below is what was meant
    good = {
        section: {key: value for key, value in keys.items() if key in SECTIONS[section] and _good(section, key, value)}
        for section, keys in data.items()
        if section in SECTIONS and isinstance(keys, dict)
    }
    models = _models(good)
    problems += [*_values(data), *_contradictions(good), *_unsupported(good, models)]
    return Legacy(_settings(good, models), tuple(problems))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"key {shown(key)} twice in one object")
        result[key] = value
    return result


def _good(section: str, key: str, value: object) -> bool:
    return takes(SECTIONS[section][key][0], value)


def _keys(data: dict[str, Any]) -> Iterator[Problem]:
    for section, keys in data.items():
        if section in FOREIGN:
            yield Problem(Kind.LEGACY_FOREIGN, section, f"{FOREIGN[section]}: not used here")
        elif section not in SECTIONS:
            yield unknown_key(Kind.LEGACY_UNKNOWN_KEY, (section,), [*SECTIONS, *FOREIGN], data)
        elif not isinstance(keys, dict):
            yield Problem(Kind.LEGACY_BAD_VALUE, section, f"{section} = {shown(keys)}: expected an object")
        else:
            for key in keys:
                if key not in SECTIONS[section]:
                    yield unknown_key(Kind.LEGACY_UNKNOWN_KEY, (section, key), SECTIONS[section], keys)


def _values(data: dict[str, Any]) -> Iterator[Problem]:
    for section, keys in data.items():
        if section not in SECTIONS or not isinstance(keys, dict):
            continue
        for key, value in keys.items():
            if key not in SECTIONS[section]:
                continue
            kind, used = SECTIONS[section][key]
            name = dotted((section, key))
            if kind == "model" and isinstance(value, str) and not takes(kind, value):
                yield Problem(Kind.UNKNOWN_MODEL, name, _unknown_model(value))
            elif not takes(kind, value):
                wanted = expected(kind)
                yield Problem(
                    Kind.LEGACY_BAD_VALUE, name, f"{name} = {shown(value)}: expected {wanted}", f"give {wanted}"
                )
            elif not used:
                yield Problem(Kind.LEGACY_NO_COUNTERPART, name, f"{name} = {shown(value)} has no counterpart")


def _unknown_model(name: str) -> str:
    try:
        return load_catalogue().find(name).id
    except UsageError as error:
        return str(error)


def _contradictions(good: dict[str, dict[str, Any]]) -> Iterator[Problem]:
    system, tuning, generation = (good.get(name, {}) for name in ("system", "optimization", "generation"))
    for key in sorted(system.keys() & tuning.keys()):
        if system[key] != tuning[key]:
            edit = Assign(("system", key), tuning[key]) if key == "default_quantization" else None
            yield _contradiction(
                f"system.{key}",
                f"{shown(system[key])} here, but optimization.{key} is {shown(tuning[key])}",
                f"set both to {shown(tuning[key])}",
                edit,
            )
    for key in ("output_directory", "models_directory"):
        ours, theirs = system.get(key), good.get("directories", {}).get(key)
        if ours is not None and theirs is not None and ours != theirs:
            text = f"{shown(ours)} here, but directories.{key} is {shown(theirs)}, which is used"
            yield _contradiction(f"system.{key}", text, f"remove system.{key}")
    levels, chosen = tuning.get("quantization_levels"), tuning.get("default_quantization")
    if levels is not None and chosen is not None and chosen not in levels:
        text = f"{shown(chosen)} is not among optimization.quantization_levels {shown(levels)}"
        yield _contradiction("optimization.default_quantization", text, f"choose one of {', '.join(levels)}")
    size, bounds = tuning.get("vae_tile_size"), tuning.get("vae_tile_size_range")
    if size is not None and bounds is not None and not bounds[0] <= size <= bounds[1]:
        text = f"{size} is outside optimization.vae_tile_size_range {shown(bounds)}"
        yield Problem(
            Kind.LEGACY_BAD_VALUE,
            "optimization.vae_tile_size",
            text,
            f"choose a size between {bounds[0]} and {bounds[1]}",
        )
    for name in ("steps", "duration"):
        default, most = generation.get(f"default_{name}"), generation.get(f"max_{name}")
        if default is not None and most is not None and default > most:
            text = f"{default} is more than generation.max_{name}, {most}"
            yield _contradiction(f"generation.default_{name}", text, f"choose at most {most}")


def _contradiction(key: str, text: str, fix: str, edit: Assign | None = None) -> Problem:
    return Problem(Kind.LEGACY_CONTRADICTION, key, text, fix, edit)


def _unsupported(good: dict[str, dict[str, Any]], models: list[Model]) -> Iterator[Problem]:
    generation = good.get("generation", {})
    judged = models or [model for model in load_catalogue().models if model.weights == "checkpoint"]
    if size := generation.get("default_resolution"):
        width, height = (int(part) for part in size.lower().split("x"))
        small = [model for model in judged if width * height > model.max_pixels]
        largest = ", ".join(f"{model.id} makes at most {model.max_pixels} pixels" for model in small)
        smallest = min(judged, key=lambda model: model.max_pixels)
        fix = f"choose {smallest.default_size[0]}x{smallest.default_size[1]} or smaller"
        yield from _beyond("default_resolution", f"{size} is {width * height} pixels: {largest}", fix, small, judged)
    duration, rate = generation.get("default_duration"), generation.get("default_fps")
    if duration is None or rate is None or not math.isfinite(duration * rate):
        return
    frames = duration * rate
    nearest = max(round((frames - 1) / 4) * 4 + 1, 1)
    key = "default_duration"
    if frames != nearest:
        text = f"{duration:g} s at {rate:g} frames a second is {frames:g} frames: not 4k+1"
        fix = f"choose {nearest / rate:.4f} s, {nearest} frames"
        yield Problem(Kind.LEGACY_FRAME_RULE, f"generation.{key}", text, fix)
    short = [model for model in judged if nearest > model.max_frames]
    most = ", ".join(f"{model.id} makes at most {model.max_frames}" for model in short)
    fix = f"choose at most {min(model.max_frames for model in judged)} frames"
    yield from _beyond(key, f"{nearest} frames: {most}", fix, short, judged)


def _beyond(key: str, text: str, fix: str, unable: list[Model], judged: list[Model]) -> Iterator[Problem]:
    if unable:
        everyone = len(unable) == len(judged)
        kind = Kind.LEGACY_UNSUPPORTED if everyone else Kind.LEGACY_PARTLY_UNSUPPORTED
        yield Problem(kind, f"generation.{key}", text, fix)


def _models(good: dict[str, dict[str, Any]]) -> list[Model]:
    names = [good.get(section, {}).get(key) for section in ("models", "model") for key in MODEL_KEYS]
    found = {load_catalogue().find(name).id: load_catalogue().find(name) for name in names if name is not None}
    return list(found.values())


def _settings(good: dict[str, dict[str, Any]], models: list[Model]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, ours in (("models_directory", "models"), ("output_directory", "outputs")):
        for section in ("directories", "system"):
            if key in good.get(section, {}):
                result.setdefault("paths", {}).setdefault(ours, good[section][key])
    interval = good.get("performance", {}).get("stats_refresh_interval")
    if interval is not None:
        result["polling"] = {"interval_seconds": float(interval)}
    limits = _limits(good)
    if limits:
        result["limits"] = limits
    generation = good.get("generation", {})
    shaped = models or [model for model in load_catalogue().models if model.weights == "checkpoint"]
    defaults = {model.id: _defaults(generation, model) for model in shaped}
    if models or any(defaults.values()):
        result["deployments"] = {
            model.id: {"model": model.id, **({"defaults": defaults[model.id]} if defaults[model.id] else {})}
            for model in shaped
        }
    return result


def _limits(good: dict[str, dict[str, Any]]) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    tuning = {**good.get("system", {}), **good.get("optimization", {})}
    if (most := tuning.get("max_vram_usage_gb")) is not None:
        limits["max_vram_gib"] = float(min(max(most, 1), 1024))  # sellers of graphics cards say GB and mean GiB
    if (most := good.get("system", {}).get("max_queue_size")) is not None:
        limits["max_queued_jobs"] = min(most, 10_000)
    if (most := good.get("generation", {}).get("max_steps")) is not None:
        limits["max_steps"] = most
    return limits


def _defaults(generation: dict[str, Any], model: Model) -> dict[str, Any]:
    """What the file wants of a clip, as far as ``model`` can make it."""
    defaults: dict[str, Any] = {}
    if size := generation.get("default_resolution"):
        width, height = (int(part) for part in size.lower().split("x"))
        if width * height <= model.max_pixels:
            defaults |= {"width": width, "height": height}
    if (duration := generation.get("default_duration")) is not None:
        rate = generation.get("default_fps", model.fps)
        frames = model.nearest_frames(round(min(duration * rate, 1e6)))
        if frames <= model.max_frames:
            defaults["frames"] = frames
    if (steps := generation.get("default_steps")) is not None:
        defaults["steps"] = steps
    return defaults
