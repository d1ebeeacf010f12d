"""The documented Python API: what is known about the Wan models, as plain dictionaries.

Synchronous, without torch and without a running engine: every call looks at this host afresh. Sizes ending in ``_gb``
are GiB with two decimals. Functions answer ``{"error": …}`` for a model that does not exist and never raise for it.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.catalog.checkpoints import find_checkpoint
from wan_tui.core.catalog.gpus import search_gpu
from wan_tui.core.config import DeploymentSettings, Settings, load_settings
from wan_tui.core.errors import WanTuiError
from wan_tui.core.hardware.look import look
from wan_tui.core.hardware.samples import HardwareSample, HostSample
from wan_tui.core.planning.answers import (
    HARDWARE_PROFILES,
    PRECISIONS,
    Answer,
    any_card,
    gpu_of,
    largest_size,
    least_bytes,
    on_card,
    plan_facts,
    precision_words,
    profile_facts,
    recommendations,
    seconds_of,
    to_gib,
)
from wan_tui.core.planning.assess import assess
from wan_tui.core.validation.subjects import judge_checkpoint, judge_model
from wan_tui.core.words import Basis, Feature, Severity, Verdict


def _answering(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Errors come back as ``{"error": …}``."""

    @functools.wraps(function)
    def answer(*arguments: Any, **keywords: Any) -> Answer:
        try:
            return function(*arguments, **keywords)
        except WanTuiError as error:
            return {"error": str(error)}

    return answer


class ModelManager:
    """Answers about models, from ``settings`` (default: the configuration of this user) and this host's hardware."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or load_settings()

    def get_model_id(self, model: str) -> str | Answer:
        """The canonical id, ``wan_implementation:t2v-A14B``, for any name of a model."""
        try:
            return load_catalogue().find(model).canonical_id
        except WanTuiError as error:
            return {"error": str(error)}

    def is_wan_model(self, model: str) -> bool:
        return not isinstance(self.get_model_id(model), dict)

    def get_available_wan_models(self) -> list[str]:
        """Short ids of the official models; the pocket models are for tests and demonstrations."""
        return [model.id for model in load_catalogue().models if model.weights == "checkpoint"]

    @_answering
    def get_wan_model_info(self, model: str) -> Answer:
        entry = load_catalogue().find(model)
        return {
            "model_id": entry.canonical_id,
            "display_name": entry.title,
            "task": entry.task.value,
            "repository": entry.repository,
            "parameter_count": entry.parameters,
            "components": {
                role: {"class": part.class_name, "parameters": part.parameters, "bytes": part.published_bytes}
                for role, part in entry.components
            },
            "experts": entry.experts,
            "boundary_ratio": entry.boundary_ratio,
            "fps": entry.fps,
        }

    @_answering
    def get_wan_model_capabilities(self, model: str) -> Answer:
        entry = load_catalogue().find(model)
        width, height = entry.default_size
        large, small = on_card(entry, search_gpu(HARDWARE_PROFILES["resident-bf16"])), least_bytes(entry)
        return {
            "capabilities": {
                "model_type": entry.id,
                "display_name": entry.title,
                "description": f"{entry.title}: {entry.parameters / 1e9:.1f} B parameters, {entry.fps} fps",
                "architecture_type": "mixture of two experts" if entry.experts == 2 else "dense",
                "parameter_count": entry.parameters,
                "default_resolution": f"{width}x{height}",
                "max_resolution": largest_size(entry),
                "min_resolution": f"{entry.size_multiple}x{entry.size_multiple}",
                "max_frames": entry.max_frames,
                "supports_variable_length": True,
                "frame_rule": "4k+1",
                "takes_text": True,
                "takes_image": entry.task.takes_image,
                "needs_image": entry.task.needs_image,
            },
            "requirements": {
                "min_vram_gb": to_gib(small),
                "estimated_vram_gb": to_gib(large.memory.peak_bytes) if large.memory else None,
                "supported_precisions": [*precision_words(entry)],
                "basis": Basis.MODELLED.value,
            },
            "hardware_profiles": {name: profile_facts(entry, name, card) for name, card in HARDWARE_PROFILES.items()},
            "is_valid": self.validate_wan_model_configuration(entry.id)[0],
        }

    def validate_wan_model_configuration(self, model: str) -> tuple[bool, list[str]]:
        """Whether the catalogue entry is consistent and the checkpoint, if it is here, complete; a line per error."""
        try:
            entry = load_catalogue().find(model)
        except WanTuiError as error:
            return False, [str(error)]
        errors = [
            f"{found.code} {found.where}: {found.message}"
            for found in (judge_model(entry) + judge_checkpoint(entry, self._checkpoint(entry))).findings
            if found.severity is Severity.ERROR
        ]
        return not errors, errors

    def validate_all_wan_configurations(self) -> dict[str, tuple[bool, list[str]]]:
        return {model: self.validate_wan_model_configuration(model) for model in self.get_available_wan_models()}

    @_answering
    def assess_hardware_compatibility(self, model: str) -> Answer:
        return self._compatibility(load_catalogue().find(model), *look())

    def _compatibility(self, entry: Model, hardware: HardwareSample, host: HostSample) -> Answer:
        found = assess(entry, DeploymentSettings(model=entry.id), hardware, host, limits=self._settings.limits)
        gpu = gpu_of(found, hardware)
        total = gpu.memory_total_bytes if gpu and gpu.memory_total_bytes else host.memory_total_bytes
        compatible = found.verdict not in (Verdict.INCOMPATIBLE, Verdict.UNKNOWN)
        peak = found.memory.peak_bytes if found.memory else None
        return {
            "is_compatible": compatible,
            "verdict": found.verdict.value,
            "compatibility_errors": [] if compatible else [found.reason],
            "hardware_detected": {
                "gpu_name": gpu.name if gpu else None,
                "available_vram_gb": to_gib(gpu.memory_free_bytes) if gpu else None,
                "architecture_type": f"compute capability {gpu.compute_capability}" if gpu else "cpu",
                "driver": hardware.driver.message,
            },
            "optimal_profile": found.plan.device if found.plan else None,
            "optimal_profile_config": plan_facts(found.plan),
            "recommendations": recommendations(found),
            "estimated_seconds": seconds_of(found),
            "vram_utilization": {
                "available_gb": to_gib(total),
                "required_gb": to_gib(peak),
                "estimated_gb": to_gib(peak),
                "utilization_percent": None if peak is None else round(100 * peak / total, 1),
                "basis": found.memory.basis.value if found.memory else None,
            },
        }

    @_answering
    def get_performance_profile(self, model: str) -> Answer:
        entry = load_catalogue().find(model)
        return self._performance(entry, self._compatibility(entry, *look()))

    def _performance(self, entry: Model, compatibility: Answer) -> Answer:
        usage, config = compatibility["vram_utilization"], compatibility["optimal_profile_config"]
        return {
            "model_type": entry.id,
            "optimization_settings": config,
            "performance_recommendations": compatibility["recommendations"],
            "estimated_metrics": {
                # From the published rates of the card; what runs here is corrected by what was observed.
                "inference_time_seconds": compatibility["estimated_seconds"],
                "vram_usage_gb": usage["estimated_gb"],
                "vram_utilization_percent": usage["utilization_percent"],
                "basis": usage["basis"],
            },
            "hardware_requirements": self.get_wan_model_capabilities(entry.id)["requirements"],
            "optimization_features": {
                **{f"supports_{name}": name in precision_words(entry) for name in PRECISIONS},
                **{f"supports_{feature.value}": feature in entry.features for feature in Feature},
                "supports_cpu_offload": Feature.MODEL_OFFLOAD in entry.features,
                "supports_sequential_cpu_offload": Feature.SEQUENTIAL_OFFLOAD in entry.features,
                "supports_attention_slicing": False,  # the Wan transformers cannot
            },
        }

    @_answering
    def get_model_status(self, model: str) -> Answer:
        return self._status(load_catalogue().find(model), *look())

    def _status(self, entry: Model, hardware: HardwareSample, host: HostSample) -> Answer:
        folder = self._checkpoint(entry)
        valid, errors = self.validate_wan_model_configuration(entry.id)
        compatibility = self._compatibility(entry, hardware, host)
        return {
            "model_id": entry.canonical_id,
            "is_cached": folder is not None,
            "is_loaded": False,  # no engine is asked: see `wan-tui status` for what runs
            "is_valid": valid,
            "size_mb": round(sum(part.published_bytes for _, part in entry.components) / 1e6, 1),
            "is_wan_model": True,
            "wan_capabilities": self.get_wan_model_capabilities(entry.id),
            "wan_validation": {"is_valid": valid, "errors": errors},
            "hardware_compatibility": compatibility,
            "performance_profile": self._performance(entry, compatibility),
            "compatibility_status": compatibility["verdict"],
            "optimization_recommendations": compatibility["recommendations"],
            "cache_info": {
                "path": str(folder) if folder else None,
                "models_directory": str(self._settings.paths.models),
            },
            "model_info": self.get_wan_model_info(entry.id),
        }

    def get_all_wan_model_status(self) -> dict[str, Answer]:
        hardware, host = look()
        entries = [load_catalogue().find(name) for name in self.get_available_wan_models()]
        return {entry.id: self._status(entry, hardware, host) for entry in entries}

    def get_wan_model_recommendations(self, available_vram_gb: float) -> list[Answer]:
        """The official models on a card with that much memory, those that run best first."""
        order = (Verdict.FITS, Verdict.OFFLOAD_REQUIRED, Verdict.TIGHT, Verdict.UNKNOWN, Verdict.INCOMPATIBLE)
        answers = []
        for name in self.get_available_wan_models():
            entry = load_catalogue().find(name)
            found = on_card(entry, any_card(available_vram_gb))
            facts: Answer = {"model_id": entry.canonical_id, "verdict": found.verdict.value, "reason": found.reason}
            facts |= {"inference_time_seconds": seconds_of(found), "settings": plan_facts(found.plan)}
            answers.append((order.index(found.verdict), facts))
        return [answer for _, answer in sorted(answers, key=lambda pair: pair[0])]

    def _checkpoint(self, entry: Model) -> Path | None:
        return find_checkpoint(entry, self._settings.paths.models)


@functools.cache
def get_model_manager() -> ModelManager:
    """The manager that the module's functions use, made on first use."""
    return ModelManager()


def get_model_id(model: str) -> str | Answer:
    return get_model_manager().get_model_id(model)


def is_wan_model(model: str) -> bool:
    return get_model_manager().is_wan_model(model)


def get_model_status(model: str) -> Answer:
    return get_model_manager().get_model_status(model)


def get_all_wan_model_status() -> dict[str, Answer]:
    return get_model_manager().get_all_wan_model_status()


def get_wan_model_capabilities(model: str) -> Answer:
    return get_model_manager().get_wan_model_capabilities(model)


def validate_wan_model_configuration(model: str) -> tuple[bool, list[str]]:
    return get_model_manager().validate_wan_model_configuration(model)


def validate_all_wan_configurations() -> dict[str, tuple[bool, list[str]]]:
    return get_model_manager().validate_all_wan_configurations()


def assess_hardware_compatibility(model: str) -> Answer:
    return get_model_manager().assess_hardware_compatibility(model)


def get_performance_profile(model: str) -> Answer:
    return get_model_manager().get_performance_profile(model)


def get_wan_model_recommendations(available_vram_gb: float) -> list[Answer]:
    return get_model_manager().get_wan_model_recommendations(available_vram_gb)


def get_available_wan_models() -> list[str]:
    return get_model_manager().get_available_wan_models()


def get_wan_model_info(model: str) -> Answer:
    return get_model_manager().get_wan_model_info(model)
