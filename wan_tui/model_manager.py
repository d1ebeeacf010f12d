"""The documented Python API: what is known about the Wan models, as plain dictionaries.

Synchronous, without torch and without a running engine: every call looks at this host afresh. Sizes ending in ``_gb``
are GiB with two decimals. Functions answer ``{"error": …}`` for a model that does not exist and never raise for it.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from wan_tui.core.catalog import Model, load_catalogue
from wan_tui.core.catalog.checkpoints import find_checkpoint
from wan_tui.core.catalog.gpus import GpuModel, bounded_gpu, search_gpu
from wan_tui.core.catalog.profiles import find_profile
from wan_tui.core.config import DeploymentSettings, Settings, load_settings
from wan_tui.core.errors import WanTuiError
from wan_tui.core.hardware.look import look
from wan_tui.core.hardware.samples import GpuSample, HardwareSample, HostSample
from wan_tui.core.planning.assess import assess
from wan_tui.core.planning.clip import default_clip
from wan_tui.core.planning.compatibility import judge
from wan_tui.core.planning.memory import GIB
from wan_tui.core.planning.plan import Compatibility, ExecutionPlan
from wan_tui.core.planning.planner import HostRoom, Room, Task, candidates
from wan_tui.core.validation.subjects import judge_checkpoint, judge_model
from wan_tui.core.words import AttentionBackend, Basis, Feature, OffloadMode, Quantization, Severity, Verdict

Answer = dict[str, Any]
Result = TypeVar("Result")

# The card that each profile is made for.
HARDWARE_PROFILES = {
    "rtx-4080": "rtx 4080 16gb",
    "rtx-3080": "rtx 3080 10gb",
    "low-vram": "rtx 4060 8gb",
    "resident-bf16": "h100 80gb hbm3",
}

_PRECISIONS = ("fp32", "fp16", "bf16", "fp8", "int8", "int4")

# The same question without the host's limits: enough memory for every weight.
_AMPLE_HOST_BYTES = 1024 * GIB


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
        large, small = _on_card(entry, search_gpu(HARDWARE_PROFILES["resident-bf16"])), _least(entry)
        return {
            "capabilities": {
                "model_type": entry.id,
                "display_name": entry.title,
                "description": f"{entry.title}: {entry.parameters / 1e9:.1f} B parameters, {entry.fps} fps",
                "architecture_type": "mixture of two experts" if entry.experts == 2 else "dense",
                "parameter_count": entry.parameters,
                "default_resolution": f"{width}x{height}",
                "max_resolution": _largest_size(entry),
                "min_resolution": f"{entry.size_multiple}x{entry.size_multiple}",
                "max_frames": entry.max_frames,
                "supports_variable_length": True,
                "frame_rule": "4k+1",
                "takes_text": True,
                "takes_image": entry.task.takes_image,
                "needs_image": entry.task.needs_image,
            },
            "requirements": {
                "min_vram_gb": _gib(small),
                "estimated_vram_gb": _gib(large.memory.peak_bytes) if large.memory else None,
                "supported_precisions": [*_precisions(entry)],
                "basis": Basis.MODELLED.value,
            },
            "hardware_profiles": {name: _profile(entry, name, card) for name, card in HARDWARE_PROFILES.items()},
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
        gpu = _gpu_of(found, hardware)
        total = gpu.memory_total_bytes if gpu and gpu.memory_total_bytes else host.memory_total_bytes
        compatible = found.verdict not in (Verdict.INCOMPATIBLE, Verdict.UNKNOWN)
        peak = found.memory.peak_bytes if found.memory else None
        return {
            "is_compatible": compatible,
            "verdict": found.verdict.value,
            "compatibility_errors": [] if compatible else [found.reason],
            "hardware_detected": {
                "gpu_name": gpu.name if gpu else None,
                "available_vram_gb": _gib(gpu.memory_free_bytes) if gpu else None,
                "architecture_type": f"compute capability {gpu.compute_capability}" if gpu else "cpu",
                "driver": hardware.driver.message,
            },
            "optimal_profile": found.plan.device if found.plan else None,
            "optimal_profile_config": _plan_facts(found.plan),
            "recommendations": _recommendations(found),
            "estimated_seconds": _seconds(found),
            "vram_utilization": {
                "available_gb": _gib(total),
                "required_gb": _gib(peak),
                "estimated_gb": _gib(peak),
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
                **{f"supports_{name}": name in _precisions(entry) for name in _PRECISIONS},
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
        order = list(Verdict)
        answers = []
        for name in self.get_available_wan_models():
            entry = load_catalogue().find(name)
            found = _on_card(entry, _any_card(available_vram_gb))
            facts = {"model_id": entry.canonical_id, "verdict": found.verdict.value, "reason": found.reason}
            answers.append((order.index(found.verdict), {**facts, "settings": _plan_facts(found.plan)}))
        return [answer for _, answer in sorted(answers, key=lambda pair: pair[0])]

    def _checkpoint(self, entry: Model) -> Path | None:
        return find_checkpoint(entry, self._settings.paths.models)


def _precisions(entry: Model) -> dict[str, None]:
    """What a user calls a precision: number formats to compute in and to store in, without the GGUF types."""
    names = [*entry.precisions, *(kind for kind in entry.quantizations if not kind.is_gguf)]
    return dict.fromkeys(name.value for name in names)


def _on_card(entry: Model, gpu: GpuModel, profile: str = "auto") -> Compatibility:
    """The verdict on an empty card in a host with memory for everything."""
    room = Room(device="gpu:0", uuid=None, total_bytes=gpu.memory_bytes, free_bytes=gpu.memory_bytes, gpu=gpu)
    task = Task(model=entry, clip=default_clip(entry), profile=find_profile(profile))
    return judge(task, (room,), HostRoom(_AMPLE_HOST_BYTES, _AMPLE_HOST_BYTES))


def _any_card(gib: float) -> GpuModel:
    """A card of that much memory, no faster than the slowest known one of its generation."""
    return bounded_gpu(f"a card with {gib:g} GiB", int(gib * GIB), (8, 9))


def _least(entry: Model) -> int:
    """Bytes of the least that the default clip takes on any card, at whatever cost in time."""
    gpu = search_gpu(HARDWARE_PROFILES["resident-bf16"])
    room = Room(device="gpu:0", uuid=None, total_bytes=gpu.memory_bytes, free_bytes=gpu.memory_bytes, gpu=gpu)
    task = Task(model=entry, clip=default_clip(entry), profile=find_profile("auto"))
    _, least = candidates(task, room, HostRoom(_AMPLE_HOST_BYTES, _AMPLE_HOST_BYTES), 0)
    assert least is not None
    return least.memory.peak_bytes


def _profile(entry: Model, profile: str, card: str) -> Answer:
    gpu = search_gpu(card)
    found = _on_card(entry, gpu, profile)
    return {
        "target_gpu": gpu.label,
        "verdict": found.verdict.value,
        "vram_requirement_gb": _gib(found.memory.peak_bytes) if found.memory else None,
        "batch_size": found.plan.batch if found.plan else 1,
        "precision": _precision_word(found.plan),
        "inference_time_seconds": _seconds(found),
        "optimizations": _optimizations(found.plan),
    }


def _seconds(found: Compatibility) -> float | None:
    return round(found.seconds.expected, 1) if found.seconds else None


def _precision_word(plan: ExecutionPlan | None) -> str | None:
    """What the transformers are stored in: what a user calls the precision."""
    if plan is None:
        return None
    stored = plan.quantization is not Quantization.NONE
    return plan.quantization.value if stored else plan.precision.value


def _plan_facts(plan: ExecutionPlan | None) -> Answer:
    if plan is None:
        return {}
    return {
        "precision": _precision_word(plan),
        "compute_precision": plan.precision.value,
        "offload": plan.offload.value,
        "text_encoder": "host" if plan.text_encoder_on_cpu else plan.text_encoder_quantization.value,
        "vae_precision": plan.vae_precision.value,
        "enable_xformers": plan.attention is AttentionBackend.XFORMERS,
        "vae_tile_size": 256 if plan.vae_tiling else None,
        "cpu_offload": plan.offload is not OffloadMode.NONE,
        "enable_attention_slicing": False,
        "enable_sequential_cpu_offload": plan.offload is OffloadMode.SEQUENTIAL,
        "batch_size": plan.batch,
    }


def _optimizations(plan: ExecutionPlan | None) -> list[str]:
    if plan is None:
        return []
    return [
        *(["vae_tiling"] if plan.vae_tiling else []),
        *([] if plan.quantization is Quantization.NONE else [f"{plan.quantization.value}_weights"]),
        *([] if plan.offload is OffloadMode.NONE else [f"{plan.offload.value}_offload"]),
        *(["text_encoder_on_host"] if plan.text_encoder_on_cpu else []),
    ]


def _recommendations(found: Compatibility) -> list[str]:
    if found.verdict is Verdict.FITS:
        return []
    return [found.reason, *(remedy.title for remedy in found.remedies)]


def _gpu_of(found: Compatibility, hardware: HardwareSample) -> GpuSample | None:
    uuid = found.plan.gpu_uuid if found.plan else None
    return next((gpu for gpu in hardware.gpus if uuid is not None and gpu.uuid == uuid), None)


def _largest_size(entry: Model) -> str:
    """The published landscape size with most pixels: 1280x720 for A14B, 1280x704 for 5B."""
    width = 1280 if entry.max_pixels > 256 * 256 else 256
    return f"{width}x{entry.max_pixels // width}"


def _gib(size: float | None) -> float | None:
    return None if size is None else round(size / GIB, 2)


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
