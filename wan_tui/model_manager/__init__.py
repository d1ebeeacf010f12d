"""The documented Python API: what is known about the Wan models, as plain dictionaries.

Synchronous, without torch and without a running engine: every call looks at this host afresh. Sizes ending in ``_gb``
are GiB with two decimals. Functions answer ``{"error": …}`` for a model that does not exist and never raise for it.
"""

import functools

from wan_tui.model_manager.facts import Answer
from wan_tui.model_manager.manager import ModelManager


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
