"""Profiles: the built-in ones, one's own, and what a name means."""

import pytest

from tests.core.planning.parts import AMPLE_HOST, GIB, room, task
from wan_tui.core.catalog.gpus import search_gpu
from wan_tui.core.catalog.profiles import TextEncoderPlace, built_in_profiles, find_profile, profile_of
from wan_tui.core.config import DeploymentSettings
from wan_tui.core.config.settings import ProfileSettings, Settings
from wan_tui.core.errors import UsageError
from wan_tui.core.planning.compatibility import judge_room
from wan_tui.core.words import OffloadMode, Precision, Quantization, StepCache, Verdict


def test_the_built_in_profiles_in_the_order_of_the_file() -> None:
    assert list(built_in_profiles()) == [
        "auto",
        "resident-bf16",
        "quality",
        "fast",
        "rtx-4080",
        "rtx-3080",
        "low-vram",
        "cpu",
    ]
    assert all(profile.description for profile in built_in_profiles().values())
    assert [name for name, profile in built_in_profiles().items() if profile.cpu_only] == ["cpu"]


def test_what_is_left_out_does_not_constrain_but_a_cache_must_be_named() -> None:
    auto = find_profile("auto")
    assert auto == profile_of("auto", {"description": auto.description})
    assert set(auto.precisions) == set(Precision)
    assert set(auto.quantizations) == set(Quantization)
    assert set(auto.offloads) == set(OffloadMode)
    assert set(auto.text_encoders) == set(TextEncoderPlace)
    assert (auto.vae_tiling, auto.memory_gib, auto.vae_precision) == (None, None, Precision.FP32)
    assert auto.caches == (StepCache.NONE,)


def test_words_are_kept_in_one_order_so_that_the_simplest_comes_first() -> None:
    profile = profile_of("mine", {"offloads": ["sequential", "none", "model"], "quantizations": ["nf4", "none"]})
    assert profile.offloads == (OffloadMode.NONE, OffloadMode.MODEL, OffloadMode.SEQUENTIAL)
    assert profile.quantizations == (Quantization.NONE, Quantization.NF4)


def test_a_word_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="blocks"):
        profile_of("mine", {"offloads": ["blocks"]})


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="low-vram"):
        find_profile("low-vrm")


def test_a_profile_of_ones_own_beats_a_built_in_one_of_its_name() -> None:
    settings = Settings(
        profiles={"fast": ProfileSettings(offloads=[OffloadMode.NONE], memory_gib=20)},
        deployments={"d": DeploymentSettings(model="ti2v-5B", profile="fast")},
    )
    profile = settings.known_profiles[settings.deployment("d").profile]
    assert (profile.name, profile.offloads, profile.memory_gib) == ("fast", (OffloadMode.NONE,), 20)
    assert find_profile("fast").memory_gib is None


@pytest.mark.parametrize(
    ("profile", "card", "gib"),
    [("rtx-4080", "rtx 4080 16gb", 16), ("rtx-3080", "rtx 3080 12gb", 12), ("low-vram", "rtx 4060", 8)],
)
@pytest.mark.parametrize("model", ["t2v-A14B", "i2v-A14B", "ti2v-5B"])
def test_the_profiles_of_small_cards_take_no_more_than_these_have(
    profile: str, card: str, gib: int, model: str
) -> None:
    """On the card that they are made for and on a large one, empty."""
    for name in (card, "h100 80gb hbm3"):
        answer = judge_room(task(model, profile=profile), room(search_gpu(name)), AMPLE_HOST)
        assert answer.verdict is Verdict.OFFLOAD_REQUIRED, answer.reason
        assert answer.memory is not None
        assert answer.memory.peak_bytes <= gib * GIB


@pytest.mark.parametrize("card", ["rtx 4080 16gb", "rtx 4090", "a100-sxm4-80gb", "h100 80gb hbm3"])
def test_what_each_profile_promises(card: str) -> None:
    here = room(search_gpu(card))
    for model in ("t2v-A14B", "ti2v-5B"):
        quality = judge_room(task(model, profile="quality"), here, AMPLE_HOST).plan
        assert quality is not None
        assert quality.quantization is quality.text_encoder_quantization is Quantization.NONE
        assert (quality.vae_precision, quality.cache) == (Precision.FP32, StepCache.NONE)
        fast, auto = (judge_room(task(model, profile=name), here, AMPLE_HOST) for name in ("fast", "auto"))
        if fast.verdict in (Verdict.FITS, Verdict.OFFLOAD_REQUIRED):
            assert fast.seconds is not None
            assert auto.seconds is not None
            assert fast.seconds.expected <= auto.seconds.expected
