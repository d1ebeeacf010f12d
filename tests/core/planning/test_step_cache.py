"""What a step cache saves, in passes, seconds and memory: counted where it can be, bounded where it cannot."""

import dataclasses

import pytest

from tests.core.planning.parts import CARDS, CATALOGUE, clip, plan
from wan_tui.core.planning.duration import DeviceRate, estimate_time, steps_by_expert
from wan_tui.core.planning.memory import estimate_memory
from wan_tui.core.planning.plan import with_videos
from wan_tui.core.planning.roofline import estimate_on_device
from wan_tui.core.planning.step_cache import computed_passes
from wan_tui.core.words import OffloadMode, Phase, StepCache

T2V = CATALOGUE.find("t2v-A14B")
H100 = next(card for card in CARDS if "H100" in card.name)
RATE = DeviceRate(
    text_encode_seconds=0.5,
    forward_floor_seconds=0.01,
    forward_flop_per_second=4e14,
    decode_floor_seconds=0.02,
    decode_pixels_per_second=2e6,
)
CACHES = [StepCache.FIRST_BLOCK, StepCache.MAG, StepCache.TAYLOR_SEER]


@pytest.mark.parametrize(
    ("steps", "passes"),
    [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (8, 5), (26, 11)],
)
def test_taylorseer_computes_the_first_three_and_every_third_after_that(steps: int, passes: int) -> None:
    found = computed_passes(StepCache.TAYLOR_SEER, steps, 40)
    assert (found.low, found.expected, found.high) == (passes, passes, passes)


def test_magcache_keeps_a_fifth_and_then_at_least_every_fourth() -> None:
    assert computed_passes(StepCache.MAG, 20, 40).low == 4 + 16 // 4
    assert computed_passes(StepCache.MAG, 20, 40).high == 20


@pytest.mark.parametrize("cache", CACHES)
def test_few_steps_have_little_to_save_and_none_is_saved_before_it_ran(cache: StepCache) -> None:
    for steps in range(60):
        found = computed_passes(cache, steps, 40)
        assert min(steps, 1) <= found.low <= found.expected <= found.high <= max(steps, found.low)


@pytest.mark.parametrize("cache", CACHES)
def test_a_cache_makes_steps_fewer_and_the_interval_reaches_from_all_it_can_save_to_nothing(cache: StepCache) -> None:
    def seconds(kind: StepCache) -> tuple[float, float, float]:
        total = estimate_on_device(T2V, H100, plan(cache=kind), clip()).total
        return total.low, total.expected, total.high

    (low, expected, high), (plain_low, plain, plain_high) = seconds(cache), seconds(StepCache.NONE)
    assert low < plain_low
    assert expected < plain
    counted = cache is StepCache.TAYLOR_SEER
    assert (high < plain_high) if counted else high == pytest.approx(plain_high)


@pytest.mark.parametrize("cache", CACHES)
def test_a_measured_device_is_estimated_with_the_cache_as_well(cache: StepCache) -> None:
    def stages(kind: StepCache) -> dict[Phase, float]:
        found = estimate_time(T2V, RATE, width=832, height=480, frames=81, steps=40, guidance=4.0, cache=kind)
        return {stage.stage: stage.seconds for stage in found.stages}

    plain, cached = stages(StepCache.NONE), stages(cache)
    for phase, steps in steps_by_expert(T2V, 40):
        share = computed_passes(cache, steps, 40).expected / steps
        assert cached[phase] == pytest.approx(plain[phase] * share)
    assert cached[Phase.VAE_DECODE] == plain[Phase.VAE_DECODE]


def test_residuals_that_are_kept_take_memory_and_taylorseer_hardly_any() -> None:
    def held(cache: StepCache, guidance: float = 4.0) -> int:
        found = estimate_memory(T2V, plan(cache=cache), clip(1280, 720, guidance=guidance))
        return next(phase.activation_bytes for phase in found.phases if phase.phase is Phase.DENOISE_HIGH_NOISE)

    residual = 75_600 * 5120 * 2  # one value in 16 bit for each token and channel
    plain = held(StepCache.NONE)
    assert held(StepCache.FIRST_BLOCK) - plain == 2 * 3 * residual
    assert held(StepCache.MAG) - plain == 2 * 2 * residual
    assert 0 < held(StepCache.TAYLOR_SEER) - plain < residual / 10
    assert held(StepCache.FIRST_BLOCK, guidance=1.0) - held(StepCache.NONE, guidance=1.0) == 3 * residual


# -- torch.compile, LoRAs, several videos -----------------------------------------------------------------------------


def test_compiled_blocks_take_less_time_and_loading_more() -> None:
    eager, compiled = (estimate_on_device(T2V, H100, plan(compile=on), clip()) for on in (False, True))
    assert compiled.total.expected < eager.total.expected
    assert compiled.load.expected > eager.load.expected
    assert compiled.total.high / compiled.total.expected > eager.total.high / eager.total.expected, "less is known"


@pytest.mark.parametrize("offload", [OffloadMode.NONE, OffloadMode.MODEL])
def test_loras_are_weights_of_both_experts(offload: OffloadMode) -> None:
    added = 300_000_000
    with_loras = estimate_memory(T2V, plan(offload, lora_parameters=added), clip())
    without = estimate_memory(T2V, plan(offload), clip())
    resident = 2 if offload is OffloadMode.NONE else 1
    assert with_loras.phases[-2].weights_bytes - without.phases[-2].weights_bytes == resident * added * 2


def test_videos_made_at_once_share_weights_and_not_activations() -> None:
    one, three = (with_videos(plan(), videos) for videos in (1, 3))
    assert one == plan()
    assert three.vae_slicing
    before, after = estimate_memory(T2V, one, clip()), estimate_memory(T2V, three, clip())
    assert after.phases[1].weights_bytes == before.phases[1].weights_bytes
    assert after.phases[1].activation_bytes == pytest.approx(3 * before.phases[1].activation_bytes, rel=0.05)
    single, triple = (estimate_on_device(T2V, H100, made, clip()).total.expected for made in (one, three))
    assert triple == pytest.approx(3 * single, rel=0.05)
    assert dataclasses.replace(three, batch=1, vae_slicing=False) == one
