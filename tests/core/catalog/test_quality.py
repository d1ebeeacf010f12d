"""What the profiles cost in quality: measured on the pocket model, told where a profile is chosen."""

from wan_tui.core.catalog.profiles import built_in_profiles
from wan_tui.core.catalog.quality import costs, described, load_quality

PROFILES = built_in_profiles()
QUALITY = load_quality()
MEASURED = {(row.option, row.value) for row in QUALITY.options}


def test_every_option_that_a_processor_can_run_was_measured() -> None:
    assert {("precision", "bf16"), ("vae_tiling", "true"), ("cache", "first_block"), ("steps", "6")} <= MEASURED
    assert {("quantization", value) for value in ("fp8", "int8", "int4")} <= MEASURED
    assert all(0 <= row.right_ratio <= 1 for row in QUALITY.options)


def test_fast_and_low_vram_say_what_they_cost() -> None:
    for name, told in (("fast", ("int4", "dB", "right")), ("low-vram", ("int4", "tiling", "dB"))):
        description = described(PROFILES[name])
        assert description.startswith(PROFILES[name].description)
        assert all(word in description for word in told)


def test_of_each_option_the_value_that_costs_most_is_told() -> None:
    (quantization, cache) = costs(PROFILES["fast"], QUALITY)
    assert quantization.value == "int4"
    lossy = [row for row in QUALITY.options if row.option == "cache" and row.psnr_db is not None]
    assert cache.psnr_db == min(row.psnr_db for row in lossy if row.psnr_db is not None)


def test_a_profile_without_loss_says_nothing_more() -> None:
    assert described(PROFILES["resident-bf16"]) == PROFILES["resident-bf16"].description


def test_offload_changes_nothing() -> None:
    offload = QUALITY.of("offload", "group_leaf")
    assert offload is not None
    assert offload.psnr_db is None
    assert offload.right_ratio == QUALITY.plain_right_ratio
