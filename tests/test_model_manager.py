"""The documented Python API: its keys, its figures, its errors."""

import asyncio
import subprocess
import sys

import pytest

from wan_tui import model_manager as api

OFFICIAL = ["t2v-A14B", "i2v-A14B", "ti2v-5B"]
CAPABILITIES = {
    *("model_type", "display_name", "description", "architecture_type", "parameter_count"),
    *("max_resolution", "min_resolution", "max_frames", "supports_variable_length"),
}
STATUS = {
    *("model_id", "is_cached", "is_loaded", "is_valid", "size_mb", "is_wan_model", "wan_capabilities"),
    *("wan_validation", "hardware_compatibility", "performance_profile", "compatibility_status"),
    *("optimization_recommendations", "cache_info", "model_info"),
}
COMPATIBILITY = {
    *("is_compatible", "compatibility_errors", "hardware_detected", "optimal_profile", "optimal_profile_config"),
    *("recommendations", "vram_utilization"),
}
SETTINGS = {
    *("precision", "enable_xformers", "vae_tile_size", "cpu_offload", "enable_attention_slicing"),
    *("enable_sequential_cpu_offload", "batch_size"),
}


@pytest.fixture(autouse=True)
def _fresh_manager() -> None:
    api.get_model_manager.cache_clear()


def test_the_three_official_models_are_there_and_valid() -> None:
    assert api.get_available_wan_models() == OFFICIAL
    assert api.validate_all_wan_configurations() == {model: (True, []) for model in OFFICIAL}


@pytest.mark.parametrize("name", ["t2v-A14B", "Wan2.2-T2V-A14B", "wan_implementation:t2v-A14B"])
def test_ids(name: str) -> None:
    assert api.get_model_id(name) == "wan_implementation:t2v-A14B"
    assert api.is_wan_model(name)


def test_what_does_not_exist_is_an_answer_not_an_exception() -> None:
    assert not api.is_wan_model("flux")
    for function in (
        *(api.get_model_id, api.get_model_status, api.get_wan_model_capabilities, api.get_wan_model_info),
        *(api.assess_hardware_compatibility, api.get_performance_profile),
    ):
        answer = function("t2v-A14")
        assert set(answer) == {"error"}
        assert "did you mean t2v-A14B" in answer["error"]
    assert api.validate_wan_model_configuration("flux")[0] is False


@pytest.mark.parametrize("model", OFFICIAL)
def test_documented_keys(model: str) -> None:
    status = api.get_model_status(model)
    assert set(status) == STATUS
    assert status["wan_validation"] == {"is_valid": True, "errors": []}
    assert set(status["hardware_compatibility"]) >= COMPATIBILITY
    assert set(status["performance_profile"]["optimization_settings"]) >= SETTINGS
    capabilities = status["wan_capabilities"]
    assert set(capabilities) == {"capabilities", "requirements", "hardware_profiles", "is_valid"}
    assert set(capabilities["capabilities"]) >= CAPABILITIES
    for profile in capabilities["hardware_profiles"].values():
        assert set(profile) >= {"target_gpu", "vram_requirement_gb", "batch_size", "precision", "optimizations"}
    assert set(api.get_all_wan_model_status()) == set(OFFICIAL)


def test_figures_are_those_of_the_planner() -> None:
    facts = api.get_wan_model_capabilities("t2v-A14B")
    assert facts["capabilities"]["parameter_count"] == 2 * 14288491584 + 5680910336 + 126892531
    assert facts["capabilities"]["max_resolution"] == "1280x720"
    assert api.get_wan_model_capabilities("ti2v-5B")["capabilities"]["max_resolution"] == "1280x704"
    small, large = facts["hardware_profiles"]["rtx-4080"], facts["hardware_profiles"]["resident-bf16"]
    assert small["verdict"] == "offload_required"
    assert "vae_tiling" in small["optimizations"]
    assert small["vram_requirement_gb"] < 16
    assert (large["verdict"], large["optimizations"], large["precision"]) == ("fits", [], "bf16")
    assert 0 < large["inference_time_seconds"] < small["inference_time_seconds"]
    assert facts["requirements"]["min_vram_gb"] < small["vram_requirement_gb"] + 0.01
    assert facts["requirements"]["basis"] == "modelled"


def test_recommendations_name_the_best_model_for_a_card_first() -> None:
    assert [answer["verdict"] for answer in api.get_wan_model_recommendations(2)] == ["incompatible"] * 3
    assert api.get_wan_model_recommendations(48)[0]["model_id"] == "wan_implementation:ti2v-5B"
    assert [answer["verdict"] for answer in api.get_wan_model_recommendations(180)] == ["fits"] * 3


async def test_it_can_be_called_inside_an_event_loop() -> None:
    await asyncio.sleep(0)
    assert "verdict" in api.assess_hardware_compatibility("ti2v-5B")


def test_it_needs_no_torch() -> None:
    script = "import sys, wan_tui.model_manager as m; m.get_all_wan_model_status(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0
